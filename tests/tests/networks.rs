//! Several networks in one agent: on two interfaces, behind a VLAN tag.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::exchange::{self, address};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::{Answered, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;

const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// VLAN 5, and what its tag looks like in a frame.
const TAGGED: &str = "
  - name: tagged
    interface: s0
    vlans: [5]
    subnet: 10.5.0.0/24
    selfIP: 10.5.0.2/24
    ranges: [10.5.0.100-10.5.0.110]
    probe: false
";
const TAG: (u16, u16) = (0x8100, 5);

#[test]
fn one_agent_serves_two_interfaces() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !Program::Udhcpc.is_there(&test) {
        return Ok(());
    }
    let pair = Pair::new()?;
    pair.server.ip(&format!("link add s1 type veth peer name c1 netns {}", pair.client.name()))?;
    pair.server.ip("address add 10.7.0.2/24 dev s1")?;
    pair.server.ip("link set s1 up")?;
    pair.client.ip("link set c1 up")?;
    let server = Server::start(
        &pair.server,
        "
  - {name: one, interface: s0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.110], probe: false}
  - {name: two, interface: s1, subnet: 10.7.0.0/24, ranges: [10.7.0.100-10.7.0.110], probe: false}
",
    )?;
    for (interface, ip, us, network) in
        [("c0", [10, 9, 0, 100], [10, 9, 0, 2], "one"), ("c1", [10, 7, 0, 100], [10, 7, 0, 2], "two")]
    {
        for is_as_expected in [Answered::is_a_new_clients, Answered::is_a_known_clients] {
            let before = server.answered()?;
            let lease = clients::obtain(Program::Udhcpc, &pair.client, interface)?;
            assert_eq!((lease.ip, lease.server), (Ipv4Addr::from(ip), Ipv4Addr::from(us)));
            let since = server.answered()?.since(before);
            assert!(is_as_expected(since), "{since:?}");
        }
        assert_eq!(server.lease(Ipv4Addr::from(ip))?["network"], network);
    }
    Ok(())
}

#[test]
fn a_tagged_client_is_answered_behind_its_tag_by_agent_and_kernel() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, TAGGED)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let capture = Capture::start(&pair.client, "c0")?;
    let first = exchange::obtain(&tap, CLIENT, |frame| frame.vlan(5))?;
    let new = server.answered()?;
    assert!(new.is_a_new_clients(), "{new:?}");
    let second = exchange::obtain(&tap, CLIENT, |frame| frame.vlan(5))?;
    let known = server.answered()?.since(new);
    assert!(known.is_a_known_clients(), "{known:?}");
    assert_eq!(first, second, "kernel and agent say the same");
    for reply in first.iter().chain(&second) {
        assert_eq!(reply.tags, [TAG]);
        assert_eq!(address(reply), Ipv4Addr::new(10, 5, 0, 100));
        assert_eq!(reply.option(54), Some([10, 5, 0, 2].as_slice()));
    }
    // The same client without its tag, or with another, is on a wire that nobody serves.
    for other in [exchange::from_client(1, CLIENT), exchange::from_client(1, CLIENT).vlan(6)] {
        assert!(exchange::is_met_with_silence(&tap, &other)?);
    }
    if skip::is_there(&test, "tshark", "tshark") {
        assert_eq!(capture.finish()?.judge()?, 4);
    }
    Ok(())
}
