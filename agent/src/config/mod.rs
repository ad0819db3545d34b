//! The validated configuration: a value that exists is valid.
//!
//! Every source (the file, command-line flags, later Kubernetes objects) ends in a [`Config`], and
//! nothing after that knows where it came from. Parsing and checking live in the sub-modules; the
//! types here hold no strings that still have to be understood.
//!
//! Never here: reading the network, or the disk but for the configuration file ([`load`]); and [`host`],
//! which alone asks the machine about its interfaces.
//!
//! The way in: text ([`parse_yaml`]), a value ([`parse_value`]) or flags ([`from_flags`]) become one JSON
//! value, and one walk over it checks everything: single values in `scalars`, `addresses` and `durations`,
//! the parts of a network each in a file of its name, where addresses may stand in `placement`, and what
//! holds between networks in `source`. Every problem is found in one go, and each names its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

mod addresses;
mod classes;
mod codes;
mod durations;
mod encode;
mod flags;
pub mod host;
mod nearest;
mod network;
mod options;
mod placement;
mod problems;
mod quantities;
mod reservations;
mod scalars;
mod source;
mod times;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

pub use durations::parse as parse_duration;
pub use flags::{Flags, flag_for, from_flags};
pub use host::check_host;
pub use problems::{Problem, Problems};
pub use source::{LoadError, idle, load, parse_value, parse_yaml};
pub use yaml::MAX_TEXT;

/// The text, if an agent may have it as its name; else what was expected.
pub fn agent_name(text: &str) -> Result<String, String> {
    scalars::name(&serde_json::Value::from(text))
}

/// Everything one agent does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Names the lease file, the pins and the socket.
    pub name: String,
    /// The networks served, in the order in which one wire tries them. Other sources than a file and
    /// flags may have none: then the agent serves nobody, and says so.
    pub networks: Vec<Network>,
    /// How the XDP program is attached.
    pub fast_path: FastPath,
    /// Where leases are kept, and how far ahead the kernel may renew.
    pub leases: Leases,
    /// When the loader is started again.
    pub loader: Loader,
    /// Budgets of what goes up to the agent.
    pub limits: Limits,
    /// Where health, metrics and leases are served over HTTP; none: not at all.
    pub http: Option<SocketAddr>,
    /// What is logged and how.
    pub log: Log,
    /// Whether selfIP may replace addresses that the host cannot do without. The command line alone
    /// says so.
    pub replace_node_addresses: bool,
}

/// One subnet on one interface (and VLAN).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the file, free of the others")]
pub struct Network {
    /// Unique in a [`Config`].
    pub name: String,
    /// Where its requests come in.
    pub interface: String,
    /// VLAN tags, outermost first: none, one or two.
    pub vlans: Vec<u16>,
    /// The subnet, its host bits zero.
    pub subnet: Ipv4Net,
    /// Dynamic ranges inside the subnet, in the order in which they are used.
    pub ranges: Vec<PoolRange>,
    /// Addresses that are never handed out.
    pub exclude: Vec<RangeInclusive<Ipv4Addr>>,
    /// Addresses that hosts have without DHCP: never given to a client that has not got one of them
    /// already. No key of the file: another source knows these hosts.
    pub static_hosts: BTreeSet<Ipv4Addr>,
    /// Option 3, when there is one.
    pub gateway: Option<Ipv4Addr>,
    /// The address (with its mask) that replaces those of the interface.
    pub self_ip: Option<Ipv4Net>,
    /// The times a lease has.
    pub times: LeaseTimes,
    /// Whether unknown clients that ask for an address of theirs are refused.
    pub authoritative: bool,
    /// What makes two messages the same client's.
    pub identity: Identity,
    /// Whether clients without a reservation get silence.
    pub reserved_only: bool,
    /// Whether an address once leased stays that client's after the lease has ended.
    pub keep_addresses: bool,
    /// Whether BOOTP is answered, from reservations.
    pub bootp: bool,
    /// Whether replies are broadcast whatever the client's flag says.
    pub always_broadcast: bool,
    /// Whether a new address is probed before it is offered.
    pub probe: bool,
    /// How long an offer is held.
    pub offer_hold: Duration,
    /// How long a declined address is kept out of use.
    pub decline_hold: Duration,
    /// Whether an unrelayed frame's source must be its chaddr.
    pub check_source: bool,
    /// Trusted relays.
    pub relays: Vec<Ipv4Net>,
    /// Options of the network, already encoded; mask and router only where they are not those of
    /// `subnet` and `gateway`.
    pub options: Options,
    /// What a client boots.
    pub boot: Boot,
    /// Addresses fixed for a client.
    pub reservations: Vec<Reservation>,
    /// Client classes. Where two that match set one thing, the nearer to the client wins: by `option`
    /// over by `userClass`, then `vendorClass`, then `arch`; of equals the first.
    pub classes: Vec<Class>,
}

