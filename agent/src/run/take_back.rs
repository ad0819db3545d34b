//! Addresses on their way back to the pool (promise 6): suspend, settle, drain, decide, remove.
//!
//! A RELEASE has no answer, so taking one promises nothing: one that is not on disk when the agent dies is
//! as if it had never come. The address then stays its client's up to the horizon, for longer than it
//! has to, but it is never another's too early.
//!
//! An address whose entry in the kernel cannot be suspended stays its client's; it is tried again
//! after a pause, so that a map that refuses does not keep the loop busy.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{Moment, Now};
use crate::engine::{Ending, Note, TakeBack};
use crate::lease::MAX_DUE;

use super::batch::Batch;
use super::core::Core;

/// Addresses on their way back are collected this long: waiting for the kernel costs the same for
/// one as for a thousand.
const TAKE_BACK_AFTER: Duration = Duration::from_millis(50);

/// How long what could not be taken back is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Calls that empty the ring buffer of events, however full it was when they began.
const DRAINS: usize = 64;

/// Addresses to be freed once the kernel has let go of them.
#[derive(Debug, Default)]
pub struct Leaving {
    addresses: HashMap<Ipv4Addr, TakeBack>,
    since: Option<Moment>,
    /// Nothing is taken back before this.
    not_before: Moment,
}

impl Leaving {
    /// Notes an address that its client gives back.
    pub fn add(&mut self, take_back: TakeBack, now: Moment) {
        self.addresses.insert(take_back.ip, take_back);
        self.since.get_or_insert(now);
    }

    /// The client was answered since: it keeps its address.
    pub fn keep(&mut self, ip: Ipv4Addr) {
        self.addresses.remove(&ip);
    }

    /// When the next addresses are taken back, the first lease ending at `due`.
    pub fn next(&self, due: Option<Moment>) -> Option<Moment> {
        let given_back = self.since.map(|since| since.after(TAKE_BACK_AFTER));
        [due, given_back].into_iter().flatten().min().map(|at| at.max(self.not_before))
    }

    /// As many as are taken back at once.
    fn take(&mut self) -> Vec<TakeBack> {
        let some: Vec<TakeBack> = self.addresses.values().take(MAX_DUE).copied().collect();
        for take_back in &some {
            self.addresses.remove(&take_back.ip);
        }
        if self.addresses.is_empty() {
            self.since = None;
        }
        some
    }

    /// These could not be taken back: again, but later.
    fn put_off(&mut self, refused: Vec<TakeBack>, now: Moment) {
        if !refused.is_empty() {
            self.not_before = now.after(RETRY_AFTER);
        }
        for take_back in refused {
            self.add(take_back, now);
        }
    }
}

/// What the kernel says to addresses that are to be taken back.
#[derive(Default)]
struct Asked {
    /// It has no entry that answers for these.
    silent: Vec<TakeBack>,
    /// Of these, there is an entry, suspended now.
    suspended: Vec<TakeBack>,
    /// It may still be answering for these.
    refused: Vec<TakeBack>,
}

impl Core {
    /// Takes back what is due and what was given back; a part of it, if it is much.
    pub(super) fn take_back(&mut self, now: Now) {
        for due in self.engine.due(&mut self.table, now.moment) {
            if !self.prolong_peers(due.ip, now.moment) {
                self.leaving.addresses.entry(due.ip).or_insert(due);
            }
        }
        let leaving = self.leaving.take();
        let refused = self.free(leaving, now);
        self.leaving.put_off(refused, now.moment);
    }

    /// Takes one address back at once; false: its lease stands, or its end is not written.
    pub(super) fn take_back_now(&mut self, take_back: TakeBack, now: Now) -> bool {
        self.leaving.keep(take_back.ip);
        self.free(vec![take_back], now).is_empty()
            && self.table.is_free(take_back.ip)
            && self.disk.fault.is_none()
    }

    /// Takes addresses back from the kernel, then frees those whose client was not answered in the
    /// meantime. Those that the kernel may still answer for are returned, and are not free.
    fn free(&mut self, leaving: Vec<TakeBack>, now: Now) -> Vec<TakeBack> {
        if leaving.is_empty() {
            return leaving;
        }
        let Asked { silent, suspended, refused } = self.suspend_all(leaving);
        self.catch_up(now);
        let mut freed = HashMap::new();
        let mut ends = HashMap::new();
        for take_back in silent {
            let lease = self.table.get(take_back.ip);
            let before = lease.map(|lease| lease.mac);
            let client = lease.and_then(|lease| self.table.client_of(lease));
            if !self.engine.taken_back(&mut self.table, take_back, now.moment) {
                continue;
            }
            freed.insert(take_back.ip, now.moment);
            if self.share_ended(take_back.ip, client.as_ref(), now.moment) {
                ends.insert(take_back.ip, now.moment);
            }
            // What was never given is not given back.
            let was_given = !matches!(self.disk.unsaid(take_back.ip), Some(Note::Allocated(_)));
            if let Some(mac) = before.filter(|_| was_given) {
                let what = if take_back.into == Ending::Expired { "expired" } else { "released" };
                self.log_line(what, take_back.ip, mac);
            }
        }
        self.remove_entries(&freed, &suspended);
        // A crash before this only keeps the addresses back for longer.
        self.write(&ends, now);
        refused
    }

