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
//! Everything here blocks: it belongs on a thread of its own. Compaction is synchronous: 10 000
//! leases are some 4 MB, a few milliseconds; a million some 400 MB, seconds on a fast disk, in
//! which the kernel goes on renewing and new bindings wait.

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
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use disk::{Disk, DiskFile, OsDisk};
pub use error::{JournalError, Note};
pub use format::BootId;
pub use lexer::What;
pub use peek::peek;
pub use proof::{Loaded, Promise, Synced};

use super::Lease;
use crate::clock::{Moment, Now};
use load::{Damage, OnDisk, Read};
use lock::Lock;

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
    /// Held, not used; none on a disk that is not the machine's.
    lock: Option<Lock>,
}

/// A file below this is never compacted.
const COMPACT_FROM: u64 = 1 << 20;
/// A file is compacted when it has this many times the bytes its live leases need: each byte is
/// then rewritten a third of a time on average.
const COMPACT_FACTOR: u64 = 4;
/// Leases that are formatted before they are written, in a compaction.
const COMPACT_CHUNK: usize = 1 << 20;
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
            lock: None,
        };
        let bytes = journal.disk.read(&journal.path).map_err(|source| journal.cannot_open(source))?;
        let Some(bytes) = bytes else {
            journal.compact(&[], now)?;
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
        let batch: Vec<(&Lease, Moment)> =
            batch.iter().map(|(lease, until)| (*lease, format::horizon(lease, *until))).collect();
        let mut text = String::new();
        if self.unfinished_line {
            text.push('\n');
        }
        for (lease, until) in &batch {
            format::entry(&mut text, lease, *until, now, self.boot.as_ref());
        }
        let Some(file) = &mut self.file else { return Err(JournalError::CompactFirst(self.path.clone())) };
        if batch.is_empty() {
            return Ok(Synced::default());
        }
        if let Err(source) = file.append(text.as_bytes()) {
            // The next entry must not follow half of one.
            if file.truncate(self.length).is_err() {
                self.file = None;
            }
            return Err(JournalError::Write { path: self.path.clone(), source });
        }
        if let Err(source) = file.sync() {
            // Whoever opens this file next could read from memory what never reached the disk.
            let _ = file.truncate(self.length);
            self.file = None;
            return Err(JournalError::Sync { path: self.path.clone(), source });
        }
        self.length = self.length.saturating_add(text.len() as u64);
        self.unfinished_line = false;
        Ok(Synced::new(&batch))
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

    /// Writes a new file from all leases of the table ([`super::Table::all_leases`]) and puts it
    /// in place of the old one. On an error the old one is as it was.
    pub fn compact<'a>(
        &mut self,
        leases: impl IntoIterator<Item = &'a Lease>,
        now: Now,
    ) -> Result<(), JournalError> {
        let new = with_suffix(&self.path, ".new");
        let written = self.write_new(&new, leases, now);
        let (file, length) = written.map_err(|source| {
            // What is left of it takes space; the next compaction starts with removing it anyway.
            let _ = self.disk.remove(&new);
            JournalError::Compact { path: self.path.clone(), source }
        })?;
        // From here on the name may mean either file after a crash, until the folder is synced.
        self.file = None;
        let renamed = self.disk.rename(&new, &self.path).and_then(|()| self.disk.sync_folder(self.folder()));
        renamed.map_err(|source| JournalError::Compact { path: self.path.clone(), source })?;
        self.file = Some(file);
        self.length = length;
        self.live_bytes = length;
        self.unfinished_line = false;
        Ok(())
    }

    /// How long the file is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes leases into a file of their own, down to the disk.
    fn write_new<'a>(
        &self,
        path: &Path,
        leases: impl IntoIterator<Item = &'a Lease>,
        now: Now,
    ) -> io::Result<(D::File, u64)> {
        self.disk.remove(path)?;
        let mut file = self.disk.open(path)?;
        file.append(format::HEADER.as_bytes())?;
        file.append(&self.others)?;
        let mut length = (format::HEADER.len() as u64).saturating_add(self.others.len() as u64);
        let mut text = String::new();
        for lease in leases {
            let until = format::horizon(lease, lease.durable_until);
            format::entry(&mut text, lease, until, now, self.boot.as_ref());
            if text.len() >= COMPACT_CHUNK {
                file.append(text.as_bytes())?;
                length = length.saturating_add(text.len() as u64);
                text.clear();
            }
        }
        file.append(text.as_bytes())?;
        file.sync()?;
        Ok((file, length.saturating_add(text.len() as u64)))
    }

    /// Goes on with a file that was read and synced, without its torn end.
    fn adopt(&mut self, bytes: &[u8], read: &Read) -> Result<(), JournalError> {
        let good = bytes.get(..read.torn.map_or(bytes.len(), |torn| torn.begin)).unwrap_or_default();
        let open = || {
            self.disk.remove(&with_suffix(&self.path, ".new"))?;
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
