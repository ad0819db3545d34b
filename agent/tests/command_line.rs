//! The program itself against a served agent: what it prints where, and how it exits.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking, as it does"
)]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xdhcpd::control::{
    LeasePage, Question, ReleaseRefused, Released, Snapshot, Target, UnknownNetwork, channel,
};
use xdhcpd::http::{Socket, Source, private, serve_unix};
use xdhcpd::report::{LeaseReport, LeaseState, LeasesReport, Mac};

/// An agent with one lease, which a release takes away.
struct Agent {
    _folder: TempDir,
    socket: PathBuf,
}

fn lease() -> LeaseReport {
    LeaseReport {
        ip: Ipv4Addr::new(10, 9, 0, 100),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        client_id: None,
        host_name: Some("node1".into()),
        network: Some("rack1".into()),
        state: LeaseState::Bound,
        starts: None,
        expires: None,
        durable_until: None,
        in_kernel: true,
        last_answered_by: None,
    }
}

impl Agent {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // No agent of this machine has this name, and nothing of it is pinned.
        let socket = folder.path().join("command-line-test.sock");
        let (handle, mut questions) = channel();
        let source =
            Source { handle, metrics: Arc::default(), conditions: xdhcpd::conditions::Conditions::default() };
        let listening = Socket::bind(&socket).unwrap();
        tokio::spawn(serve_unix(listening, private(source), CancellationToken::new()));
        tokio::spawn(async move {
            let mut leases = vec![lease()];
            while let Some(question) = questions.recv().await {
                answer(&mut leases, question);
            }
        });
        Self { _folder: folder, socket }
    }
}

fn answer(leases: &mut Vec<LeaseReport>, question: Question) {
    match question {
        Question::Leases { query, reply } => {
            let page = match query.network {
                Some(name) if name != "rack1" => Err(UnknownNetwork { name, known: vec!["rack1".into()] }),
                _ => Ok(LeasePage { leases: leases.clone(), next: None }),
            };
            drop(reply.send(page));
        }
        Question::Release { target, reply, .. } => {
            let released = leases.pop().ok_or(ReleaseRefused::NoLease(target)).map(|lease| Released {
                ip: lease.ip,
                mac: lease.mac,
                network: "rack1".into(),
            });
            drop(reply.send(released));
        }
        Question::Snapshot { reply } => drop(reply.send(Snapshot::default())),
        // What no command asks for.
        Question::LeasesOf { .. } | Question::Health { .. } => {}
    }
}

fn program(socket: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xdhcpd"));
    command.args(line.split(' ')).env("XDHCPD_SOCKET", socket).kill_on_drop(true);
    command
}

async fn run(socket: &Path, line: &str) -> (Option<i32>, String, String) {
    let running = program(socket, line).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } =
        timeout(Duration::from_secs(20), running).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn leases_are_a_table_for_people_and_json_for_scripts() {
    let agent = Agent::start();
    let (code, table, stderr) = run(&agent.socket, "leases --network rack1").await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(table.starts_with("IP ") && table.contains("10.9.0.100") && table.contains("never"), "{table}");
    let (_, json, _) = run(&agent.socket, "leases --json").await;
    assert_eq!(serde_json::from_str::<LeasesReport>(&json).unwrap().leases, [lease()]);
}

#[tokio::test]
async fn an_unknown_network_fails_on_stderr_alone() {
    let agent = Agent::start();
    let (code, stdout, stderr) = run(&agent.socket, "leases --network nosuch").await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr, "xdhcpd: no network is called \"nosuch\"; there is rack1\n");
}

#[tokio::test]
async fn a_release_is_said_once_and_refused_twice() {
    let agent = Agent::start();
    let (code, stdout, _) = run(&agent.socket, "release 10.9.0.100").await;
    assert_eq!((code, stdout.as_str()), (Some(0), "released 10.9.0.100 of 02:00:00:00:00:01 on rack1\n"));
    let (code, _, stderr) = run(&agent.socket, "release 10.9.0.100").await;
    assert_eq!((code, stderr.as_str()), (Some(1), "xdhcpd: 10.9.0.100 has no lease\n"));
}

#[tokio::test]
async fn stats_as_json_are_the_promised_object() {
    let agent = Agent::start();
    let (code, json, _) = run(&agent.socket, "stats --json").await;
    let stats: Value = serde_json::from_str(&json).unwrap();
    let keys: Vec<_> = stats.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((code, keys), (Some(0), vec!["agent", "kernel", "loader", "networks"]));
}

#[tokio::test]
async fn detach_leaves_a_running_agent_alone() {
    let agent = Agent::start();
    let (code, _, stderr) = run(&agent.socket, "detach").await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("stop it first") && stderr.contains("--detach-on-exit"), "{stderr}");
}

#[tokio::test]
async fn without_an_agent_or_pins_everything_that_asks_exits_3() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("command-line-test.sock");
    for line in ["leases", "stats", "release 10.9.0.100", "detach", "leases --watch --json"] {
        let (code, stdout, stderr) = run(&socket, line).await;
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{line}");
        assert!(stderr.starts_with("xdhcpd: "), "{line}: {stderr}");
    }
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    let agent = Agent::start();
    for line in ["leases --netwrok x", "release", "run --log-level loud", "stats --name a/b"] {
        assert_eq!(run(&agent.socket, line).await.0, Some(2), "{line}");
    }
}

#[tokio::test]
async fn watching_prints_a_line_at_each_change_and_ends_at_an_interrupt() {
    let agent = Agent::start();
    let mut watching =
        program(&agent.socket, "leases --watch --json").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let next = async |lines: &mut tokio::io::Lines<_>| {
        let line = timeout(Duration::from_secs(20), lines.next_line()).await.expect("a line").unwrap();
        serde_json::from_str::<LeasesReport>(&line.expect("a line")).unwrap().leases.len()
    };
    assert_eq!(next(&mut lines).await, 1);
    // Some seconds without a change: the next line is the change's.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    run(&agent.socket, "release 10.9.0.100").await;
    assert_eq!(next(&mut lines).await, 0);

    let pid = Pid::from_raw(i32::try_from(watching.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let status = timeout(Duration::from_secs(20), watching.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let agent = Agent::start();
    let mut watching = program(&agent.socket, "leases --watch").stdout(Stdio::piped()).spawn().unwrap();
    drop(watching.stdout.take());
    let status = timeout(Duration::from_secs(20), watching.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_target_on_the_command_line_is_the_one_that_is_asked_for() {
    let (handle, mut questions) = channel();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("command-line-test.sock");
    let source =
        Source { handle, metrics: Arc::default(), conditions: xdhcpd::conditions::Conditions::default() };
    let listening = Socket::bind(&socket).unwrap();
    tokio::spawn(serve_unix(listening, private(source), CancellationToken::new()));
    let asked = tokio::spawn(async move {
        match questions.recv().await {
            Some(Question::Release { target, .. }) => Some(target),
            _ => None,
        }
    });
    let (code, _, stderr) = run(&socket, "release 02:00:00:00:00:0A").await;
    let asked = timeout(Duration::from_secs(20), asked).await.expect("it was asked").unwrap();
    assert_eq!(asked, Some(Target::Mac(Mac([2, 0, 0, 0, 0, 10]))));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("run loop has ended"), "{stderr}");
}
