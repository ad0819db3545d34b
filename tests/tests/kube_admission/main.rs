//! What a real API server takes of our objects, and what it refuses: the definitions themselves, the
//! manifests of the BMC operator as they are, and every rule that a schema can hold.

mod manifests;
mod refusals;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::{agent_name, install_definitions};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::skip;

/// Both kinds that people write, and those that agents do.
const DEFINITIONS: [&str; 5] =
    ["clusteragents", "hostendpoints", "hoststatuses", "addressblocks", "agentterms"];

fn cluster() -> Result<Option<Arc<Cluster>>> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(None);
    }
    let cluster = Cluster::shared()?;
    install_definitions(&cluster)?;
    Ok(Some(cluster))
}

/// Has the API server judge an object, which it does not keep; strictly, as kubectl does unless told
/// otherwise.
fn judge(cluster: &Cluster, object: &Value) -> Result<()> {
    let words = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    cluster.run_with_input(&words, &object.to_string()).map(drop)
}

/// The least ClusterAgent, with `change` made to its spec.
fn agent(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "agentYaml": {},
        "endpoint": {},
        "feature": {"dhcpServerConfig": {
            "dhcpServerInterface": "eth1", "subnet": "10.9.0.0/24", "ipRange": "10.9.0.100-10.9.0.200",
            "gateway": "10.9.0.1",
        }},
    });
    change(&mut spec);
    object("ClusterAgent", &spec)
}

/// The same with a key of `dhcpServerConfig` set.
fn serving(key: &str, value: Value) -> Value {
    agent(|spec| spec["feature"]["dhcpServerConfig"][key] = value)
}

/// A HostEndpoint of this spec.
fn endpoint(spec: &Value) -> Value {
    object("HostEndpoint", spec)
}

fn object(kind: &str, spec: &Value) -> Value {
    let metadata = json!({"name": agent_name()});
    json!({"apiVersion": "bmc.spidernet.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn without(mut value: Value, path: &str) -> Value {
    let (parent, key) = path.rsplit_once('/').expect("a path");
    value.pointer_mut(parent).and_then(Value::as_object_mut).expect("a mapping").remove(key);
    value
}

/// That what is there has all that was said, value for value.
fn assert_says(there: &Value, said: &Value, place: &str) {
    match (there, said) {
        (Value::Object(there), Value::Object(said)) => {
            for (key, said) in said {
                assert_says(there.get(key).unwrap_or(&Value::Null), said, &format!("{place}.{key}"));
            }
        }
        (Value::Array(there), Value::Array(said)) if there.len() == said.len() => {
            for (at, (there, said)) in there.iter().zip(said).enumerate() {
                assert_says(there, said, &format!("{place}[{at}]"));
            }
        }
        _ => assert_eq!(there, said, "{place}"),
    }
}

#[test]
fn the_definitions_are_structural_and_established() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    for plural in DEFINITIONS {
        let name = format!("{plural}.bmc.spidernet.io");
        let definition = cluster.get_json("crd", &name)?.context(name)?;
        let conditions = definition["status"]["conditions"].as_array().context("conditions")?;
        let is = |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
        assert!(is("Established") && is("NamesAccepted"), "{conditions:#?}");
        // It would say here why a schema is not structural.
        assert!(!is("NonStructuralSchema"), "{conditions:#?}");
        assert_eq!(definition["spec"]["scope"], "Cluster");
    }
    Ok(())
}

#[test]
fn a_host_status_without_its_health_is_refused() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let name = agent_name();
    let object = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "HostStatus", "metadata": {"name": name},
    });
    cluster.apply(&object.to_string())?;
    let write = |status: &Value| {
        let patch = json!({"status": status}).to_string();
        cluster.kubectl(&["patch", "hoststatus", &name, "--subresource=status", "--type=merge", "-p", &patch])
    };
    let whole = json!({
        "healthReady": false, "clusterAgent": "bmc", "lastUpdateTime": "2026-01-01T00:00:00Z",
        "basic": {"type": "dhcp", "ipAddr": "10.9.0.100", "https": true, "port": 443}, "info": {"os": ""},
    });
    for path in [
        "/healthReady",
        "/clusterAgent",
        "/lastUpdateTime",
        "/basic",
        "/basic/type",
        "/basic/ipAddr",
        "/basic/https",
        "/basic/port",
        "/info",
    ] {
        let error = write(&without(whole.clone(), path)).expect_err(path).to_string();
        let field = format!("status{}: Required value", path.replace('/', "."));
        assert!(error.contains(&field), "{path}: {error}");
    }
    let mut odd = whole.clone();
    odd["basic"]["type"] = json!("static");
    let error = write(&odd).expect_err("an unknown type").to_string();
    assert!(error.contains("status.basic.type"), "{error}");
    write(&whole)?;
    // A status that a plain write brings is left out: it is a resource of its own.
    let plain = json!({"status": {"healthReady": true}}).to_string();
    cluster.kubectl(&["patch", "hoststatus", &name, "--type=merge", "-p", &plain])?;
    let there = cluster.get_json("hoststatus", &name)?.context("the object")?;
    assert_says(&there["status"], &whole, "status");
    Ok(())
}
