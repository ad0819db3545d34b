//! A change of the image, with Kubernetes' own controllers: agents are replaced one node at a time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::install_definitions;
use xdhcpd_tests::controller::{Controller, NAMESPACE};
use xdhcpd_tests::kube::{self, Cluster, READY};
use xdhcpd_tests::kubelets::{Kubelets, serves};
use xdhcpd_tests::{skip, wait};

use super::{make, manifest};

const NODES: [&str; 3] = ["one", "two", "three"];

fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

/// Whether its condition Complete holds and why, of the object as it is now; none: nothing is said of that yet.
fn complete(object: &Value) -> Option<(bool, &str)> {
    let mut all = object["status"]["conditions"].as_array()?.iter();
    let said = all.find(|said| said["type"] == "Complete")?;
    let is_current = said["observedGeneration"] == object["metadata"]["generation"];
    is_current.then(|| (said["status"] == "True", said["reason"].as_str().unwrap_or_default()))
}

/// Has time go on until the object says that it is complete, and has each look at it and its pods judged.
fn until_complete(
    cluster: &Cluster,
    agent: &str,
    kubelets: &mut Kubelets,
    mut judge: impl FnMut(&Value, &[Value]) -> Result<()>,
) -> Result<()> {
    wait::until_true("it to be complete", READY, || {
        // In this order: none of these pods becomes ready or is gone before the object is read.
        let pods = kubelets.pods()?;
        let object = cluster.get_json("clusteragent", agent)?.context("it")?;
        judge(&object, &pods)?;
        kubelets.step(&pods)?;
        Ok(complete(&object) == Some((true, "AllServe")))
    })
}

#[test]
fn a_new_image_replaces_agents_one_node_at_a_time_while_the_others_serve() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    install_definitions(&cluster)?;
    cluster.start_controllers()?;
    let controller = Controller::start(&cluster, "rollout", 9181, &[])?;
    let told = story(&cluster);
    told.with_context(|| controller.last_words())
}

fn story(cluster: &Cluster) -> Result<()> {
    let mut kubelets = Kubelets::start(cluster, NAMESPACE, &NODES)?;
    let agent = make(cluster, &json!({"image": "xdhcpd:1"}))?;
    until_complete(cluster, &agent, &mut kubelets, |_, _| Ok(()))?;
    let before = kubelets.pods()?;
    assert!(before.len() == NODES.len() && before.iter().all(serves), "{before:#?}");

    cluster.apply(&manifest(&agent, &json!({"image": "xdhcpd:2"})).to_string())?;
    let (mut reasons, mut fewest) = (BTreeSet::new(), NODES.len());
    until_complete(cluster, &agent, &mut kubelets, |object, pods| {
        let mut on_nodes: BTreeMap<&str, usize> = BTreeMap::new();
        for pod in pods {
            *on_nodes.entry(pod["spec"]["nodeName"].as_str().unwrap_or_default()).or_default() += 1;
        }
        on_nodes.remove("");
        ensure!(on_nodes.values().all(|pods| *pods == 1), "two on one node: {on_nodes:?}");
        let serving = pods.iter().filter(|pod| serves(pod)).count();
        fewest = fewest.min(serving);
        ensure!(serving + 1 >= NODES.len(), "two nodes without an agent: {pods:#?}");
        ensure!(object["status"]["ready"] == true, "some serve: {object:#?}");
        let said = complete(object);
        let old = pods.iter().filter(|pod| image(pod) == "xdhcpd:1").count();
        ensure!(old == 0 || said.is_none_or(|(holds, _)| !holds), "{old} are to be replaced: {object:#?}");
        reasons.extend(said.map(|(_, reason)| reason.to_owned()));
        Ok(())
    })?;
    let after = kubelets.pods()?;
    assert!(after.len() == NODES.len() && after.iter().all(|pod| image(pod) == "xdhcpd:2"), "{after:#?}");
    assert!(after.iter().all(serves), "{after:#?}");
    assert_eq!(fewest + 1, NODES.len(), "nobody was seen to be replaced");
    assert!(reasons.contains("RollingOut") && reasons.contains("AllServe"), "{reasons:?}");
    Ok(())
}
