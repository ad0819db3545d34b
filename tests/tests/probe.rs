//! A new address is asked for on the link before it is offered (row 24): who has it already keeps
//! it, and nobody else waits for that.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::exchange::{self, address, ask, from_client, message};
use xdhcpd_tests::frames::{EVERYBODY, FrameBuilder};
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: true
";

const TAGGED: &str = "
  - name: tagged
    interface: s0
    vlans: [5]
    subnet: 10.5.0.0/24
    selfIP: 10.5.0.2/24
    ranges: [10.5.0.100-10.5.0.110]
    probe: true
";

/// Behind a relay.
const REMOTE: &str = "
  - name: remote
    interface: s0
    subnet: 10.8.0.0/24
    ranges: [10.8.0.100-10.8.0.110]
    relays: [10.8.0.1]
    probe: true
";
const RELAY: [u8; 4] = [10, 8, 0, 1];
const US: [u8; 4] = [10, 9, 0, 2];

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 101);

const KNOWN: [u8; 6] = [2, 0, 0, 0, 1, 1];
const NEW: [u8; 6] = [2, 0, 0, 0, 1, 2];
const STRANGER: &str = "02:00:00:00:07:07";

/// Less than the time that a probe takes.
const AT_ONCE: Duration = Duration::from_millis(200);

fn can_run() -> bool {
    skip::is_root(&skip::this_test())
}

/// A host that has 10.9.0.100 by hand, on the clients' end of the link: `br0` is theirs then.
fn stranger(pair: &Pair) -> Result<NetNs> {
    let host = NetNs::new("h")?;
    pair.client.ip("link add br0 type bridge")?;
    pair.client.ip(&format!("link add b1 type veth peer name h0 netns {}", host.name()))?;
    for port in ["c0", "b1"] {
        pair.client.ip(&format!("link set {port} master br0 up"))?;
    }
    pair.client.ip("link set br0 up")?;
    host.ip(&format!("link set h0 address {STRANGER} up"))?;
    host.ip("address add 10.9.0.100/24 dev h0")?;
    Ok(host)
}

/// Waits for an ARP request behind the tag of VLAN 5, and answers it as a host that has the address.
fn answer_behind_the_tag(tap: &Tap) -> Result<()> {
    // Both MACs, the tag, the EtherType, then hardware and protocol types and their lengths.
    const REQUEST: [u8; 14] = [0x81, 0, 0, 5, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let request = until("an ARP request", SOON, || {
        let frame = tap.receive(SOON)?.context("nothing at all")?.bytes;
        Ok((frame.get(12..26) == Some(&REQUEST)).then_some(frame))
    })?;
    let (server, target) = (&request[6..12], &request[42..46]);
    let stranger = [2, 0, 0, 0, 7, 7];
    let answer = [server, &stranger, &REQUEST[..13], &[2], &stranger, target, server, &[0; 4]].concat();
    tap.send(&answer)
}

#[test]
fn c24_an_address_that_somebody_has_is_declined_and_the_next_one_given() -> Result<()> {
    if !can_run() || !Program::Udhcpc.is_there(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let _host = stranger(&pair)?;
    let server = Server::start(&pair.server, NETWORK)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "br0")?.ip, SECOND);
    let lease = server.lease(FIRST)?;
    assert_eq!(lease["state"], "declined", "{lease:#}");
    server.wait_for_log(&format!("10.9.0.100 is used by {STRANGER}"))?;
    assert_eq!(server.json("stats")?["networks"][0]["declined"], 1);
    Ok(())
}

#[test]
fn c24_without_probes_nobody_is_asked() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let _host = stranger(&pair)?;
    let server = Server::start(&pair.server, &NETWORK.replace("probe: true", "probe: false"))?;
    let tap = Tap::open(&pair.client, "c0")?;
    let asked = Instant::now();
    let offer = ask(&tap, &from_client(message::DISCOVER, NEW))?;
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(address(&offer), FIRST);
    assert_eq!(server.lease(FIRST)?["state"], "offered");
    Ok(())
}

#[test]
fn c24_a_tagged_host_is_found_behind_its_tag() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, TAGGED)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let discover = from_client(message::DISCOVER, NEW).vlan(5);
    tap.send(&discover.build())?;
    answer_behind_the_tag(&tap)?;
    let offer = exchange::reply_to(&tap, &discover, SOON)?;
    assert_eq!(offer.as_ref().map(address), Some(Ipv4Addr::new(10, 5, 0, 101)));
    assert_eq!(server.lease(Ipv4Addr::new(10, 5, 0, 100))?["state"], "declined");
    Ok(())
}

#[test]
fn c24_behind_a_relay_the_address_that_answers_a_ping_is_declined() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    pair.client.ip("address add 10.9.0.1/24 dev c0")?;
    pair.client.ip("address add 10.8.0.100/32 dev lo")?;
    pair.server.ip("route add 10.8.0.0/24 via 10.9.0.1")?;
    let server = Server::start(&pair.server, REMOTE)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let through_relay = |frame: &mut FrameBuilder| frame.destination = EVERYBODY;
    let discover = from_client(message::DISCOVER, NEW).relayed(RELAY, US).with(through_relay);
    assert_eq!(address(&ask(&tap, &discover)?), Ipv4Addr::new(10, 8, 0, 101));
    assert_eq!(server.lease(Ipv4Addr::new(10, 8, 0, 100))?["state"], "declined");
    Ok(())
}

#[test]
fn c24_a_known_client_is_answered_while_a_new_one_waits() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    // Without the program the agent answers everybody: even so nobody waits for another's probe.
    let server = Server::start_with(&pair.server, NETWORK, "fastPath: {mode: off}")?;
    let tap = Tap::open(&pair.client, "c0")?;
    let began = Instant::now();
    exchange::obtain(&tap, KNOWN, |frame| frame)?;
    assert!(began.elapsed() > AT_ONCE, "its address was probed");

    let new = from_client(message::DISCOVER, NEW);
    tap.send(&new.build())?;
    for _ in ["once", "and again"] {
        let asked = Instant::now();
        let [offer, _] = exchange::obtain(&tap, KNOWN, |frame| frame)?;
        assert!(asked.elapsed() < AT_ONCE / 2, "{:?}", asked.elapsed());
        assert_eq!(address(&offer), FIRST);
    }
    let reply = exchange::reply_to(&tap, &new, SOON)?;
    assert_eq!(reply.as_ref().map(address), Some(SECOND), "and the new one gets its own");
    assert_eq!(server.answered()?.agent, (4, 3));
    Ok(())
}
