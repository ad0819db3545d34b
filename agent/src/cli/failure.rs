//! Why a command did not do what was asked, and the exit code of each.

use std::fmt::Display;

use super::client::ClientError;

/// The exit code of wrong usage.
pub const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// It was tried, and did not work.
    Failed(anyhow::Error),
    /// It did not work, and why has been printed.
    Told,
    /// The arguments make no sense together.
    Usage(String),
    /// The agent is not running, and nothing is pinned.
    NothingThere(String),
}

impl Failure {
    /// A failure in a sentence, with its cause.
    pub fn failed(what: impl Display + Send + Sync + 'static, cause: impl Into<anyhow::Error>) -> Self {
        Self::Failed(cause.into().context(what.to_string()))
    }

    /// As the cause of another failure.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Failed(error) => error,
            Self::Told => anyhow::anyhow!("failed"),
            Self::Usage(text) | Self::NothingThere(text) => anyhow::Error::msg(text),
        }
    }

    /// The code to exit with.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Told => 1,
            Self::Usage(_) => USAGE,
            Self::NothingThere(_) => 3,
        }
    }

    /// Prints it, unless that was done.
    pub fn tell(&self) {
        match self {
            Self::Failed(error) => note(format_args!("{error:#}")),
            Self::Usage(text) | Self::NothingThere(text) => note(text),
            Self::Told => {}
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotRunning { .. } => Self::NothingThere(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

/// A line on stderr. That there is no stderr is no reason to fail.
pub fn note(text: impl Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "xdhcpd: {text}");
}
