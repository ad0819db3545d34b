//! The controller against a real API server, with exactly the rights that the chart gives it.
//!
//! - [`workload`]: what it makes of a ClusterAgent, and keeps as it shall be
//! - [`refusals`]: what it does not make, and how it says so
//! - [`cluster`]: with Kubernetes' own controllers: claims, another kind of workload, removal
//! - [`moving`]: the leases of the BMC operator's agents, where they are in a claim
//! - [`guards`]: what agents have published, when they are gone
//! - [`leader`]: several of it
//! - [`rights`]: what it may do, and needs to
//! - [`rollout`]: a new image, on several nodes
//!
//! ClusterAgents have no namespace, so a cluster has one controller: most tests share both.

mod cluster;
mod guards;
mod leader;
mod moving;
mod refusals;
mod rights;
mod rollout;
mod workload;

use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::{agent_name, install_definitions};
use xdhcpd_tests::controller::Controller;
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::skip;

/// The cluster and the controller that tests share; none: the test is skipped.
fn shared() -> Result<Option<Arc<Cluster>>> {
    static CONTROLLER: OnceLock<Result<Controller, String>> = OnceLock::new();
    if !kube::is_there(&skip::this_test()) {
        return Ok(None);
    }
    let cluster = Cluster::shared()?;
    let started = CONTROLLER.get_or_init(|| {
        let start = || -> Result<Controller> {
            install_definitions(&cluster)?;
            Controller::start(&cluster, "shared-controller", 9181, &[])
        };
        start().map_err(|error| format!("{error:#}"))
    });
    started.as_ref().map_err(|error| anyhow!("{error}"))?;
    Ok(Some(cluster))
}

/// Makes the least ClusterAgent with this `agentYaml`, and gives its name.
fn make(cluster: &Cluster, yaml: &Value) -> Result<String> {
    let name = agent_name();
    cluster.apply(&manifest(&name, yaml).to_string())?;
    Ok(name)
}

fn manifest(name: &str, yaml: &Value) -> Value {
    json!({
        "apiVersion": "bmc.spidernet.io/v1beta1",
        "kind": "ClusterAgent",
        "metadata": {"name": name},
        "spec": {
            "agentYaml": yaml,
            "endpoint": {"https": false},
            "feature": {"dhcpServerConfig": {
                "dhcpServerInterface": "eth1", "subnet": "10.9.0.0/24", "ipRange": "10.9.0.100-10.9.0.200",
                "gateway": "10.9.0.1",
            }},
        },
    })
}

/// What a workload says of its pods at this place of their `spec`.
fn pod<'w>(workload: &'w Value, pointer: &str) -> &'w Value {
    workload.pointer(&format!("/spec/template/spec{pointer}")).unwrap_or(&Value::Null)
}

/// The name of an agent's parts.
fn parts_of(agent: &str) -> String {
    format!("agent-{agent}")
}
