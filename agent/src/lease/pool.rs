//! What one network can hand out: its addresses, which of them were never used, which are free
//! and since when, and how many there are of each.
//!
//! Nothing here grows with the size of a range, only with its holes: a /8 that nobody has used
//! is one interval.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::intervals::Intervals;
use super::timeline::Timeline;
use super::{Lease, State};
use crate::clock::Moment;
use crate::config::{Identity, Network};

/// The addresses of one network.
#[derive(Debug)]
pub(super) struct Pool {
    /// What tells its clients apart.
    pub(super) identity: Identity,
    /// Whether an ended lease keeps its address for its client.
    keeps: bool,
    /// Its ranges without what is never given dynamically, in the order in which they are used.
    ranges: Vec<Range>,
    /// (first, last, range) of every stretch of dynamic addresses, sorted.
    stretches: Vec<(u32, u32, usize)>,
    /// Addresses fixed for a client, sorted.
    reserved: Vec<u32>,
    /// Addresses that hosts have without DHCP, sorted.
    static_hosts: Vec<u32>,
    /// How many addresses can be handed out.
    total: u64,
    /// Of these, offered or bound.
    used: u64,
    /// Of these, declined.
    declined: u64,
    /// Of these, kept for clients whose lease has ended.
    kept: u64,
    /// Leases by state, wherever in the network they are.
    states: [u64; State::ALL.len()],
}

/// One range, for everybody or for a class.
#[derive(Debug)]
struct Range {
    class: Option<String>,
    /// Addresses that no lease is known of.
    unused: Intervals,
    /// Addresses that somebody had and anybody may have, by when they became free.
    free: Timeline,
}

/// How full a network is. `total` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Addresses that can be handed out: dynamic ones that are not excluded, and reserved ones.
    pub total: u64,
    /// Of these, offered or bound.
    pub used: u64,
    /// Of these, out of use for a while.
    pub declined: u64,
    /// Of these, kept for clients whose lease has ended: only in a network that does so.
    pub kept: u64,
    /// Of these, the rest.
    pub remaining: u64,
}

impl Pool {
    /// The pool of a network that has no leases yet.
    pub(super) fn new(network: &Network) -> Self {
        let reserved = reserved(network);
        let mut taken = never_dynamic(network, &reserved);
        let mut ranges = Vec::with_capacity(network.ranges.len());
        let mut stretches = Vec::new();
        for (index, configured) in network.ranges.iter().enumerate() {
            let bounds = bits(&configured.range);
            let mut unused = Intervals::of(bounds.clone());
            unused.subtract(&taken);
            // An address that two ranges name belongs to the first.
            taken.insert(bounds);
            stretches.extend(unused.parts().map(|part| (*part.start(), *part.end(), index)));
            ranges.push(Range { class: configured.class.clone(), unused, free: Timeline::default() });
        }
        stretches.sort_unstable();
        let static_hosts: Vec<u32> = network.static_hosts.iter().map(|ip| ip.to_bits()).collect();
        for range in &mut ranges {
            for ip in &static_hosts {
                range.unused.remove(*ip..=*ip);
            }
        }
        let dynamic = ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.unused.len()));
        Self {
            identity: network.identity,
            keeps: network.keep_addresses,
            total: dynamic.saturating_add(reserved.len() as u64),
            ranges,
            stretches,
            reserved,
            static_hosts,
            used: 0,
            declined: 0,
            kept: 0,
            states: [0; State::ALL.len()],
        }
    }

    /// Learns of a lease that is new here.
    pub(super) fn add(&mut self, lease: &Lease) {
        self.count(lease, u64::saturating_add);
        let is_free = !lease.state.occupies() && !self.is_kept(lease) && !self.is_static(lease.ip);
        if let Some(range) = self.range_of_mut(lease.ip) {
            range.unused.remove(lease.ip.to_bits()..=lease.ip.to_bits());
            if is_free {
                range.free.insert(lease.expires, lease.ip);
            }
        }
    }

    /// Unlearns a lease; its address is as if it had never been used.
    pub(super) fn remove(&mut self, lease: &Lease) {
        self.count(lease, u64::saturating_sub);
        let is_static = self.is_static(lease.ip);
        if let Some(range) = self.range_of_mut(lease.ip) {
            if !is_static {
                range.unused.insert(lease.ip.to_bits()..=lease.ip.to_bits());
            }
            range.free.remove(lease.expires, lease.ip);
        }
    }

    /// The address that a new client should get: the first never used one of the ranges in
    /// order, then the one that has been free for longest.
    ///
    /// Costs O(log n), plus a step for each address that `skip` holds back.
    pub(super) fn next_free(
        &self,
        member: impl Fn(&str) -> bool,
        skip: impl Fn(Ipv4Addr) -> bool,
    ) -> Option<Ipv4Addr> {
        let open: Vec<&Range> = self.ranges.iter().filter(|range| range.is_open(&member)).collect();
        let unused = open.iter().flat_map(|range| range.unused.iter()).map(Ipv4Addr::from_bits);
        unused.into_iter().find(|ip| !skip(*ip)).or_else(|| longest_free(&open, skip))
    }

    /// Whether an address may be given to a client without a reservation for it.
    pub(super) fn is_dynamic(&self, ip: Ipv4Addr, member: impl Fn(&str) -> bool) -> bool {
        self.range_index(ip)
            .and_then(|index| self.ranges.get(index))
            .is_some_and(|range| range.is_open(&member))
    }

    /// Whether a lease that has ended still keeps its address for its client. An offer that was
    /// never taken keeps none.
    pub(super) fn is_kept(&self, lease: &Lease) -> bool {
        self.keeps && lease.taken && !lease.state.occupies() && !lease.is_nobodys()
    }

    /// Whether a host has this address without DHCP.
    fn is_static(&self, ip: Ipv4Addr) -> bool {
        self.static_hosts.binary_search(&ip.to_bits()).is_ok()
    }

    /// Whether a reservation names this address.
    pub(super) fn is_reserved(&self, ip: Ipv4Addr) -> bool {
        self.reserved.binary_search(&ip.to_bits()).is_ok()
    }

    /// How full the network is.
    pub(super) fn counts(&self) -> Counts {
        let Self { total, used, declined, kept, .. } = *self;
        let taken = used.saturating_add(declined).saturating_add(kept);
        Counts { total, used, declined, kept, remaining: total.saturating_sub(taken) }
    }

    /// How many leases are in a state.
    pub(super) fn in_state(&self, state: State) -> u64 {
        self.states.get(state as usize).copied().unwrap_or_default()
    }

    /// Counts a lease in, or out.
    fn count(&mut self, lease: &Lease, step: impl Fn(u64, u64) -> u64) {
        if let Some(count) = self.states.get_mut(lease.state as usize) {
            *count = step(*count, 1);
        }
        let is_dynamic = self.range_index(lease.ip).is_some() && !self.is_static(lease.ip);
        if !is_dynamic && !self.is_reserved(lease.ip) {
            return;
        }
        match lease.state {
            State::Offered | State::Bound => self.used = step(self.used, 1),
            State::Declined => self.declined = step(self.declined, 1),
            // A reserved address waits for the one whose reservation it is.
            State::Released | State::Expired if is_dynamic && self.is_kept(lease) => {
                self.kept = step(self.kept, 1);
            }
            State::Released | State::Expired => {}
        }
    }

    /// The range that hands an address out.
    fn range_index(&self, ip: Ipv4Addr) -> Option<usize> {
        let ip = ip.to_bits();
        let after = self.stretches.partition_point(|(first, _, _)| *first <= ip);
        let (_, last, index) = *self.stretches.get(after.checked_sub(1)?)?;
        (ip <= last).then_some(index)
    }

    fn range_of_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Range> {
        let index = self.range_index(ip)?;
        self.ranges.get_mut(index)
    }
}

