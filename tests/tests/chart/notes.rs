//! What helm says after an install: it is so for these values, and can be done as it stands there.

use anyhow::{Context as _, Result};
use xdhcpd_tests::chart::{self, CHART, Helm, RELEASE};
use xdhcpd_tests::kube::Cluster;
use xdhcpd_tests::skip;

use crate::installed::{run, scene};
use crate::rendered::{ALL, CLAIMS, LITTLE};

/// What is said for some values and not for others.
const TOLD: [&str; 7] = [
    "Nothing serves DHCP yet",
    "ClusterAgent rack1 is made with the release",
    "Leases are on each node in /var/lib/dhcp/<agent>-dhcpd.leases",
    "Leases are in a PersistentVolumeClaim <agent>-dhcp-data",
    "and the lease files",
    "`helm uninstall xdhcpd --namespace xdhcpd` ends all agents",
    "`helm uninstall` leaves ClusterAgents and agents as they are",
];

/// The notes of an install with these values.
fn notes(cluster: &Cluster, helm: &Helm, values: &[&str]) -> Result<String> {
    let install = ["install", RELEASE, CHART, "--namespace", RELEASE, "--dry-run=server"];
    let said = run(cluster, helm, &[&install[..], &chart::sets(values)].concat())?;
    let (_, notes) = said.split_once("\nNOTES:\n").context(said.clone())?;
    Ok(notes.to_owned())
}

#[test]
fn the_notes_say_what_is_so_for_these_values_and_what_to_do_next() -> Result<()> {
    let Some((cluster, helm)) = scene(&skip::this_test())? else { return Ok(()) };
    cluster.kubectl(&["create", "namespace", RELEASE])?;
    for (values, told) in [(&[][..], [0, 2, 4, 5]), (ALL, [1, 2, 4, 5])] {
        assert_told(&notes(&cluster, &helm, values)?, &told, values);
    }
    assert_told(&notes(&cluster, &helm, CLAIMS)?, &[0, 3, 5], CLAIMS);
    assert_told(&notes(&cluster, &helm, LITTLE)?, &[0, 2, 6], LITTLE);

    // The ClusterAgent that it shows can be made as it is.
    let plain = notes(&cluster, &helm, &[])?;
    let (_, manifest) = plain.split_once("<<'AGENT'\n").context("a manifest")?;
    let (manifest, after) = manifest.split_once("  AGENT\n").context("its end")?;
    cluster.apply(manifest)?;
    let agent = cluster.get_json("clusteragent", "rack1")?.context("it is called rack1")?;
    assert_eq!(agent["spec"]["feature"]["dhcpServerConfig"]["subnet"], "192.168.0.0/24");
    assert!(after.trim_start().starts_with("kubectl wait clusteragent rack1 "), "{after}");
    Ok(())
}

#[track_caller]
fn assert_told(notes: &str, told: &[usize], values: &[&str]) {
    let found: Vec<usize> = (0..TOLD.len()).filter(|at| notes.contains(TOLD[*at])).collect();
    assert_eq!(found, told, "{values:?}: {notes}");
}
