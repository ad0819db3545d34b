//! A note of what was changed, for the next start: after a crash nobody else knows what to put back.
//!
//! It is of use for one boot, since the kernel forgets addresses with it; so it is never synced.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Interfaces;

/// The file of the note.
#[derive(Debug)]
pub(super) struct Note(PathBuf);

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    boot: String,
    interfaces: Interfaces,
}

impl Note {
    /// The note of the agent of this name.
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        Self(folder.join(format!("{}-addresses", name.replace('/', "_"))))
    }

    /// What was left noted in this boot. What cannot be read stops no start.
    pub(super) fn read(&self) -> Interfaces {
        let content = match fs::read(&self.0) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => return Interfaces::new(),
            Err(fault) => Err(fault),
            Ok(bytes) => serde_json::from_slice::<Content>(&bytes).map_err(io::Error::from),
        };
        match content {
            Ok(content) if content.boot == boot() => content.interfaces,
            Ok(_) => Interfaces::new(),
            Err(fault) => {
                warn!("{}: {fault}; what a crash may have left of selfIP is not undone", self.0.display());
                Interfaces::new()
            }
        }
    }

    /// Notes this in place of what was noted; nothing: removes the note.
    pub(super) fn write(&self, interfaces: &Interfaces) -> Result<()> {
        let written = if interfaces.is_empty() { self.remove() } else { self.replace(interfaces) };
        written.with_context(|| format!("{}: cannot note the addresses of interfaces", self.0.display()))
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            // A file system that takes no writes refuses also where there is nothing to remove.
            Err(fault) if self.0.exists() => Err(fault),
            _ => Ok(()),
        }
    }

    fn replace(&self, interfaces: &Interfaces) -> io::Result<()> {
        let content = Content { boot: boot(), interfaces: interfaces.clone() };
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let draft = self.0.with_added_extension("tmp");
        fs::write(&draft, serde_json::to_vec(&content)?)?;
        fs::rename(&draft, &self.0)
    }
}

/// The kernel's id of this boot.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
