//! What clients are told, as networks, classes and reservations say it: `options`, `boot`, and
//! the two that have them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;

/// DHCP options by name, and any other by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DhcpOptions {
    /// Name servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::addresses")]
    pub dns: Option<Vec<String>>,
    /// The clients' domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub domain_name: Option<String>,
    /// Domains that are searched for a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(max = 253)))]
    pub domain_search: Option<Vec<String>>,
    /// Time servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::addresses")]
    pub ntp: Option<Vec<String>>,
    /// The largest packet on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68))]
    pub mtu: Option<u16>,
    /// Routes; the gateway's is added to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub routes: Option<Vec<Route>>,
    /// Options by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    pub custom: Option<Vec<CustomOption>>,
}

/// A route that clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// The destination, as in 10.0.0.0/8.
    #[schemars(schema_with = "patterns::cidr")]
    pub to: String,
    /// The router; 0.0.0.0: on the link itself.
    #[schemars(schema_with = "patterns::address")]
    pub via: String,
}

/// An option by its number; its value in one of three forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CustomOption {
    /// Its number.
    #[schemars(range(min = 1, max = 254))]
    pub code: u8,
    /// Its bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_hex")]
    pub hex: Option<String>,
    /// Its value as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub text: Option<String>,
    /// Its value as addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::addresses")]
    pub ips: Option<Vec<String>>,
}

/// What a client boots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootSettings {
    /// The server that has the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_address")]
    pub next_server: Option<String>,
    /// The boot file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 127))]
    pub file: Option<String>,
    /// The server's name, in the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub server_name: Option<String>,
}

/// An address fixed for one client, which one of four keys names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservedAddress {
    /// The client's hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_mac")]
    pub mac: Option<String>,
    /// Its option 61, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_hex")]
    pub client_id: Option<String>,
    /// Where it is plugged in, as its relay says it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_hex")]
    pub circuit_id: Option<String>,
    /// Its relay's remote-id, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "patterns::maybe_hex")]
    pub remote_id: Option<String>,
    /// The address.
    #[schemars(schema_with = "patterns::address")]
    pub ip: String,
    /// The name that the client is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host_name: Option<String>,
    /// Options that win over the network's and the classes'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<DhcpOptions>,
    /// Boot settings that win over the network's and the classes'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootSettings>,
}

/// Clients of one kind, and what they are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientClass {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Who belongs to it: all of these hold.
    #[serde(rename = "match")]
    pub matches: ClassMatch,
    /// Options for its members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<DhcpOptions>,
    /// Boot settings for its members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootSettings>,
}

/// What tells a class's members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassMatch {
    /// Option 93 is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub arch: Option<Vec<u16>>,
    /// Option 60 begins with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub vendor_class: Option<String>,
    /// Option 77 is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub user_class: Option<String>,
    /// This option is there, with this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<MatchedOption>,
}

/// An option with a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatchedOption {
    /// Its number.
    #[schemars(range(min = 1, max = 254))]
    pub code: u8,
    /// Its bytes in hex.
    #[schemars(schema_with = "patterns::maybe_hex")]
    pub hex: String,
}
