//! A set of addresses kept as disjoint intervals: a /8 costs as much as a /30.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Addresses, as numbers in host order. No two intervals touch or overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Intervals {
    /// First address → last address.
    by_first: BTreeMap<u32, u32>,
}

impl Intervals {
    /// The set of one interval; an empty range gives the empty set.
    pub(super) fn of(range: RangeInclusive<u32>) -> Self {
        let mut set = Self::default();
        set.insert(range);
        set
    }

    /// Adds every address of a range.
    pub(super) fn insert(&mut self, range: RangeInclusive<u32>) {
        let (mut first, mut last) = range.into_inner();
        if first > last {
            return;
        }
        // Whatever touches the new interval is swallowed by it, the farthest right first.
        while let Some((&near_first, &near_last)) = self.by_first.range(..=last.saturating_add(1)).next_back()
        {
            if near_last < first && near_last.checked_add(1) != Some(first) {
                break;
            }
            self.by_first.remove(&near_first);
            first = first.min(near_first);
            last = last.max(near_last);
        }
        self.by_first.insert(first, last);
    }

    /// Takes every address of a range away.
    pub(super) fn remove(&mut self, range: RangeInclusive<u32>) {
        let (first, last) = range.into_inner();
        if first > last {
            return;
        }
        while let Some((&near_first, &near_last)) = self.by_first.range(..=last).next_back() {
            if near_last < first {
                break;
            }
            self.by_first.remove(&near_first);
            if let Some(after) = last.checked_add(1).filter(|after| *after <= near_last) {
                self.by_first.insert(after, near_last);
            }
            if let Some(before) = first.checked_sub(1).filter(|before| *before >= near_first) {
                self.by_first.insert(near_first, before);
            }
        }
    }

    /// Takes every address of another set away.
    pub(super) fn subtract(&mut self, other: &Self) {
        let Some((&first, _)) = self.by_first.first_key_value() else { return };
        let Some((_, &last)) = self.by_first.last_key_value() else { return };
        other.overlapping(first..=last).for_each(|range| self.remove(range));
    }

    /// How many addresses there are.
    pub(super) fn len(&self) -> u64 {
        self.by_first.iter().fold(0, |sum, (&first, &last)| {
            sum.saturating_add(u64::from(last.saturating_sub(first)).saturating_add(1))
        })
    }

    /// Every address, in order; lazily, so that looking at the first few costs only these.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts().flatten()
    }

    /// The intervals themselves, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = RangeInclusive<u32>> + '_ {
        self.by_first.iter().map(|(&first, &last)| first..=last)
    }

    /// The intervals that share an address with a range, in order.
    fn overlapping(&self, range: RangeInclusive<u32>) -> impl Iterator<Item = RangeInclusive<u32>> + '_ {
        let (first, last) = range.into_inner();
        // The one interval that may begin before the range and reach into it.
        let reaching = self.by_first.range(..first).next_back().filter(move |&(_, &end)| end >= first);
        reaching.into_iter().chain(self.by_first.range(first..=last)).map(|(&first, &last)| first..=last)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_single_addresses(
            steps in prop::collection::vec((any::<bool>(), 0u32..64, 0u32..12), 0..60)
        ) {
            let mut intervals = Intervals::default();
            let mut model = BTreeSet::new();
            for (add, first, length) in steps {
                let range = first..=first + length;
                if add {
                    intervals.insert(range.clone());
                    model.extend(range);
                } else {
                    intervals.remove(range.clone());
                    model.retain(|address| !range.contains(address));
                }
                prop_assert_eq!(intervals.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(intervals.len(), model.len() as u64);
            }
            let mut apart = intervals.by_first.iter().zip(intervals.by_first.iter().skip(1));
            prop_assert!(apart.all(|((_, last), (next, _))| last + 1 < *next));
        }

        #[test]
        fn subtracting_leaves_what_the_other_does_not_have(
            mine in prop::collection::vec((0u32..64, 0u32..12), 0..8),
            theirs in prop::collection::vec((0u32..64, 0u32..12), 0..8),
        ) {
            let build = |parts: &[(u32, u32)]| {
                let mut set = Intervals::default();
                for (first, length) in parts {
                    set.insert(*first..=first + length);
                }
                set
            };
            let (mut left, right) = (build(&mine), build(&theirs));
            let expected: Vec<u32> = left.iter().filter(|address| right.iter().all(|other| other != *address)).collect();
            left.subtract(&right);
            prop_assert_eq!(left.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn both_ends_of_the_address_space_are_ordinary_addresses() {
        let mut set = Intervals::of(0..=u32::MAX);
        set.remove(0..=0);
        set.remove(u32::MAX..=u32::MAX);
        assert_eq!(set.len(), (1 << 32) - 2);
        set.insert(u32::MAX..=u32::MAX);
        set.insert(0..=0);
        assert_eq!(set, Intervals::of(0..=u32::MAX));
    }
}
