//! A batch of outcomes on its way out, in the one order that keeps the promise: disk, kernel, wire.
//!
//! Whatever came in together shares one fsync (group commit). A reply whose lease could not be
//! written is not sent, and the kernel does not learn of it; the others go on. So does a known client
//! whose lease an earlier write covers: a full disk ends no lease.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use crate::clock::Moment;
use crate::engine::probes::{Ask, Probe};
use crate::engine::reply::Reply;
use crate::engine::{KernelChange, Note, Outcome, Write};

/// Outcomes that are not carried out yet.
#[derive(Debug, Default)]
pub struct Batch {
    /// Leases to be written, each with its horizon.
    pub writes: HashMap<Ipv4Addr, Moment>,
    /// What the kernel has to know then.
    pub kernel: Vec<(Option<Ipv4Addr>, KernelChange)>,
    /// What is sent then, by the link it goes out on.
    pub replies: Vec<Pending>,
    /// Which addresses are asked for: it promises nothing, and waits for nothing.
    pub probes: Vec<Asking>,
    /// What is said then, of leases that are on disk.
    pub notes: Vec<Note>,
    /// What is to be said once its lease is on disk after all.
    pub unsaid: Vec<Note>,
}

/// A probe on its way out.
#[derive(Debug)]
pub struct Asking {
    /// Index of the link.
    pub link: usize,
    /// The question.
    pub probe: Probe,
}

impl Asking {
    /// The frame, where it is asked by one.
    pub fn frame(&self) -> Option<&[u8]> {
        match &self.probe.ask {
            Ask::Arp(frame) => Some(frame),
            Ask::Echo => None,
        }
    }
}

/// A reply that waits for its lease to be on disk.
#[derive(Debug)]
pub struct Pending {
    /// Index of the link.
    pub link: usize,
    /// The frame.
    pub reply: Reply,
    /// The address that must be written first; none: nothing has to be.
    pub needs: Option<Ipv4Addr>,
    /// The address that it grants.
    pub granted: Option<Ipv4Addr>,
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.kernel.is_empty() && self.replies.is_empty() && self.probes.is_empty()
    }

    /// Adds what a request from `link` led to.
    pub fn add(&mut self, link: usize, outcome: Outcome) {
        let needs = outcome.write.map(|write| write.ip);
        outcome.write.into_iter().for_each(|write| self.write(write));
        self.kernel.extend(outcome.kernel.map(|change| (needs, change)));
        self.probes.extend(outcome.probe.map(|probe| Asking { link, probe }));
        let granted = outcome.granted;
        self.replies.extend(outcome.reply.map(|reply| Pending { link, reply, needs, granted }));
        self.notes.extend(outcome.note);
    }

    /// Adds a lease to be written: once for each address, with the latest horizon asked for. The last
    /// entry on disk counts, and must not fall short of what an earlier one in the batch promised.
    pub fn write(&mut self, write: Write) {
        let until = self.writes.entry(write.ip).or_default();
        *until = write.until.max(*until);
    }

    /// The address of a lease that the kernel learns by this change with the horizon that is written for it,
    /// or with `most`, beyond which none goes.
    pub fn covered_by(
        &self,
        (needs, change): &(Option<Ipv4Addr>, KernelChange),
        most: Moment,
    ) -> Option<Ipv4Addr> {
        let KernelChange::Put { entry, .. } = change else { return None };
        needs.filter(|ip| self.writes.get(ip).is_some_and(|until| entry.horizon >= most.min(*until).0))
    }

    /// Drops what would promise more than is on disk; how many replies that are. `covered` gives the
    /// horizon on disk of a lease that ends before that, as the table has it now.
    pub fn forget(
        &mut self,
        failed: &HashSet<Ipv4Addr>,
        covered: impl Fn(Ipv4Addr) -> Option<Moment>,
    ) -> usize {
        let horizon = |ip: Ipv4Addr| if failed.contains(&ip) { covered(ip) } else { Some(Moment::FOREVER) };
        let before = self.replies.len();
        self.replies.retain(|pending| pending.needs.is_none_or(|ip| horizon(ip).is_some()));
        self.unsaid = self.notes.extract_if(.., |note| horizon(note.ip()).is_none()).collect();
        let kernel = std::mem::take(&mut self.kernel);
        self.kernel = kernel
            .into_iter()
            .filter_map(|(needs, change)| {
                let horizon = needs.map_or(Some(Moment::FOREVER), horizon);
                Some((needs, allowed(change, horizon)?))
            })
            .collect();
        self.writes.retain(|ip, _| !failed.contains(ip));
        before.saturating_sub(self.replies.len())
    }
}

