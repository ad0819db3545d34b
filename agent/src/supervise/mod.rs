//! Child processes: started, watched, limited, started again when they end, and stopped.
//!
//! A [`Child`] is told what is wanted of it, as a [`Job`] or none, and makes that so: a job starts
//! the process (this binary's own file, unless the [`Spec`] names another) and is handed to it as a
//! line on its stdin, every new job after it as another line. What the process prints on stdout, a
//! line each, is its word on how things stand: the last one is in its [`Status`], for whoever watches.
//! What it prints on stderr goes to our log ([`output`]).
//!
//! Promises: no child outlives its parent, however that ends (`PR_SET_PDEATHSIG`; and its stdin
//! ends). One that ends unasked is started again by its [`Rule`], and given up in the end, until
//! there is another job. A stop is bounded: SIGTERM, then SIGKILL. Where limits cannot be
//! set, that is said once, and the child runs without.
//!
//! Never here: what a child is for.

mod limits;
mod output;
mod process;
mod rule;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use self::limits::Limits;
pub use self::output::TARGET;
pub use self::rule::{End, Next, Record, Rule};

/// What a child is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name in the log, and of its control group.
    pub name: &'static str,
    /// The program that is started.
    pub program: OsString,
    /// With these arguments.
    pub arguments: Vec<OsString>,
}

impl Spec {
    /// This binary itself, with these arguments: the file that runs now, whatever has taken its place
    /// on disk.
    pub fn own(name: &'static str, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self { name, program: "/proc/self/exe".into(), arguments: arguments.into_iter().collect() }
    }
}

/// What a child is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The line on its stdin.
    pub order: String,
    /// When it is started again.
    pub rule: Rule,
    /// What it may use; read when it is started.
    pub limits: Limits,
}

/// What a child is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It runs, or is being started.
    Running,
    /// Not wanted; or it ended by itself, and is started again later.
    #[default]
    Stopped,
    /// It ended by a signal that was not ours, and is started again later.
    Killed,
    /// Given up.
    Fatal,
}

/// How a child is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// What it is at.
    pub state: State,
    /// How often it was started again.
    pub restarts: u64,
    /// The last line that it printed since its last start.
    pub said: Option<Arc<str>>,
}

/// A child and the thread that looks after it. It is stopped when this is dropped, which waits for it.
#[derive(Debug)]
pub struct Child {
    wanted: Option<watch::Sender<Option<Job>>>,
    status: watch::Sender<Status>,
    thread: Option<JoinHandle<()>>,
}

impl Child {
    /// Begins to look after a child, of which nothing is wanted yet. What becomes of it is told
    /// through `status`.
    ///
    /// The thread is its own, because the kernel ends a child with the *thread* that started it.
    pub fn new(spec: Spec, status: watch::Sender<Status>) -> io::Result<Self> {
        let (wanted, jobs) = watch::channel(None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let told = status.clone();
        let thread = std::thread::Builder::new()
            .name(spec.name.to_owned())
            .spawn(move || runtime.block_on(process::look_after(&spec, jobs, &told)))?;
        Ok(Self { wanted: Some(wanted), status, thread: Some(thread) })
    }

    /// Says what is wanted from now on; none: nothing. The same again changes nothing.
    pub fn want(&self, job: Option<Job>) {
        let Some(wanted) = &self.wanted else { return };
        wanted.send_if_modified(|present| {
            let is_new = *present != job;
            if is_new {
                // Before the child's thread says more of it.
                let state = if job.is_some() { State::Running } else { State::Stopped };
                self.status.send_modify(|status| *status = Status { state, said: None, ..status.clone() });
                *present = job;
            }
            is_new
        });
    }

    /// How it is doing, to be watched.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.wanted.take());
        // Its thread has said what went wrong, if anything did.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
