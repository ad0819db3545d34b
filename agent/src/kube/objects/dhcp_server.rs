//! `feature.dhcpServerConfig`: how an agent serves.
//!
//! The keys of the BMC operator's manifests, and beside them, under the names that they have in the
//! configuration file, what else a network and an agent can be told.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent_settings::AgentSettings;
use super::defaults::yes;
use super::options::{BootSettings, ClientClass, DhcpOptions, ReservedAddress};
use super::patterns;

/// How an agent serves DHCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("isCIDR(self.subnet) && cidr(self.subnet).masked() == cidr(self.subnet)")
        .message("subnet: expected a network such as 10.9.0.0/24, its host bits zero"),
    validation = Rule::new("cidr(self.subnet).containsIP(self.gateway)")
        .message("gateway: lies outside of subnet"),
    validation = Rule::new("self.ipRange.split('-').all(end, cidr(self.subnet).containsIP(end))")
        .message("ipRange: lies outside of subnet"),
    validation = Rule::new(RANGE_IS_A_RANGE).message("ipRange: ends before it starts"),
    validation = Rule::new(GATEWAY_IS_APART).message("gateway: lies inside of ipRange"),
    validation = Rule::new(
        "!has(self.selfIp) || self.selfIp == '' || (cidr(self.subnet).containsIP(cidr(self.selfIp).ip()) \
         && cidr(self.selfIp).prefixLength() == cidr(self.subnet).prefixLength())"
    ).message("selfIp: expected an address in subnet, with the mask of subnet"),
)]
pub struct DhcpServer {
    /// The interface where requests come in.
    #[schemars(length(min = 1, max = 15))]
    pub dhcp_server_interface: String,
    /// The subnet, as in 10.9.0.0/24.
    #[schemars(schema_with = "patterns::cidr")]
    pub subnet: String,
    /// The addresses that are handed out, as in 10.9.0.100-10.9.0.200.
    #[schemars(schema_with = "patterns::range")]
    pub ip_range: String,
    /// The router that clients are told: inside subnet, outside of ipRange.
    #[schemars(schema_with = "patterns::address")]
    pub gateway: String,
    /// The address, with the subnet's mask, that replaces those of the interface. Without it the
    /// interface must hold an address in the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_cidr")]
    pub self_ip: Option<String>,
    /// Whether leases make and remove HostStatus objects.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub enable_dhcp_discovery: bool,
    /// Whether an address, once leased, stays its client's; the HostStatus of a lease that ended is
    /// kept then, and marked as inactive.
    #[serde(default = "yes", rename = "enableBindDhcpIP")]
    #[schemars(default = "yes")]
    pub enable_bind_dhcp_ip: bool,
    /// Whether the addresses of HostEndpoints are never handed out.
    #[serde(default = "yes", rename = "enableBindStaticIP")]
    #[schemars(default = "yes")]
    pub enable_bind_static_ip: bool,
    /// The rest of the network.
    #[serde(flatten)]
    pub network: NetworkSettings,
    /// The rest of the agent.
    #[serde(flatten)]
    pub agent: AgentSettings,
}

/// An IPv4 address as a number, in CEL.
macro_rules! number {
    ($address:literal) => {
        concat!(
            "(int(",
            $address,
            ".split('.')[0]) * 16777216 + int(",
            $address,
            ".split('.')[1]) * 65536 + int(",
            $address,
            ".split('.')[2]) * 256 + int(",
            $address,
            ".split('.')[3]))"
        )
    };
}

/// The range does not end before it starts.
const RANGE_IS_A_RANGE: &str =
    concat!(number!("self.ipRange.split('-')[0]"), " <= ", number!("self.ipRange.split('-')[1]"));

/// The gateway is not one of the addresses that are handed out.
const GATEWAY_IS_APART: &str = concat!(
    number!("self.gateway"),
    " < ",
    number!("self.ipRange.split('-')[0]"),
    " || ",
    number!("self.gateway"),
    " > ",
    number!("self.ipRange.split('-')[1]")
);

/// What else a network can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSettings {
    /// The network's name in metrics and tables; by default the object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 127))]
    pub name: Option<String>,
    /// VLAN tags, outermost first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), inner(range(min = 1, max = 4094)))]
    pub vlans: Option<Vec<u16>>,
    /// More ranges beside ipRange, which is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::ranges")]
    pub ranges: Option<Vec<serde_json::Value>>,
    /// Addresses and ranges that are never handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::ranges_or_addresses")]
    pub exclude: Option<Vec<String>>,
    /// How long a lease runs, from 1s up, or `infinite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_lease_time")]
    pub lease_time: Option<String>,
    /// The shortest lease a client may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_lease_time")]
    pub min_lease_time: Option<String>,
    /// The longest lease a client may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_lease_time")]
    pub max_lease_time: Option<String>,
    /// When clients renew; by default after half of the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_duration")]
    pub renew_time: Option<String>,
    /// When clients ask any server; by default after seven eighths of the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_duration")]
    pub rebind_time: Option<String>,
    /// Whether unknown clients that ask for an address are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authoritative: Option<bool>,
    /// What makes two messages the same client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ClientIdentity>,
    /// Whether clients without a reservation get silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_only: Option<bool>,
    /// Whether replies are broadcast whatever the client's flag says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always_broadcast: Option<bool>,
    /// Whether a new address is probed before it is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<bool>,
    /// How long an offer is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_duration")]
    pub offer_hold: Option<String>,
    /// How long a declined address is kept out of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_duration")]
    pub decline_hold: Option<String>,
    /// Whether a frame's source must be the client's hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_source: Option<bool>,
    /// Trusted relays, addresses or prefixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::prefixes")]
    pub relays: Option<Vec<String>>,
    /// DHCP options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<DhcpOptions>,
    /// What clients boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootSettings>,
    /// Addresses fixed for a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub reservations: Option<Vec<ReservedAddress>>,
    /// Clients of a kind, and what they are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub classes: Option<Vec<ClientClass>>,
}

/// What tells clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientIdentity {
    /// The hardware address.
    Mac,
    /// Option 61.
    ClientId,
}
