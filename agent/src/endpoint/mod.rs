//! The health of BMC endpoints: whether a Redfish service answers at an address, and what it says of
//! its machine.
//!
//! - [`Target`], [`Credentials`]: where to look, and with whose name and trust
//! - [`look`]: one look at one endpoint, within [`Limits`]; what came of it is a [`Seen`]
//! - [`watch`]: looks at each of a changing set of targets once an interval
//!
//! **Ready** is an endpoint whose Redfish service root (`/redfish/v1/`) answers as one, and that has
//! not refused the credentials. A port that answers otherwise is not ready: nothing can manage a
//! machine through it. Without a username the look ends there, for Redfish shows all else to
//! those alone who log in; with one, the first system and the first manager are read too.
//!
//! **Trust.** With a `ca.crt` the server's certificate must be signed by it, or be it. The
//! certificate's names are not compared, as that of a BMC seldom says at which address DHCP will put it;
//! but one that names IP addresses must name the endpoint's. Without a `ca.crt` every certificate
//! will do, since BMCs sign their own: then anybody who holds the address can learn the username and
//! password that are sent. So can anybody on the way over plain HTTP.
//!
//! **Strangers.** An endpoint is whatever answers at an address, so all it says is bounded: time,
//! head, body, depth, and the length and characters of each value. Only paths below `/redfish/v1/` of
//! the same endpoint are followed, and no redirect but between the two spellings of the root.
//!
//! Never here: Kubernetes. A Secret comes in as its data, and what was seen goes out as plain values.

use std::net::Ipv4Addr;
use std::sync::Arc;

mod connection;
mod credentials;
mod fault;
mod look;
mod redfish;
mod schedule;
mod seen;
mod trust;
mod watch;

#[cfg(test)]
mod tests;

pub use credentials::{Credentials, CredentialsError};
pub use look::{Limits, look};
pub use seen::Seen;
pub use watch::watch;

/// An endpoint to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Whether it speaks HTTPS, else HTTP.
    pub https: bool,
    /// What to log in with, and whose certificates to trust; none: nobody's name, and any certificate.
    pub credentials: Option<Arc<Credentials>>,
}
