//! Proofs that something is on disk. Only the journal can make them, and only they make a lease
//! of the table durable.

use std::net::Ipv4Addr;

use super::{JournalError, Note};
use crate::clock::Moment;
use crate::lease::{Lease, Short};

/// What one append has made durable: it was written and fsynced before this value existed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "the table learns from it what may be promised"]
pub struct Synced {
    promises: Vec<Promise>,
}

/// A batch that was written and is not known to be on disk: nothing of it may be promised.
#[derive(Debug)]
#[must_use = "it has to be synced"]
pub struct Written {
    /// What was written.
    pub(super) text: String,
    /// What is durable once it is synced.
    pub(super) synced: Synced,
}

/// An address that is a client's on disk, up to a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The address.
    pub ip: Ipv4Addr,
    /// The horizon on disk.
    pub until: Moment,
    mac: [u8; 6],
    client_id: Option<Short>,
}

impl Promise {
    /// Whether a lease is of the client that the promise was made to: the table may have given
    /// the address away while the disk was busy.
    pub fn is_for(&self, lease: &Lease) -> bool {
        self.ip == lease.ip && self.mac == lease.mac && self.client_id == lease.client_id
    }
}

impl Synced {
    /// The proof for these leases with their horizons.
    pub(super) fn new<'a>(batch: impl IntoIterator<Item = &'a (&'a Lease, Moment)>) -> Self {
        let promise = |(lease, until): &(&Lease, Moment)| Promise {
            ip: lease.ip,
            until: *until,
            mac: lease.mac,
            client_id: lease.client_id.clone(),
        };
        Self { promises: batch.into_iter().map(promise).collect() }
    }

    /// What is durable now.
    pub fn promises(&self) -> &[Promise] {
        &self.promises
    }

    /// A proof without a disk, for tests of what comes after one.
    #[cfg(test)]
    pub(crate) fn pretend(batch: &[(&Lease, Moment)]) -> Self {
        Self::new(batch)
    }
}

/// What a journal said when it was opened.
#[derive(Debug, Default)]
#[must_use = "the table has to take the leases over"]
pub struct Loaded {
    leases: Vec<Lease>,
    /// What people should know of, in the order of the file.
    pub notes: Vec<Note>,
    /// How many entries were read; the last one for an address counted.
    pub entries: usize,
    /// Why nothing can be written now; the journal is broken until it has been compacted.
    pub fault: Option<JournalError>,
}

impl Loaded {
    /// What was read.
    pub(super) fn new(leases: Vec<Lease>, notes: Vec<Note>, entries: usize) -> Self {
        Self { leases, notes, entries, fault: None }
    }

    /// Adds leases that were written since: those of which there is proof, up to their horizon.
    pub(in crate::lease) fn add(&mut self, leases: &[Lease], synced: &Synced) {
        let durable = |(lease, promise): (&Lease, &Promise)| {
            promise.is_for(lease).then(|| Lease { durable_until: promise.until, ..lease.clone() })
        };
        self.leases.extend(leases.iter().zip(&synced.promises).filter_map(durable));
    }

    /// The leases, each address once.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// The leases themselves, for the table alone: they are durable.
    pub(in crate::lease) fn into_leases(self) -> Vec<Lease> {
        self.leases
    }
}
