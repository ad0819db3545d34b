//! Another version of the agent finds the maps that one left: an earlier one's are taken over while
//! clients renew, a later one's are refused.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xdhcpd::fastpath::Pinned;
use xdhcpd_common::times::SECOND;
use xdhcpd_tests::exchange::{self, address, renewal};
use xdhcpd_tests::former::{self, EARLIER, LATER};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::process::children;
use xdhcpd_tests::random::Random;
use xdhcpd_tests::renewals::{self, PATIENCE, Renewals, mac, while_clients_renew};
use xdhcpd_tests::server::{self, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.200]
    leaseTime: 1h
    probe: false
";

/// Nanoseconds of the lease time; and of what the agent's clock may be behind a request's, for it looks
/// at the clock before it reads.
const HOUR: u64 = 3600 * SECOND;

const SERVER: [u8; 4] = [10, 9, 0, 2];

/// Threads of clients that renew, and how many clients each is.
const THREADS: u8 = 4;
const EACH: u8 = 10;

/// Where health and metrics are, in the namespace.
const HTTP: &str = "127.0.0.1:9167";

/// Decides at which moments processes are killed.
const SEED: u64 = 5;

fn can_run() -> bool {
    let test = skip::this_test();
    if !skip::is_root(&test) {
        return false;
    }
    let is_built = xdhcpd::fastpath::is_built();
    if !is_built {
        skip::skipped(&test, "needs the XDP program: `cargo xtask build-ebpf` before the tests are built");
    }
    is_built
}

/// The pinned link of the interface, as bpftool shows it: its id, and its program's.
fn link(server: &Server) -> Result<(u64, u64)> {
    let pin = server.pins().join("link-s0");
    let shown = succeed(Command::new("bpftool").args(["-j", "link", "show", "pinned"]).arg(pin))?;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    Ok((shown["id"].as_u64().context("an id")?, shown["prog_id"].as_u64().context("a program")?))
}

fn is_attached(server: &Server) -> bool {
    server.json("stats").is_ok_and(|stats| stats["kernel"]["attached"] == true)
}

/// Tells a pin from one that took its place; none: there is none.
fn inode(pin: &Path) -> Option<u64> {
    std::fs::metadata(pin).ok().map(|file| file.ino())
}

/// Every lease is still its client's, and none ends before what its last ACK promised.
fn nothing_is_lost(server: &Server, renewals: &[Renewals]) -> Result<()> {
    let entries = Pinned::open(server.name())?.context("maps")?.leases()?;
    for (client, sent) in renewals.iter().flat_map(|renewals| &renewals.last) {
        let entry = entries.iter().find(|(key, _)| key.mac == client.mac);
        let (_, entry) = entry.with_context(|| format!("no entry for {client:?}"))?;
        ensure!(Ipv4Addr::from(entry.ip) == client.ip, "{client:?} has {entry:?}");
        ensure!(entry.expires + SECOND >= sent + HOUR, "{client:?} renewed at {sent}, and has {entry:?}");
    }
    let leases = server.json("leases")?;
    let bound =
        leases["leases"].as_array().context("leases")?.iter().filter(|lease| lease["state"] == "bound");
    ensure!(bound.count() == usize::from(THREADS * EACH), "{leases}");
    Ok(())
}

#[test]
fn an_upgrade_while_clients_renew_misses_no_answer_and_loses_no_entry() -> Result<()> {
    if !can_run() || !skip::is_there(&skip::this_test(), "bpftool", "bpftool") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let clients = renewals::clients(&pair, SERVER, THREADS, EACH)?;
    server.stop("TERM")?;
    let before = server.answered()?;
    former::take_over(&server.pins(), EARLIER)?;
    let asked = server.run(&["stats"])?;
    assert!(String::from_utf8_lossy(&asked.stderr).contains("an agent takes them over"), "{asked:?}");

    let (id, program) = link(&server)?;
    let renewals = while_clients_renew(&pair, &clients, || {
        server.restart(&pair.server)?;
        // Until the kernel answers every client again.
        until_true("a second of renewals by the kernel alone", SOON, || {
            let before = server.answered()?;
            std::thread::sleep(Duration::from_secs(1));
            let since = server.answered()?.since(before);
            Ok(since.kernel.1 > 0 && since.agent.1 == 0)
        })
    })?;
    let acks: u64 = renewals.iter().map(|renewals| renewals.acks).sum();
    let slowest = renewals.iter().map(|renewals| renewals.slowest).max();
    println!("{acks} renewals acknowledged, the slowest after {slowest:?}");
    nothing_is_lost(&server, &renewals)?;
    let (id_now, program_now) = link(&server)?;
    assert_eq!(id_now, id, "there was no moment without a program");
    assert_ne!(program_now, program);
    let after = server.answered()?;
    assert_eq!(after.kernel.1 - before.kernel.1 + after.agent.1, acks, "each is counted, before and after");
    assert!(after.agent.1 >= u64::from(THREADS * EACH), "the agent looked at each client once");
    let log = server.log();
    assert!(log.contains("of an earlier layout") && !log.contains("ERROR"));
    Ok(())
}

