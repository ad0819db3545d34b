//! What a configuration wants of the claims.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::Word;
use super::clock::span_of_seconds;
use crate::claims::{At, Pool, Wants};
use crate::config::{ClientMatch, Config, Identity, Network, Reservation};
use crate::engine::served::Place;
use crate::lease::{ClientKey, dynamic_ranges};

/// Free addresses that are claimed ahead by who answers: they are what new clients get while the API server is
/// away, and what no other agent can give for some days if this one never returns. A quarter of the pool leaves
/// others enough; a rack's worth at least, but no more than half, for in a small pool the next agent needs some,
/// too; and no more than machines can come in hours, since each block of them is an object to write.
const SHARE_AHEAD: usize = 4;
const AHEAD: usize = 16;
const MOST_AHEAD: usize = 8192;

/// Who stands by claims a few: it can claim more when it takes over, which takes the API server anyway.
const SHARE_STANDING_BY: usize = 8;
const STANDING_BY: usize = 16;

/// An agent's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It answers, since then.
    Leads {
        /// By the claims' clock.
        since: At,
    },
    /// Another does.
    StandsBy,
}

impl Part {
    /// By the word of who answers, which is so since then.
    pub fn of(word: Word, since: At) -> Self {
        match word {
            Word::Ours => Self::Leads { since },
            Word::Unknown | Word::Anothers | Word::Lost => Self::StandsBy,
        }
    }
}

/// What an agent wants in its part; `places` has one entry for each network.
pub fn wants(config: &Config, places: &[Place], part: Part) -> Wants {
    let mut wants =
        Wants { read_again: Wants::READ_AGAIN, unpublished: Wants::UNPUBLISHED, ..Wants::default() };
    (wants.term, wants.hears_since) = match part {
        Part::Leads { since } => (Wants::LEADING, since),
        Part::StandsBy => (Wants::STANDING_BY, At(u64::MAX)),
    };
    let leads = part != Part::StandsBy;
    for (at, network) in config.networks.iter().enumerate() {
        let (first, last) = (network.subnet.network(), network.subnet.broadcast());
        wants.longest.insert(first, (last, longest(network)));
        if network.bootp {
            wants.without_end.extend(network.reservations.iter().map(|reservation| reservation.ip));
        }
        let servers: BTreeSet<Ipv4Addr> = places.get(at).map(|place| place.server).into_iter().collect();
        let kept: BTreeSet<Ipv4Addr> = servers.union(&network.static_hosts).copied().collect();
        for ranges in pools(network, &kept) {
            let ahead = ahead(&ranges, leads);
            wants.pools.push(Pool { ranges, ahead });
        }
        wants.tolerated.extend(network.static_hosts.difference(&servers));
        let (known, unknown) = reserved(network);
        wants.reserved.extend(known);
        if !unknown.is_empty() {
            let ahead = if leads { unknown.len() } else { 0 };
            let ranges = unknown.into_iter().map(|ip| ip..=ip).collect();
            wants.pools.push(Pool { ranges, ahead });
        }
        if network.keep_addresses {
            wants.kept.push(first..=last);
        }
    }
    wants
}

/// The longest lease that a client of a network can ask for in DHCP.
fn longest(network: &Network) -> u64 {
    let most = network.times.max.max(network.times.default).max(network.times.min);
    span_of_seconds(most)
}

/// The addresses for any client, apart by who may have them, without those that somebody else has.
fn pools(network: &Network, others: &BTreeSet<Ipv4Addr>) -> Vec<Vec<RangeInclusive<Ipv4Addr>>> {
    if network.reserved_only {
        return Vec::new();
    }
    let mut by_class: BTreeMap<Option<String>, Vec<RangeInclusive<Ipv4Addr>>> = BTreeMap::new();
    for (class, range) in dynamic_ranges(network, others) {
        by_class.entry(class).or_default().push(range);
    }
    by_class.into_values().collect()
}

fn ahead(ranges: &[RangeInclusive<Ipv4Addr>], leads: bool) -> usize {
    let size = |range: &RangeInclusive<Ipv4Addr>| {
        let bits = range.end().to_bits().saturating_sub(range.start().to_bits());
        usize::try_from(bits).unwrap_or(usize::MAX).saturating_add(1)
    };
    let size = ranges.iter().map(size).fold(0, usize::saturating_add);
    let ahead = size.div_ceil(SHARE_AHEAD).clamp(AHEAD, MOST_AHEAD).min(size.div_ceil(2));
    if leads { ahead } else { (ahead / SHARE_STANDING_BY).min(STANDING_BY) }
}

/// Reservations whose client is known by the name that the claims know it by, and the addresses of the others:
/// who they are for shows when they ask.
fn reserved(network: &Network) -> (BTreeMap<Ipv4Addr, ClientKey>, Vec<Ipv4Addr>) {
    let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
    for Reservation { client, ip, .. } in &network.reservations {
        match (client, network.identity) {
            (ClientMatch::Mac(mac), Identity::Mac) => drop(known.insert(*ip, ClientKey::Mac(*mac))),
            (ClientMatch::ClientId(id), Identity::ClientId) => {
                known.insert(*ip, ClientKey::Id(id.clone().into()));
            }
            _ => unknown.push(*ip),
        }
    }
    unknown.retain(|ip| !known.contains_key(ip));
    unknown.sort_unstable();
    unknown.dedup();
    (known, unknown)
}

