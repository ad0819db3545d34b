//! What an agent finds on its disk when it starts again: leases, and another configuration.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::exchange::{self, address, from_client, message};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 101);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];

#[test]
fn an_agent_killed_again_and_again_gives_no_address_twice() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let mut given: Vec<([u8; 6], Ipv4Addr)> = Vec::new();
    for last in 1..=4 {
        let mac = [2, 0, 0, 0, 2, last];
        let [_, ack] = exchange::obtain(&tap, mac, |frame| frame)?;
        assert!(given.iter().all(|(_, ip)| *ip != address(&ack)), "{mac:?} got another's {given:?}");
        given.push((mac, address(&ack)));
        // One more offer is on its way when it dies.
        tap.send(&from_client(message::DISCOVER, [2, 0, 0, 0, 3, last]).build())?;
        server.stop("KILL")?;
        server.restart(&pair.server)?;
        for (mac, ip) in &given {
            let [_, ack] = exchange::obtain(&tap, *mac, |frame| frame)?;
            assert_eq!(address(&ack), *ip, "{mac:?} keeps its address");
        }
    }
    assert!(given.iter().any(|(_, ip)| *ip == FIRST) && given.iter().all(|(_, ip)| *ip >= FIRST));
    Ok(())
}

#[test]
fn a_configuration_changed_while_the_agent_was_down_is_what_the_next_reply_says() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let with_dns = |dns: &str| format!("{NETWORK}    options: {{dns: [{dns}]}}\n");
    let mut server = Server::start(&pair.server, &with_dns("10.9.0.53"))?;
    let tap = Tap::open(&pair.client, "c0")?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(ack.option(6), Some([10, 9, 0, 53].as_slice()));
    server.stop("TERM")?;
    server.write_config(&with_dns("10.9.0.99"), "")?;
    server.restart(&pair.server)?;
    for turn in ["first", "second"] {
        let [offer, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
        assert_eq!(address(&ack), FIRST);
        for reply in [offer, ack] {
            assert_eq!(reply.option(6), Some([10, 9, 0, 99].as_slice()), "{turn} time");
        }
    }
    let [_, other] = exchange::obtain(&tap, TWO, |frame| frame)?;
    assert_eq!(address(&other), SECOND);
    Ok(())
}
