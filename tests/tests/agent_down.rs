//! The fast path outlives the agent: known clients are answered while it is stopped or killed, and
//! a restart knows them all.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::{Agent, Server};
use xdhcpd_tests::skip;

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && Program::Udhcpc.is_there(&test)
}

/// Ended by `signal`, the agent leaves a kernel that answers known clients alone, commands that
/// read what is pinned, and a lease file from which the next agent goes on.
fn the_kernel_answers_without_an_agent(signal: &str) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let before = server.answered()?;

    let status = server.stop(signal)?;
    assert_eq!(status.success(), signal == "TERM", "{status}");
    let capture = Capture::start(&pair.client, "c0")?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);

    // What is pinned tells of it.
    let stats = server.json("stats")?;
    assert_eq!(stats["agent"]["running"], false);
    assert_eq!(stats["kernel"]["attached"], true);
    assert_eq!(server.answered()?.kernel, (before.kernel.0 + 1, before.kernel.1 + 1));
    let lease = server.lease(FIRST)?;
    assert_eq!(lease["state"], "bound");
    assert_eq!(lease["inKernel"], true);
    assert_eq!(lease["lastAnsweredBy"], "kernel");

    server.restart(&pair.server)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let after = server.answered()?;
    assert_eq!(after.agent, (0, 0), "the adopted entry is as good as before");
    assert_eq!(after.kernel, (before.kernel.0 + 2, before.kernel.1 + 2), "counters go on");
    if skip::is_there(&skip::this_test(), "tshark", "tshark") {
        assert_eq!(capture.finish()?.judge()?, 4);
    }
    Ok(())
}

#[test]
fn a_known_client_is_answered_while_the_agent_is_stopped() -> Result<()> {
    the_kernel_answers_without_an_agent("TERM")
}

#[test]
fn a_known_client_is_answered_after_the_agent_was_killed() -> Result<()> {
    the_kernel_answers_without_an_agent("KILL")
}

#[test]
fn without_a_fast_path_a_restart_knows_every_lease_from_its_file() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with(&pair.server, NETWORK, "fastPath: {mode: off}")?;
    let other = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    server.stop("KILL")?;
    server.restart(&pair.server)?;
    assert_eq!(server.lease(other.ip)?["state"], "bound");
    pair.client.ip("link set c0 address 02:00:00:00:00:77")?;
    let next = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    assert_ne!(next.ip, other.ip, "it is another's");
    Ok(())
}

#[test]
fn an_agent_that_neither_runs_nor_has_pins_is_exit_code_3() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let agent = Agent::named(&format!("xdhcpd-test-{}-never", std::process::id()));
    for command in ["leases", "stats"] {
        let output = agent.run(&[command])?;
        assert_eq!(output.status.code(), Some(3), "{command}: {output:?}");
        assert!(!output.stderr.is_empty(), "{command} says why");
        assert_eq!(agent.run(&[command, "--json"])?.status.code(), Some(3));
    }
    assert_eq!(agent.run(&["release", "10.9.0.100"])?.status.code(), Some(3));
    Ok(())
}

#[test]
fn detach_leaves_no_pin_and_no_program() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    server.stop("TERM")?;
    assert!(server.pins().join("LEASES").exists());
    assert!(pair.server.ip("link show s0")?.contains("xdp"));

    let output = server.run(&["detach"])?;
    assert!(output.status.success(), "{output:?}");
    assert!(!server.pins().exists());
    let link = pair.server.ip("link show s0")?;
    assert!(!link.contains("xdp"), "{link}");
    assert_eq!(server.run(&["stats"])?.status.code(), Some(3));

    // It can be had again, and the leases are still known: the client's first message brings its
    // entry back.
    server.restart(&pair.server)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let before = server.answered()?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let since = server.answered()?.since(before);
    assert!(since.is_a_known_clients(), "{since:?}");
    Ok(())
}

#[test]
fn detach_on_exit_takes_the_program_along() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with_arguments(&pair.server, NETWORK, &["--detach-on-exit"])?;
    assert!(server.pins().join("LEASES").exists());
    assert!(server.stop("TERM")?.success());
    assert!(!server.pins().exists());
    assert!(!pair.server.ip("link show s0")?.contains("xdp"));
    Ok(())
}
