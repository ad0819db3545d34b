//! With Kubernetes' own controllers: what they remove, and what waits for that.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::{CONVERGED, install_definitions};
use xdhcpd_tests::controller::{Controller, NAMESPACE, part, wait_for_part};
use xdhcpd_tests::kube::{self, Cluster, OWNERS_GUARDED};
use xdhcpd_tests::{skip, wait};

use super::{make, manifest, parts_of, pod};

#[test]
fn leases_are_in_a_claim_that_outlives_workloads_and_goes_with_the_object() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start_with(&[OWNERS_GUARDED])?;
    install_definitions(&cluster)?;
    cluster.start_controllers()?;
    let size = ["--lease-claim-size", "1Gi", "--lease-claim-class", "fast"];
    let controller = Controller::start(&cluster, "claims-controller", 9181, &size)?;
    let told = story(&cluster);
    told.with_context(|| controller.last_words())
}

fn story(cluster: &Cluster) -> Result<()> {
    let agent = make(cluster, &json!({}))?;
    let (name, claim_name) = (parts_of(&agent), format!("{agent}-dhcp-data"));
    let set = wait_for_part(cluster, "daemonset", &name, "there", |_| true)?;
    assert_eq!(pod(&set, "/volumes/0/persistentVolumeClaim/claimName"), claim_name.as_str());
    let claim = wait_for_part(cluster, "persistentvolumeclaim", &claim_name, "there", |_| true)?;
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "1Gi");
    let uid = |part: &Value| part["metadata"]["uid"].clone();

    // A workload of another kind comes when the former is gone; the leases stay.
    let yaml = json!({"hostNetwork": false, "underlayInterface": "net/bmc"});
    cluster.apply(&manifest(&agent, &yaml).to_string())?;
    wait_for_part(cluster, "deployment", &name, "there", |_| true)?;
    assert!(part(cluster, "daemonset", &name)?.is_none(), "both at one time");
    let after = part(cluster, "persistentvolumeclaim", &claim_name)?.context("the claim")?;
    assert_eq!(uid(&after), uid(&claim));

    // None at all.
    cluster.apply(&manifest(&agent, &json!({"replicas": 0})).to_string())?;
    gone(cluster, "deployment", &name)?;
    cluster.apply(&manifest(&agent, &json!({})).to_string())?;
    wait_for_part(cluster, "daemonset", &name, "there", |_| true)?;

    // What its account may do is put right.
    let account = json!([{"op": "replace", "path": "/subjects/0/name", "value": "nobody"}]).to_string();
    cluster.run(&["patch", "clusterrolebinding", &name, "--type=json", "--patch", &account])?;
    let right = |binding: &Value| binding["subjects"][0]["name"] == name.as_str();
    wait_for_part(cluster, "clusterrolebinding", &name, "put right", right)?;

    cluster.run(&["delete", "clusteragent", &agent, "--wait=false"])?;
    for kind in ["daemonset", "serviceaccount", "rolebinding", "clusterrolebinding"] {
        gone(cluster, kind, &name)?;
    }
    // Without pods nothing protects it.
    gone(cluster, "persistentvolumeclaim", &claim_name)?;
    // Nobody makes it again.
    assert!(part(cluster, "daemonset", &name)?.is_none());
    let left = cluster.run(&["get", "all", "--namespace", NAMESPACE, "-o", "name"])?;
    assert_eq!(left.trim(), "");
    Ok(())
}

fn gone(cluster: &Cluster, kind: &str, name: &str) -> Result<()> {
    wait::until_true(&format!("{kind} {name} to be gone"), CONVERGED, || {
        Ok(part(cluster, kind, name)?.is_none())
    })
}
