//! AddressBlock: whose each of 256 addresses is, as the agents that share them publish it to each other.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;

/// 256 addresses. Written by agents alone: each write has the next serial, or is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[expect(clippy::duplicated_attributes, reason = "each column has a type and a path")]
#[kube(
    group = "bmc.spidernet.io",
    version = "v1beta1",
    kind = "AddressBlock",
    plural = "addressblocks",
    singular = "addressblock",
    derive = "PartialEq",
    doc = "Whose each of 256 addresses is. Agents that share them write it: do not edit or remove it.",
    printcolumn(name = "CLUSTERAGENT", type_ = "string", json_path = ".spec.clusterAgent"),
    printcolumn(name = "CLAIMED", type_ = "integer", json_path = ".spec.counts.claimed"),
    printcolumn(name = "BOUND", type_ = "integer", json_path = ".spec.counts.bound"),
    printcolumn(name = "MARKED", type_ = "integer", json_path = ".spec.counts.marked"),
    printcolumn(name = "SERIAL", type_ = "integer", json_path = ".spec.serial"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self == oldSelf || self.serial == oldSelf.serial + 1")
        .message("serial: every write has the next one; agents write this, and rely on what it said"),
)]
#[serde(rename_all = "camelCase")]
pub struct AddressBlockSpec {
    /// The ClusterAgent whose agents share these addresses.
    #[schemars(length(max = 253))]
    pub cluster_agent: String,
    /// How often it was written.
    #[schemars(schema_with = "patterns::number_from_one")]
    pub serial: u64,
    /// How many addresses are what, for people.
    #[serde(default)]
    pub counts: Counts,
    /// Addresses that agents may give to whatever client they will.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub claimed: Vec<Claimed>,
    /// Addresses of clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub bound: Vec<Bound>,
}

/// How many addresses are what. Nothing follows from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// An agent's.
    #[serde(default)]
    pub claimed: i32,
    /// A client's.
    #[serde(default)]
    pub bound: i32,
    /// Of those, being taken back.
    #[serde(default)]
    pub marked: i32,
}

/// The claims of one incarnation of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claimed {
    /// The agent: see its AgentTerm.
    #[schemars(schema_with = "patterns::agent_id")]
    pub agent: String,
    /// How often it had begun anew.
    #[schemars(schema_with = "patterns::number")]
    pub incarnation: u64,
    /// Addresses, or ranges of them.
    #[schemars(length(max = 256), schema_with = "patterns::block_ranges")]
    pub addresses: Vec<String>,
}

/// A client's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.mac) != has(self.clientId)").message("give either mac or clientId"),
)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// The address.
    #[schemars(schema_with = "patterns::address")]
    pub ip: String,
    /// The client, by its hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_mac")]
    pub mac: Option<String>,
    /// The client, by its option 61.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_client_id")]
    pub client_id: Option<String>,
    /// The longest lease that it was ever promised.
    #[schemars(schema_with = "patterns::span")]
    pub longest: String,
    /// The address is being taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Marked>,
}

/// An address that is being taken back from its client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Marked {
    /// The serial with which the mark came.
    #[schemars(schema_with = "patterns::number")]
    pub serial: u64,
    /// When its client gave it up; by default it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_time")]
    pub given_up: Option<String>,
    /// Up to when it stays out of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_time")]
    pub not_before: Option<String>,
    /// Agents that do not answer the client any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns::agent_ids")]
    pub confirmed: Vec<String>,
}
