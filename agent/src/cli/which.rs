//! Which agent is meant: by its name, or by its socket.

use std::path::PathBuf;

use clap::Args;

use super::client::Client;
use super::failure::Failure;
use crate::{config, http};

/// The name of an agent that was given none.
const DEFAULT: &str = "default";

/// Which agent a command is about.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// The agent's name, running or not [default: default]
    #[arg(long, value_name = "NAME", env = "XDHCPD_NAME", value_parser = config::agent_name)]
    name: Option<String>,
    /// The agent's socket; its stem is the name [default: /run/xdhcpd/NAME.sock]
    #[arg(long, value_name = "PATH", env = "XDHCPD_SOCKET")]
    socket: Option<PathBuf>,
}

impl Which {
    /// The name, if one was given, by itself or as the socket's stem.
    pub fn given_name(&self) -> Result<Option<String>, Failure> {
        if self.name.is_some() {
            return Ok(self.name.clone());
        }
        let Some(socket) = &self.socket else { return Ok(None) };
        let stem = socket.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let wrong = |problem| Failure::Usage(format!("--socket: its stem names the agent: {problem}"));
        config::agent_name(stem).map(Some).map_err(wrong)
    }

    /// The agent's name.
    pub fn name(&self) -> Result<String, Failure> {
        Ok(self.given_name()?.unwrap_or_else(|| DEFAULT.to_owned()))
    }

    /// The socket, if one was given.
    pub fn given_socket(&self) -> Option<PathBuf> {
        self.socket.clone()
    }

    /// Asks the agent.
    pub fn client(&self) -> Result<Client, Failure> {
        let path = match &self.socket {
            Some(socket) => socket.clone(),
            None => http::path_of(&self.name()?),
        };
        Ok(Client::new(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(name: Option<&str>, socket: Option<&str>) -> Which {
        Which { name: name.map(str::to_owned), socket: socket.map(PathBuf::from) }
    }

    #[test]
    fn a_sockets_stem_is_the_name() {
        let which = which(None, Some("/tmp/lab-1.sock"));
        assert_eq!(which.name().unwrap(), "lab-1");
        assert_eq!(which.client().unwrap().socket(), PathBuf::from("/tmp/lab-1.sock"));
    }

    #[test]
    fn a_name_wins_over_a_stem_and_gives_the_socket() {
        assert_eq!(which(Some("a"), Some("/tmp/b.sock")).name().unwrap(), "a");
        assert_eq!(which(Some("a"), None).client().unwrap().socket(), PathBuf::from("/run/xdhcpd/a.sock"));
        assert_eq!(which(None, None).name().unwrap(), "default");
    }

    #[test]
    fn a_stem_that_is_no_name_is_wrong_usage() {
        let failure = which(None, Some("/tmp/a b.sock")).name().unwrap_err();
        assert_eq!(failure.exit_code(), super::super::failure::USAGE);
    }
}