/// What of a change the kernel may learn where the disk says no more than `horizon`.
///
/// A template promises nothing, and its slot is taken; a suspended entry promises nothing either.
fn allowed(change: KernelChange, horizon: Option<Moment>) -> Option<KernelChange> {
    let KernelChange::Put { key, mut entry, template } = change else { return Some(change) };
    match horizon {
        Some(horizon) if entry.expires <= horizon.0 => {
            entry.horizon = entry.horizon.min(horizon.0);
            Some(KernelChange::Put { key, entry, template })
        }
        _ => template.map(|template| KernelChange::Template { slot: entry.template, template }),
    }
}

#[cfg(test)]
mod tests {
    use xdhcpd_common::maps::{self, LeaseKey};

    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
    const TWO: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 101);

    fn template() -> maps::Template {
        maps::Template {
            generation: 1,
            flags: 0,
            server: [0; 4],
            network: [0; 4],
            mask: [0; 4],
            next_server: [0; 4],
            lease_default: 0,
            lease_min: 0,
            lease_max: 0,
            renew: 0,
            rebind: 0,
            options_len: 0,
            sum: 0,
            zero: 0,
            server_name: [0; 64],
            file: [0; 128],
            options: [0; maps::TEMPLATE_OPTIONS],
        }
    }

    fn put(expires: u64, horizon: u64, with_template: bool) -> KernelChange {
        let entry = maps::Lease { expires, horizon, template: 3, ..maps::Lease::default() };
        let template = with_template.then(|| Box::new(template()));
        KernelChange::Put { key: LeaseKey::default(), entry: Box::new(entry), template }
    }

    /// What is left of a change for ONE whose write failed, where the disk covers it up to `covered`.
    fn left(change: KernelChange, covered: Option<Moment>) -> Option<KernelChange> {
        let mut batch = Batch { kernel: vec![(Some(ONE), change)], ..Batch::default() };
        batch.write(Write { ip: ONE, until: Moment(1000) });
        batch.forget(&HashSet::from([ONE]), |_| covered);
        assert!(batch.writes.is_empty(), "what failed is not done again by telling the kernel");
        batch.kernel.pop().map(|(_, change)| change)
    }

    #[test]
    fn the_kernel_learns_no_lease_whose_write_failed() {
        assert!(left(put(500, 1000, false), None).is_none());
        let template = left(put(500, 1000, true), None);
        assert!(matches!(template, Some(KernelChange::Template { slot: 3, .. })), "{template:?}");
    }

    #[test]
    fn the_kernel_learns_a_lease_that_an_earlier_write_covers_up_to_that_horizon() {
        let Some(KernelChange::Put { entry, .. }) = left(put(500, 1000, false), Some(Moment(600))) else {
            panic!("the entry is put");
        };
        assert_eq!((entry.expires, entry.horizon), (500, 600));
        assert!(left(put(601, 1000, false), Some(Moment(600))).is_none());
    }

    #[test]
    fn an_entry_that_was_put_with_its_horizon_is_not_extended_once_more() {
        let all = Moment::FOREVER;
        for (horizon, most, covered) in [
            (1000, all, Some(ONE)),
            (999, all, None),
            (500, Moment(500), Some(ONE)),
            (499, Moment(500), None),
        ] {
            let mut batch = Batch { kernel: vec![(Some(ONE), put(500, horizon, false))], ..Batch::default() };
            batch.write(Write { ip: ONE, until: Moment(1000) });
            assert_eq!(batch.covered_by(&batch.kernel[0], most), covered);
        }
    }

    #[test]
    fn an_entry_is_suspended_whether_or_not_the_disk_works() {
        let suspended = left(KernelChange::Suspend(LeaseKey::default()), None);
        assert!(matches!(suspended, Some(KernelChange::Suspend(_))));
    }

    #[test]
    fn one_address_is_written_once_with_the_latest_horizon() {
        let mut batch = Batch::default();
        for until in [5, 9, 7] {
            batch.write(Write { ip: ONE, until: Moment(until) });
        }
        assert_eq!(batch.writes, HashMap::from([(ONE, Moment(9))]));
    }

    #[test]
    fn what_is_said_of_a_lease_that_is_not_on_disk_has_to_wait_and_the_rest_stays() {
        let mut batch = Batch { notes: vec![Note::Allocated(ONE), Note::Allocated(TWO)], ..Batch::default() };
        batch.write(Write { ip: TWO, until: Moment(1) });
        batch.forget(&HashSet::from([ONE]), |_| None);
        assert_eq!((batch.notes, batch.unsaid), (vec![Note::Allocated(TWO)], vec![Note::Allocated(ONE)]));
        assert!(batch.writes.contains_key(&TWO));
    }
}