    /// Has the kernel let go of these addresses, without an end to their leases; those that it has, and all
    /// that it did before is known.
    pub(super) fn silence(&mut self, addresses: Vec<TakeBack>, now: Now) -> Vec<Ipv4Addr> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let Asked { silent, suspended, .. } = self.suspend_all(addresses);
        self.catch_up(now);
        let all = silent.iter().map(|take_back| (take_back.ip, now.moment)).collect();
        self.remove_entries(&all, &suspended);
        silent.into_iter().map(|take_back| take_back.ip).collect()
    }

    /// Takes over all that the kernel did before now.
    pub(super) fn catch_up(&mut self, now: Now) {
        let mut batch = Batch::default();
        for _ in 0..DRAINS {
            if !self.read_events(&mut batch, now.moment) {
                break;
            }
        }
        self.commit(batch, now);
    }

    /// Suspends the entries of these addresses and waits until no program run can still be
    /// answering from them.
    fn suspend_all(&mut self, leaving: Vec<TakeBack>) -> Asked {
        let Some(fast) = &mut self.fast else { return Asked { silent: leaving, ..Asked::default() } };
        let mut asked = Asked::default();
        let mut fault = None;
        for take_back in leaving {
            let entry = fast.lease(take_back.key);
            let is_its = |entry: &xdhcpd_common::maps::Lease| entry.ip == take_back.ip.octets();
            let suspended = entry.and_then(|entry| match entry.filter(is_its) {
                Some(_) => fast.suspend(take_back.key).map(|was| was.is_some()),
                None => Ok(false),
            });
            match suspended {
                Ok(suspended) => {
                    asked.silent.push(take_back);
                    asked.suspended.extend(suspended.then_some(take_back));
                }
                Err(error) => {
                    fault = Some(error);
                    asked.refused.push(take_back);
                }
            }
        }
        if !asked.suspended.is_empty() {
            fast.settle();
        }
        if let Some(fault) = fault
            && self.quiet.may_say("take back", "")
        {
            warn!("{fault}; {} addresses stay taken until it works", asked.refused.len());
        }
        asked
    }

    /// What is free needs no entry. Removed after the wait, when no program run holds the entry any
    /// more: its memory may be another client's next.
    fn remove_entries(&mut self, freed: &HashMap<Ipv4Addr, Moment>, suspended: &[TakeBack]) {
        let Some(fast) = &mut self.fast else { return };
        for take_back in suspended {
            if freed.contains_key(&take_back.ip) {
                // One that stays is suspended, and answers nothing.
                let _ = fast.remove_lease(take_back.key);
            }
        }
    }

    /// Each allocation and each release is one line, with the pool's state.
    pub(super) fn log_line(&self, what: &str, ip: Ipv4Addr, mac: [u8; 6]) {
        let Some(id) = self.table.network_of(ip) else { return };
        let network = self.config.networks.get(usize::from(id.0)).map_or("", |network| network.name.as_str());
        let counts = self.table.counts(id);
        info!(
            network,
            remaining = counts.remaining,
            total = counts.total,
            "{what} {ip} {} {}",
            if what == "allocated" { "to" } else { "by" },
            super::mac_text(mac),
        );
    }
}

#[cfg(test)]
mod tests {
    use xdhcpd_common::maps::LeaseKey;

    use super::*;

    fn leaving(n: u32) -> TakeBack {
        let ip = Ipv4Addr::from_bits(0x0a09_0000 | n);
        TakeBack { ip, key: LeaseKey::default(), into: Ending::Released, seen: None }
    }

    #[test]
    fn given_back_addresses_wait_for_company_and_ended_leases_do_not() {
        let mut list = Leaving::default();
        assert_eq!(list.next(None), None);
        list.add(leaving(1), Moment(1_000));
        list.add(leaving(2), Moment(2_000));
        let collected = Moment(1_000).after(TAKE_BACK_AFTER);
        assert_eq!(list.next(None), Some(collected), "counted from the first");
        assert_eq!(list.next(Some(Moment(5))), Some(Moment(5)));
    }

    #[test]
    fn a_client_that_came_back_keeps_its_address() {
        let mut list = Leaving::default();
        list.add(leaving(1), Moment(1));
        list.add(leaving(2), Moment(1));
        list.keep(leaving(1).ip);
        assert_eq!(list.take(), [leaving(2)]);
    }

    #[test]
    fn what_is_too_much_at_once_is_due_again_at_once() {
        let mut list = Leaving::default();
        let all = u32::try_from(MAX_DUE).unwrap();
        for n in 0..=all {
            list.add(leaving(n), Moment(1));
        }
        assert_eq!(list.take().len(), MAX_DUE);
        assert_eq!(list.next(None), Some(Moment(1).after(TAKE_BACK_AFTER)), "the rest is overdue");
        assert_eq!(list.take().len(), 1);
        assert_eq!(list.next(None), None);
    }

    #[test]
    fn what_cannot_be_taken_back_is_left_alone_for_a_while() {
        let mut list = Leaving::default();
        let now = Moment(1_000_000_000);
        list.put_off(vec![leaving(1)], now);
        let later = now.after(RETRY_AFTER);
        assert_eq!(list.next(Some(Moment(7))), Some(later), "although its lease has ended: no busy loop");
        assert_eq!(list.take(), [leaving(1)]);
        list.put_off(Vec::new(), later);
        assert_eq!(list.next(Some(later)), Some(later));
    }
}
