//! A disk in memory that knows what is durable, and fails when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::lease::journal::{Disk, DiskFile};

/// What can go wrong, once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A write stops after this many bytes: the disk is full.
    Full(usize),
    /// The write after the next one stops.
    FullSoon,
    /// A write stops, and cutting the file fails as well.
    FullForGood(usize),
    /// A file cannot be opened to be written.
    Open,
    /// A sync fails, and what was written since the last one is never tried again: later ones succeed
    /// without it.
    Sync,
    /// A rename fails.
    Rename,
    /// The folder's sync fails.
    Folder,
}

/// A file's bytes as programs see them, and as a power cut leaves them.
#[derive(Debug, Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What a failed sync gave up.
    given_up: Range<usize>,
}

impl Content {
    fn sync(&mut self) {
        self.durable = self.live.clone();
        self.durable[self.given_up.clone()].fill(0);
    }

    fn fail_to_sync(&mut self) {
        self.given_up = self.durable.len().min(self.live.len())..self.live.len();
    }

    fn truncate(&mut self, length: usize) {
        self.live.truncate(length);
        let Range { start, end } = self.given_up;
        self.given_up = start.min(length)..end.min(length);
    }
}

/// What changes a disk; files by number, in the order of their making.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A name is opened, and made if there is none.
    Open(PathBuf),
    Append(usize, Vec<u8>),
    Truncate(usize, usize),
    Sync(usize),
    FailedSync(usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    failure: Option<Failure>,
    syncs: usize,
    truncate_fails: bool,
    /// All that was done to it.
    steps: Vec<Step>,
}

impl Inner {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Open(path) => {
                if !self.names.contains_key(path) {
                    self.names.insert(path.clone(), self.files.len());
                    self.files.push(Content::default());
                }
            }
            Step::Append(file, bytes) => self.files[*file].live.extend_from_slice(bytes),
            Step::Truncate(file, length) => self.files[*file].truncate(*length),
            Step::Sync(file) => self.files[*file].sync(),
            Step::FailedSync(file) => self.files[*file].fail_to_sync(),
            Step::Rename(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Remove(path) => drop(self.names.remove(path)),
            Step::SyncFolder => self.durable_names = self.names.clone(),
        }
    }
}

/// Shared by the journal and the test.
#[derive(Debug, Clone, Default)]
pub(super) struct BadDisk(Rc<RefCell<Inner>>);

/// A file of it.
#[derive(Debug)]
pub(super) struct BadFile {
    disk: BadDisk,
    file: usize,
}

impl BadDisk {
    /// A disk with one durable file.
    pub(super) fn with(path: &Path, bytes: &[u8]) -> Self {
        let disk = Self::default();
        let content = Content { live: bytes.to_vec(), durable: bytes.to_vec(), ..Content::default() };
        disk.0.borrow_mut().files.push(content);
        disk.0.borrow_mut().names.insert(path.to_owned(), 0);
        disk.0.borrow_mut().durable_names.insert(path.to_owned(), 0);
        disk
    }

    /// What fails next.
    pub(super) fn fail(&self, failure: Failure) {
        self.0.borrow_mut().failure = Some(failure);
    }

