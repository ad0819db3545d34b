//! What the configuration wants of the addresses. Nothing of it is needed for safety: agents may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::published::BlockId;
use super::times::{At, FOREVER, Span};
use crate::lease::ClientKey;

/// What an agent wants, by its configuration and its part.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// Where new clients get their addresses.
    pub pools: Vec<Pool>,
    /// Addresses that are fixed for a client, inside of a pool or not.
    pub reserved: BTreeMap<Ipv4Addr, ClientKey>,
    /// The longest lease that the clients of a network may ask for: by its first address, with its last one.
    pub longest: BTreeMap<Ipv4Addr, (Ipv4Addr, Span)>,
    /// Addresses whose client may be one that never renews.
    pub without_end: BTreeSet<Ipv4Addr>,
    /// No lease is longer before it is published.
    pub unpublished: Span,
    /// Terms of others are not read more often than this for what only time or others can bring about.
    pub read_again: Span,
    /// How long a term is from its last extension; half of it is how long the API server may be away.
    pub term: Span,
    /// Addresses that a client may keep, and nobody gets anew.
    pub tolerated: BTreeSet<Ipv4Addr>,
    /// Addresses that stay their clients' when a lease has ended: nothing but the client, or an operator,
    /// gives one up.
    pub kept: Vec<RangeInclusive<Ipv4Addr>>,
    /// Since when this agent is the one that clients are heard by: a client that has said nothing since, for
    /// as long as its lease can be, is gone. For ever in the future: it is not.
    pub hears_since: At,
}

/// One network's addresses.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its ranges, in the order in which they are used.
    pub ranges: Vec<RangeInclusive<Ipv4Addr>>,
    /// How many free addresses are claimed ahead.
    pub ahead: usize,
}

impl Pool {
    /// Its addresses, in the order in which they are used.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.ranges.iter().flat_map(between)
    }

    /// The same by blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (BlockId, RangeInclusive<Ipv4Addr>)> + '_ {
        self.ranges.iter().flat_map(|range| {
            let (first, last) = (*range.start(), *range.end());
            let starts = (BlockId::of(first).first().to_bits()..=last.to_bits()).step_by(256);
            starts.map(move |start| {
                let id = BlockId::of(Ipv4Addr::from_bits(start));
                let (from, to) = id.addresses().into_inner();
                (id, from.max(first)..=to.min(last))
            })
        })
    }

    pub(super) fn contains(&self, ip: Ipv4Addr) -> bool {
        self.ranges.iter().any(|range| range.contains(&ip))
    }
}

/// All addresses of a range.
pub(super) fn between(range: &RangeInclusive<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> + use<> {
    (range.start().to_bits()..=range.end().to_bits()).map(Ipv4Addr::from_bits)
}

impl Wants {
    /// The term of an agent that answers: two days, so that it has at least one when the API server goes.
    pub const LEADING: Span = 172_800_000;
    /// The term of one that does not: twenty minutes. An address that is being taken back waits for one that
    /// stands by and died no longer than for this and the leases it may have promised.
    pub const STANDING_BY: Span = 1_200_000;
    /// The longest lease before it is published: a day. So an agent that never returns keeps its claims for its
    /// term and twice this at the most; a client that wants longer gets it when it renews, or, where the API
    /// server answers, at once: what it was offered is published by then.
    pub const UNPUBLISHED: Span = 86_400_000;
    /// Terms are read once a second at the most: few objects, and only while an address waits for others.
    pub const READ_AGAIN: Span = 1_000;

    /// The longest lease that the client of an address may ask for.
    pub(super) fn longest(&self, ip: Ipv4Addr) -> Span {
        if self.without_end.contains(&ip) {
            return FOREVER;
        }
        let network = self.longest.range(..=ip).next_back().filter(|(_, (last, _))| ip <= *last);
        network.map_or(0, |(_, (_, longest))| *longest)
    }

    /// The longest that any client may ask for.
    pub(super) fn longest_of_all(&self) -> Span {
        let longest = self.longest.values().map(|(_, longest)| *longest).max().unwrap_or_default();
        if self.without_end.is_empty() { longest } else { FOREVER }
    }

    /// The longest lease that is promised before it is published.
    pub(super) fn longest_unpublished(&self) -> Span {
        let longest = self.longest.values().map(|(_, longest)| *longest).max();
        longest.unwrap_or_default().min(self.unpublished)
    }

    /// Whether an address may be given to any client.
    pub(super) fn is_dynamic(&self, ip: Ipv4Addr) -> bool {
        !self.reserved.contains_key(&ip) && self.pools.iter().any(|pool| pool.contains(ip))
    }

    /// Whether an address stays its client's when the lease has ended.
    pub(super) fn keeps(&self, ip: Ipv4Addr) -> bool {
        self.kept.iter().any(|range| range.contains(&ip))
    }

    /// Whether a client may have an address.
    pub(super) fn entitles(&self, ip: Ipv4Addr, client: &ClientKey) -> bool {
        let is_anybodys = || self.is_dynamic(ip) || self.tolerated.contains(&ip);
        self.reserved.get(&ip).map_or_else(is_anybodys, |reserved| reserved == client)
    }
}
