//! One writer for one journal.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Held as long as it exists; the kernel lets go of it however the process ends.
///
/// On a file of its own, since compaction replaces the journal.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; none: another process has it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
        let file = match opened {
            // On a disk that takes no writes, an earlier one can be locked all the same.
            Err(error)
                if matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
            {
                File::open(path).map_err(|_| error)?
            }
            other => other?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
