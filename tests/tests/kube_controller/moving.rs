//! The leases of the BMC operator's agents, where they are in a claim: README's own commands.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::install_definitions;
use xdhcpd_tests::controller::{Controller, NAMESPACE, wait_for_part};
use xdhcpd_tests::kube::{self, Cluster, parts};
use xdhcpd_tests::netns::{command_in, succeed};
use xdhcpd_tests::{readme, skip};

use super::manifest;

const HEADING: &str = "#### Moving over from the BMC operator";
/// As README has it.
const AGENT: &str = "bmc-clusteragent";
const CLASS: &str = "operators";
const VOLUME: &str = "operators-volume";

#[test]
fn the_volume_of_the_bmc_operators_claim_becomes_ours_as_readme_tells() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start_with(&[])?;
    install_definitions(&cluster)?;
    cluster.start_controllers()?;
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    leave_claim(&cluster)?;

    let commands = readme::asides(HEADING)?.replace("--namespace bmc", &format!("--namespace {NAMESPACE}"));
    ensure!(commands.contains(NAMESPACE), "{commands}");
    shell(&cluster, &commands)?;

    let size = ["--lease-claim-size", "100M", "--lease-claim-class", CLASS];
    let controller = Controller::start(&cluster, "moving-controller", 9181, &size)?;
    cluster.apply(&manifest(AGENT, &json!({})).to_string())?;
    let claim =
        wait_for_part(&cluster, "persistentvolumeclaim", &format!("{AGENT}-dhcp-data"), "bound", is_bound);
    let claim = claim.with_context(|| controller.last_words())?;
    assert_eq!(claim["spec"]["volumeName"], VOLUME);
    Ok(())
}

fn is_bound(claim: &Value) -> bool {
    claim["status"]["phase"] == "Bound"
}

/// A volume, and the operator's claim to it.
fn leave_claim(cluster: &Cluster) -> Result<()> {
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": VOLUME},
        "spec": {
            "capacity": {"storage": "100M"}, "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": "/tmp"},
        },
    });
    let name = format!("agent-{AGENT}-dhcp-data");
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
            "resources": {"requests": {"storage": "100M"}},
        },
    });
    cluster.apply(&volume.to_string())?;
    cluster.apply(&claim.to_string())?;
    wait_for_part(cluster, "persistentvolumeclaim", &name, "bound", is_bound)?;
    Ok(())
}

/// Runs commands where the API server is, as its administrator types them.
fn shell(cluster: &Cluster, commands: &str) -> Result<()> {
    let kubectl = parts::kubectl().map_err(|missing| anyhow!(missing))?;
    let folders = kubectl.parent().map(Path::to_path_buf).into_iter();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&skip::search_path())))?;
    let mut command = command_in(cluster.home(), "sh");
    command.args(["-ec", commands]).env("PATH", path).env("KUBECONFIG", cluster.admin_kubeconfig());
    command.env("KUBECACHEDIR", cluster.folder().join("shell.cache"));
    succeed(&mut command)?;
    Ok(())
}
