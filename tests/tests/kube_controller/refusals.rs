//! What the controller does not make, and how it says so: in conditions and in events.

use anyhow::{Context as _, Result};
use serde_json::json;
use xdhcpd_tests::cluster_agent::agent_name;
use xdhcpd_tests::controller::{NAMESPACE, part, wait_for_condition, wait_for_part};
use xdhcpd_tests::events;

use super::{make, manifest, parts_of, pod, shared};

#[test]
fn what_has_its_name_and_is_not_its_own_is_left_alone_and_said() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let agent = agent_name();
    let name = parts_of(&agent);
    let labels = json!({"app": "theirs"});
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "theirs", "image": "theirs:1"}]},
            },
        },
    });
    cluster.apply(&theirs.to_string())?;
    let before = part(&cluster, "daemonset", &name)?.context("theirs")?;
    cluster.apply(&manifest(&agent, &json!({})).to_string())?;
    let message = wait_for_condition(&cluster, &agent, "Accepted", "False", "NameTaken")?;
    assert!(message.contains("DaemonSet"), "{message}");
    events::wait_for(&cluster, &agent, "NameTaken", "DaemonSet")?;
    assert_eq!(part(&cluster, "daemonset", &name)?.context("theirs")?, before);
    assert!(part(&cluster, "serviceaccount", &name)?.is_none(), "half an agent");
    cluster.run(&["delete", "daemonset", &name, "--namespace", NAMESPACE])?;
    wait_for_part(&cluster, "daemonset", &name, "ours", |set| pod(set, "/hostNetwork") == true)?;
    wait_for_condition(&cluster, &agent, "Accepted", "True", "Accepted")?;
    Ok(())
}

#[test]
fn a_bad_object_is_refused_by_its_field_and_what_runs_stays() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let agent = make(&cluster, &json!({"image": "mine:1"}))?;
    let name = parts_of(&agent);
    wait_for_part(&cluster, "daemonset", &name, "there", |set| pod(set, "/containers/0/image") == "mine:1")?;
    let bad = json!({"image": "mine:2", "hostNetwork": false});
    cluster.apply(&manifest(&agent, &bad).to_string())?;
    let message = wait_for_condition(&cluster, &agent, "Accepted", "False", "Invalid")?;
    assert!(message.starts_with("spec.agentYaml.underlayInterface: is missing"), "{message}");
    events::wait_for(&cluster, &agent, "Invalid", "spec.agentYaml.underlayInterface: is missing")?;
    wait_for_condition(&cluster, &agent, "Complete", "False", "NotAccepted")?;
    let set = part(&cluster, "daemonset", &name)?.context("what runs")?;
    assert_eq!(pod(&set, "/containers/0/image"), "mine:1");
    cluster.apply(&manifest(&agent, &json!({"image": "mine:2"})).to_string())?;
    wait_for_part(&cluster, "daemonset", &name, "new", |set| pod(set, "/containers/0/image") == "mine:2")?;
    wait_for_condition(&cluster, &agent, "Accepted", "True", "Accepted")?;
    Ok(())
}

#[test]
fn what_the_api_server_refuses_is_told_in_its_words_until_it_takes_it() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let agent = make(&cluster, &json!({"nodeSelector": {"no label!": "x"}}))?;
    let name = parts_of(&agent);
    let message = wait_for_condition(&cluster, &agent, "Accepted", "False", "PartRefused")?;
    assert!(message.contains("nodeSelector"), "{message}");
    events::wait_for(&cluster, &agent, "PartRefused", "nodeSelector")?;
    assert!(part(&cluster, "daemonset", &name)?.is_none());
    cluster.apply(&manifest(&agent, &json!({})).to_string())?;
    wait_for_part(&cluster, "daemonset", &name, "there", |_| true)?;
    wait_for_condition(&cluster, &agent, "Accepted", "True", "Accepted")?;
    Ok(())
}