    /// The content of a file.
    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.read(path).unwrap().unwrap_or_default()
    }

    /// How often files were synced.
    pub(super) fn syncs(&self) -> usize {
        self.0.borrow().syncs
    }

    /// All that was done to it so far.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.0.borrow().steps.clone()
    }

    /// How many steps that are.
    pub(super) fn step_count(&self) -> usize {
        self.0.borrow().steps.len()
    }

    /// Does what was done to another.
    pub(super) fn repeat(&self, step: &Step) {
        self.0.borrow_mut().take(step);
    }

    /// A copy that goes its own way.
    pub(super) fn copy(&self) -> Self {
        let inner = Inner { steps: Vec::new(), ..self.0.borrow().clone() };
        Self(Rc::new(RefCell::new(inner)))
    }

    /// The number of the file that a name means.
    pub(super) fn file(&self, path: &Path) -> Option<usize> {
        self.0.borrow().names.get(path).copied()
    }

    /// Every file's name.
    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.0.borrow().names.keys().cloned().collect()
    }

    /// The power goes: of what was not synced, as much of each file's new bytes is left as
    /// `kept` says of their number; names as they were at the folder's last sync, or as they are.
    pub(super) fn crash(&self, kept: impl Fn(usize) -> usize, names_made_it: bool) -> Self {
        let inner = self.0.borrow();
        let survive = |content: &Content| {
            let common = content.live.iter().zip(&content.durable).take_while(|(a, b)| a == b).count();
            let mut bytes = content.durable.clone();
            if common == content.durable.len() {
                let new = content.live.len() - common;
                bytes.extend_from_slice(&content.live[common..common + kept(new).min(new)]);
            }
            Content { live: bytes.clone(), durable: bytes, ..Content::default() }
        };
        let names = if names_made_it { inner.names.clone() } else { inner.durable_names.clone() };
        let files = inner.files.iter().map(survive).collect();
        Self(Rc::new(RefCell::new(Inner { files, durable_names: names.clone(), names, ..Inner::default() })))
    }

    fn take(&self, step: Step) {
        let mut inner = self.0.borrow_mut();
        inner.take(&step);
        inner.steps.push(step);
    }

    /// Whether this fails now.
    fn fails(&self, wanted: impl Fn(Failure) -> bool) -> bool {
        let mut inner = self.0.borrow_mut();
        let fails = inner.failure.is_some_and(wanted);
        if fails {
            inner.failure = None;
        }
        fails
    }
}

impl Disk for BadDisk {
    type File = BadFile;

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let inner = self.0.borrow();
        Ok(inner.names.get(path).map(|file| inner.files[*file].live.clone()))
    }

    fn open(&self, path: &Path) -> io::Result<BadFile> {
        if self.fails(|failure| failure == Failure::Open) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.take(Step::Open(path.to_owned()));
        let file = self.file(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(BadFile { disk: self.clone(), file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.fails(|failure| failure == Failure::Rename) {
            return Err(io::ErrorKind::Other.into());
        }
        self.file(from).ok_or(io::ErrorKind::NotFound)?;
        self.take(Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.take(Step::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let file = self.file(path).ok_or(io::ErrorKind::NotFound)?;
        BadFile { disk: self.clone(), file }.sync()
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        if self.fails(|failure| failure == Failure::Folder) {
            return Err(io::ErrorKind::Other.into());
        }
        self.take(Step::SyncFolder);
        Ok(())
    }
}

impl DiskFile for BadFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let full = self.disk.0.borrow().failure;
        if let Some(Failure::Full(room) | Failure::FullForGood(room)) = full {
            let mut inner = self.disk.0.borrow_mut();
            inner.failure = None;
            inner.truncate_fails = matches!(full, Some(Failure::FullForGood(_)));
            drop(inner);
            self.disk.take(Step::Append(self.file, bytes[..room.min(bytes.len())].to_vec()));
            return Err(io::ErrorKind::StorageFull.into());
        }
        if full == Some(Failure::FullSoon) {
            self.disk.fail(Failure::Full(10));
        }
        self.disk.take(Step::Append(self.file, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.0.borrow_mut().syncs += 1;
        if self.disk.fails(|failure| failure == Failure::Sync) {
            self.disk.take(Step::FailedSync(self.file));
            return Err(io::ErrorKind::Other.into());
        }
        self.disk.take(Step::Sync(self.file));
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if std::mem::take(&mut self.disk.0.borrow_mut().truncate_fails) {
            return Err(io::ErrorKind::Other.into());
        }
        self.disk.take(Step::Truncate(self.file, usize::try_from(length).unwrap()));
        Ok(())
    }
}
