//! What was decided, carried out: disk, kernel, wire, in this order (promise 1).

use std::collections::HashSet;
use std::net::Ipv4Addr;

use tracing::warn;

use super::batch::Batch;
use super::core::Core;
use super::disk::Writing;
use crate::clock::{Moment, Now};
use crate::engine::KernelChange;

/// A batch on its way.
#[derive(Debug)]
pub struct UnderWay {
    batch: Batch,
    writing: Writing,
    /// When it was begun.
    since: Moment,
}

impl Core {
    /// Carries out a batch, and waits for it.
    pub(super) fn commit(&mut self, batch: Batch, now: Now) {
        self.end_commit();
        self.begin_commit(batch, now);
        self.end_commit();
    }

    /// Sets a batch on its way to the disk. Until [`Self::end_commit`], which comes before anything but
    /// decisions, neither the kernel nor anybody else knows of it.
    pub(super) fn begin_commit(&mut self, batch: Batch, now: Now) {
        if !batch.is_empty() {
            let writing = self.begin_write(&batch.writes, now);
            self.under_way = Some(UnderWay { batch, writing, since: now.moment });
        }
        // What is said to be sent must not be an answer that was decided since ([`claims`]).
        if self.share.is_some() {
            self.end_commit();
        }
    }

    /// Carries out what is on its way.
    pub(super) fn end_commit(&mut self) {
        let Some(UnderWay { mut batch, writing, since }) = self.under_way.take() else { return };
        let failed = self.end_write(&batch.writes, writing);
        if !failed.is_empty() {
            let covered = |ip| {
                let lease = self.table.get(ip)?;
                (lease.expires <= lease.durable_until).then_some(lease.durable_until)
            };
            let held_back = batch.forget(&failed, covered);
            let count = self.counts.ignored.entry("not_durable").or_default();
            *count = count.saturating_add(u64::try_from(held_back).unwrap_or(u64::MAX));
            self.disk.owe(batch.unsaid.drain(..));
        }
        self.tell_kernel(&batch);
        let mut promises = Vec::new();
        // What is not asked for is offered, as without a probe.
        let _faults = self.links.ask(&batch.probes);
        let sent = self.links.send(&batch.replies, &mut self.counts, |pending| {
            promises.extend(pending.granted.map(|ip| (pending.reply.kind, pending.reply.lease, ip)));
        });
        self.share_sent(promises);
        let took = Now::read().moment.since(since);
        for _ in 0..sent {
            self.outlets.metrics.replies.record(took);
        }
        for note in batch.notes {
            self.log(note);
        }
    }

    fn tell_kernel(&mut self, batch: &Batch) {
        let Some(fast) = &mut self.fast else { return };
        let mut faults = Vec::new();
        for (_, change) in &batch.kernel {
            let done = match change {
                KernelChange::Put { key, entry, template } => template
                    .as_deref()
                    .map_or(Ok(()), |template| fast.put_template(entry.template, template))
                    .and_then(|()| fast.put_lease(*key, entry)),
                KernelChange::Template { slot, template } => fast.put_template(*slot, template),
                KernelChange::Suspend(key) => fast.suspend(*key).map(|_| ()),
            };
            faults.extend(done.err());
        }
        // Beyond the term's end the kernel answers nobody.
        let term = match &self.share {
            Some(share) => share.until(Now::read().moment).unwrap_or(Moment::NEVER),
            None => Moment::FOREVER,
        };
        // Most were put with the horizon that was written.
        let put: HashSet<Ipv4Addr> =
            batch.kernel.iter().filter_map(|change| batch.covered_by(change, term)).collect();
        for (ip, until) in batch.writes.iter().filter(|(ip, _)| !put.contains(*ip)) {
            let until = &term.min(*until);
            let key = self.engine.key_of(&self.table, *ip);
            faults.extend(key.and_then(|key| fast.extend_lease(key, *ip, *until).err()));
        }
        faults.extend(fast.rest().err());
        for fault in faults {
            if self.quiet.may_say("fast path", "") {
                warn!("{fault}; the agent answers these clients");
            }
        }
    }
}
