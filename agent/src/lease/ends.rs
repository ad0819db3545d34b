//! When leases end, so that the next ones are found without looking at all.
//!
//! Renewals are what a table is asked for most, and each moves an end further away. So an address may be
//! filed under an earlier moment than its lease's end: it is filed anew when that moment comes, once in a
//! lease's time however often it was renewed. What is far away is filed by the second alone, in four bytes
//! an address; a second that comes is put in order then.
//!
//! Promises: an occupied lease that ends is filed at its end or before. Of what is filed otherwise (a lease
//! that was given back, or ends earlier now) there is never more than twice what there is of leases, and some.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Lease;
use super::records::Records;
use super::timeline::Timeline;
use crate::clock::Moment;

/// A second, nearly: nanoseconds as a power of two.
const SECOND: u32 = 30;

/// The most addresses that one call puts in order, or files anew: a million leases that end within one
/// second do not stop everything else.
const AT_ONCE: usize = 4096;

/// Under which second an address is filed; no second that is still to come: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filed(u32);

impl Filed {
    /// Under none.
    pub(super) const NOT: Self = Self(0);
}

/// Addresses by the end of their lease, or by an earlier moment.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The seconds after [`Self::now`].
    later: BTreeMap<u32, Vec<Ipv4Addr>>,
    /// How many addresses that are.
    len: usize,
    /// The second that was put in order last; what ends in it or before is filed in `near`.
    now: u32,
    near: Timeline,
}

/// When a lease comes to its end, if it does.
pub(super) fn end(lease: &Lease) -> Option<Moment> {
    (lease.state.occupies() && lease.expires != Moment::FOREVER).then_some(lease.expires)
}

impl Ends {
    /// Files the address of a lease, unless it is filed well enough.
    pub(super) fn file(&mut self, lease: &Lease, filed: &mut Filed) {
        let Some(end) = end(lease) else { return };
        let second = second(end);
        if filed.0 > self.now && filed.0 <= second {
            return;
        }
        if second <= self.now {
            self.near.insert(end, lease.ip);
            return;
        }
        self.later.entry(second).or_default().push(lease.ip);
        self.len = self.len.saturating_add(1);
        *filed = Filed(second);
    }

    /// The occupied addresses whose time has come, at most so many; those that are overdue for longest
    /// first, to the second.
    pub(super) fn due(&mut self, records: &mut Records, now: Moment, most: usize) -> Vec<Ipv4Addr> {
        self.put_in_order(records, now);
        let mut due = Vec::new();
        for _ in 0..AT_ONCE {
            let Some((moment, ip)) = self.near.first().filter(|(moment, _)| *moment <= now) else { break };
            self.near.remove(moment, ip);
            let Some((lease, filed)) = records.get_filed(ip) else { continue };
            match end(lease) {
                Some(end) if end == moment => due.push((moment, ip)),
                // It was renewed since.
                Some(end) if end > moment => self.file(lease, filed),
                // It was given back, or is filed once more.
                _ => {}
            }
            if due.len() >= most {
                break;
            }
        }
        // They are due until they are something else.
        for (moment, ip) in &due {
            self.near.insert(*moment, *ip);
        }
        due.into_iter().map(|(_, ip)| ip).collect()
    }

    /// When to ask for what is due again: not after the next end, and less than a second before it, unless
    /// there is something to be filed anew.
    pub(super) fn next(&self) -> Option<Moment> {
        let later = self.later.first_key_value().map(|(second, _)| begin(*second));
        self.near.first().map(|(moment, _)| moment).into_iter().chain(later).min()
    }

    /// Whether so much is filed otherwise than it should be, of so many leases, that it takes more space than
    /// these.
    pub(super) fn is_stale(&self, leases: usize) -> bool {
        self.len > leases.saturating_mul(2).saturating_add(AT_ONCE)
    }

    /// How many addresses are filed under seconds that are still to come.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Files every lease anew, at its end.
    pub(super) fn of(records: &mut Records) -> Self {
        let mut ends = Self::default();
        records.each_filed(|lease, filed| {
            *filed = Filed::NOT;
            if let Some(lease) = lease {
                ends.file(lease, filed);
            }
        });
        ends
    }

    /// Puts the seconds that have come in order, or a part of what they are.
    fn put_in_order(&mut self, records: &mut Records, now: Moment) {
        let mut room = AT_ONCE;
        while room > 0 {
            let Some(mut first) = self.later.first_entry().filter(|first| begin(*first.key()) <= now) else {
                return;
            };
            let second = *first.key();
            let left = first.get().len().saturating_sub(room);
            let come = first.get_mut().split_off(left);
            if left == 0 {
                first.remove();
            }
            room = room.saturating_sub(come.len());
            self.len = self.len.saturating_sub(come.len());
            self.now = second;
            for ip in come {
                let Some((lease, filed)) = records.get_filed(ip) else { continue };
                if *filed == Filed(second) {
                    *filed = Filed::NOT;
                    self.file(lease, filed);
                }
            }
        }
    }
}

/// The second of a moment; the last one has all that is further away than that.
fn second(moment: Moment) -> u32 {
    u32::try_from(moment.0 >> SECOND).unwrap_or(u32::MAX)
}

/// When a second begins.
fn begin(second: u32) -> Moment {
    Moment(u64::from(second) << SECOND)
}
