//! A disk that fails, as a process sees it: strace gives its system calls on some files an error in
//! place of a result, for as long as this value lives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::wait;

/// Which calls fail how, in strace's words: `fdatasync:error=EIO`.
#[derive(Debug, Clone, Copy)]
pub struct Fault<'a> {
    /// What happens to them.
    pub injected: &'a str,
    /// Calls that name one of these, or a file opened by that name.
    pub files: &'a [PathBuf],
}

impl Fault<'_> {
    /// The command that starts a program which meets this from its first call on, in its own place.
    pub fn starter(self) -> Vec<String> {
        // As a grandchild: who starts the program has it for a child.
        ["strace", "-D"].map(str::to_owned).into_iter().chain(self.arguments()).collect()
    }

    fn arguments(self) -> Vec<String> {
        let mut words = ["-f", "-q", "-o", "/dev/null", "-e"].map(str::to_owned).to_vec();
        words.push(format!("inject={}", self.injected));
        for file in self.files {
            words.extend(["-P".to_owned(), file.display().to_string()]);
        }
        words
    }
}

/// A process whose disk fails.
#[derive(Debug)]
pub struct Failing {
    process: u32,
    strace: Option<Child>,
}

impl Failing {
    /// From now on.
    pub fn begin(process: u32, fault: Fault<'_>) -> Result<Self> {
        let mut strace = Command::new("strace");
        strace.args(fault.arguments()).args(["-p", &process.to_string()]);
        let strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("starting strace")?;
        let failing = Self { process, strace: Some(strace) };
        wait::until_true("strace to hold every thread", wait::SOON, || Ok(!tracers(process)?.contains(&0)))?;
        Ok(failing)
    }

    /// One that was started by a [`Fault::starter`].
    pub fn started(process: u32) -> Self {
        Self { process, strace: None }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        match &mut self.strace {
            Some(strace) => {
                let _ = strace.kill();
                let _ = strace.wait();
            }
            None => {
                // A tracer of 0 is none.
                for tracer in tracers(self.process).unwrap_or_default().into_iter().filter(|pid| *pid != 0) {
                    let _ = Command::new("kill").args(["-KILL", &tracer.to_string()]).status();
                }
            }
        }
    }
}

/// Who traces each thread of a process (proc_pid_status(5)); 0: nobody.
fn tracers(process: u32) -> Result<Vec<u32>> {
    let tasks = fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"))?;
    let tracer = |task: fs::DirEntry| {
        // A thread that has just ended is traced by nobody.
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().parse().ok()
    };
    Ok(tasks.flatten().filter_map(tracer).collect())
}
