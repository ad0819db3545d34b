//! Where an agent's program, links and maps live in the BPF file system.
//!
//! Promises: two agents of different names never share a path, and what is pinned is the only
//! thing that keeps the program attached (the agent holds no link open), so removing a pin takes
//! effect at once. The BPF file system forbids `.` in names; it and `/` become `_`.

use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use aya::maps::MapError;
use aya::pin::PinError;

use super::error::FastPathError;

/// Where the BPF file system is mounted.
const BPFFS: &str = "/sys/fs/bpf";

/// The type that `statfs` gives for it (`BPF_FS_MAGIC`).
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// What the name of a link's pin starts with.
const LINK_PREFIX: &str = "link-";

/// The paths of one agent's pins.
#[derive(Debug, Clone)]
pub(super) struct Pins {
    /// The folder that holds all of them.
    pub folder: PathBuf,
}

impl Pins {
    /// The pins of the agent of this name, there or not.
    pub fn new(name: &str) -> Self {
        Self { folder: Path::new(BPFFS).join("xdhcpd").join(file_name(name)) }
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.folder.join("program")
    }

    /// The program that is about to take the place of [`Pins::program`].
    pub fn next_program(&self) -> PathBuf {
        self.folder.join("program_new")
    }

    /// A map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether the maps are pinned, as they are from the agent's start until somebody takes them away.
    pub fn have_maps(&self) -> bool {
        self.map("LEASES").exists()
    }

    /// A map that is about to take the place of [`Pins::map`].
    pub fn next(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}_new"))
    }

    /// A map whose place was taken, as long as a program may answer from it.
    pub fn former(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}_old"))
    }

    /// The link that attaches the program to an interface.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.folder.join(format!("{LINK_PREFIX}{}", file_name(interface)))
    }

    /// Every link that is pinned: its path, and the interface's name as the path has it.
    pub fn links(&self) -> Result<Vec<(PathBuf, String)>, FastPathError> {
        let mut links: Vec<_> = self
            .files()?
            .into_iter()
            .filter_map(|path| {
                let interface = path.file_name()?.to_str()?.strip_prefix(LINK_PREFIX)?.to_owned();
                Some((path, interface))
            })
            .collect();
        links.sort();
        Ok(links)
    }

    /// Every file in the folder; none when there is no folder.
    pub fn files(&self) -> Result<Vec<PathBuf>, FastPathError> {
        let failed = |error| FastPathError::pin("read", &self.folder, error);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
    }

    /// Makes the folder, on a BPF file system that is mounted if need be.
    pub fn prepare(&self) -> Result<(), FastPathError> {
        mount_bpffs()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| FastPathError::pin("create", &self.folder, error))
    }

    /// Takes the folder away, once it is empty; the folder of all agents too when it is.
    pub fn remove_folder(&self) -> Result<(), FastPathError> {
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FastPathError::pin("remove", &self.folder, error));
            }
            _ => {}
        }
        if let Some(all) = self.folder.parent() {
            // It holds other agents' pins more often than not.
            let _in_use = fs::remove_dir(all);
        }
        Ok(())
    }
}

/// Removes a pin; whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool, FastPathError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FastPathError::pin("remove", path, error)),
    }
}

/// Pins what is pinned at one path at another too, which it must not be yet.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), FastPathError> {
    fs::hard_link(from, to).map_err(|error| FastPathError::pin("link", from, error))
}

/// Moves a pin over another, atomically.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), FastPathError> {
    fs::rename(from, to).map_err(|error| FastPathError::pin("rename", from, error))
}

/// aya's error of pinning a map, as one of its errors of maps.
pub(super) fn map_error(error: PinError) -> MapError {
    MapError::PinError { name: None, error }
}

/// A name as the BPF file system takes it.
fn file_name(name: &str) -> String {
    name.replace(['.', '/'], "_")
}

/// Mounts the BPF file system where it is missing, as systemd does on most machines.
pub(super) fn mount_bpffs() -> Result<(), FastPathError> {
    let path = Path::new(BPFFS);
    if is_bpffs(path) {
        return Ok(());
    }
    let failed = |error| FastPathError::NoBpffs { path: path.to_owned(), error };
    let (kind, target) = (c"bpf", CString::new(BPFFS).map_err(|error| failed(error.into()))?);
    // SAFETY: all of the pointers are to C strings that outlive the call; the data of this file
    // system is a string of options.
    let answer = unsafe {
        libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, c"mode=0700".as_ptr().cast())
    };
    if answer != 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    tracing::info!("mounted the BPF file system on {BPFFS}; it lasts as long as this mount namespace");
    Ok(())
}

/// Whether a BPF file system is mounted there.
fn is_bpffs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| u64::try_from(found.f_type) == Ok(BPFFS_MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_where_operators_look_for_them() {
        let pins = Pins::new("rack1");
        assert_eq!(pins.program(), Path::new("/sys/fs/bpf/xdhcpd/rack1/program"));
        assert_eq!(pins.map("LEASES"), Path::new("/sys/fs/bpf/xdhcpd/rack1/LEASES"));
        assert_eq!(pins.link("eth1"), Path::new("/sys/fs/bpf/xdhcpd/rack1/link-eth1"));
    }

    #[test]
    fn dots_and_slashes_become_underscores() {
        let pins = Pins::new("../a.b/c");
        assert_eq!(pins.folder, Path::new("/sys/fs/bpf/xdhcpd/___a_b_c"));
        assert_eq!(pins.link("eth1.100"), pins.folder.join("link-eth1_100"));
    }

    #[test]
    fn a_folder_that_is_not_there_holds_nothing() {
        let pins = Pins::new("nobody ever called an agent this");
        assert_eq!(pins.files().unwrap(), Vec::<PathBuf>::new());
        assert!(pins.links().unwrap().is_empty());
    }

    #[test]
    fn an_ordinary_folder_is_no_bpf_file_system() {
        assert!(!is_bpffs(Path::new("/tmp")));
        assert!(!is_bpffs(Path::new("/nowhere")));
    }
}
