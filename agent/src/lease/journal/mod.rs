//! The lease journal: the only place that knows what is on disk.
//!
//! One append-only text file in the format of dhcpd.leases(5). A batch of leases is one write and
//! one fdatasync; the [`Synced`] that comes back is what makes leases of the table durable.
//!
//! Promises:
//! - What a [`Synced`] names is read back after any crash, whatever was being written then.
//! - A failed write leaves the file as it was before. After a failed fsync nothing is known of the
//!   file's pages (the kernel may have dropped them and say so once only), and nothing is promised
//!   any more until [`Journal::compact`] has written a new file from the table.
//! - A file that can be read and not be written is served from: what is known to be on disk is promised
//!   as before, and nothing new is.
//! - Nothing that a client sent can make the file unreadable.
//! - Damaged parts are copied aside before the file is rewritten without them.
//! - Two processes never write one journal.
//!
//! Everything here blocks: it belongs on a thread of its own. 10 000 leases are some 4 MB, a few
//! milliseconds; a million some 400 MB, seconds on a fast disk. So a file that has grown is written anew
//! a part at a time, between other calls ([`Journal::rewrite`]). Only a file that is broken is
//! replaced in one go ([`Journal::compact`]): nothing new can be promised before that.

mod disk;
mod error;
mod format;
mod lexer;
mod lines;
mod load;
mod lock;
mod parse;
mod parts;
mod peek;
mod proof;
mod rewrite;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

pub use disk::{Disk, DiskFile, OsDisk};
pub use error::{JournalError, Note};
pub use format::BootId;
pub use lexer::What;
pub use peek::peek;
pub use proof::{Loaded, Promise, Synced, Written};

use super::Lease;
use crate::clock::{Moment, Now};
use load::{Damage, OnDisk, Read};
use lock::Lock;
use rewrite::Rewrite;

/// A journal that is open, and this process's alone.
#[derive(Debug)]
pub struct Journal<D: Disk = OsDisk> {
    disk: D,
    path: PathBuf,
    boot: Option<BootId>,
    /// None: its pages are not what we wrote, or may not be; only a new file will do.
    file: Option<D::File>,
    /// The file's length after the last append that succeeded.
    length: u64,
    /// What the live leases alone would take, as far as that is known.
    live_bytes: u64,
    /// What another writer declared (hosts, a failover peer, the server's DUID), which every new
    /// file begins with: whoever goes back to that writer finds it.
    others: Vec<u8>,
    /// Whether the file ends in the middle of a line (as another writer may have left it).
    unfinished_line: bool,
    /// The file that is to take the place of this one.
    rewrite: Option<Rewrite<D::File>>,
    /// Bytes of a part of that: [`rewrite::PART`], but in tests.
    part: usize,
    /// Held, not used; none on a disk that is not the machine's.
    lock: Option<Lock>,
}

/// A file below this is never compacted.
const COMPACT_FROM: u64 = 1 << 20;
/// A file is compacted when it has this many times the bytes its live leases need: each byte is
/// then rewritten a third of a time on average.
const COMPACT_FACTOR: u64 = 4;
/// Bytes of an entry, about.
const ENTRY: usize = 448;
/// No leases.
const NONE: &[Lease] = &[];
/// Names for damaged parts that are tried.
const MAX_KEPT: u32 = 1_000;

/// The lease file of the agent of this name.
pub fn path_in(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}-dhcpd.leases", name.replace('/', "_")))
}

impl Journal {
    /// Opens `<folder>/<name>-dhcpd.leases`, created if it is missing, and reads what it says.
    pub fn open(folder: &Path, name: &str, now: Now) -> Result<(Self, Loaded), JournalError> {
        let path = path_in(folder, name);
        let open = |source| JournalError::Open { path: path.clone(), source };
        create_folder(folder).map_err(open)?;
        let lock_path = with_suffix(&path, ".lock");
        let lock = Lock::take(&lock_path).map_err(open)?.ok_or_else(|| JournalError::Locked(path.clone()))?;
        let (mut journal, loaded) = Self::open_on(OsDisk, path.clone(), BootId::read(), now)?;
        journal.lock = Some(lock);
        Ok((journal, loaded))
    }
}

