//! What can go wrong with a journal, and what to do then.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::lexer::What;
use super::load::DAMAGE_HOLD;

/// Why the journal cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("another agent uses {0}: stop it, or give this one another name")]
    Locked(PathBuf),
    /// The file or its folder cannot be opened, read or created.
    #[error("cannot open the lease file {path}: {source}; check the folder's permissions and space")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing of the batch is on disk; the next append may succeed.
    #[error("cannot write to the lease file {path}: {source}; nothing new is promised until it can")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in the file is unknown: a new one has to be written.
    #[error(
        "the lease file {path} did not reach the disk: {source}; nothing new is promised until a new one does"
    )]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier error made a new file necessary.
    #[error("the lease file {0} has to be compacted before the next append")]
    CompactFirst(PathBuf),
    /// The new file could not be written; the old one is as it was.
    #[error("cannot rewrite the lease file {path}: {source}; {}", advice(source))]
    Compact {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A damaged part could not be copied aside.
    #[error(
        "cannot keep a damaged part of {path} aside: {source}; free some space, or move *.damaged-* files away"
    )]
    KeepAside {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Something in a file that people should know of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// The last entry was being written when everything stopped; it was never promised.
    #[error("the last entry, {bytes} bytes from line {line} on, is cut short: dropped")]
    Torn {
        /// Where it begins.
        line: usize,
        /// How long it is.
        bytes: usize,
    },
    /// An entry that cannot be read.
    #[error("line {line}: {what}; {}, the damaged part is kept in {}", held(*.ip), .kept.display())]
    Damaged {
        /// Where the fault is.
        line: usize,
        /// What it is.
        what: What,
        /// The address that is kept out of use because of it.
        ip: Option<Ipv4Addr>,
        /// Where the part was copied to.
        kept: PathBuf,
    },
    /// There is too much damage to name each entry.
    #[error("{count} more entries cannot be read; they are kept in {}", .kept.display())]
    MoreDamaged {
        /// How many.
        count: usize,
        /// Where the parts were copied to.
        kept: PathBuf,
    },
}

impl Note {
    /// The most damaged entries that are named one by one.
    pub(super) const MAX_DAMAGED: usize = 100;
}

/// What helps against it.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space on its disk",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => "let the agent write to its folder",
        _ => "see what the kernel's log says of its disk",
    }
}

/// What becomes of a damaged entry's address.
fn held(ip: Option<Ipv4Addr>) -> String {
    ip.map_or_else(
        || "its address is unknown".to_owned(),
        |ip| {
            format!(
                "{ip} is out of use for {} days unless a later entry names it",
                DAMAGE_HOLD.as_secs() / 86_400
            )
        },
    )
}
