//! How many agents there are, and how they are replaced.
//!
//! Pods are replaced one at a time, and never is there a second beside the one that it replaces: two of
//! them on one node would have one socket, one folder of pins and one lease file.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, Deployment, DeploymentSpec, DeploymentStrategy,
    RollingUpdateDaemonSet, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{AGENT_LABEL, Kind, Settings, metadata, pod};
use crate::kube::objects::{ClusterAgent, said};

/// How pods are replaced.
const ROLLING: &str = "RollingUpdate";

/// How many pods may be missing meanwhile.
const MISSING: IntOrString = IntOrString::Int(1);

/// How many there may be beside those that they replace.
const BESIDE: IntOrString = IntOrString::Int(0);

/// Whether an agent has its nodes' network, as it has unless it says otherwise, or names another: then there is
/// one on each node that is selected. Else there are so many as asked for, on a network of their own.
pub fn in_nodes_network(agent: &ClusterAgent) -> bool {
    let yaml = &agent.spec.agent_yaml;
    yaml.host_network.unwrap_or_else(|| said(yaml.underlay_interface.as_ref()).is_none())
}

/// What runs one in its nodes' network.
pub fn daemon_set(agent: &ClusterAgent, settings: &Settings, port: u16) -> DaemonSet {
    let rolling = RollingUpdateDaemonSet { max_unavailable: Some(MISSING), max_surge: Some(BESIDE) };
    let strategy = DaemonSetUpdateStrategy { type_: Some(ROLLING.into()), rolling_update: Some(rolling) };
    let spec = DaemonSetSpec {
        selector: selector(agent),
        template: pod::template(agent, settings, port),
        update_strategy: Some(strategy),
        ..DaemonSetSpec::default()
    };
    DaemonSet { metadata: metadata(Kind::DaemonSet, agent, settings), spec: Some(spec), status: None }
}

/// What runs one in a network of its own.
pub fn deployment(agent: &ClusterAgent, settings: &Settings, port: u16) -> Deployment {
    let rolling = RollingUpdateDeployment { max_unavailable: Some(MISSING), max_surge: Some(BESIDE) };
    let strategy = DeploymentStrategy { type_: Some(ROLLING.into()), rolling_update: Some(rolling) };
    let spec = DeploymentSpec {
        replicas: Some(agent.spec.agent_yaml.replicas),
        selector: selector(agent),
        template: pod::template(agent, settings, port),
        strategy: Some(strategy),
        ..DeploymentSpec::default()
    };
    Deployment { metadata: metadata(Kind::Deployment, agent, settings), spec: Some(spec), status: None }
}

/// What tells its pods.
pub fn selector(agent: &ClusterAgent) -> LabelSelector {
    let labels = BTreeMap::from([(AGENT_LABEL.to_owned(), agent.name_any())]);
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
