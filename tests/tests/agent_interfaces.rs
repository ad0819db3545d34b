//! Interfaces that go away, come back, and come and go with a new configuration.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::exchange::{self, address};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
";

const SECOND_NETWORK: &str = "
  - name: rack2
    interface: s1
    subnet: 10.8.0.0/24
    ranges: [10.8.0.100-10.8.0.110]
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// Makes `s` and its peer `c`, up, the server's end with this address.
fn join(pair: &Pair, number: u8, address: &str) -> Result<()> {
    let client = pair.client.name();
    pair.server.ip(&format!("link add s{number} type veth peer name c{number} netns {client}"))?;
    pair.server.ip(&format!("address add {address} dev s{number}"))?;
    pair.server.ip(&format!("link set s{number} up"))?;
    pair.client.ip(&format!("link set c{number} up"))?;
    Ok(())
}

/// An interface that is deleted and made again is served again, with the leases there were.
fn an_interface_made_again_is_served_again(more: &str, has_program: bool) -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, more)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;

    pair.server.ip("link del s0")?;
    server.wait_for_log("network rack1: interface s0 is gone")?;
    join(&pair, 0, "10.9.0.2/24")?;
    server.wait_for_log("the interfaces have changed")?;
    let tap = Tap::open(&pair.client, "c0")?;
    for mac in [ONE, TWO, ONE] {
        let [_, ack] = exchange::obtain(&tap, mac, |frame| frame)?;
        assert_eq!(address(&ack) == FIRST, mac == ONE, "{mac:?} has {}", address(&ack));
    }
    assert_eq!(pair.server.ip("link show s0")?.contains("xdp"), has_program);
    assert_eq!(server.lease(FIRST)?["inKernel"], has_program);
    Ok(())
}

#[test]
fn an_interface_made_again_is_served_again_with_the_fast_path() -> Result<()> {
    an_interface_made_again_is_served_again("", true)
}

#[test]
fn an_interface_made_again_is_served_again_without_a_fast_path() -> Result<()> {
    an_interface_made_again_is_served_again("fastPath: {mode: off}", false)
}

#[test]
fn an_interface_that_was_down_is_served_when_it_is_up() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    pair.server.ip("link set s0 down")?;
    server.wait_for_log("network rack1: interface s0 is down")?;
    pair.server.ip("link set s0 up")?;
    until_true("the link to be up", SOON, || Ok(pair.client.ip("link show c0")?.contains("state UP")))?;
    for mac in [ONE, TWO] {
        exchange::obtain(&tap, mac, |frame| frame)?;
    }
    assert_eq!(server.lease(FIRST)?["mac"], "02:00:00:00:01:01");
    Ok(())
}

#[test]
fn a_new_address_of_the_interface_is_what_replies_name() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    pair.server.ip("address del 10.9.0.2/24 dev s0")?;
    server.wait_for_log("interface s0 has no IPv4 address to answer from")?;
    server.wait_for_log("it answers as 10.9.0.2 still")?;
    let [offer, _] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(offer.option(54), Some([10, 9, 0, 2].as_slice()), "that is so");
    pair.server.ip("address add 10.9.0.3/24 dev s0")?;
    server.wait_for_log("the interfaces have changed")?;
    for _ in 0..2 {
        let [offer, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
        assert_eq!(address(&ack), FIRST);
        for reply in [offer, ack] {
            assert_eq!(reply.option(54), Some([10, 9, 0, 3].as_slice()));
        }
    }
    Ok(())
}

#[test]
fn a_new_hardware_address_of_the_interface_is_what_frames_come_from() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    pair.server.ip("link set s0 address 02:00:00:00:09:09")?;
    server.wait_for_log("the interfaces have changed")?;
    // By the agent, for the kernel's entry is of before.
    for reply in exchange::obtain(&tap, ONE, |frame| frame)? {
        assert_eq!(reply.source, [2, 0, 0, 0, 9, 9]);
    }
    let before = server.answered()?;
    let [offer, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert!(server.answered()?.since(before).is_a_known_clients());
    assert_eq!([offer.source, ack.source], [[2, 0, 0, 0, 9, 9]; 2], "the kernel's frames, too");
    Ok(())
}

#[test]
fn a_new_configuration_adds_and_removes_interfaces() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    join(&pair, 1, "10.8.0.2/24")?;
    let server = Server::start(&pair.server, NETWORK)?;
    let first = Tap::open(&pair.client, "c0")?;
    let second = Tap::open(&pair.client, "c1")?;
    exchange::obtain(&first, ONE, |frame| frame)?;

    // The second comes before the first, so that the networks' numbers change.
    server.write_config(&format!("{SECOND_NETWORK}{NETWORK}"), "")?;
    server.signal("HUP")?;
    server.wait_for_log("the configuration is served")?;
    let [_, ack] = exchange::obtain(&second, TWO, |frame| frame)?;
    assert_eq!(address(&ack), Ipv4Addr::new(10, 8, 0, 100));
    let [_, ack] = exchange::obtain(&first, ONE, |frame| frame)?;
    assert_eq!(address(&ack), FIRST);
    assert_eq!(server.lease(FIRST)?["network"], "rack1");

    server.write_config(SECOND_NETWORK, "")?;
    server.signal("HUP")?;
    until_true("the first to be gone", SOON, || {
        Ok(!pair.server.ip("link show s0")?.contains("xdp") && server.lease(FIRST)?.is_null())
    })?;
    let discover = exchange::from_client(exchange::message::DISCOVER, ONE);
    assert!(exchange::is_met_with_silence(&first, &discover)?, "it is not served any more");
    exchange::obtain(&second, TWO, |frame| frame)?;

    // Its leases were kept meanwhile.
    server.write_config(&format!("{NETWORK}{SECOND_NETWORK}"), "")?;
    server.signal("HUP")?;
    until_true("the first to be back", SOON, || Ok(server.lease(FIRST)?["mac"] == "02:00:00:00:01:01"))?;
    let [_, ack] = exchange::obtain(&first, TWO, |frame| frame)?;
    assert_ne!(address(&ack), FIRST);
    Ok(())
}

#[test]
fn what_takes_a_restart_is_said() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    server.write_config(NETWORK, "log: {level: debug}\nhttp: {listen: \"127.0.0.1:9168\"}")?;
    server.signal("HUP")?;
    for said in ["`http` is changed by a restart alone", "`log` is changed by a restart alone"] {
        server.wait_for_log(said)?;
    }
    server.write_config(NETWORK, "leases: {dir: /nowhere}")?;
    server.signal("HUP")?;
    server.wait_for_log("it takes a restart; nothing is changed")?;
    Ok(())
}

#[test]
fn a_new_configuration_switches_the_fast_path_off_and_on() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    for (mode, has_program) in [("off", false), ("auto", true)] {
        server.write_config(NETWORK, &format!("fastPath: {{mode: {mode}}}"))?;
        server.signal("HUP")?;
        until_true("the program to come or go", SOON, || {
            let is_there = server.json("stats")?["kernel"]["attached"] == true;
            Ok(is_there == has_program && pair.server.ip("link show s0")?.contains("xdp") == has_program)
        })?;
        for mac in [ONE, TWO, ONE] {
            let [_, ack] = exchange::obtain(&tap, mac, |frame| frame)?;
            assert_eq!(address(&ack) == FIRST, mac == ONE, "{mac:?} has {}", address(&ack));
        }
        assert_eq!(server.lease(FIRST)?["inKernel"], has_program);
    }
    Ok(())
}
