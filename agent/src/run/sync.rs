//! Waiting for the disk on a thread of its own, so that the core decides meanwhile on what has come in.
//!
//! The core hands it the file that it has written to and asks for the outcome before it promises anything:
//! at most one file is on its way at any time.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::clock::Now;
use crate::lease::DiskFile as _;

/// How a sync ended, and how long it took.
pub type Outcome = (io::Result<()>, Duration);

/// The thread, and the ways there and back. Ends with this.
#[derive(Debug)]
pub struct Syncer {
    files: Option<Sender<File>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let (files, wanted) = channel::<File>();
        let (ended, outcomes) = channel();
        let thread = Builder::new().name("sync".into()).spawn(move || {
            for mut file in wanted {
                if ended.send(sync(&mut file)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { files: Some(files), outcomes, thread: Some(thread) })
    }

    /// Begins to sync a file.
    pub fn begin(&self, file: File) -> io::Result<()> {
        let sent = self.files.as_ref().map(|files| files.send(file));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(gone()) }
    }

    /// Waits for the sync that was begun.
    pub fn end(&self) -> Outcome {
        self.outcomes.recv().unwrap_or_else(|_| (Err(gone()), Duration::ZERO))
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Syncs a file at once.
pub fn sync(file: &mut File) -> Outcome {
    let began = Now::read().moment;
    let synced = file.sync();
    (synced, Now::read().moment.since(began))
}

/// Nothing is known of the file then.
fn gone() -> io::Error {
    io::Error::other("the thread that waits for the disk is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_one_outcome_in_their_order() {
        let syncer = Syncer::start().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        for _ in 0..3 {
            syncer.begin(tempfile::tempfile().unwrap()).unwrap();
            assert!(syncer.end().0.is_ok());
            // What is no file cannot be synced.
            let no_file: std::os::fd::OwnedFd = writer.try_clone().unwrap().into();
            syncer.begin(no_file.into()).unwrap();
            assert!(syncer.end().0.is_err());
        }
        drop(reader);
    }
}