impl<D: Disk> Journal<D> {
    /// Opens a file on a disk, for one who has made sure that it is nobody else's.
    ///
    /// A file that can be read and not be written now is no error: what it promises is known, and the
    /// journal is broken ([`Loaded::fault`] says why) until a compaction succeeds.
    pub fn open_on(
        disk: D,
        path: PathBuf,
        boot: Option<BootId>,
        now: Now,
    ) -> Result<(Self, Loaded), JournalError> {
        let mut journal = Self {
            disk,
            path,
            boot,
            file: None,
            length: 0,
            live_bytes: 0,
            others: Vec::new(),
            unfinished_line: false,
            rewrite: None,
            part: rewrite::PART,
            lock: None,
        };
        let bytes = journal.disk.read(&journal.path).map_err(|source| journal.cannot_open(source))?;
        let Some(bytes) = bytes else {
            journal.compact(NONE, now)?;
            return Ok((journal, Loaded::default()));
        };
        // What was read may be in memory only (the last agent died between write and sync).
        let synced = journal
            .disk
            .sync_file(&journal.path)
            .and_then(|()| journal.disk.sync_folder(journal.folder()))
            .map_err(|source| JournalError::Sync { path: journal.path.clone(), source });
        let on_disk = if synced.is_ok() { OnDisk::All } else { OnDisk::EarlierBoots };
        let mut read = load::read(&bytes, now, journal.boot.as_ref(), on_disk);
        let leases = std::mem::take(&mut read.leases);
        for other in read.others.drain(..) {
            journal.others.extend_from_slice(bytes.get(other).unwrap_or_default());
            journal.others.push(b'\n');
        }
        let notes = journal.keep_aside(&bytes, &read)?;
        let mut loaded = Loaded::new(leases, notes, read.entries);
        if read.damage.is_empty() {
            let average = (bytes.len() as u64).checked_div(read.entries as u64).unwrap_or(0);
            journal.live_bytes = average.saturating_mul(loaded.leases().len() as u64);
            loaded.fault = synced.and_then(|()| journal.adopt(&bytes, &read)).err();
        } else {
            // A damaged part is read once: the new file has the leases that were read.
            journal.compact(loaded.leases(), now)?;
        }
        Ok((journal, loaded))
    }

    /// Puts a batch on disk, each lease with its horizon: one write, one fdatasync.
    ///
    /// The horizon of an occupied address is at least the lease's own end; a free one has none
    /// beyond when it became free. After an error nothing of the batch may be promised.
    pub fn append(&mut self, batch: &[(&Lease, Moment)], now: Now) -> Result<Synced, JournalError> {
        let written = self.write(batch, now)?;
        let synced = self.file.as_mut().map_or(Ok(()), D::File::sync);
        self.synced(written, synced)
    }

    /// The first half of [`Self::append`]: writes a batch that is not on disk before [`Self::synced`], which
    /// has to be the next call.
    pub fn write(&mut self, batch: &[(&Lease, Moment)], now: Now) -> Result<Written, JournalError> {
        let batch: Vec<(&Lease, Moment)> =
            batch.iter().map(|(lease, until)| (*lease, format::horizon(lease, *until))).collect();
        let mut text = String::with_capacity(batch.len().saturating_mul(ENTRY));
        if self.unfinished_line {
            text.push('\n');
        }
        for (lease, until) in &batch {
            format::entry(&mut text, lease, *until, now, self.boot.as_ref());
        }
        let Some(file) = &mut self.file else { return Err(JournalError::CompactFirst(self.path.clone())) };
        if batch.is_empty() {
            return Ok(Written { text: String::new(), synced: Synced::default() });
        }
        if let Err(source) = file.append(text.as_bytes()) {
            // The next entry must not follow half of one.
            if file.truncate(self.length).is_err() {
                self.file = None;
            }
            return Err(JournalError::Write { path: self.path.clone(), source });
        }
        Ok(Written { synced: Synced::new(&batch), text })
    }

