//! The command line as people and scripts meet it: help, usage, and a client against a served agent.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::client::{Client, ClientError};
use super::{Cli, leases, release};
use crate::control::fake::{Fake, lease};
use crate::control::{Handle, Released, Target};
use crate::http::{AgentMetrics, Socket, Source, private, serve_unix};
use crate::report::{LeasesReport, Mac, StatsReport};

/// A served agent; what it serves ends with the test.
struct Agent {
    _folder: TempDir,
    socket: PathBuf,
}

impl Agent {
    fn start(handle: Handle) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.sock");
        let socket = Socket::bind(&path).unwrap();
        let source = Source {
            handle,
            metrics: Arc::new(AgentMetrics::default()),
            conditions: crate::conditions::Conditions::default(),
        };
        tokio::spawn(serve_unix(socket, private(source), CancellationToken::new()));
        Self { _folder: folder, socket: path }
    }

    fn client(&self) -> Client {
        Client::new(self.socket.clone())
    }
}

#[test]
fn the_commands_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_has_an_example_of_its_command() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let help = command.clone().render_long_help().to_string();
        assert!(help.contains(&format!("\n  xdhcpd {name}")), "{help}");
    }
}

#[test]
fn every_flag_has_its_variable() {
    for command in Cli::command().get_subcommands() {
        for flag in command.get_arguments().filter_map(|argument| Some((argument, argument.get_long()?))) {
            let (argument, long) = flag;
            if long == "help" {
                continue;
            }
            let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            let expected = format!("XDHCPD_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(variable, Some(expected), "{} --{long}", command.get_name());
        }
    }
}

#[test]
fn every_command_that_prints_data_has_json_and_a_name() {
    for command in Cli::command().get_subcommands() {
        let has = |flag: &str| command.get_arguments().any(|argument| argument.get_long() == Some(flag));
        let is = |names: &[&str]| names.contains(&command.get_name());
        assert!(has("json") || is(&["run", "loader", "controller", "uninstall"]), "{}", command.get_name());
        // The definitions are the same for all agents, a loader is told by its own, and a controller sees to
        // all that there are, as does what takes them away.
        let of_none = is(&["crds", "loader", "controller", "uninstall"]);
        assert!(has("name") && has("socket") || of_none, "{}", command.get_name());
    }
}

#[test]
fn wrong_usage_exits_2_and_help_0() {
    let code = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code();
    for line in [
        "xdhcpd",
        "xdhcpd lease",
        "xdhcpd leases --netwrok rack1",
        "xdhcpd leases --name a/b",
        "xdhcpd release",
        "xdhcpd release rack1",
        "xdhcpd run --log-level loud",
    ] {
        assert_eq!(code(line), 2, "{line}");
    }
    for line in ["xdhcpd --help", "xdhcpd --version", "xdhcpd release --help"] {
        assert_eq!(code(line), 0, "{line}");
    }
}

#[test]
fn wrong_usage_names_the_argument() {
    let text = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_err().to_string();
    assert!(text("xdhcpd leases --name a/b").contains("--name"));
    assert!(text("xdhcpd release rack1").contains("neither an IPv4 address"));
}

#[tokio::test]
async fn the_client_reads_what_the_agent_writes() {
    let agent = Agent::start(Fake::default().start());
    let leases: LeasesReport = agent.client().get("/leases?network=rack2").await.unwrap();
    assert_eq!(leases.leases, [lease(3)]);
    let stats: StatsReport = agent.client().get("/stats").await.unwrap();
    assert_eq!(stats, Fake::default().snapshot.stats);
}

#[tokio::test]
async fn the_client_passes_on_what_the_agent_refuses() {
    let agent = Agent::start(Fake::default().start());
    let target = Target::Mac(Mac([2, 0, 0, 0, 0, 1]));
    let released: Released = agent.client().post("/release", &target).await.unwrap();
    assert_eq!(released.ip, lease(1).ip);
    let error = agent.client().post::<Released>("/release", &target).await.unwrap_err();
    assert_eq!(error.to_string(), "10.9.0.1 is not in use: its lease is released");
}

#[tokio::test]
async fn where_nobody_listens_the_agent_is_not_running() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path().join("lab.sock"));
    assert!(matches!(client.get::<StatsReport>("/stats").await, Err(ClientError::NotRunning { .. })));
    drop(std::os::unix::net::UnixListener::bind(client.socket()).unwrap());
    assert!(!client.is_running().await.unwrap());
}

#[tokio::test]
async fn an_agent_that_hangs_up_is_a_failure_and_not_taken_for_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path().join("lab.sock"));
    let listener = tokio::net::UnixListener::bind(client.socket()).unwrap();
    let hanging_up = tokio::spawn(async move {
        drop(listener.accept().await);
        listener
    });
    assert!(matches!(client.get::<StatsReport>("/stats").await, Err(ClientError::Broken { .. })));
    hanging_up.await.unwrap();
}

#[tokio::test]
async fn an_agent_that_ends_while_it_is_asked_is_one_that_is_not_running() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path().join("lab.sock"));
    let listener = tokio::net::UnixListener::bind(client.socket()).unwrap();
    let ending = tokio::spawn(async move {
        let asked = listener.accept().await;
        drop(listener);
        drop(asked);
    });
    assert!(matches!(client.get::<StatsReport>("/stats").await, Err(ClientError::NotRunning { .. })));
    ending.await.unwrap();
}

/// The arguments of one command, for an agent that is not there.
fn without_agent(line: &str) -> (TempDir, Cli) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("no-such-agent.sock");
    let line = format!("{line} --socket {}", socket.display());
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    (folder, cli)
}

#[tokio::test]
async fn release_without_an_agent_exits_3_and_says_who_may() {
    let (_folder, cli) = without_agent("xdhcpd release 10.9.0.1");
    let super::Command::Release(arguments) = cli.command else { panic!("{cli:?}") };
    let failure = release::release(&arguments).await.unwrap_err();
    assert_eq!(failure.exit_code(), 3);
    assert!(format!("{failure:?}").contains("only a running agent"), "{failure:?}");
}

#[tokio::test]
async fn leases_without_an_agent_or_pins_exit_3() {
    let (_folder, cli) = without_agent("xdhcpd leases");
    let super::Command::Leases(arguments) = cli.command else { panic!("{cli:?}") };
    assert_eq!(leases::leases(&arguments).await.unwrap_err().exit_code(), 3);
}
