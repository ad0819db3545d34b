//! The loader as a process: supervised, with few rights, and gone when its agent is.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::exchange::{self, address};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::process::{children, is_alive, status_line};
use xdhcpd_tests::server::{Agent, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF.
const LOADERS: u64 = 1 << 12 | 1 << 38 | 1 << 39;
/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
const AGENTS: u64 = 1 << 10 | 1 << 12 | 1 << 13 | 1 << 39;

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

/// The loader's process.
fn loader(server: &Server) -> Result<u32> {
    children(server.pid())?.first().copied().context("the agent has no child")
}

fn stats(server: &Server) -> Result<Value> {
    Ok(server.json("stats")?["loader"].clone())
}

/// Waits until the loader is in this state.
fn becomes(server: &Server, state: &str, restarts: u64) -> Result<()> {
    until_true(&format!("the loader to be {state} after {restarts} restarts"), SOON, || {
        let loader = stats(server)?;
        Ok(loader["state"] == state && loader["restarts"] == restarts)
    })
}

fn kill(process: u32) -> Result<()> {
    succeed(Command::new("kill").args(["-KILL", &process.to_string()])).map(drop)
}

/// Waits until the program is on `s0`, or not; how long that took.
fn program_comes(pair: &Pair, comes: bool) -> Result<Duration> {
    let begun = Instant::now();
    until_true("the program to come or go", SOON, || {
        Ok(pair.server.ip("link show s0")?.contains("xdp") == comes)
    })?;
    Ok(begun.elapsed())
}

#[test]
fn a_killed_loader_is_started_again_at_once_then_later_and_in_the_end_not_at_all() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let rule = "loader: {minInterval: 4s, window: 1h, maxFailures: 2}";
    let server = Server::start_with(&pair.server, NETWORK, rule)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(stats(&server)?["state"], "running");

    let first = loader(&server)?;
    kill(first)?;
    becomes(&server, "running", 1)?;
    let second = until("another process", SOON, || Ok(loader(&server).ok().filter(|now| *now != first)))?;
    let started = Instant::now();
    kill(second)?;
    becomes(&server, "killed", 1)?;
    until_true("its next start", SOON, || Ok(stats(&server)?["restarts"] == 2))?;
    assert!(started.elapsed() > Duration::from_secs(3), "starts are apart: {:?}", started.elapsed());
    kill(until("a third process", SOON, || Ok(loader(&server).ok()))?)?;
    becomes(&server, "fatal", 2)?;
    assert_eq!(children(server.pid())?, [0_u32; 0], "no zombie either");
    assert_eq!(server.log().matches("ERROR").count(), 1, "said once");

    // Clients are served on: known ones by what is pinned, others by the agent.
    let before = server.answered()?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert!(server.answered()?.since(before).is_a_known_clients());
    exchange::obtain(&tap, TWO, |frame| frame)?;
    succeed(&mut server.command(&["detach", "--force"]))?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(address(&ack), FIRST, "by the slow path now");
    Ok(())
}

#[test]
fn both_keep_only_the_capabilities_that_they_need_and_gain_none() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    for (process, allowed) in [(loader(&server)?, LOADERS), (server.pid(), AGENTS)] {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let status = thread?.path().join("status");
            let effective = u64::from_str_radix(&status_line(&status, "CapEff")?, 16)?;
            assert_eq!(effective & !allowed, 0, "{}: {effective:x}", status.display());
            assert_ne!(effective, 0, "root has what it needs");
            assert_eq!(status_line(&status, "NoNewPrivs")?, "1", "{}", status.display());
        }
    }
    Ok(())
}

/// Whoever detaches the program by hand has it back before long, and `ip` cannot even do that.
fn what_somebody_detached_is_back_within_two_seconds(mode: &str, place: &str) -> Result<()> {
    if !can_run() || !skip::is_there(&skip::this_test(), "bpftool", "bpftool") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, &format!("fastPath: {{mode: {mode}}}"))?;
    program_comes(&pair, true)?;
    let link = server.pins().join("link-s0");
    let by_hand = |program: &str, words: &[&str]| pair.server.command(program).args(words).output();
    // The kernel itself refuses that: the program is a link's.
    let refused = by_hand("ip", &["link", "set", "dev", "s0", place, "off"])?;
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("Can't replace active BPF XDP link"),
        "{refused:?}"
    );
    for (time, way) in ["a detached link", "a removed pin"].iter().enumerate() {
        let begun = Instant::now();
        if time == 0 {
            let output = by_hand("bpftool", &["link", "detach", "pinned", &link.display().to_string()])?;
            assert!(output.status.success(), "{output:?}");
        } else {
            fs::remove_file(&link)?;
        }
        until_true("the program to be put back", SOON, || {
            Ok(server.log().matches("XDP program put back in place").count() == time + 1)
        })?;
        assert!(begun.elapsed() < Duration::from_secs(2), "{way}: {:?}", begun.elapsed());
        let interface = server.json("stats")?["kernel"]["interfaces"][0].clone();
        assert_eq!((&interface["mode"], &interface["attached"]), (&mode.into(), &true.into()), "{way}");
    }
    assert_eq!(stats(&server)?["restarts"], 0, "by the same loader");
    if mode == "generic" {
        // What a native program sends is lost on its way to a peer without one.
        let tap = Tap::open(&pair.client, "c0")?;
        exchange::obtain(&tap, ONE, |frame| frame)?;
        let before = server.answered()?;
        exchange::obtain(&tap, ONE, |frame| frame)?;
        assert!(server.answered()?.since(before).is_a_known_clients());
    }
    Ok(())
}

