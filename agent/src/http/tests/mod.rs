//! The routes, asked over a unix socket as they are in life.

mod exposition;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{AgentMetrics, Socket, Source, private, public, serve_tcp, serve_unix};
use crate::conditions::Conditions;
use crate::control::fake::{Fake, lease};
use crate::control::{Handle, Health, channel};
use crate::report::{LeasesReport, StatsReport};

/// A served agent; what it serves ends with it.
struct Agent {
    _folder: TempDir,
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: Arc<AgentMetrics>,
    conditions: Conditions,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Agent {
    fn start(handle: Handle) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.sock");
        let socket = Socket::bind(&path).unwrap();
        let (stop, metrics) = (CancellationToken::new(), Arc::default());
        let conditions = Conditions::default();
        let source = Source { handle, metrics: Arc::clone(&metrics), conditions: conditions.clone() };
        let router = private(source);
        let task = tokio::spawn(serve_unix(socket, router, stop.clone()));
        Self { _folder: folder, path, stop, task, metrics, conditions }
    }

    async fn get(&self, path: &str) -> Answer {
        ask(&self.path, &format!("GET {path} HTTP/1.0\r\n\r\n")).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        ask(&self.path, &format!("{head}\r\n\r\n{body}")).await
    }
}

/// Sends text, and reads up to the end: HTTP/1.0 marks the end of a body by closing.
async fn ask(path: &Path, request: &str) -> Answer {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    Answer::of(&text)
}

#[tokio::test]
async fn all_pages_make_one_list() {
    let agent = Agent::start(Fake::default().start());
    let answer = agent.get("/leases").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let report: LeasesReport = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(report.leases, (1..=5).map(lease).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_leases_make_an_empty_list() {
    let agent = Agent::start(Fake { leases: Vec::new(), ..Fake::default() }.start());
    assert_eq!(agent.get("/leases").await.json(), json!({"leases": []}));
}

#[tokio::test]
async fn leases_of_one_network_leave_out_the_others_though_their_pages_be_empty() {
    let agent = Agent::start(Fake::default().start());
    let ips = async |network| {
        let report = agent.get(&format!("/leases?network={network}")).await.json();
        let ips = report["leases"].as_array().unwrap().iter().map(|lease| lease["ip"].clone());
        ips.collect::<Vec<_>>()
    };
    assert_eq!(ips("rack2").await, ["10.9.0.3"]);
    assert_eq!(ips("rack1").await, ["10.9.0.1", "10.9.0.2", "10.9.0.4", "10.9.0.5"]);
}

#[tokio::test]
async fn an_unknown_network_is_an_error_that_names_those_there_are() {
    let agent = Agent::start(Fake::default().start());
    let answer = agent.get("/leases?network=nosuch").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"], r#"no network is called "nosuch"; there is rack1, rack2"#);
}

#[tokio::test]
async fn a_misspelt_parameter_is_an_error_and_not_ignored() {
    let agent = Agent::start(Fake::default().start());
    let answer = agent.get("/leases?netwrok=rack1").await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("netwrok"));
}

#[tokio::test]
async fn stats_are_those_of_the_loop() {
    let agent = Agent::start(Fake::default().start());
    let stats: StatsReport = serde_json::from_value(agent.get("/stats").await.json()).unwrap();
    assert_eq!(stats, Fake::default().snapshot.stats);
}

#[tokio::test]
async fn a_healthy_agent_says_so_and_no_more() {
    let agent = Agent::start(Fake::default().start());
    for path in ["/healthz", "/readyz", "/health", "/ready"] {
        let answer = agent.get(path).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"ok": true})), "{path}");
    }
}

#[tokio::test]
async fn an_agent_that_lives_but_is_not_ready_says_why() {
    let problems = vec!["the lease file cannot be written".to_owned()];
    let health = Health { live: true, ready: false, problems };
    let agent = Agent::start(Fake { health, ..Fake::default() }.start());
    assert_eq!(agent.get("/healthz").await.status, 200);
    let ready = agent.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json(), json!({"ok": false, "problems": ["the lease file cannot be written"]}));
}

