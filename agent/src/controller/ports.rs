//! The port on which an agent's health is served: agents of one node share its network, so each has
//! its own, and keeps it. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

/// The first that is tried: what an agent without a cluster takes. Who has a network of its own has it.
pub const FIRST: u16 = 9167;

/// The most agents that one cluster has ports for.
const SPAN: u16 = 1000;

/// The port of the agent whose workload is `name`, beside all workloads there are: the one that it has,
/// unless an older one has it too, or the lowest that is free. None: there are too many agents.
pub fn port(name: &str, workloads: &[DaemonSet]) -> Option<u16> {
    let (own, others): (Vec<_>, Vec<_>) = workloads.iter().partition(|set| set.name_any() == name);
    let age = |set: &DaemonSet| (set.creation_timestamp().map(|time| time.0), set.name_any());
    let kept = own.into_iter().find_map(|own| {
        let port = probed(own)?;
        let older = others.iter().any(|other| probed(other) == Some(port) && age(other) < age(own));
        (!older).then_some(port)
    });
    kept.or_else(|| {
        let taken: BTreeSet<u16> = others.iter().copied().filter_map(probed).collect();
        (FIRST..FIRST.saturating_add(SPAN)).find(|port| !taken.contains(port))
    })
}

/// The port that a workload's pods are asked at whether they live.
fn probed(set: &DaemonSet) -> Option<u16> {
    let spec = set.spec.as_ref()?.template.spec.as_ref()?;
    let probe = spec.containers.first()?.liveness_probe.as_ref()?.http_get.as_ref()?;
    match probe.port {
        IntOrString::Int(port) => u16::try_from(port).ok(),
        IntOrString::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str, port: u16, created: &str) -> DaemonSet {
        let probe = json!({"httpGet": {"port": port, "path": "/healthz"}});
        serde_json::from_value(json!({
            "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:{created}Z")},
            "spec": {
                "selector": {},
                "template": {"spec": {"containers": [{"name": "agent", "livenessProbe": probe}]}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn an_agent_keeps_its_port_and_a_new_one_gets_the_lowest_that_is_free() {
        let sets = [set("agent-a", 9168, "00"), set("agent-b", 9169, "00")];
        assert_eq!(port("agent-a", &sets), Some(9168));
        assert_eq!(port("agent-c", &sets), Some(9167));
        assert_eq!(port("agent-c", &[set("agent-a", 9167, "00")]), Some(9168));
        assert_eq!(port("agent-c", &[]), Some(FIRST));
    }

    #[test]
    fn of_two_with_one_port_the_younger_gets_another() {
        let sets = [set("agent-a", 9167, "01"), set("agent-b", 9167, "00"), set("agent-c", 9167, "01")];
        assert_eq!(port("agent-b", &sets), Some(9167));
        assert_eq!(port("agent-a", &sets), Some(9168));
        assert_eq!(port("agent-c", &sets), Some(9168));
    }
}