#[test]
fn an_upgrade_that_is_killed_at_any_moment_is_gone_on_with() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let clients = renewals::clients(&pair, SERVER, THREADS, EACH)?;
    let mut luck = Random::new(SEED);
    // From a moment before other maps are there to one after the program is exchanged.
    let moments = ["LEASES_new", "LEASES_old", "program_new", "program"].map(|name| server.pins().join(name));
    for (round, moment) in moments.iter().chain(&moments).enumerate() {
        server.stop("TERM")?;
        former::take_over(&server.pins(), EARLIER)?;
        let before = inode(moment);
        let mut agent = server::spawn(&pair.server, server.folder(), &[])?;
        let begun = Instant::now();
        while inode(moment) == before && begun.elapsed() < PATIENCE {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(luck.word() % 20_000));
        if round < moments.len() {
            agent.kill()?;
        } else {
            // The agent goes on without its loader, and gets another.
            let loader = until("the loader", SOON, || Ok(children(agent.id())?.first().copied()))?;
            succeed(Command::new("kill").args(["-KILL", &loader.to_string()]))?;
            until_true("the program", SOON, || Ok(is_attached(&server)))?;
            succeed(Command::new("kill").args(["-TERM", &agent.id().to_string()]))?;
        }
        agent.wait()?;
        server.restart(&pair.server)?;
        until_true("the program", SOON, || Ok(is_attached(&server)))?;
        for pin in &moments[..3] {
            assert!(!pin.exists(), "round {round}: {} is left", pin.display());
        }
        let renewals = while_clients_renew(&pair, &clients, || Ok(()))?;
        nothing_is_lost(&server, &renewals).with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

#[test]
fn a_downgrade_is_refused_with_its_reason_and_the_slow_path_serves() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with(&pair.server, NETWORK, &format!("http: {{listen: {HTTP:?}}}"))?;
    let tap = Tap::open(&pair.client, "c0")?;
    let [_, ack] = exchange::obtain(&tap, mac(1, 1), |frame| frame)?;
    let ip = address(&ack);
    server.stop("TERM")?;
    former::take_over(&server.pins(), LATER)?;
    let asked = server.run(&["leases"])?;
    let reason = format!("layout {LATER} is a later version's");
    assert!(String::from_utf8_lossy(&asked.stderr).contains(&reason), "{asked:?}");
    exchange::ask(&tap, &renewal(mac(1, 1), ip, SERVER)).context("the later version's program answers")?;

    server.restart(&pair.server)?;
    assert!(!pair.server.ip("link show s0")?.contains("xdp"), "maps that nobody can change answer no more");
    let log = server.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(
        matches!(errors[..], [line] if line.contains(&reason) && line.contains("started again it makes new ones")),
        "{errors:?}"
    );
    let stats = server.json("stats")?;
    assert_eq!(stats["kernel"]["attached"], false);
    assert_eq!(stats["kernel"]["interfaces"][0]["mode"], "off");
    assert_eq!(stats["loader"]["state"], "fatal");
    let (_, metrics) = server.http(HTTP, "/metrics")?;
    assert!(metrics.contains("xdhcpd_fastpath_attached{interface=\"s0\",mode=\"off\"} 0"), "{metrics}");
    let (status, body) = server.http(HTTP, "/readyz")?;
    assert!(status == 200 && body.contains(&reason), "{status} {body}");

    for _ in 0..2 {
        let [_, ack] = exchange::obtain(&tap, mac(1, 1), |frame| frame)?;
        assert_eq!(address(&ack), ip);
    }
    assert_eq!(server.answered()?.agent, (2, 2), "the slow path serves");
    server.stop("TERM")?;
    server.restart(&pair.server)?;
    exchange::obtain(&tap, mac(1, 1), |frame| frame)?;
    until("the fast path", SOON, || {
        let before = server.answered()?;
        exchange::obtain(&tap, mac(1, 1), |frame| frame)?;
        Ok(server.answered()?.since(before).is_a_known_clients().then_some(()))
    })
}

#[test]
fn a_network_that_grows_while_clients_renew_misses_no_answer() -> Result<()> {
    if !can_run() || !skip::is_there(&skip::this_test(), "bpftool", "bpftool") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let clients = renewals::clients(&pair, SERVER, THREADS, EACH)?;
    let (id, program) = link(&server)?;
    let more = "
  - name: rack2
    interface: s0
    subnet: 10.10.0.0/16
    ranges: [10.10.0.10-10.10.100.0]
    relays: [10.10.255.1]
    probe: false
";
    let renewals = while_clients_renew(&pair, &clients, || {
        server.write_config(&format!("{NETWORK}{more}"), "")?;
        server.signal("HUP")?;
        server.wait_for_log("the configuration is served")?;
        until_true("the program", SOON, || Ok(is_attached(&server)))
    })?;
    let (id_now, program_now) = link(&server)?;
    assert_eq!(id_now, id, "there was no moment without a program");
    assert_ne!(program_now, program);
    assert!(server.log().contains("LEASES is replaced"));
    nothing_is_lost(&server, &renewals)
}
