//! Leases: what is promised to whom, and what of it is on disk.
//!
//! `table` holds every lease in memory, `journal` is the only place that knows what is on disk.
//! A binding becomes durable by an append to the journal that returned; nothing else sets
//! [`Lease::durable_until`].

mod changes;
mod clients;
mod ends;
mod intervals;
mod journal;
mod pool;
mod rebuild;
mod records;
mod short;
mod table;
#[cfg(test)]
mod table_tests;
mod timeline;

use std::net::Ipv4Addr;

use crate::clock::Moment;

pub use changes::Changes;
pub use journal::{
    BootId, Disk, DiskFile, Journal, JournalError, Loaded, Note, OsDisk, Promise, Synced, What, Written,
    path_in as journal_path, peek as peek_journal,
};
pub use pool::{Counts, dynamic_ranges};
pub use rebuild::{Found, rebuild};
pub use short::{Short, ShortText};
pub use table::{MAX_DUE, Table};

/// A network's place in [`crate::config::Config::networks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(pub u16);

/// A binding of an address to a client, or the memory of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address; the last entry for an address wins.
    pub ip: Ipv4Addr,
    /// chaddr.
    pub mac: [u8; 6],
    /// Option 61 as last sent.
    pub client_id: Option<Short>,
    /// Option 12 as last sent, cleaned of what no host name has.
    pub host_name: Option<ShortText>,
    /// What it is now.
    pub state: State,
    /// When the present state began.
    pub starts: Moment,
    /// The client's own end (Bound), the end of the hold (Offered), the end of the quarantine
    /// (Declined), or when it became free (Released, Expired).
    pub expires: Moment,
    /// Up to when the address is the client's according to what is fsynced: the horizon.
    /// [`Moment::NEVER`]: not on disk yet.
    pub durable_until: Moment,
    /// Who answered last.
    pub answered_by: AnsweredBy,
    /// Whether the client ever took the address: an offer alone does not make it the client's.
    pub taken: bool,
}

impl Lease {
    /// Whether this is about an address alone: no client is known for it, or none is to get it
    /// back (after a quarantine).
    pub fn is_nobodys(&self) -> bool {
        self.mac == [0; 6] && self.client_id.is_none()
    }

    /// Whether two leases name the same client, by all that is known of it.
    pub fn same_client(&self, other: &Self) -> bool {
        self.mac == other.mac && self.client_id == other.client_id
    }
}

/// The state of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Offered, and held for the client for a while.
    Offered,
    /// The client's.
    Bound,
    /// The client found somebody else using it: out of use for a while.
    Declined,
    /// Given back; kept for the same client as long as it can be.
    Released,
    /// Run out; kept likewise.
    Expired,
}

impl State {
    /// Every state, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Offered, Self::Bound, Self::Declined, Self::Released, Self::Expired];

    /// Whether the address is somebody's, or out of use: not free for another client.
    pub const fn occupies(self) -> bool {
        matches!(self, Self::Offered | Self::Bound | Self::Declined)
    }
}

/// The side that answered a client last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AnsweredBy {
    /// The XDP program.
    Kernel,
    /// The agent.
    #[default]
    Agent,
    /// Another agent of the cluster: we know of the binding, and have promised nothing.
    Peer,
}

/// What makes two messages the same client's, on one network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientKey {
    /// The hardware address.
    Mac([u8; 6]),
    /// Option 61, whole.
    Id(Box<[u8]>),
}
