//! Whether a ClusterAgent makes sense, before anything is run for it. Pure.
//!
//! What an agent would refuse to serve is refused here: an agent that runs goes on with what it has, and one
//! that does not would only fail to start. What takes the nodes' own eyes (interfaces, addresses) and
//! Secrets is left to the agent, which says so in events of its own.

use std::collections::BTreeSet;

use kube::ResourceExt as _;

use super::parts::workload::in_nodes_network;
use crate::config::Problem;
use crate::kube::objects::{ClusterAgent, EndpointDefaults, said};
use crate::sources::cluster_agent;

/// The longest value of a label: an agent's name is one.
const NAME: usize = 63;

/// Problems that are told at one time.
const TOLD: usize = 10;

/// All that is wrong, by the names of the object's fields; empty: nothing.
pub fn problems(agent: &ClusterAgent) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |path: &str, message: String| problems.push(Problem { path: path.into(), message });
    let yaml = &agent.spec.agent_yaml;
    let name = agent.name_any();
    if name.len() > NAME {
        wrong("metadata.name", format!("has {} characters; {NAME} are the most", name.len()));
    }
    if yaml.replicas < 0 {
        wrong("spec.agentYaml.replicas", format!("expected 0 or more, found {}", yaml.replicas));
    }
    if !in_nodes_network(agent) && said(yaml.underlay_interface.as_ref()).is_none() {
        let message = "is missing; without hostNetwork it names the network to serve";
        wrong("spec.agentYaml.underlayInterface", message.into());
    }
    if let Some(image) = said(yaml.image.as_ref()).filter(|image| image.contains(char::is_whitespace)) {
        wrong("spec.agentYaml.image", format!("expected the name of an image, found {image:?}"));
    }
    if let Some(endpoint) = &agent.spec.endpoint {
        problems.extend(secret(endpoint));
    }
    if let Err(found) = cluster_agent::config(&name, &agent.spec, &BTreeSet::new()) {
        problems.extend(found.iter().filter(|problem| problem.path != "metadata.name").cloned());
    }
    problems
}

fn secret(endpoint: &EndpointDefaults) -> Option<Problem> {
    let names = (said(endpoint.secret_name.as_ref()), said(endpoint.secret_namespace.as_ref()));
    let (path, message) = match names {
        (None, None) if endpoint.https => ("secretName", "is missing; `https: true` needs it"),
        (Some(_), None) => ("secretNamespace", "is missing; secretName needs it"),
        (None, Some(_)) => ("secretName", "is missing; secretNamespace needs it"),
        (None, None) | (Some(_), Some(_)) => return None,
    };
    Some(Problem { path: format!("spec.endpoint.{path}"), message: message.into() })
}

/// They in a sentence each.
pub fn told(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(TOLD).map(ToString::to_string).collect();
    if let Some(more) = problems.len().checked_sub(TOLD).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problems_of(change: impl FnOnce(&mut Value)) -> String {
        let mut object = json!({
            "apiVersion": "bmc.spidernet.io/v1beta1",
            "kind": "ClusterAgent",
            "metadata": {"name": "bmc"},
            "spec": {
                "agentYaml": {"replicas": 1},
                "endpoint": {"https": false},
                "feature": {"dhcpServerConfig": {
                    "dhcpServerInterface": "eth1", "subnet": "10.9.0.0/24",
                    "ipRange": "10.9.0.100-10.9.0.200", "gateway": "10.9.0.1",
                }},
            },
        });
        change(&mut object);
        told(&problems(&serde_json::from_value(object).unwrap()))
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        assert_eq!(problems_of(|_| {}), "");
        for (pointer, value, told) in [
            ("/metadata/name", json!("n".repeat(64)), "metadata.name: has 64 characters; 63 are the most"),
            ("/spec/agentYaml", json!({"replicas": -1}), "spec.agentYaml.replicas: expected 0 or more"),
            (
                "/spec/agentYaml",
                json!({"hostNetwork": false}),
                "spec.agentYaml.underlayInterface: is missing",
            ),
            (
                "/spec/agentYaml",
                json!({"image": "a b"}),
                "spec.agentYaml.image: expected the name of an image",
            ),
            ("/spec/endpoint", json!({"https": true}), "spec.endpoint.secretName: is missing"),
            ("/spec/endpoint", json!({"secretName": "s"}), "spec.endpoint.secretNamespace: is missing"),
            ("/spec/feature", json!({}), "spec.feature.dhcpServerConfig.dhcpServerInterface: is missing"),
            (
                "/spec/feature/dhcpServerConfig/ipRange",
                json!("10.8.0.1-10.8.0.2"),
                "spec.feature.dhcpServerConfig.ipRange: 10.8.0.1 lies outside 10.9.0.0/24",
            ),
        ] {
            let problems = problems_of(|object| *object.pointer_mut(pointer).unwrap() = value);
            assert!(problems.starts_with(told), "{pointer}: {problems}");
        }
    }

    #[test]
    fn all_of_it_is_told_up_to_a_bound() {
        let both = problems_of(|object| {
            object["spec"]["agentYaml"] = json!({"hostNetwork": false, "image": "a b"});
        });
        assert_eq!(both.matches("; spec.agentYaml.image").count(), 1, "{both}");
        let many: Vec<_> = (0..12).map(|_| Problem { path: "p".into(), message: "m".into() }).collect();
        assert!(told(&many).ends_with("; and 2 more"));
    }
}
