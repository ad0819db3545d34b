//! Running other programs with their output in a log and a sign of life on the screen.
//!
//! Nothing here is silent for long: whatever takes over two seconds says what it is at.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A step that takes longer than this shows that it is alive.
const FIRST_BEAT: Duration = Duration::from_secs(2);
/// How often a step that goes on says so again: often enough to trust, seldom enough for a CI log.
const BEAT: Duration = Duration::from_secs(5);
/// A child that says nothing for this long hangs: no build step and no test is that slow.
const SILENCE_LIMIT: Duration = Duration::from_mins(15);
/// How often a silent child is looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long a child's output is still read after its end, when something it left behind holds the pipe.
const LINGER: Duration = Duration::from_secs(1);
/// Lines read ahead of whoever watches them.
const LINES_AHEAD: usize = 1024;

/// Follows a child's output.
pub trait Watcher {
    /// Takes the next line of output, without its end.
    fn line(&mut self, line: &str);
    /// What the child is at, in a few words.
    fn status(&self) -> String;
}

/// Keeps all output, to be shown if the child fails.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The lines so far.
    pub lines: Vec<String>,
}

impl Watcher for Transcript {
    fn line(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn status(&self) -> String {
        self.lines
            .iter()
            .rev()
            .map(|line| line.trim())
            .find(|line| !line.is_empty())
            .unwrap_or("starting")
            .into()
    }
}

/// The screen's side of a command: what is done, and how long after the start.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    silence_limit: Duration,
    /// Standard output is for data.
    beside_output: bool,
}

impl Progress {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { started: Instant::now(), silence_limit: SILENCE_LIMIT, beside_output: false }
    }

    /// The same, on standard error: for a command that prints data.
    #[must_use]
    pub fn beside_output(self) -> Self {
        Self { beside_output: true, ..self }
    }

    /// Prints one line about `step`.
    pub fn say(&self, step: &str, what: &str) {
        self.line(&format!("[{:6.1}s] {step}: {what}", self.started.elapsed().as_secs_f32()));
    }

    /// Prints a line as it is.
    pub fn line(&self, line: &str) {
        if self.beside_output {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    /// Runs `command` to its end; its output goes to `log` and `watcher`.
    ///
    /// What a child leaves running does not keep us, even when it holds the child's output open;
    /// a child that hangs is killed.
    pub fn run(
        &self,
        step: &str,
        mut command: Command,
        log: &Path,
        watcher: &mut dyn Watcher,
    ) -> Result<ExitStatus> {
        let mut log = open_log(log)?;
        writeln!(log, "$ {}", shown(&command))?;
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("cannot run {}", shown(&command)))?;
        // The command holds the pipe's writing ends; only the child may.
        drop(command);
        let lines = read_lines(reader);
        let mut pulse = Pulse::start();
        let mut last_line = Instant::now();
        loop {
            let received = lines.recv_timeout(POLL);
            let silent = received == Err(RecvTimeoutError::Timeout);
            match received {
                Ok(line) => {
                    last_line = Instant::now();
                    take(&line, &mut log, watcher)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(child.wait()?),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let beat = pulse.is_due();
            if beat {
                self.say(step, &watcher.status());
            }
            if last_line.elapsed() > self.silence_limit {
                self.say(step, &format!("killed: it said nothing for {:?}", self.silence_limit));
                child.kill()?;
            }
            if (silent || beat)
                && let Some(status) = child.try_wait()?
            {
                drain(&lines, |line| take(&line, &mut log, watcher))?;
                return Ok(status);
            }
        }
    }

    /// Runs `command`; when it fails, its whole output is shown and it is an error.
    pub fn run_or_show(&self, step: &str, command: Command, log: &Path) -> Result<()> {
        let command_line = shown(&command);
        let mut transcript = Transcript::default();
        let status = self.run(step, command, log, &mut transcript)?;
        if !status.success() {
            for line in transcript.lines.iter().filter(|line| !is_cargos_progress(line)) {
                self.line(&format!("    {line}"));
            }
            bail!("`{command_line}` failed ({status}); its output is above and in {}", log.display());
        }
        Ok(())
    }
}

/// When a step is to show that it is alive.
struct Pulse {
    last: Instant,
    wait: Duration,
}

impl Pulse {
    fn start() -> Self {
        Self { last: Instant::now(), wait: FIRST_BEAT }
    }

    fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.wait;
        if due {
            *self = Self { last: Instant::now(), wait: BEAT };
        }
        due
    }
}

/// `command` as it would be typed, without its environment.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Whether a line says what cargo is at rather than what is wrong.
pub fn is_cargos_progress(line: &str) -> bool {
    let verbs = ["Blocking", "Checking", "Compiling", "Downloaded", "Downloading", "Fresh", "Updating"];
    line.split_once(' ').is_some_and(|(_, rest)| {
        let word = rest.trim_start().split(' ').next();
        line.starts_with("  ") && word.is_some_and(|word| verbs.contains(&word))
    })
}

fn open_log(path: &Path) -> Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(path);
    log.with_context(|| format!("cannot write the log {}", path.display()))
}

fn take(line: &str, log: &mut File, watcher: &mut dyn Watcher) -> Result<()> {
    writeln!(log, "{line}")?;
    watcher.line(line);
    Ok(())
}

/// Reads lines on a thread of their own, which ends with the pipe or with its reader's interest.
fn read_lines(pipe: PipeReader) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(LINES_AHEAD);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// Takes what a child that has ended left in its pipe.
fn drain(lines: &Receiver<String>, mut take: impl FnMut(String) -> Result<()>) -> Result<()> {
    let end = Instant::now();
    while end.elapsed() < LINGER
        && let Ok(line) = lines.recv_timeout(POLL)
    {
        take(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (ExitStatus, Transcript) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut transcript = Transcript::default();
        let log = directory.path().join("logs/log");
        let status = Progress::start().run("shell", command, &log, &mut transcript).unwrap();
        let logged = fs::read_to_string(log).unwrap();
        assert!(transcript.lines.iter().all(|line| logged.contains(line.as_str())));
        (status, transcript)
    }

    #[test]
    fn both_outputs_are_kept_in_their_order() {
        let (status, transcript) = shell("echo one; echo two >&2; printf three; exit 3");
        assert_eq!(transcript.lines, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_grandchild_that_holds_the_output_open_does_not_keep_us() {
        let started = Instant::now();
        let (status, transcript) = shell("sleep 30 & echo done");
        assert!(status.success());
        assert_eq!(transcript.lines, ["done"]);
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let progress = Progress { silence_limit: Duration::from_millis(300), ..Progress::start() };
        let mut command = Command::new("sleep");
        command.arg("30");
        let started = Instant::now();
        let log = directory.path().join("log");
        let status = progress.run("sleep", command, &log, &mut Transcript::default()).unwrap();
        assert!(!status.success());
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_cargo_is_at_is_told_from_what_is_wrong() {
        assert!(is_cargos_progress("   Compiling syn v2.0.119"));
        assert!(is_cargos_progress("    Checking xdhcpd v0.1.0 (/src/agent)"));
        assert!(!is_cargos_progress("error: Compiling is hard"));
        assert!(!is_cargos_progress("  --> xtask/src/main.rs:1:1"));
        assert!(!is_cargos_progress(""));
    }

    #[test]
    fn the_status_is_the_last_line_that_says_something() {
        let (_, transcript) = shell("echo '  Compiling xdhcpd'; echo; echo '  '");
        assert_eq!(transcript.status(), "Compiling xdhcpd");
    }
}
