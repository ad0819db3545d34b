//! ClusterAgent: an agent, how it is run, and what it serves.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent_yaml::AgentYaml;
use super::defaults::{https_port, yes};
use super::dhcp_server::DhcpServer;

/// What an agent shall do.
#[derive(Debug, Clone, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bmc.spidernet.io",
    version = "v1beta1",
    kind = "ClusterAgent",
    plural = "clusteragents",
    singular = "clusteragent",
    status = "ClusterAgentStatus",
    derive = "PartialEq",
    doc = "An agent that serves DHCP and shows the hosts of its network.",
    printcolumn(name = "READY", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAgentSpec {
    /// How the agent is run.
    pub agent_yaml: AgentYaml,
    /// How the hosts that get a lease are talked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointDefaults>,
    /// What the agent does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<Feature>,
}

/// How hosts that got a lease are talked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "(has(self.secretName) && self.secretName != '') == (has(self.secretNamespace) && self.secretNamespace != '')"
    ).message("secretName and secretNamespace: give both or neither"),
)]
pub struct EndpointDefaults {
    /// Their port.
    #[serde(default = "https_port")]
    #[schemars(default = "https_port", range(min = 1, max = 65535))]
    pub port: i32,
    /// Whether they speak HTTPS.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub https: bool,
    /// The Secret with certificate, key and credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub secret_namespace: Option<String>,
}

impl Default for EndpointDefaults {
    fn default() -> Self {
        Self { port: https_port(), https: yes(), secret_name: None, secret_namespace: None }
    }
}

/// What the agent does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!self.enableDhcpServer || has(self.dhcpServerConfig)")
        .message("dhcpServerConfig: is missing; enableDhcpServer needs it"),
)]
pub struct Feature {
    /// Whether it serves DHCP.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub enable_dhcp_server: bool,
    /// How it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp_server_config: Option<DhcpServer>,
}

/// How the agent is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterAgentStatus {
    /// Whether it serves.
    #[serde(default)]
    pub ready: bool,
    /// How it is, with reasons: Accepted, Ready, Complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
