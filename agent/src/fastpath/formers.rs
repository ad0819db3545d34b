//! The layouts of maps that earlier releases pinned, and what their entries are in ours.
//!
//! This is where a migration is written. Whoever raises [`super::layout::LAYOUT`] after a release adds
//! what the released layout was: its number and sizes, and how an entry of `LEASES` is read from the
//! bytes of its key and value ([`ours`], where these did not change; else by a copy of the former
//! struct, kept here), and the counters likewise. Of the other maps nothing is read: the agent writes
//! them again, from its configuration.

use xdhcpd_common::counters::Counters;

use super::maps::{self, Entry};

/// A layout before ours.
pub(super) struct Former {
    /// Its number.
    pub layout: u32,
    /// Bytes of a key of `LEASES`.
    pub key: usize,
    /// Bytes of a value of `LEASES`.
    pub lease: usize,
    /// Bytes of a value of `COUNTERS`.
    pub counters: usize,
    /// An entry of `LEASES`, from its key and value; none: it is not worth keeping.
    pub entry: fn(&[u8], &[u8]) -> Option<Entry>,
    /// What `COUNTERS` said, from its numbers in their order.
    pub counted: fn(&[u64]) -> Option<Counters>,
}

/// Every layout before ours that was released; and one that never was, in builds for tests, which run
/// an upgrade from it: `LEASES` had eight bytes more at the end of its values.
pub(super) const FORMERS: &[Former] = &[
    #[cfg(debug_assertions)]
    Former {
        layout: 0,
        key: size_of::<xdhcpd_common::maps::LeaseKey>(),
        lease: size_of::<xdhcpd_common::maps::Lease>() + 8,
        counters: size_of::<Counters>(),
        entry: |key, value| ours(key, value.get(..size_of::<xdhcpd_common::maps::Lease>())?),
        counted: maps::counters,
    },
];

/// An entry of the present layout.
pub(super) fn ours(key: &[u8], value: &[u8]) -> Option<Entry> {
    maps::lease(key, value)
}
