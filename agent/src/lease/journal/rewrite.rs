//! A new file that is written beside the old one, a part at a time.
//!
//! Leases come in the order of their addresses, as the table has them when their turn comes; what is
//! appended to the old file meanwhile is appended here too. The last entry for an address wins, so that
//! whichever comes first, the later one says what holds. Nothing of it counts before it has the old
//! file's name, and all of it is on disk by then.

use std::borrow::Borrow;
use std::io;
use std::net::Ipv4Addr;

use super::disk::DiskFile;
use super::format::{self, BootId};
use crate::clock::Now;
use crate::lease::Lease;

/// Bytes that are written, and synced, at one time: some milliseconds in which nothing else is done.
pub(super) const PART: usize = 1 << 20;

/// A file that is not in its place yet.
#[derive(Debug)]
pub(super) struct Rewrite<F> {
    pub(super) file: F,
    /// All that is in it.
    pub(super) length: u64,
    /// Of that, what was not carried over.
    pub(super) live_bytes: u64,
    /// The last address that was written.
    after: Option<Ipv4Addr>,
}

impl<F: DiskFile> Rewrite<F> {
    /// Begins a new file with what another writer had declared.
    pub(super) fn begin(file: F, others: &[u8]) -> io::Result<Self> {
        let mut rewrite = Self { file, length: 0, live_bytes: 0, after: None };
        rewrite.write(format::HEADER.as_bytes())?;
        rewrite.write(others)?;
        rewrite.live_bytes = rewrite.length;
        Ok(rewrite)
    }

    /// The address behind which the next part begins.
    pub(super) fn after(&self) -> Option<Ipv4Addr> {
        self.after
    }

    /// Writes the next leases down to the disk, about so many bytes; whether these were all.
    pub(super) fn write_part(
        &mut self,
        leases: impl IntoIterator<Item: Borrow<Lease>>,
        part: usize,
        now: Now,
        boot: Option<&BootId>,
    ) -> io::Result<bool> {
        let mut text = String::new();
        let mut leases = leases.into_iter();
        let is_last = loop {
            let Some(lease) = leases.next() else { break true };
            let lease = lease.borrow();
            format::entry(&mut text, lease, format::horizon(lease, lease.durable_until), now, boot);
            self.after = Some(lease.ip);
            if text.len() >= part {
                break false;
            }
        };
        self.write(text.as_bytes())?;
        self.live_bytes = self.live_bytes.saturating_add(text.len() as u64);
        self.file.sync()?;
        Ok(is_last)
    }

    /// Appends what was appended to the old file; it is on disk with the next part.
    pub(super) fn carry_over(&mut self, text: &[u8]) -> io::Result<()> {
        self.write(text)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }
}
