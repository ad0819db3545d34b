//! A disk in memory that knows what is durable, and fails when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::lease::journal::{Disk, DiskFile};

/// What can go wrong, once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A write stops after this many bytes: the disk is full.
    Full(usize),
    /// A write stops, and cutting the file fails as well.
    FullForGood(usize),
    /// A sync fails, and the pages written since the last one are dropped.
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
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    failure: Option<Failure>,
    syncs: usize,
    truncate_fails: bool,
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
        let content = Content { live: bytes.to_vec(), durable: bytes.to_vec() };
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
            Content { live: bytes.clone(), durable: bytes }
        };
        let names = if names_made_it { inner.names.clone() } else { inner.durable_names.clone() };
        let files = inner.files.iter().map(survive).collect();
        Self(Rc::new(RefCell::new(Inner { files, durable_names: names.clone(), names, ..Inner::default() })))
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
        let mut inner = self.0.borrow_mut();
        let next = inner.files.len();
        let file = *inner.names.entry(path.to_owned()).or_insert(next);
        if file == next {
            inner.files.push(Content::default());
        }
        Ok(BadFile { disk: self.clone(), file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.fails(|failure| failure == Failure::Rename) {
            return Err(io::ErrorKind::Other.into());
        }
        let mut inner = self.0.borrow_mut();
        let file = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.borrow_mut().names.remove(path);
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        if self.fails(|failure| failure == Failure::Folder) {
            return Err(io::ErrorKind::Other.into());
        }
        let mut inner = self.0.borrow_mut();
        inner.durable_names = inner.names.clone();
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
            inner.files[self.file].live.extend_from_slice(&bytes[..room.min(bytes.len())]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.0.borrow_mut().files[self.file].live.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let fails = self.disk.fails(|failure| failure == Failure::Sync);
        let mut inner = self.disk.0.borrow_mut();
        inner.syncs += 1;
        if fails {
            return Err(io::ErrorKind::Other.into());
        }
        inner.files[self.file].durable = inner.files[self.file].live.clone();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.0.borrow_mut();
        if std::mem::take(&mut inner.truncate_fails) {
            return Err(io::ErrorKind::Other.into());
        }
        inner.files[self.file].live.truncate(usize::try_from(length).unwrap());
        Ok(())
    }
}
