//! What agents have published: kept until the last of them has ended, and no longer.

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::{CONVERGED, install_definitions};
use xdhcpd_tests::controller::{Controller, NAMESPACE, part, wait_for_part};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::{skip, wait};

use super::{make, manifest, parts_of};

const GUARD: &str = "bmc.spidernet.io/claims";

/// Looks that found something still running.
const WAITING: &str = "xdhcpd_controller_looks_total{result=\"waiting\"}";

#[test]
fn what_agents_have_published_is_kept_until_the_last_of_them_has_ended() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    install_definitions(&cluster)?;
    cluster.start_controllers()?;
    let mut controller = Controller::start(&cluster, "guards-controller", 9181, &[])?;
    let told = story(&cluster, &controller);
    let agent = told.with_context(|| controller.last_words())?;

    // What came to its end while there was no controller is seen by the next one.
    assert!(controller.stop(Signal::TERM)?.success());
    remove(&cluster, &agent)?;
    let next = Controller::start(&cluster, "next-controller", 9182, &[])?;
    let gone = wait::until_true("all of it to be gone", CONVERGED, || {
        Ok(published(&cluster)?.iter().all(Option::is_none))
    });
    gone.with_context(|| next.last_words())
}

/// An agent that goes, and is made again under its name before its last pod has ended; its name.
fn story(cluster: &Cluster, controller: &Controller) -> Result<String> {
    let agent = make(cluster, &json!({}))?;
    let name = parts_of(&agent);
    wait_for_part(cluster, "daemonset", &name, "there", |_| true)?;
    publish(cluster, &agent)?;
    run_pod(cluster, &agent)?;

    remove(cluster, &agent)?;
    wait::until_true("what it published to be on its way out", CONVERGED, || {
        let going = |object: &Option<Value>| {
            object.as_ref().is_some_and(|it| it["metadata"]["deletionTimestamp"].is_string())
        };
        Ok(published(cluster)?.iter().all(going))
    })?;
    let looks = || -> Result<u64> { Ok(controller.metric(WAITING)?.context(WAITING)?.parse()?) };
    let before = looks()?;
    wait::until_true("the controller to look again", CONVERGED, || Ok(looks()? > before))?;
    assert_guarded(cluster, "a pod of it is left")?;

    // Another of that name, whose agents go by it all.
    cluster.apply(&manifest(&agent, &json!({})).to_string())?;
    wait_for_part(cluster, "daemonset", &name, "there again", |_| true)?;
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    cluster.run(&["patch", "pod", "held", "--namespace", NAMESPACE, "--type=merge", "--patch", &free])?;
    wait::until_true("the pod to be gone", CONVERGED, || Ok(part(cluster, "pod", "held")?.is_none()))?;
    let labels = json!({"metadata": {"labels": {"app.kubernetes.io/name": "edited"}}}).to_string();
    cluster.run(&["patch", "daemonset", &name, "--namespace", NAMESPACE, "--patch", &labels])?;
    wait_for_part(cluster, "daemonset", &name, "looked at", |set| {
        set["metadata"]["labels"]["app.kubernetes.io/name"] != "edited"
    })?;
    assert_guarded(cluster, "there is one of its name")?;
    Ok(agent)
}

/// Removes a ClusterAgent, and waits until what runs it is gone.
fn remove(cluster: &Cluster, agent: &str) -> Result<()> {
    cluster.run(&["delete", "clusteragent", agent])?;
    let name = parts_of(agent);
    wait::until_true(
        "its workload to be gone",
        CONVERGED,
        || Ok(part(cluster, "daemonset", &name)?.is_none()),
    )
}

/// A block and a term, as an agent publishes them.
pub fn publish(cluster: &Cluster, agent: &str) -> Result<()> {
    let owner = cluster.get_json("clusteragent", agent)?.context("it was just made")?;
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "bmc.spidernet.io/v1beta1",
            "kind": kind,
            "metadata": {
                "name": format!("{agent}-{name}"),
                "labels": {"bmc.spidernet.io/cluster-agent": agent},
                "finalizers": [GUARD],
                "ownerReferences": [{
                    "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "ClusterAgent", "name": agent,
                    "uid": owner["metadata"]["uid"],
                }],
            },
            "spec": spec,
        })
    };
    let block = json!({"clusterAgent": agent, "serial": 1});
    let term = json!({
        "clusterAgent": agent, "serial": 1, "incarnation": 1, "until": "2026-01-01T00:00:00Z", "longest": "1h",
    });
    cluster.apply(&object("AddressBlock", "10-9-0-0", block).to_string())?;
    cluster.apply(&object("AgentTerm", "0123456789abcdef", term).to_string())
}

/// The block and the term, where they are there.
pub fn published(cluster: &Cluster) -> Result<[Option<Value>; 2]> {
    let first = |kind| Ok::<_, anyhow::Error>(cluster.list_json(kind)?.into_iter().next());
    Ok([first("addressblocks")?, first("agentterms")?])
}

fn assert_guarded(cluster: &Cluster, why: &str) -> Result<()> {
    for object in published(cluster)? {
        let object = object.with_context(|| format!("gone, though {why}"))?;
        assert_eq!(object["metadata"]["finalizers"], json!([GUARD]), "{why}");
    }
    Ok(())
}

/// A pod of an agent that takes its time to end, as one does whose machine does not answer.
fn run_pod(cluster: &Cluster, agent: &str) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "held",
            "namespace": NAMESPACE,
            "labels": {"bmc.spidernet.io/cluster-agent": agent},
            "finalizers": ["xdhcpd.invalid/held"],
        },
        "spec": {
            "serviceAccountName": parts_of(agent),
            "automountServiceAccountToken": false,
            "containers": [{"name": "agent", "image": "registry.example.org/xdhcpd:1"}],
        },
    });
    cluster.apply(&pod.to_string())?;
    cluster.run(&["delete", "pod", "held", "--namespace", NAMESPACE, "--wait=false"]).map(drop)
}
