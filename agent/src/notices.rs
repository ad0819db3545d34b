//! What the core notices, and somebody who watches a cluster should see beside the agent it concerns.
//!
//! Each is in the log and counted too: a notice that finds no room is left out.

use std::fmt;
use std::net::Ipv4Addr;

use tokio::sync::mpsc;

use crate::report::Mac;

/// Notices that may wait to be shown.
pub const WAITING: usize = 64;

/// Something that an operator should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A client asked, and no address was free.
    NoFreeAddress {
        /// The client.
        client: Mac,
    },
    /// A client found its address in use.
    Declined {
        /// The address.
        ip: Ipv4Addr,
        /// The client.
        client: Mac,
    },
    /// Another DHCP server answered on one of our wires.
    OtherServer {
        /// The network on that wire.
        network: String,
        /// The server's address.
        ip: Ipv4Addr,
        /// Its hardware address.
        mac: Mac,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFreeAddress { client } => write!(f, "no free address for {client}: the pool is empty"),
            Self::Declined { ip, client } => write!(f, "{client} declined {ip}: somebody else uses it"),
            Self::OtherServer { network, ip, mac } => {
                write!(f, "another DHCP server answers on network {network}: {ip} ({mac})")
            }
        }
    }
}

/// Where notices go; to nobody, where nobody shows them.
#[derive(Debug, Clone, Default)]
pub struct Notices(Option<mpsc::Sender<Notice>>);

impl Notices {
    /// To whoever has the other end.
    pub fn to(sender: mpsc::Sender<Notice>) -> Self {
        Self(Some(sender))
    }

    /// Tells, without waiting.
    pub fn tell(&self, notice: Notice) {
        if let Some(sender) = &self.0 {
            // One that finds no room is in the log all the same.
            let _left_out = sender.try_send(notice);
        }
    }
}