#[test]
fn a_generic_program_that_somebody_detached_is_back_within_two_seconds() -> Result<()> {
    what_somebody_detached_is_back_within_two_seconds("generic", "xdpgeneric")
}

#[test]
fn a_native_program_that_somebody_detached_is_back_within_two_seconds() -> Result<()> {
    what_somebody_detached_is_back_within_two_seconds("native", "xdpdrv")
}

#[test]
fn what_is_taken_away_by_force_stays_away_until_the_configuration_is_read_again() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = server.run(&["detach"])?;
    assert!(refused.status.code() == Some(1) && said(&refused).contains("is running: stop it first"));
    assert!(pair.server.ip("link show s0")?.contains("xdp"));

    let forced = server.run(&["detach", "--force"])?;
    assert!(forced.status.success() && said(&forced).contains("runs on without a fast path"), "{forced:?}");
    // The loader has looked, and let it be.
    server.wait_for_log("`xdhcpd detach --force` has taken program and maps away")?;
    assert!(!pair.server.ip("link show s0")?.contains("xdp") && !server.pins().exists());
    let before = server.answered()?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(address(&ack), FIRST);
    assert_eq!(server.answered()?.agent, (before.agent.0 + 1, before.agent.1 + 1), "the agent answers alone");

    server.signal("HUP")?;
    program_comes(&pair, true)?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    let before = server.answered()?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert!(server.answered()?.since(before).is_a_known_clients());
    Ok(())
}

#[test]
fn an_interface_that_is_made_again_has_the_program_within_two_seconds() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    for _ in 0..2 {
        pair.server.ip("link del s0")?;
        server.wait_for_log("the XDP program cannot be put back")?;
        pair.server.ip(&format!("link add s0 type veth peer name c0 netns {}", pair.client.name()))?;
        pair.server.ip("address add 10.9.0.2/24 dev s0")?;
        pair.server.ip("link set s0 up")?;
        pair.client.ip("link set c0 up")?;
        let took = program_comes(&pair, true)?;
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    pair.server.ip("link set s0 down")?;
    pair.server.ip("link set s0 up")?;
    assert!(pair.server.ip("link show s0")?.contains("xdp"), "down and up it stays");
    Ok(())
}

/// Another program, held by nothing but its interface: gone when the value is dropped.
fn attach_other(pair: &Pair) -> Result<aya::Ebpf> {
    use aya::programs::{Xdp, XdpMode};
    let object = xdhcpd_tests::program::object();
    pair.server.inside(|| -> Result<_> {
        let mut ebpf = aya::EbpfLoader::new().load_file(&object)?;
        let program: &mut Xdp = ebpf.program_mut("xdhcpd").context("the program")?.try_into()?;
        program.load()?;
        program.attach("s0", XdpMode::Skb)?;
        Ok(ebpf)
    })?
}

#[test]
fn another_xdp_program_is_named_and_ours_takes_its_place_when_it_goes() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let other = attach_other(&pair)?;
    let server = Server::start(&pair.server, NETWORK)?;
    let id = until("its id", SOON, || {
        let shown = pair.server.ip("link show s0")?;
        Ok(shown.split("prog/xdp id ").nth(1).and_then(|rest| rest.split(' ').next().map(str::to_owned)))
    })?;
    server.wait_for_log(&format!("another XDP program is attached: xdhcpd (id {id});"))?;
    let stats = server.json("stats")?;
    assert_eq!(stats["kernel"]["attached"], false);
    assert_eq!(stats["loader"]["state"], "running");
    let tap = Tap::open(&pair.client, "c0")?;
    for _ in 0..2 {
        exchange::obtain(&tap, ONE, |frame| frame)?;
    }
    assert_eq!(server.answered()?.kernel, (0, 0), "the slow path serves");

    drop(other);
    let took = Instant::now();
    until_true("our program", SOON, || Ok(server.json("stats")?["kernel"]["attached"] == true))?;
    assert!(took.elapsed() < Duration::from_secs(2), "{:?}", took.elapsed());
    let before = server.answered()?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert!(server.answered()?.since(before).is_a_known_clients());
    Ok(())
}

