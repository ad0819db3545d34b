//! Leases on their way to disk, and what happens while the disk takes none.
//!
//! A full or failing disk ends no lease: clients whose lease the disk covers are served on, nothing
//! new is promised, and it is said once a minute. What could not be written is tried again every
//! second, so that the agent recovers by itself and no client has to ask for it.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::clock::{Moment, Now};
use crate::engine::Note;
use crate::lease::{JournalError, State};

use super::batch::Batch;
use super::core::Core;

/// Leases remembered whose write failed, and of as many what is to be said of them. What is past that is
/// written when its client asks again.
const MAX_BEHIND: usize = 4096;

/// Of these, how many are tried at once.
const TRIED_AT_ONCE: usize = 256;

/// How long an attempt to write the whole file that failed is not repeated while appending works.
const COMPACT_AGAIN: Duration = Duration::from_mins(1);

/// The same while nothing else helps, and how many times as long as the attempt took: each may
/// write all there is.
const REPAIR_AGAIN: Duration = Duration::from_secs(1);
const REPAIR_SHARE: u32 = 10;

/// What is known of the disk.
#[derive(Debug, Default)]
pub struct Disk {
    /// Why leases cannot be written; none: they can.
    pub fault: Option<String>,
    /// Leases that are not on disk up to the horizon they should have.
    behind: HashMap<Ipv4Addr, Moment>,
    /// What is said of leases once they are written: nothing is, of what only might have been.
    unsaid: HashMap<Ipv4Addr, Note>,
    /// The whole file is not written before this.
    compact_after: Moment,
}

impl Disk {
    fn failed(&mut self, writes: &HashMap<Ipv4Addr, Moment>) {
        for (ip, until) in writes {
            if self.behind.len() < MAX_BEHIND || self.behind.contains_key(ip) {
                let behind = self.behind.entry(*ip).or_default();
                *behind = (*until).max(*behind);
            }
        }
    }

    /// Says it later.
    pub(super) fn owe(&mut self, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            if self.unsaid.len() < MAX_BEHIND {
                self.unsaid.entry(note.ip()).or_insert(note);
            }
        }
    }

    /// What was to be said of an address, and is not any more.
    pub(super) fn unsaid(&mut self, ip: Ipv4Addr) -> Option<Note> {
        self.unsaid.remove(&ip)
    }
}

impl Core {
    /// Writes leases as the table has them; those that are not on disk now, of which nothing may be
    /// promised.
    pub(super) fn write(&mut self, writes: &HashMap<Ipv4Addr, Moment>, now: Now) -> HashSet<Ipv4Addr> {
        if writes.is_empty() {
            return HashSet::new();
        }
        let failed = match self.try_write(writes, now) {
            Ok(()) => writes.keys().copied().filter(|ip| self.table.get(*ip).is_none()).collect(),
            Err(fault) => {
                self.disk.failed(writes);
                if let Some(fault) = fault {
                    self.disk_failed(&fault);
                }
                return writes.keys().copied().collect();
            }
        };
        self.disk.behind.retain(|ip, _| !writes.contains_key(ip));
        for note in writes.keys().filter_map(|ip| self.disk.unsaid(*ip)).collect::<Vec<_>>() {
            self.log(note);
        }
        if self.disk.fault.take().is_some() {
            info!("the lease file can be written again");
        }
        if let Err(Some(fault)) = self.compact(now)
            && self.quiet.may_say("compaction", "")
        {
            warn!("{fault}");
        }
        failed
    }

    /// An error without a text: it is too early to try again.
    fn try_write(
        &mut self,
        writes: &HashMap<Ipv4Addr, Moment>,
        now: Now,
    ) -> Result<(), Option<JournalError>> {
        if self.journal.is_broken() {
            self.compact(now)?;
        }
        let leases: Vec<_> =
            writes.iter().filter_map(|(ip, until)| Some((self.table.get(*ip)?, *until))).collect();
        let began = Now::read();
        let synced = self.journal.append(&leases, now)?;
        self.outlets.metrics.journal_syncs.record(Now::read().moment.since(began.moment));
        self.table.mark_durable(&synced);
        Ok(())
    }

    /// A new file in place of one that has grown, or that cannot be written any more.
    fn compact(&mut self, now: Now) -> Result<(), Option<JournalError>> {
        if !self.journal.wants_compaction() {
            return Ok(());
        }
        if now.moment < self.disk.compact_after {
            return if self.journal.is_broken() { Err(None) } else { Ok(()) };
        }
        let Err(fault) = self.journal.compact(self.table.all_leases(), now) else { return Ok(()) };
        let ended = Now::read().moment;
        let pause = if self.journal.is_broken() {
            REPAIR_AGAIN.max(ended.since(now.moment).saturating_mul(REPAIR_SHARE))
        } else {
            COMPACT_AGAIN
        };
        self.disk.compact_after = ended.after(pause);
        Err(Some(fault))
    }

    /// Notes that leases cannot be written, and says so.
    pub(super) fn disk_failed(&mut self, fault: &JournalError) {
        if self.quiet.may_say("journal", "") {
            error!("{fault}; clients whose lease is on disk are served on");
        }
        self.disk.fault = Some(fault.to_string());
    }

    /// Writes again what could not be written.
    pub(super) fn try_disk_again(&mut self, now: Now) {
        if self.disk.fault.is_none() && self.disk.behind.is_empty() {
            return;
        }
        let behind: Vec<_> = self.disk.behind.iter().take(TRIED_AT_ONCE).map(|(ip, t)| (*ip, *t)).collect();
        let mut batch = Batch::default();
        for (ip, until) in behind {
            let Some(lease) = self.table.get(ip) else {
                self.disk.behind.remove(&ip);
                continue;
            };
            // The last entry counts: it must not fall short of one that was written since.
            let holds = matches!(lease.state, State::Offered | State::Bound);
            let until = if holds { until.max(lease.durable_until) } else { lease.expires };
            batch.writes.insert(ip, until);
        }
        if batch.writes.is_empty() {
            // Any lease says whether the disk works; without one there is only the file itself.
            let any = self.table.leases_after(None, None).next();
            batch.writes.extend(any.map(|lease| (lease.ip, lease.durable_until)));
        }
        if !batch.writes.is_empty() {
            return self.commit(batch, now);
        }
        match self.journal.compact(self.table.all_leases(), now) {
            Ok(()) => {
                self.disk.fault = None;
                info!("the lease file can be written again");
            }
            Err(fault) => self.disk_failed(&fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_remembered_with_its_latest_horizon_and_within_bounds() {
        let mut disk = Disk::default();
        let ip = Ipv4Addr::new(10, 9, 0, 100);
        for until in [3, 9, 5] {
            disk.failed(&HashMap::from([(ip, Moment(until))]));
        }
        assert_eq!(disk.behind, HashMap::from([(ip, Moment(9))]));
        let many = (0..10_000).map(|n| (Ipv4Addr::from_bits(n), Moment(1)));
        disk.failed(&many.collect());
        assert_eq!(disk.behind.len(), MAX_BEHIND);
        disk.failed(&HashMap::from([(ip, Moment(20))]));
        assert_eq!(disk.behind.get(&ip), Some(&Moment(20)), "a full memory still learns of what it has");
    }
}
