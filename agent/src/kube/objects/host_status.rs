//! HostStatus: a host as an agent sees it.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The labels that an agent sets, all in our group.
pub mod label {
    /// The host's address.
    pub const IP: &str = "bmc.spidernet.io/ipAddr";
    /// How the host came to be known: the words of [`super::HostType`].
    pub const MODE: &str = "bmc.spidernet.io/mode";
    /// Whether the host has a lease now: `true` or `false`.
    pub const ACTIVE: &str = "bmc.spidernet.io/dhcp-ip-active";
    /// Of what agents publish to each other: their ClusterAgent, where its name fits.
    pub const CLUSTER_AGENT: &str = "bmc.spidernet.io/cluster-agent";
}

/// A HostStatus has no spec: all that it says is what an agent found.
#[derive(Debug, Clone, Default, PartialEq, Eq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::duplicated_attributes, reason = "each column has a type and a path")]
#[kube(
    group = "bmc.spidernet.io",
    version = "v1beta1",
    kind = "HostStatus",
    plural = "hoststatuses",
    singular = "hoststatus",
    no_spec,
    status = "HostStatusStatus",
    derive = "PartialEq",
    doc = "A host as its agent sees it: with a lease, or named by a HostEndpoint.",
    printcolumn(name = "CLUSTERAGENT", type_ = "string", json_path = ".status.clusterAgent"),
    printcolumn(name = "HEALTHREADY", type_ = "boolean", json_path = ".status.healthReady"),
    printcolumn(name = "IPADDR", type_ = "string", json_path = ".status.basic.ipAddr"),
    printcolumn(name = "TYPE", type_ = "string", json_path = ".status.basic.type"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct HostStatusSpec {}

/// What an agent found. What must be written may still be missing in what is read: an object that an
/// older definition let through is put right, not passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatusStatus {
    /// Whether the host's endpoint answered when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(!default, required)]
    pub health_ready: Option<bool>,
    /// The same, under the name that later releases of the BMC operator have for it: we write both,
    /// and read either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// The agent.
    pub cluster_agent: String,
    /// When something that is said here changed last, in RFC 3339.
    pub last_update_time: String,
    /// Who the host is, and how it is talked to.
    pub basic: Basic,
    /// What its endpoint says of itself; `os` is always there.
    #[serde(default)]
    #[schemars(!default)]
    pub info: BTreeMap<String, String>,
}

impl HostStatusStatus {
    /// Whether the host's endpoint answered when it was last asked, by whichever name that has.
    pub fn is_healthy(&self) -> bool {
        self.health_ready.or(self.healthy).unwrap_or(false)
    }
}

/// Who a host is, and how it is talked to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Basic {
    /// How it came to be known.
    #[serde(rename = "type")]
    pub kind: HostType,
    /// Its address.
    pub ip_addr: String,
    /// Whether its endpoint speaks HTTPS.
    pub https: bool,
    /// Its endpoint's port.
    pub port: i32,
    /// The Secret with its credentials.
    #[serde(default)]
    pub secret_name: String,
    /// That Secret's namespace.
    #[serde(default)]
    pub secret_namespace: String,
    /// Its hardware address, where it has or had a lease.
    #[serde(default)]
    pub mac: String,
    /// Whether it has a lease now.
    #[serde(default)]
    pub active_dhcp_client: bool,
}

/// How a host came to be known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HostType {
    /// It got a lease.
    #[default]
    Dhcp,
    /// A HostEndpoint names it.
    HostEndpoint,
}

impl HostType {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::HostEndpoint => "hostEndpoint",
        }
    }
}
