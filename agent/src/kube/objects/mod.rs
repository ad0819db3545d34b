//! The objects of `bmc.spidernet.io/v1beta1`, as Kubernetes stores them.
//!
//! - [`ClusterAgent`]: what an agent shall do; [`dhcp_server`] is the part that says how it serves, and
//!   [`AgentYaml`] the one that says how it is run
//! - [`HostEndpoint`]: a host whose address is known without DHCP
//! - [`HostStatus`]: what an agent shows, one for each lease and each endpoint
//! - [`AddressBlock`], [`AgentTerm`]: what agents that share networks say to each other
//!
//! The types are the schema: `xdhcpd crds` prints the custom resource definitions made of them. A
//! schema says what can be said of one value (its type, its bounds, its pattern), a CEL rule what
//! holds between values; what it takes a whole configuration to judge is left to [`crate::config`].
//!
//! An empty string is an absent one, everywhere: manifests are rendered from templates that write
//! `secretName: ""`.

mod address_block;
pub mod agent_settings;
mod agent_term;
mod agent_yaml;
mod cluster_agent;
mod crds;
mod defaults;
pub mod dhcp_server;
mod host_endpoint;
mod host_status;
pub mod options;
mod patterns;

pub use address_block::{AddressBlock, AddressBlockSpec, Bound, Claimed, Counts, Marked};
pub use agent_term::{AgentTerm, AgentTermSpec};
pub use agent_yaml::{AgentYaml, ImagePullPolicy, Resources};
pub use cluster_agent::{ClusterAgent, ClusterAgentSpec, ClusterAgentStatus, EndpointDefaults, Feature};
pub use crds::{crds, yaml};
pub use dhcp_server::DhcpServer;
pub use host_endpoint::{HostEndpoint, HostEndpointSpec};
pub use host_status::{Basic, HostStatus, HostStatusSpec, HostStatusStatus, HostType, label};

/// The API group of all of them.
pub const GROUP: &str = "bmc.spidernet.io";

/// The finalizer that keeps [`AddressBlock`]s and [`AgentTerm`]s while agents may rely on them.
pub const CLAIMS_GUARD: &str = "bmc.spidernet.io/claims";

/// The annotation of an [`AgentTerm`] that says by which hardware addresses its agent answers clients.
pub const SERVERS: &str = "bmc.spidernet.io/servers";

/// The text, unless it is empty.
pub fn said(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