#[tokio::test]
async fn an_agent_that_waits_for_something_else_is_live_and_not_ready() {
    let agent = Agent::start(Fake::default().start());
    let waiting = "the caches are not synced yet";
    agent.conditions.wait_for("caches", waiting);
    for (live, ready) in [("/healthz", "/readyz"), ("/health", "/ready")] {
        assert_eq!(agent.get(live).await.status, 200);
        let answer = agent.get(ready).await;
        assert_eq!((answer.status, answer.json()), (503, json!({"ok": false, "problems": [waiting]})));
    }
    agent.conditions.met("caches");
    assert_eq!(agent.get("/readyz").await.json(), json!({"ok": true}));
}

#[tokio::test]
async fn an_agent_whose_loop_ended_is_not_live() {
    let (handle, questions) = channel();
    drop(questions);
    let agent = Agent::start(handle);
    assert_eq!(agent.get("/healthz").await.status, 503);
    let stats = agent.get("/stats").await;
    assert_eq!(stats.status, 503);
    assert!(stats.json()["error"].as_str().unwrap().contains("run loop has ended"));
}

#[tokio::test]
async fn a_release_says_what_was_given_back_and_cannot_be_repeated() {
    let agent = Agent::start(Fake::default().start());
    let body = r#"{"mac":"02:00:00:00:00:02"}"#;
    let first = agent.post("/release", body).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.json(), json!({"ip": "10.9.0.2", "mac": "02:00:00:00:00:02", "network": "rack1"}));
    let second = agent.post("/release", body).await;
    assert_eq!(second.status, 409);
    assert_eq!(second.json()["error"], "10.9.0.2 is not in use: its lease is released");
    assert_eq!(agent.post("/release", r#"{"ip":"10.9.0.99"}"#).await.status, 404);
}

#[tokio::test]
async fn a_client_that_answers_keeps_its_address_unless_the_operator_insists() {
    let answering = vec![lease(1).ip];
    let agent = Agent::start(Fake { answering, ..Fake::default() }.start());
    let body = r#"{"ip":"10.9.0.1"}"#;
    let refused = agent.post("/release", body).await;
    assert_eq!(refused.status, 409);
    let stays = "10.9.0.1 stays leased: its client 02:00:00:00:00:01 still answers; --force gives it back all the same";
    assert_eq!(refused.json()["error"], stays);
    assert_eq!(agent.post("/release?force=yes", body).await.status, 400);
    assert_eq!(agent.post("/release?now=true", body).await.status, 400);
    assert_eq!(agent.post("/release?force=true", body).await.status, 200);
}

#[tokio::test]
async fn a_release_that_is_too_long_or_no_json_is_refused() {
    let agent = Agent::start(Fake::default().start());
    assert_eq!(agent.post("/release", &" ".repeat(8 << 10)).await.status, 413);
    assert_eq!(agent.post("/release", "10.9.0.1").await.status, 400);
    assert_eq!(agent.post("/release", r#"{"ip":"here"}"#).await.status, 422);
    assert_eq!(agent.get("/release").await.status, 405);
}

#[tokio::test]
async fn over_tcp_nothing_can_be_given_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let source = Source {
        handle: Fake::default().start(),
        metrics: Arc::default(),
        conditions: Conditions::default(),
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve_tcp(listener, public(source), stop.clone()));
    let ask = async |request: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        Answer::of(&text)
    };
    assert_eq!(ask("GET /readyz HTTP/1.0\r\n\r\n").await.status, 200);
    let release = "POST /release HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"ip\":\"10.9.0.1\"}";
    assert_eq!(ask(release).await.status, 404);
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn an_unknown_path_names_the_known_ones() {
    let agent = Agent::start(Fake::default().start());
    let answer = agent.get("/metric").await;
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].as_str().unwrap().contains("/metrics"));
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let agent = Agent::start(Fake::default().start());
    let request = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(32 << 10));
    let mut stream = UnixStream::connect(&agent.path).await.unwrap();
    // It may hang up before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    assert!(!text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn stopping_does_not_wait_for_an_idle_connection_and_removes_the_socket() {
    let agent = Agent::start(Fake::default().start());
    let mut idle = UnixStream::connect(&agent.path).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 8];
    idle.read_exact(&mut some).await.unwrap();
    agent.stop.cancel();
    tokio::time::timeout(Duration::from_secs(2), agent.task).await.expect("it ends").unwrap();
    assert!(!agent.path.exists());
}
