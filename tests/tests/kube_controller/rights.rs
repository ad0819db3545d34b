//! What the controller may do: all of it is needed, and nothing else is asked for.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::json;
use xdhcpd_tests::chart::CHART;
use xdhcpd_tests::cluster_agent::{CONVERGED, agent_name, install_definitions};
use xdhcpd_tests::controller::{ACCOUNT, Controller, NAMESPACE, part, wait_for_condition, wait_for_part};
use xdhcpd_tests::kube::{self, Cluster, OWNERS_GUARDED};
use xdhcpd_tests::rights::{self, Audit};
use xdhcpd_tests::{events, skip, wait};

use super::guards::{publish, published};
use super::{make, manifest, parts_of};

/// What keeps each agent's leases in a claim.
const CLAIMS: [&str; 2] = ["--lease-claim-size", "1Gi"];

const BINDINGS: [&str; 2] = ["clusterrolebinding", "rolebinding"];

/// Makes the roles of all agents, as the chart has them.
fn make_roles(cluster: &Cluster) -> Result<()> {
    for (kind, file) in [("ClusterRole", "agent-rules"), ("Role", "agent-namespace-rules")] {
        let rules = fs::read_to_string(format!("{CHART}/files/{file}.yaml")).context(file)?;
        let kind = format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n");
        let metadata = format!("metadata: {{name: xdhcpd-agent, namespace: {NAMESPACE}}}\n");
        cluster.apply(&format!("{kind}{metadata}rules:\n{rules}"))?;
    }
    Ok(())
}

#[test]
fn the_controller_needs_each_of_its_rights_and_asks_for_nothing_else() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let audit = Audit::new()?;
    let [policy, log] = audit.arguments();
    let mut cluster = Cluster::start_with(&[OWNERS_GUARDED, &policy, &log])?;
    install_definitions(&cluster)?;
    cluster.start_controllers()?;
    let agent = make(&cluster, &json!({}))?;
    let name = parts_of(&agent);
    let mut former = Controller::start(&cluster, "former", 9181, &CLAIMS)?;
    wait_for_part(&cluster, "daemonset", &name, "there", |_| true).with_context(|| former.last_words())?;
    assert!(former.stop(Signal::TERM)?.success());
    make_roles(&cluster)?;
    for kind in BINDINGS {
        bind_to_another(&cluster, kind, &name)?;
    }
    let controller = Controller::start(&cluster, "controller", 9182, &CLAIMS)?;
    let told = story(&cluster, &agent);
    told.with_context(|| controller.last_words())?;
    audit.each_is_used(&cluster, ACCOUNT, |_| true).with_context(|| controller.last_words())?;

    for resource in rights::silent(&cluster, ACCOUNT)? {
        let agent = agent_name();
        let without = || {
            cluster.apply(&manifest(&agent, &json!({})).to_string())?;
            let message = wait_for_condition(&cluster, &agent, "Accepted", "False", "PartRefused")?;
            assert!(message.contains("forbidden"), "{message}");
            Ok(())
        };
        rights::without(&cluster, ACCOUNT, &resource, without)?;
        wait_for_condition(&cluster, &agent, "Accepted", "True", "Accepted")?;
    }
    Ok(())
}

/// All else that can happen to an agent, once.
fn story(cluster: &Cluster, agent: &str) -> Result<()> {
    let name = parts_of(agent);
    for kind in BINDINGS {
        wait_for_part(cluster, kind, &name, "put right", |binding| {
            binding["roleRef"]["name"] == "xdhcpd-agent"
        })?;
    }
    // Each kind of workload in the place of the other.
    let yaml = json!({"hostNetwork": false, "underlayInterface": "net/bmc"});
    cluster.apply(&manifest(agent, &yaml).to_string())?;
    wait_for_part(cluster, "deployment", &name, "there", |_| true)?;
    cluster.apply(&manifest(agent, &json!({})).to_string())?;
    wait_for_part(cluster, "daemonset", &name, "there again", |_| true)?;
    // What is wrong, and wrong again.
    for times in 1..=2 {
        cluster.apply(&manifest(agent, &json!({"hostNetwork": false})).to_string())?;
        wait::until_true("a word on it", CONVERGED, || {
            Ok(events::count(cluster, agent, "Invalid")? == times)
        })?;
        cluster.apply(&manifest(agent, &json!({})).to_string())?;
        wait_for_condition(cluster, agent, "Accepted", "True", "Accepted")?;
    }
    // What its agents published goes when it does.
    publish(cluster, agent)?;
    cluster.run(&["delete", "clusteragent", agent])?;
    wait::until_true("all of it to be gone", CONVERGED, || {
        Ok(published(cluster)?.iter().all(Option::is_none))
    })
}

/// What a binding is to cannot be changed: it is another, in the place of that one and with its owner.
fn bind_to_another(cluster: &Cluster, kind: &str, name: &str) -> Result<()> {
    let mut another = part(cluster, kind, name)?.context(kind.to_owned())?;
    another["roleRef"]["name"] = json!("another");
    let metadata = &another["metadata"];
    another["metadata"] = json!({
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "labels": metadata["labels"],
        "ownerReferences": metadata["ownerReferences"],
    });
    cluster
        .run_with_input(&["replace", "--force", "-f", "-"], &another.to_string())
        .context(kind.to_owned())?;
    Ok(())
}
