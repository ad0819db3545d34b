//! A server process that ends with its value, and with this process at the latest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::command_in;

/// How much of a log is shown when something fails.
const LAST_LINES: usize = 30;

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// A command in the namespace of this name that the kernel kills when this process is gone,
    /// however it ended.
    pub fn command(namespace: &str, program: &Path) -> Command {
        let mut command = command_in(namespace, "setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    /// Starts it; what it says goes to a log in `folder`, after what it said before.
    pub fn start(name: &'static str, mut command: Command, folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(&path)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = spawn(command).with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log: path })
    }

    /// The process, which may have become another program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a child has a process number")?;
        kill_process(pid, signal).with_context(|| format!("a signal to {}", self.name))
    }

    /// The end of what it said.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        format!("--- the end of {}'s log ---\n{last}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Spawns from a thread that never ends: for the kernel a child's parent is the thread that started
/// it (prctl(2), PR_SET_PDEATHSIG), and each test has a thread that ends with it.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = mpsc::channel();
    let _ = spawner.send((command, sender));
    answer.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that starts servers is gone")))
}
