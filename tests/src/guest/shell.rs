//! Commands in a guest that runs, over a serial line that is for nothing else: what a kernel has to
//! say on its console does not get in between.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Guest;

/// The script of a guest that takes commands.
pub const SHELL: &str = include_str!("shell.sh");
/// How long a guest may take to start: two seconds on an idle machine, and far more on a busy one.
const START: Duration = Duration::from_mins(2);

/// The host's end of the line.
#[derive(Debug)]
pub(super) struct Shell(BufReader<UnixStream>);

impl Shell {
    fn connect(socket: &Path) -> Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(socket).context("connecting to the guest's shell")?)))
    }

    /// Runs a command to its end: how it ended, and what it printed.
    fn run(&mut self, command: &str, limit: Duration) -> Result<(u8, String)> {
        ensure!(!command.contains('\n'), "a command is one line: {command}");
        let Self(line) = self;
        line.get_ref().set_read_timeout(Some(limit))?;
        line.get_mut().write_all(format!("{command}\n").as_bytes())?;
        let mut told = String::new();
        line.read_line(&mut told)?;
        let (status, length) = ended(&told).with_context(|| format!("the guest's shell said {told:?}"))?;
        let mut printed = vec![0; length];
        line.read_exact(&mut printed)?;
        Ok((status, String::from_utf8_lossy(&printed).into_owned()))
    }
}

/// The two numbers of the line that follows a command.
fn ended(line: &str) -> Option<(u8, usize)> {
    let (status, length) = line.strip_suffix('\n')?.split_once(' ')?;
    Some((status.parse().ok()?, length.parse().ok()?))
}

impl Guest {
    /// Runs a line of shell to its end, in a guest whose script is [`SHELL`] on a machine that has a
    /// shell ([`super::Machine::shell`]): what it printed, or an error with that.
    pub fn run(&mut self, command: &str, limit: Duration) -> Result<String> {
        let (status, printed) = self.try_run(command, limit)?;
        if status != 0 {
            bail!("the guest's {command}: exit status {status}\n{printed}");
        }
        Ok(printed)
    }

    /// The same, however the command ends: its exit status, and what it printed.
    pub fn try_run(&mut self, command: &str, limit: Duration) -> Result<(u8, String)> {
        let mut shell = if let Some(shell) = self.shell.take() {
            shell
        } else {
            self.line("shell: ready", START)?;
            Shell::connect(&self.folder.path().join(super::SHELL_SOCKET))?
        };
        // After an error nobody knows what the line will bring next: it is not used again.
        let ran = shell.run(command, limit);
        let ran = ran.with_context(|| format!("the guest's {command}\n{}", self.last_words()))?;
        self.shell = Some(shell);
        Ok(ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_command_is_two_numbers() {
        assert_eq!(ended("101 4096\n"), Some((101, 4096)));
        for torn in ["", "101", "101 40", "x 1\n", "256 1\n"] {
            assert_eq!(ended(torn), None, "{torn:?}");
        }
    }
}