#[cfg(test)]
mod tests {
    use xdhcpd_common::maps::Wire;

    use super::*;
    use crate::claims::FOREVER;
    use crate::config::parse_yaml;

    const LEADS: Part = Part::Leads { since: At(7) };

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, 0, last)
    }

    fn of(lines: &str, part: Part) -> Wants {
        let yaml = format!(
            "networks:\n- name: a\n  interface: e\n  subnet: 10.9.0.0/24\n  gateway: 10.9.0.1\n  leaseTime: 1h\n{lines}"
        );
        let config = parse_yaml(&yaml).unwrap_or_else(|problems| panic!("{problems}"));
        let wire = Wire { interface: 1, vlan: [0; 2] };
        wants(&config, &[Place { wire, mac: [0; 6], server: ip(130), on_link: true }], part)
    }

    #[test]
    fn new_clients_get_what_is_nobodys_else() {
        let lines = "  ranges: [10.9.0.2-10.9.0.200]\n  exclude: [10.9.0.10-10.9.0.19]\n  reservations: \
                     [{mac: \"02:00:00:00:00:01\", ip: 10.9.0.50}]\n";
        let wants = of(lines, LEADS);
        let pool: Vec<Ipv4Addr> = wants.pools[0].addresses().collect();
        for not in [10, 19, 50, 130] {
            assert!(!pool.contains(&ip(not)), "{not}");
        }
        assert!(pool.contains(&ip(2)) && pool.contains(&ip(200)));
        assert_eq!(wants.reserved, BTreeMap::from([(ip(50), ClientKey::Mac([2, 0, 0, 0, 0, 1]))]));
        assert_eq!(wants.longest, BTreeMap::from([(ip(0), (ip(255), 3_600_000))]));
        assert_eq!((wants.term, wants.hears_since), (Wants::LEADING, At(7)));
        assert_eq!(wants.pools[0].ahead, 47, "a quarter of 187");
    }

    #[test]
    fn who_stands_by_claims_little_and_takes_nobody_for_gone() {
        let wants = of("  ranges: [10.9.0.100-10.9.0.200]\n", Part::StandsBy);
        assert_eq!((wants.pools[0].ahead, wants.term), (3, Wants::STANDING_BY));
        assert_eq!(wants.hears_since, At(u64::MAX));
    }

    #[test]
    fn of_a_small_pool_half_is_left_for_others() {
        assert_eq!(of("  ranges: [10.9.0.100-10.9.0.106]\n", LEADS).pools[0].ahead, 4);
    }

    #[test]
    fn a_range_of_a_class_is_a_pool_of_its_own() {
        let lines = "  ranges: [10.9.0.100-10.9.0.101, {range: 10.9.0.102-10.9.0.103, class: c}]\n  \
                     classes: [{name: c, match: {arch: [7]}}]\n";
        let pools = of(lines, LEADS).pools;
        assert_eq!(pools.len(), 2);
        assert!(pools.iter().all(|pool| pool.addresses().count() == 2));
    }

    #[test]
    fn an_address_reserved_for_whom_nobody_knows_yet_is_claimed_by_who_answers() {
        let lines = "  reservedOnly: true\n  reservations: [{circuitId: \"0a\", ip: 10.9.0.5}]\n";
        let wants = of(lines, LEADS);
        assert!(wants.reserved.is_empty());
        assert_eq!((wants.pools.len(), wants.pools[0].ahead), (1, 1));
        assert_eq!(of(lines, Part::StandsBy).pools[0].ahead, 0);
    }

    #[test]
    fn only_who_may_speak_bootp_is_promised_a_lease_without_an_end() {
        let lines = "  ranges: [10.9.0.100-10.9.0.200]\n  bootp: true\n  reservations: \
                     [{mac: \"02:00:00:00:00:01\", ip: 10.9.0.50}, {circuitId: \"0a\", ip: 10.9.0.51}]\n";
        let wants = of(lines, LEADS);
        assert_eq!(
            wants.longest,
            BTreeMap::from([(ip(0), (ip(255), 3_600_000))]),
            "BOOTP has reservations alone"
        );
        assert_eq!(wants.without_end, BTreeSet::from([ip(50), ip(51)]));
        assert!(of(&lines.replace("bootp: true", "bootp: false"), LEADS).without_end.is_empty());
    }

    #[test]
    fn a_network_whose_leases_have_no_end_is_nothing_to_the_others() {
        let other = "  reservedOnly: true\n- {name: b, interface: f, subnet: 10.8.0.0/24, leaseTime: infinite, \
                     reservedOnly: true}\n";
        let longest = of(other, LEADS).longest;
        let first = Ipv4Addr::new(10, 8, 0, 0);
        let all = [(first, (Ipv4Addr::new(10, 8, 0, 255), FOREVER)), (ip(0), (ip(255), 3_600_000))];
        assert_eq!(longest, BTreeMap::from(all));
    }
}