    /// The second half: how the sync of [`Self::file`] ended, which began after the writing.
    pub fn synced(&mut self, written: Written, synced: io::Result<()>) -> Result<Synced, JournalError> {
        let Written { text, synced: proof } = written;
        if text.is_empty() {
            return Ok(proof);
        }
        let Some(file) = &mut self.file else { return Err(JournalError::CompactFirst(self.path.clone())) };
        if let Err(source) = synced {
            // Whoever opens this file next could read from memory what never reached the disk.
            let _ = file.truncate(self.length);
            self.file = None;
            return Err(JournalError::Sync { path: self.path.clone(), source });
        }
        self.length = self.length.saturating_add(text.len() as u64);
        self.unfinished_line = false;
        // One that lacks this must not take the old file's place.
        if self.rewrite.as_mut().is_some_and(|rewrite| rewrite.carry_over(text.as_bytes()).is_err()) {
            self.give_up_rewrite();
        }
        Ok(proof)
    }

    /// The file, to be synced; none: it is broken.
    pub fn file(&mut self) -> Option<&mut D::File> {
        self.file.as_mut()
    }

    /// Whether a new file is worth writing, or the only way on.
    pub fn wants_compaction(&self) -> bool {
        let bound = self.live_bytes.saturating_mul(COMPACT_FACTOR).max(COMPACT_FROM);
        self.file.is_none() || self.length > bound
    }

    /// Whether nothing can be appended before a compaction succeeds.
    pub fn is_broken(&self) -> bool {
        self.file.is_none()
    }

    /// Whether a new file is being written, beside which the old one is appended to. Where that cannot be any
    /// more, a whole one comes first ([`Self::compact`]).
    pub fn is_rewriting(&self) -> bool {
        self.rewrite.is_some() && !self.is_broken()
    }

    /// Writes a part of a new file, some milliseconds' worth, or begins one. With the last part it takes
    /// the old one's place: `true`. On an error the old one is as it was, and the new one is given up.
    ///
    /// `leases_after` gives the leases of higher addresses, in their order, as they are now
    /// ([`super::Table::all_leases_after`]).
    pub fn rewrite<I: IntoIterator<Item: Borrow<Lease>>>(
        &mut self,
        leases_after: impl FnOnce(Option<Ipv4Addr>) -> I,
        now: Now,
    ) -> Result<bool, JournalError> {
        let begun = match self.rewrite.take() {
            Some(begun) => Ok(begun),
            None => self.begin_rewrite(),
        };
        let written = begun.and_then(|mut rewrite| {
            let leases = leases_after(rewrite.after());
            let is_last = rewrite.write_part(leases, self.part, now, self.boot.as_ref())?;
            Ok((rewrite, is_last))
        });
        match written {
            Ok((rewrite, false)) => {
                self.rewrite = Some(rewrite);
                Ok(false)
            }
            Ok((rewrite, true)) => self.replace(rewrite).map(|()| true),
            Err(source) => {
                self.give_up_rewrite();
                Err(JournalError::Compact { path: self.path.clone(), source })
            }
        }
    }

    /// Writes a new file from all leases of the table ([`super::Table::all_leases`]) and puts it
    /// in place of the old one. On an error the old one is as it was.
    pub fn compact(
        &mut self,
        leases: impl IntoIterator<Item: Borrow<Lease>>,
        now: Now,
    ) -> Result<(), JournalError> {
        self.rewrite = None;
        let written = self.begin_rewrite().and_then(|mut rewrite| {
            let mut leases = leases.into_iter();
            while !rewrite.write_part(&mut leases, self.part, now, self.boot.as_ref())? {}
            Ok(rewrite)
        });
        match written {
            Ok(rewrite) => self.replace(rewrite),
            Err(source) => {
                self.give_up_rewrite();
                Err(JournalError::Compact { path: self.path.clone(), source })
            }
        }
    }

    /// How long the file is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new file without leases.
    fn begin_rewrite(&self) -> io::Result<Rewrite<D::File>> {
        let path = self.new_path();
        self.disk.remove(&path)?;
        Rewrite::begin(self.disk.open(&path)?, &self.others)
    }

