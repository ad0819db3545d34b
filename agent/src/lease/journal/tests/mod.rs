//! The journal on disks good and bad, and files that others wrote.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod bad_disk;
mod crash;
mod files;
mod power_cut;
mod rebuild;
mod rewrite;
mod round_trip;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::{BootId, Journal};
use crate::clock::{Moment, Now};
use crate::lease::{AnsweredBy, Lease, State};
use bad_disk::BadDisk;

/// 2026-11-21 12:00:00 UTC, an hour after boot.
const NOW: Now = Now { moment: Moment(3_600 * SECOND), wall: 1_795_262_400 * SECOND as i128 };
const SECOND: u64 = 1_000_000_000;

fn boot() -> Option<BootId> {
    BootId::of("3f0d1c5e-8a77-4c3b-9a55-0123456789ab")
}

fn path() -> PathBuf {
    PathBuf::from("/leases/default-dhcpd.leases")
}

/// A bound lease of 10.0.0.0/24 that ends in a minute.
fn bound(host: u8) -> Lease {
    Lease {
        ip: Ipv4Addr::new(10, 0, 0, host),
        mac: [2, 0, 0, 0, 0, host],
        client_id: None,
        host_name: None,
        state: State::Bound,
        starts: NOW.moment,
        expires: Moment(NOW.moment.0 + 60 * SECOND),
        durable_until: Moment(NOW.moment.0 + 240 * SECOND),
        answered_by: AnsweredBy::Agent,
        taken: true,
    }
}

/// Leases by address.
fn by_ip(leases: &[Lease]) -> BTreeMap<Ipv4Addr, Lease> {
    leases.iter().map(|lease| (lease.ip, lease.clone())).collect()
}

/// Opens the journal of a disk.
fn open(disk: &BadDisk) -> (Journal<BadDisk>, super::Loaded) {
    Journal::open_on(disk.clone(), path(), boot(), NOW).unwrap()
}

/// Leases of higher addresses, in their order.
fn after(leases: &BTreeMap<Ipv4Addr, Lease>, after: Option<Ipv4Addr>) -> impl Iterator<Item = &Lease> {
    leases.values().filter(move |lease| after.is_none_or(|after| lease.ip > after))
}

/// Appends one lease with its horizon.
fn append(journal: &mut Journal<BadDisk>, lease: &Lease) -> Result<super::Synced, super::JournalError> {
    journal.append(&[(lease, lease.durable_until)], NOW)
}

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