/// A lease's times in seconds; [`LeaseTimes::INFINITE`] never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// What a client gets that asks for nothing.
    pub default: u32,
    /// The least it gets; `default` where the file says nothing.
    pub min: u32,
    /// The most it gets; `default` where the file says nothing.
    pub max: u32,
    /// T1 when it is fixed; else half of the time.
    pub renew: Option<u32>,
    /// T2 when it is fixed; else seven eighths of the time.
    pub rebind: Option<u32>,
}

impl LeaseTimes {
    /// Option 51's value for a lease without an end (RFC 2131 §3.3).
    pub const INFINITE: u32 = u32::MAX;
}

/// A range of addresses, for everybody or for the members of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRange {
    /// First to last, inside the subnet.
    pub range: RangeInclusive<Ipv4Addr>,
    /// The class whose members alone get these; it exists in the network.
    pub class: Option<String>,
}

/// What identifies a client (checklist row 49).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// The hardware address alone.
    #[default]
    Mac,
    /// Option 61 when it was sent, else the hardware address.
    ClientId,
}

/// Options by number, each with its encoded value, of at most [`Options::MAX_VALUE`] bytes.
///
/// An overlay of two sets is the nearer one's entries over the farther one's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(pub BTreeMap<u8, Vec<u8>>);

impl Options {
    /// The longest value one option may have, split on the wire by RFC 3396.
    pub const MAX_VALUE: usize = 1024;

    /// These options with those of a nearer set over them.
    #[must_use]
    pub fn overlay(&self, nearer: &Self) -> Self {
        let mut over = self.0.clone();
        over.extend(nearer.0.iter().map(|(code, value)| (*code, value.clone())));
        Self(over)
    }
}

/// What a client boots: siaddr, file and sname of the reply's header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Boot {
    /// siaddr.
    pub next_server: Option<Ipv4Addr>,
    /// The boot file, at most 127 bytes.
    pub file: Option<String>,
    /// sname, at most 63 bytes.
    pub server_name: Option<String>,
}

impl Boot {
    /// These settings with those of a nearer set over them.
    #[must_use]
    pub fn overlay(&self, nearer: &Self) -> Self {
        Self {
            next_server: nearer.next_server.or(self.next_server),
            file: nearer.file.clone().or_else(|| self.file.clone()),
            server_name: nearer.server_name.clone().or_else(|| self.server_name.clone()),
        }
    }
}

/// An address (or a name, or options) fixed for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Who it is for.
    pub client: ClientMatch,
    /// The address; inside the subnet.
    pub ip: Ipv4Addr,
    /// Option 12.
    pub host_name: Option<String>,
    /// Options that win over the network's and the classes'.
    pub options: Options,
    /// Boot settings that win over the network's and the classes'.
    pub boot: Boot,
}

/// How a reservation knows its client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientMatch {
    /// chaddr.
    Mac([u8; 6]),
    /// Option 61, whole.
    ClientId(Vec<u8>),
    /// Option 82's sub-option 1, whole.
    CircuitId(Vec<u8>),
    /// Option 82's sub-option 2, whole.
    RemoteId(Vec<u8>),
}

/// A client class; all of its conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Unique in a network.
    pub name: String,
    /// Option 93 is one of these; empty: not asked.
    pub arch: Vec<u16>,
    /// Option 60 starts with this.
    pub vendor_class: Option<String>,
    /// Option 77 is this, plain or as one of its RFC 3004 parts.
    pub user_class: Option<String>,
    /// This option is there with exactly this value.
    pub option: Option<(u8, Vec<u8>)>,
    /// Options for members.
    pub options: Options,
    /// Boot settings for members.
    pub boot: Boot,
}

/// How the XDP program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FastPath {
    /// Driver, generic, or neither.
    pub mode: FastPathMode,
    /// The program's own log.
    pub log: KernelLog,
}

/// The XDP mode that the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FastPathMode {
    /// Native where the driver has it (never on veth), generic otherwise.
    #[default]
    Auto,
    /// Native or nothing.
    Native,
    /// Generic.
    Generic,
    /// Not attached: the agent alone answers.
    Off,
}

/// The level of the XDP program's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelLog {
    /// Nothing, at no cost.
    #[default]
    Off,
    /// Errors.
    Error,
    /// Warnings.
    Warn,
    /// What was answered.
    Info,
    /// What was passed, and why.
    Debug,
    /// Each step.
    Trace,
}

/// Where leases live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    /// The folder of the lease file.
    pub dir: PathBuf,
    /// How long the kernel may renew alone, in lease times; at least 1.
    pub horizon: u32,
}

/// The loader: its restart rule, and what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loader {
    /// The least time between two starts.
    pub min_interval: Duration,
    /// An end within this time of the start counts as a failure.
    pub window: Duration,
    /// More failures in a row than this are fatal.
    pub max_failures: u32,
    /// CPU time, in thousandths of a CPU; none: no limit.
    pub cpu: Option<u32>,
    /// Memory, in bytes; none: no limit.
    pub memory: Option<u64>,
}

/// Budgets of what goes up to the agent, in messages a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one client.
    pub client_per_second: u32,
    /// For one interface.
    pub interface_per_second: u32,
}

/// The agent's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is shown.
    pub level: tracing::Level,
    /// Lines for people, or JSON.
    pub json: bool,
}
