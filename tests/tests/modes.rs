//! The fast path's modes: off, generic and native, with the same leases in each.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use aya::EbpfLoader;
use aya::programs::{Xdp, XdpMode};
use xdhcpd_tests::exchange;
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::program;
use xdhcpd_tests::server::{Answered, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    probe: false
";

const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// Starts an agent in `mode` and asks twice; who answered the second time, and what it says of
/// the interface.
fn second_exchange(pair: &Pair, mode: &str) -> Result<(Answered, serde_json::Value)> {
    let server = Server::start_with(&pair.server, NETWORK, &format!("fastPath: {{mode: {mode}}}"))?;
    if mode != "off" {
        server.wait_for_log("XDP program in place")?;
    }
    let tap = Tap::open(&pair.client, "c0")?;
    let first = exchange::obtain(&tap, CLIENT, |frame| frame)?;
    let before = server.answered()?;
    let second = exchange::obtain(&tap, CLIENT, |frame| frame)?;
    for ack in [&first[1], &second[1]] {
        assert_eq!(exchange::address(ack), Ipv4Addr::new(10, 9, 0, 100));
    }
    assert_eq!(first, second, "whoever answers says the same");
    Ok((server.answered()?.since(before), server.json("stats")?["kernel"].clone()))
}

#[test]
fn off_leaves_all_to_the_agent() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let (answered, kernel) = second_exchange(&pair, "off")?;
    assert_eq!(answered, Answered { kernel: (0, 0), agent: (1, 1) });
    assert_eq!(kernel["attached"], false);
    assert!(!pair.server.ip("link show s0")?.contains("xdp"));
    Ok(())
}

#[test]
fn generic_answers_in_the_kernel() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let (answered, kernel) = second_exchange(&pair, "generic")?;
    assert_eq!(answered, Answered { kernel: (1, 1), agent: (0, 0) });
    assert_eq!(kernel["interfaces"][0]["mode"], "generic");
    Ok(())
}

#[test]
fn native_answers_in_the_kernel() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) {
        return Ok(());
    }
    let object = program::object();
    if !object.exists() {
        skip::skipped(&test, "no target/ebpf/xdhcpd.o: cargo xtask build-ebpf builds it");
        return Ok(());
    }
    let pair = Pair::new()?;
    // A veth end takes frames from its peer's XDP_TX only when it runs a program as well. Ours
    // serves when its maps say so: with empty ones it passes everything.
    let _passes = pair.client.inside(|| -> Result<_> {
        let mut ebpf = EbpfLoader::new().load_file(&object)?;
        let xdp: &mut Xdp = ebpf.program_mut("xdhcpd").context("the program")?.try_into()?;
        xdp.load()?;
        xdp.attach("c0", XdpMode::Driver)?;
        Ok(ebpf)
    })??;
    let (answered, kernel) = second_exchange(&pair, "native")?;
    assert_eq!(answered, Answered { kernel: (1, 1), agent: (0, 0) });
    assert_eq!(kernel["interfaces"][0]["mode"], "native");
    Ok(())
}