    /// What is left of a new file takes space; the next one begins with removing it anyway.
    fn give_up_rewrite(&mut self) {
        self.rewrite = None;
        let _ = self.disk.remove(&self.new_path());
    }

    /// Puts a new file, which is on disk, in place of the old one.
    fn replace(&mut self, rewrite: Rewrite<D::File>) -> Result<(), JournalError> {
        // From here on the name may mean either file after a crash, until the folder is synced.
        self.file = None;
        let renamed = self.disk.rename(&self.new_path(), &self.path);
        let renamed = renamed.and_then(|()| self.disk.sync_folder(self.folder()));
        renamed.map_err(|source| JournalError::Compact { path: self.path.clone(), source })?;
        let Rewrite { file, length, live_bytes, .. } = rewrite;
        (self.file, self.length, self.live_bytes) = (Some(file), length, live_bytes);
        self.unfinished_line = false;
        Ok(())
    }

    fn new_path(&self) -> PathBuf {
        with_suffix(&self.path, ".new")
    }

    /// Goes on with a file that was read and synced, without its torn end.
    fn adopt(&mut self, bytes: &[u8], read: &Read) -> Result<(), JournalError> {
        let good = bytes.get(..read.torn.map_or(bytes.len(), |torn| torn.begin)).unwrap_or_default();
        let open = || {
            self.disk.remove(&self.new_path())?;
            let mut file = self.disk.open(&self.path)?;
            if good.len() < bytes.len() {
                // On disk with the next append at the latest; until then it is torn as before.
                file.truncate(good.len() as u64)?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| JournalError::Write { path: self.path.clone(), source })?;
        self.file = Some(file);
        self.length = good.len() as u64;
        self.unfinished_line = good.last().is_some_and(|byte| *byte != b'\n');
        Ok(())
    }

    /// Copies damaged parts into a file beside the journal, and says what there is to know.
    fn keep_aside(&self, bytes: &[u8], read: &Read) -> Result<Vec<Note>, JournalError> {
        let mut notes = Vec::new();
        if !read.damage.is_empty() {
            let failed = |source| JournalError::KeepAside { path: self.path.clone(), source };
            let kept = self.copy_parts(bytes, &read.damage).map_err(failed)?;
            notes.extend(read.damage.iter().take(Note::MAX_DAMAGED).map(|damage| Note::Damaged {
                line: damage.line,
                what: damage.what,
                ip: damage.ip,
                kept: kept.clone(),
            }));
            let count = read.damage.len().saturating_sub(notes.len());
            notes.extend((count > 0).then_some(Note::MoreDamaged { count, kept }));
        }
        notes.extend(
            read.torn
                .map(|torn| Note::Torn { line: torn.line, bytes: bytes.len().saturating_sub(torn.begin) }),
        );
        Ok(notes)
    }

    /// Copies parts into `<file>.damaged-<n>`, down to the disk.
    fn copy_parts(&self, bytes: &[u8], damage: &[Damage]) -> io::Result<PathBuf> {
        let mut names = (1..=MAX_KEPT).map(|n| with_suffix(&self.path, &format!(".damaged-{n}")));
        let unused = names.find_map(|path| match self.disk.read(&path) {
            Ok(None) => Some(Ok(path)),
            Ok(Some(_)) => None,
            Err(error) => Some(Err(error)),
        });
        let path = unused.unwrap_or_else(|| Err(io::Error::other("there are too many such files")))?;
        let mut file = self.disk.open(&path)?;
        for part in damage {
            file.append(format!("# line {}: {}\n", part.line, part.what).as_bytes())?;
            file.append(bytes.get(part.range.clone()).unwrap_or_default())?;
            file.append(b"\n")?;
        }
        file.sync()?;
        self.disk.sync_folder(self.folder())?;
        Ok(path)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn cannot_open(&self, source: io::Error) -> JournalError {
        JournalError::Open { path: self.path.clone(), source }
    }
}

/// Creates a folder with those above it, if it is missing, so that a power cut does not undo it.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let above = folder.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
    above.into_iter().try_for_each(|path| OsDisk.sync_folder(path))
}

/// A path with something behind its last name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
