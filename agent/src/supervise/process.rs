//! The processes of one child, one after the other.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;
use tracing::{error, warn};

use super::limits::{Group, LimitError};
use super::output::{self, Lines};
use super::rule::{End, Next, Record};
use super::{Job, Limits, Spec, State, Status};
use crate::clock::{Moment, Now};

/// How long a child that is to stop may take before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How long a child may take to read an order; one that reads none is of no use.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// How long is waited for a dead child's last words: whoever else holds its stderr may keep it open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a process came to its end.
enum Ended {
    /// Because nothing is wanted any more.
    Stopped,
    /// Unasked.
    Unasked {
        /// By a signal.
        killed: bool,
        end: End,
        /// What the system says.
        why: String,
    },
}

/// Makes what is wanted so, until nobody is left to want anything.
pub(super) async fn look_after(
    spec: &Spec,
    mut jobs: watch::Receiver<Option<Job>>,
    status: &watch::Sender<Status>,
) {
    let mut record = Record::default();
    let mut has_run = false;
    loop {
        let Some(job) = jobs.borrow_and_update().clone() else {
            status.send_modify(|status| status.state = State::Stopped);
            if jobs.changed().await.is_err() {
                return;
            }
            continue;
        };
        record.starts(now());
        status.send_modify(|status| {
            status.state = State::Running;
            status.said = None;
            status.restarts = status.restarts.saturating_add(u64::from(has_run));
        });
        has_run = true;
        let ended = match Process::start(spec, &job).await {
            Ok(process) => process.attend(&mut jobs, status).await,
            Err(fault) => Ended::Unasked { killed: false, end: End::Abnormal, why: fault.to_string() },
        };
        let Ended::Unasked { killed, end, why } = ended else {
            (record, has_run) = (Record::default(), false);
            if jobs.has_changed().is_err() {
                status.send_modify(|status| status.state = State::Stopped);
                return;
            }
            continue;
        };
        let (now, child) = (now(), spec.name);
        let next = record.ended(end, now, job.rule);
        let (state, wait) = match next {
            Next::GiveUp { failures } => {
                error!(child, failures, "{why}; it is not started again: it failed too often in a row");
                (State::Fatal, None)
            }
            Next::Start(at) => {
                let wait = at.since(now);
                warn!(child, wait = ?wait, "{why}; it is started again");
                (if killed { State::Killed } else { State::Stopped }, Some(wait))
            }
        };
        status.send_modify(|status| status.state = state);
        let again = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = again => {}
            changed = jobs.changed() => {
                if changed.is_err() {
                    return;
                }
                // What went wrong with the old job says nothing of the new one.
                record = Record::default();
            }
        }
    }
}

fn now() -> Moment {
    Now::read().moment
}

/// A running process.
pub(super) struct Process {
    name: &'static str,
    child: tokio::process::Child,
    stdin: ChildStdin,
    stdout: FramedRead<ChildStdout, Lines>,
    stderr: FramedRead<ChildStderr, Lines>,
    /// Its limits, until it has ended.
    group: Option<Group>,
}