impl Range {
    /// Whether the client may have this range's addresses.
    fn is_open(&self, member: impl Fn(&str) -> bool) -> bool {
        self.class.as_deref().is_none_or(member)
    }
}

/// The address that has been free for longest in any of these ranges: a merge of ordered lists.
fn longest_free(ranges: &[&Range], skip: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    type Head = Reverse<((Moment, Ipv4Addr), usize)>;
    let mut lists: Vec<_> = ranges.iter().map(|range| range.free.iter()).collect();
    let mut heads: BinaryHeap<Head> = lists
        .iter_mut()
        .enumerate()
        .filter_map(|(index, list)| list.next().map(|head| Reverse((head, index))))
        .collect();
    while let Some(Reverse(((_, ip), index))) = heads.pop() {
        if !skip(ip) {
            return Some(ip);
        }
        heads.extend(lists.get_mut(index).and_then(Iterator::next).map(|head| Reverse((head, index))));
    }
    None
}

/// The addresses that any client may be given, or any of a class, in the order in which they are used;
/// `others` are somebody else's.
pub fn dynamic_ranges(
    network: &Network,
    others: &BTreeSet<Ipv4Addr>,
) -> Vec<(Option<String>, RangeInclusive<Ipv4Addr>)> {
    let mut taken = never_dynamic(network, &reserved(network));
    others.iter().map(|ip| ip.to_bits()).for_each(|ip| taken.insert(ip..=ip));
    let mut ranges = Vec::new();
    for configured in &network.ranges {
        let bounds = bits(&configured.range);
        let mut left = Intervals::of(bounds.clone());
        left.subtract(&taken);
        taken.insert(bounds);
        let addresses =
            |part: RangeInclusive<u32>| Ipv4Addr::from_bits(*part.start())..=Ipv4Addr::from_bits(*part.end());
        ranges.extend(left.parts().map(|part| (configured.class.clone(), addresses(part))));
    }
    ranges
}

/// Every address that a reservation names, once.
fn reserved(network: &Network) -> Vec<u32> {
    let mut reserved: Vec<u32> = network.reservations.iter().map(|r| r.ip.to_bits()).collect();
    reserved.sort_unstable();
    reserved.dedup();
    reserved
}

/// What a client without a reservation never gets.
fn never_dynamic(network: &Network, reserved: &[u32]) -> Intervals {
    let mut never = Intervals::default();
    network.exclude.iter().for_each(|range| never.insert(bits(range)));
    let server = network.self_ip.map(|own| own.addr());
    // A /31 and a /32 have neither a network nor a broadcast address (RFC 3021).
    let has_edges = network.subnet.prefix_len() < 31;
    let edges = [network.subnet.network(), network.subnet.broadcast()];
    let edges = edges.into_iter().filter(|_| has_edges);
    let single = edges.chain(network.gateway).chain(server).map(Ipv4Addr::to_bits);
    single.chain(reserved.iter().copied()).for_each(|ip| never.insert(ip..=ip));
    never
}

/// A range of addresses as numbers.
fn bits(range: &RangeInclusive<Ipv4Addr>) -> RangeInclusive<u32> {
    range.start().to_bits()..=range.end().to_bits()
}
