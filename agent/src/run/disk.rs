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
use crate::lease::{JournalError, Lease, State, Written};

use super::batch::Batch;
use super::claims::{for_disk, may_be_written};
use super::core::Core;
use super::sync::{self, Syncer};

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

/// Fewer leases than this are on disk before another thread has been woken twice.
const WORTH_A_THREAD: usize = 8;

/// Leases on their way to disk.
#[derive(Debug)]
pub enum Writing {
    /// None.
    Nothing,
    /// Written, and to be synced.
    Here(Written),
    /// Written, and being synced.
    Beside(Written),
    /// They are not written; without an error it was too early to try again.
    Failed(Option<JournalError>),
}

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
        let writing = self.begin_write(writes, now);
        self.end_write(writes, writing)
    }

    /// Begins to write leases as the table has them. Many are synced beside us.
    pub(super) fn begin_write(&mut self, writes: &HashMap<Ipv4Addr, Moment>, now: Now) -> Writing {
        if writes.is_empty() {
            return Writing::Nothing;
        }
        match self.try_write(writes, now) {
            Ok(written) if writes.len() >= WORTH_A_THREAD && self.sync_beside() => Writing::Beside(written),
            Ok(written) => Writing::Here(written),
            Err(fault) => Writing::Failed(fault),
        }
    }

    /// Waits until leases are on disk; those that are not, of which nothing may be promised.
    pub(super) fn end_write(
        &mut self,
        writes: &HashMap<Ipv4Addr, Moment>,
        writing: Writing,
    ) -> HashSet<Ipv4Addr> {
        let (written, (synced, took)) = match writing {
            Writing::Nothing => return HashSet::new(),
            Writing::Here(written) => {
                (Ok(written), self.journal.file().map_or_else(none_to_sync, sync::sync))
            }
            Writing::Beside(written) => (Ok(written), self.end_sync()),
            Writing::Failed(fault) => (Err(fault), none_to_sync()),
        };
        let on_disk = written.and_then(|written| {
            let synced = self.journal.synced(written, synced)?;
            self.outlets.metrics.journal_syncs.record(took);
            self.table.mark_durable(&synced);
            Ok(())
        });
        let failed = match on_disk {
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
        failed
    }

    /// An error without a text: it is too early to try again.
    fn try_write(
        &mut self,
        writes: &HashMap<Ipv4Addr, Moment>,
        now: Now,
    ) -> Result<Written, Option<JournalError>> {
        if self.journal.is_broken() {
            self.repair(now)?;
        }
        let leases: Vec<_> =
            writes.iter().filter_map(|(ip, until)| Some((self.table.get(*ip)?, *until))).collect();
        Ok(self.journal.write(&leases, now)?)
    }

    /// Has the file synced by the thread for that; false: there is none.
    fn sync_beside(&mut self) -> bool {
        let file = self.journal.file().and_then(|file| file.try_clone().ok());
        file.zip(self.syncer.as_ref()).is_some_and(|(file, syncer)| syncer.begin(file).is_ok())
    }

    fn end_sync(&self) -> sync::Outcome {
        self.syncer.as_ref().map_or_else(none_to_sync, Syncer::end)
    }

    /// A new file in place of one that cannot be written any more.
    fn repair(&mut self, now: Now) -> Result<(), Option<JournalError>> {
        if now.moment < self.disk.compact_after {
            return Err(None);
        }
        let Err(fault) = self.write_whole(now) else { return Ok(()) };
        let ended = Now::read().moment;
        let pause = REPAIR_AGAIN.max(ended.since(now.moment).saturating_mul(REPAIR_SHARE));
        self.disk.compact_after = ended.after(pause);
        Err(Some(fault))
    }

    /// A part of a new file in place of one that has grown: clients are answered between the parts.
    pub(super) fn compact_some(&mut self) {
        let now = Now::read();
        let journal = &self.journal;
        let wanted =
            journal.is_rewriting() || journal.wants_compaction() && now.moment >= self.disk.compact_after;
        // One that is broken is repaired with the next write.
        if !wanted || journal.is_broken() {
            return;
        }
        let Self { journal, table, share, .. } = self;
        let leases_after = |after| for_disk(table.all_leases_after(after), share.as_ref());
        let Err(fault) = journal.rewrite(leases_after, now) else { return };
        let pause = if self.journal.is_broken() { REPAIR_AGAIN } else { COMPACT_AGAIN };
        self.disk.compact_after = now.moment.after(pause);
        if self.quiet.may_say("compaction", "") {
            warn!("{fault}");
        }
    }

    /// A new file with all that has to be kept.
    fn write_whole(&mut self, now: Now) -> Result<(), JournalError> {
        let Self { journal, table, share, .. } = self;
        journal.compact(for_disk(table.all_leases(), share.as_ref()), now)
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
        let may_be_written = |lease: &&Lease| may_be_written(lease, self.share.as_ref());
        for (ip, until) in behind {
            // An end that is held back is written when nothing is held of it any more.
            let Some(lease) = self.table.get(ip).filter(may_be_written) else {
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
            let any = self.table.leases_after(None, None).find(may_be_written);
            batch.writes.extend(any.map(|lease| (lease.ip, lease.durable_until)));
        }
        if !batch.writes.is_empty() {
            return self.commit(batch, now);
        }
        match self.write_whole(now) {
            Ok(()) => {
                self.disk.fault = None;
                info!("the lease file can be written again");
            }
            Err(fault) => self.disk_failed(&fault),
        }
    }
}

/// Of a file that is not there nothing is known.
fn none_to_sync() -> sync::Outcome {
    (Err(std::io::Error::other("there is no file to be synced")), Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::AnsweredBy;
    use crate::run::claims::tests::{ip, lease, on_disk, with_an_ended_lease_that_may_hold};

    #[tokio::test]
    async fn a_disk_that_is_tried_again_is_told_no_end_of_what_may_hold_and_nothing_of_what_others_promised()
    {
        let folder = tempfile::tempdir().unwrap();
        let mut core = with_an_ended_lease_that_may_hold(&folder);
        // Another agent's lease is in the table, too.
        core.table.put(lease(101, AnsweredBy::Peer));
        let now = Now::read();
        let behind = [100, 101].map(|last| (ip(last), now.moment));
        core.disk.failed(&HashMap::from(behind));
        core.disk.fault = Some("it was full".into());
        core.try_disk_again(now);
        assert_eq!(core.disk.fault, None);
        assert_eq!(core.disk.behind, HashMap::new());
        assert_eq!(on_disk(&folder, core), HashMap::from([(ip(100), State::Bound)]));
    }

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