impl Process {
    /// Starts it and hands it its order.
    pub async fn start(spec: &Spec, job: &Job) -> io::Result<Self> {
        let parent = rustix::process::getpid();
        let mut command = Command::new(&spec.program);
        command.args(&spec.arguments).arg0("xdhcpd").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What is typed at the terminal is for us, who then stop it.
        command.process_group(0);
        // SAFETY: between fork and exec nothing is allocated and no lock taken: two system calls.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // It may have ended before it was asked for.
                if getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
            });
        }
        // Before there is a child: with one in our own group, that could not hand limits on.
        let group = group(spec.name, job.limits);
        let mut child = command.spawn()?;
        let takes =
            |group: &Group| child.id().is_none_or(|process| said(spec.name, group.take(process)).is_some());
        let group = group.filter(takes);
        let missing = || io::Error::other("a stream of the child is missing");
        let mut process = Self {
            name: spec.name,
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: FramedRead::new(child.stdout.take().ok_or_else(missing)?, Lines::new()),
            stderr: FramedRead::new(child.stderr.take().ok_or_else(missing)?, Lines::new()),
            child,
            group,
        };
        process.order(&job.order).await;
        Ok(process)
    }

    /// Hands it an order. One that cannot read it any more has ended, which is seen elsewhere.
    async fn order(&mut self, order: &str) {
        let line = format!("{order}\n");
        if timeout(READ_WITHIN, self.stdin.write_all(line.as_bytes())).await.is_err() {
            warn!(child = self.name, "it reads no order within {READ_WITHIN:?}: killed");
            // Its end is seen where it is waited for.
            let _ending = self.child.start_kill();
        }
    }

    /// The next line that it prints.
    #[cfg(test)]
    pub async fn next_line(&mut self) -> Option<String> {
        self.stdout.next().await?.ok()
    }

    /// Listens to it until it ends.
    async fn attend(
        mut self,
        jobs: &mut watch::Receiver<Option<Job>>,
        status: &watch::Sender<Status>,
    ) -> Ended {
        let (mut has_stdout, mut has_stderr) = (true, true);
        loop {
            tokio::select! {
                ended = self.child.wait() => {
                    self.last_words(status).await;
                    let out_of_memory = self.group.as_ref().is_some_and(Group::has_run_out_of_memory);
                    return unasked(ended, out_of_memory);
                }
                changed = jobs.changed() => {
                    let job = jobs.borrow_and_update().clone();
                    match (changed, job) {
                        (Ok(()), Some(job)) => self.order(&job.order).await,
                        _ => return self.stop().await,
                    }
                }
                line = self.stdout.next(), if has_stdout => has_stdout = hear(line, |line| say(status, line)),
                line = self.stderr.next(), if has_stderr => {
                    has_stderr = hear(line, |line| output::forward(self.name, line));
                }
            }
        }
    }

    /// What it had printed when it ended.
    async fn last_words(&mut self, status: &watch::Sender<Status>) {
        let all = async {
            while let Some(Ok(line)) = self.stdout.next().await {
                say(status, &line);
            }
            while let Some(Ok(line)) = self.stderr.next().await {
                output::forward(self.name, &line);
            }
        };
        // Later ones are lost.
        let _held_open = timeout(LAST_WORDS, all).await;
    }

    /// Ends it.
    async fn stop(mut self) -> Ended {
        let process = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // It has ended, or is waited for below.
        let _gone = process.map(|process| kill_process(process, Signal::TERM));
        let drained = async {
            while let Some(Ok(line)) = self.stderr.next().await {
                output::forward(self.name, &line);
            }
            self.child.wait().await
        };
        if timeout(STOP_WITHIN, drained).await.is_err() {
            warn!(child = self.name, "it does not end within {STOP_WITHIN:?}: killed");
            if let Err(fault) = self.child.kill().await {
                error!(child = self.name, "it cannot be killed: {fault}");
            }
        }
        Ended::Stopped
    }
}

/// Takes a line in; whether there may be more.
fn hear(line: Option<io::Result<String>>, each: impl Fn(&str)) -> bool {
    let Some(Ok(line)) = line else { return false };
    each(&line);
    true
}

/// Its word on how things stand.
fn say(status: &watch::Sender<Status>, line: &str) {
    status.send_modify(|status| status.said = Some(Arc::from(line)));
}

fn unasked(ended: io::Result<ExitStatus>, out_of_memory: bool) -> Ended {
    match ended {
        Ok(status) => Ended::Unasked {
            killed: status.signal().is_some(),
            end: if status.success() { End::Normal } else { End::Abnormal },
            why: if out_of_memory {
                format!("it ended ({status}): it took all the memory that its limit allows")
            } else {
                format!("it ended ({status})")
            },
        },
        Err(fault) => Ended::Unasked {
            killed: false,
            end: End::Abnormal,
            why: format!("it cannot be waited for: {fault}"),
        },
    }
}

/// The group for a child's next process; none: that has no limits.
fn group(child: &'static str, limits: Limits) -> Option<Group> {
    if limits.is_none() { None } else { said(child, Group::make(child, limits)) }
}

/// What became of limits; none: the child runs without, which is said once.
fn said<T>(child: &'static str, limited: Result<T, LimitError>) -> Option<T> {
    static SAID: std::sync::Once = std::sync::Once::new();
    let say = |fault: &LimitError| SAID.call_once(|| warn!(child, "no limits of CPU and memory: {fault}"));
    limited.inspect_err(say).ok()
}
