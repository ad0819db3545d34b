//! Addresses ordered by a moment: what comes to its end within a second, what has been free for longest.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::clock::Moment;

/// Pairs of (moment, address), earliest first. The caller knows each address's moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    entries: BTreeSet<Entry>,
}

/// The moment's upper and lower half, then the address: 12 bytes where a `(u64, u32)` takes 16,
/// with the same order. A million free addresses have a million of these.
type Entry = [u32; 3];

impl Timeline {
    /// Adds an address at a moment.
    pub(super) fn insert(&mut self, moment: Moment, ip: Ipv4Addr) {
        self.entries.insert(entry(moment, ip));
    }

    /// Takes an address away, by the moment it was added with.
    pub(super) fn remove(&mut self, moment: Moment, ip: Ipv4Addr) {
        self.entries.remove(&entry(moment, ip));
    }

    /// Every pair, the earliest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Moment, Ipv4Addr)> + '_ {
        self.entries.iter().map(|&[high, low, ip]| {
            (Moment((u64::from(high) << 32) | u64::from(low)), Ipv4Addr::from_bits(ip))
        })
    }

    /// The earliest pair.
    pub(super) fn first(&self) -> Option<(Moment, Ipv4Addr)> {
        self.iter().next()
    }
}

/// The halves of a moment, and the address.
#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn entry(moment: Moment, ip: Ipv4Addr) -> Entry {
    [(moment.0 >> 32) as u32, moment.0 as u32, ip.to_bits()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_that_differ_in_either_half_come_in_order() {
        let mut timeline = Timeline::default();
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        let moments = [u64::MAX - 1, 1 << 33, (1 << 32) + 1, 1 << 32, u64::from(u32::MAX), 1];
        for moment in moments {
            timeline.insert(Moment(moment), ip);
        }
        let mut expected = moments;
        expected.sort_unstable();
        assert_eq!(timeline.iter().map(|(moment, _)| moment.0).collect::<Vec<_>>(), expected);
        timeline.remove(Moment(1), ip);
        assert_eq!(timeline.first(), Some((Moment(u64::from(u32::MAX)), ip)));
    }
}
