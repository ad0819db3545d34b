//! AgentTerm: up to when an agent answers clients, as it publishes it to the agents that share its addresses.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::patterns;

/// An agent's word. Written by that agent alone: each write has the next serial, or is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[expect(clippy::duplicated_attributes, reason = "each column has a type and a path")]
#[kube(
    group = "bmc.spidernet.io",
    version = "v1beta1",
    kind = "AgentTerm",
    plural = "agentterms",
    singular = "agentterm",
    derive = "PartialEq",
    doc = "Up to when an agent answers clients. The agent writes it: do not edit or remove it.",
    printcolumn(name = "CLUSTERAGENT", type_ = "string", json_path = ".spec.clusterAgent"),
    printcolumn(name = "NODE", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "UNTIL", type_ = "string", json_path = ".spec.until"),
    printcolumn(name = "INCARNATION", type_ = "integer", json_path = ".spec.incarnation"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self == oldSelf || self.serial == oldSelf.serial + 1")
        .message("serial: every write has the next one; agents write this, and rely on what it said"),
)]
#[serde(rename_all = "camelCase")]
pub struct AgentTermSpec {
    /// The agent's ClusterAgent.
    #[schemars(length(max = 253))]
    pub cluster_agent: String,
    /// The machine it ran on when it wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// How often it was written.
    #[schemars(schema_with = "patterns::number_from_one")]
    pub serial: u64,
    /// How often the agent began anew.
    #[schemars(schema_with = "patterns::number")]
    pub incarnation: u64,
    /// From here on neither the agent nor its kernel answers.
    #[schemars(schema_with = "patterns::time")]
    pub until: String,
    /// The longest lease that it gives before it is published.
    #[schemars(schema_with = "patterns::span")]
    pub longest: String,
}