#[test]
fn another_xdp_program_that_came_later_is_said_by_its_number_with_what_names_it() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let stop_and_go = |signal: &str| -> Result<()> {
        succeed(Command::new("kill").args([signal, &loader(&server)?.to_string()])).map(drop)
    };
    stop_and_go("-STOP")?;
    pair.server.ip("link del s0")?;
    pair.server.ip(&format!("link add s0 type veth peer name c0 netns {}", pair.client.name()))?;
    pair.server.ip("address add 10.9.0.2/24 dev s0")?;
    let other = attach_other(&pair)?;
    pair.server.ip("link set s0 up")?;
    pair.client.ip("link set c0 up")?;
    stop_and_go("-CONT")?;
    server.wait_for_log("another XDP program is attached: id ")?;
    assert!(server.log().contains("names it); `bpftool net show dev s0` shows how it is attached"));
    server.wait_for_log("the interfaces have changed, and are served as they are now")?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    drop(other);
    until_true("our program", SOON, || Ok(server.json("stats")?["kernel"]["attached"] == true))
}

#[test]
fn the_loader_ends_with_its_agent_however_that_ends_and_the_program_stays() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    for signal in ["TERM", "KILL"] {
        let process = loader(&server)?;
        // Not even one that does nothing any more is left behind.
        if signal == "KILL" {
            succeed(Command::new("kill").args(["-STOP", &process.to_string()]))?;
        }
        server.stop(signal)?;
        until_true("the loader to end", SOON, || Ok(!is_alive(process)))?;
        let before = server.answered()?;
        exchange::obtain(&tap, ONE, |frame| frame)?;
        assert_eq!(server.answered()?.kernel.1, before.kernel.1 + 1, "the kernel answers after SIG{signal}");
        server.restart(&pair.server)?;
        exchange::obtain(&tap, ONE, |frame| frame)?;
        assert_eq!(server.answered()?.agent, (0, 0), "what was there is adopted");
    }
    assert_eq!(server.log().matches("ERROR").count(), 0);
    Ok(())
}

#[test]
fn without_a_fast_path_there_is_no_loader() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, "fastPath: {mode: off}")?;
    assert_eq!(children(server.pid())?, [0_u32; 0]);
    assert_eq!(stats(&server)?["state"], "stopped");
    for (mode, processes) in [("auto", 1), ("off", 0)] {
        server.write_config(NETWORK, &format!("fastPath: {{mode: {mode}}}"))?;
        server.signal("HUP")?;
        until_true("the loader to come or go", SOON, || Ok(children(server.pid())?.len() == processes))?;
    }
    Ok(())
}

#[test]
fn limits_that_cannot_be_set_are_said_once_and_the_program_is_loaded_all_the_same() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let limits = "loader: {cpu: 500m, memory: 256Mi}";
    let server = Server::start_with(&pair.server, NETWORK, limits)?;
    assert!(pair.server.ip("link show s0")?.contains("xdp"));
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", loader(&server)?))?;
    if groups.lines().any(|line| line.starts_with("0::") && line.ends_with("/loader")) {
        return Ok(());
    }
    kill(loader(&server)?)?;
    becomes(&server, "running", 1)?;
    assert_eq!(server.log().matches("no limits of CPU and memory").count(), 1);
    Ok(())
}

#[test]
fn the_programs_own_log_is_in_the_agents() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, "fastPath: {log: info}")?;
    let tap = Tap::open(&pair.client, "c0")?;
    for _ in 0..2 {
        exchange::obtain(&tap, ONE, |frame| frame)?;
    }
    until_true("a line of the program's", SOON, || {
        Ok(server.log().lines().any(|line| line.contains("child=\"loader\"") && line.contains("answer")))
    })
}

#[test]
fn what_is_logged_of_which_module_holds_for_the_loader_too() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    server.stop("TERM")?;
    succeed(&mut server.command(&["detach"]))?;
    let log = server.folder().join("log-of-modules");
    let config = server.folder().join("config.yaml");
    let mut agent = pair.server.command(Agent::binary());
    agent.env("RUST_LOG", "error,xdhcpd::fastpath::attach=info").args(["run", "--config"]).arg(config);
    let mut agent = agent.stderr(fs::File::create(&log)?).spawn()?;
    let seen =
        until_true("the program", SOON, || Ok(fs::read_to_string(&log)?.contains("XDP program in place")));
    succeed(Command::new("kill").arg(agent.id().to_string()))?;
    assert!(agent.wait()?.success());
    seen?;
    let log = fs::read_to_string(&log)?;
    assert!(log.lines().all(|line| line.contains("child=\"loader\"")), "the agent's own is off: {log}");
    Ok(())
}
