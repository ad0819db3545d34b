//! HostEndpoint: a host whose address is known without DHCP.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::defaults::{https_port, yes};
use super::patterns;

/// Where a host is, and how it is talked to.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[expect(clippy::duplicated_attributes, reason = "each column has a type and a path")]
#[kube(
    group = "bmc.spidernet.io",
    version = "v1beta1",
    kind = "HostEndpoint",
    plural = "hostendpoints",
    singular = "hostendpoint",
    derive = "PartialEq",
    doc = "A host whose address is known without DHCP.",
    printcolumn(name = "CLUSTERAGENT", type_ = "string", json_path = ".spec.clusterAgent"),
    printcolumn(name = "HOSTIP", type_ = "string", json_path = ".spec.ipAddr"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("isIP(self.ipAddr)").message("ipAddr: expected an IPv4 address such as 10.9.0.1"),
    validation = Rule::new(
        "(has(self.secretName) && self.secretName != '') == (has(self.secretNamespace) && self.secretNamespace != '')"
    ).message("secretName and secretNamespace: give both or neither"),
)]
#[serde(rename_all = "camelCase")]
pub struct HostEndpointSpec {
    /// Its address.
    #[schemars(schema_with = "patterns::address")]
    pub ip_addr: String,
    /// The agent that shows it; by default the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub cluster_agent: Option<String>,
    /// Whether it speaks HTTPS.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub https: bool,
    /// Its port.
    #[serde(default = "https_port")]
    #[schemars(default = "https_port", range(min = 1, max = 65535))]
    pub port: i32,
    /// The Secret with its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_name: Option<String>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub secret_namespace: Option<String>,
}
