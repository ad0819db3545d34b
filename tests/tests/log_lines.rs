//! What the log says of leases: each allocation and each end is one line with the address, the client,
//! and what is left of the pool; a renewal is none.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::exchange::{self, address, ask, from_client, message};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.103]
    leaseTime: 1h
    minLeaseTime: 2s
    offerHold: 2s
    probe: false
    bootp: true
    reservations:
      - {mac: \"02:00:00:00:01:05\", ip: 10.9.0.5}
      - {mac: \"02:00:00:00:01:06\", ip: 10.9.0.6}
";

const US: [u8; 4] = [10, 9, 0, 2];
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
const RESERVED: [u8; 6] = [2, 0, 0, 0, 1, 5];
const BOOTP: [u8; 6] = [2, 0, 0, 0, 1, 6];

/// An agent, and the lines of its log that are about leases so far.
struct Lines {
    server: Server,
    seen: usize,
}

impl Lines {
    fn new_ones(&self) -> Vec<String> {
        let is_of_a_lease = |line: &&str| line.contains("remaining=");
        self.server.log().lines().filter(is_of_a_lease).skip(self.seen).map(str::to_owned).collect()
    }

    /// There comes one line more, which says this, and how many of the six addresses are left.
    fn next_is(&mut self, says: &str, remaining: u32) -> Result<()> {
        let lines =
            until(
                &format!("{says:?}"),
                SOON,
                || Ok(Some(self.new_ones()).filter(|lines| !lines.is_empty())),
            )?;
        let expected = format!("{says} network=\"rack1\" remaining={remaining} total=6");
        assert!(lines.len() == 1 && lines[0].ends_with(&expected), "{lines:#?} are not {expected:?}");
        self.seen += 1;
        Ok(())
    }
}

#[test]
fn each_allocation_and_each_end_is_one_line_with_what_is_left_of_the_pool() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let tap = Tap::open(&pair.client, "c0")?;
    let mut lines = Lines { server: Server::start(&pair.server, NETWORK)?, seen: 0 };
    let command = |lines: &Lines, words: &[&str]| succeed(&mut lines.server.command(words)).map(drop);

    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    let ip = address(&ack);
    assert_eq!(ip, Ipv4Addr::new(10, 9, 0, 100));
    lines.next_is("allocated 10.9.0.100 to 02:00:00:00:01:01", 5)?;
    exchange::obtain(&tap, RESERVED, |frame| frame)?;
    lines.next_is("allocated 10.9.0.5 to 02:00:00:00:01:05", 4)?;
    ask(&tap, &from_client(0, BOOTP).without_options())?;
    lines.next_is("allocated 10.9.0.6 to 02:00:00:00:01:06", 3)?;

    // Renewals, by the kernel and (of a client that asks for other options than before) by the agent.
    let before = lines.server.answered()?;
    let renewal = exchange::renewal(ONE, ip, US);
    for question in [renewal.clone(), renewal.option(55, &[1, 3, 6]), from_client(message::DISCOVER, ONE)] {
        ask(&tap, &question)?;
    }
    let since = lines.server.answered()?.since(before);
    assert!(since.kernel.1 == 1 && since.agent.1 == 1, "{since:?}");

    tap.send(&exchange::release(ONE, ip, US).build())?;
    lines.next_is("released 10.9.0.100 by 02:00:00:00:01:01", 4)?;
    ask(&tap, &from_client(message::REQUEST, ONE).option(50, &ip.octets()))?;
    lines.next_is("allocated 10.9.0.100 to 02:00:00:00:01:01", 3)?;
    tap.send(&from_client(message::DECLINE, ONE).option(50, &ip.octets()).option(54, &US).build())?;
    lines.next_is("declined 10.9.0.100 by 02:00:00:00:01:01", 3)?;
    command(&lines, &["release", "--force", "10.9.0.100"])?;
    lines.next_is("released 10.9.0.100 by 02:00:00:00:01:01", 4)?;

    // One that is not renewed, and an offer that nobody takes.
    exchange::obtain(&tap, TWO, |frame| frame.option(51, &[0, 0, 0, 2]))?;
    lines.next_is("allocated 10.9.0.101 to 02:00:00:00:01:02", 3)?;
    lines.next_is("expired 10.9.0.101 by 02:00:00:00:01:02", 4)?;
    ask(&tap, &from_client(message::DISCOVER, TWO))?;
    lines.next_is("allocated 10.9.0.101 to 02:00:00:00:01:02", 3)?;
    lines.next_is("expired 10.9.0.101 by 02:00:00:00:01:02", 4)?;
    // An offer that its client leaves for another server's.
    ask(&tap, &from_client(message::DISCOVER, TWO))?;
    lines.next_is("allocated 10.9.0.101 to 02:00:00:00:01:02", 3)?;
    tap.send(
        &from_client(message::REQUEST, TWO).option(54, &[10, 9, 0, 66]).option(50, &[10, 9, 0, 7]).build(),
    )?;
    lines.next_is("released 10.9.0.101 by 02:00:00:00:01:02", 4)?;

    command(&lines, &["release", "--force", "10.9.0.5"])?;
    lines.next_is("released 10.9.0.5 by 02:00:00:00:01:05", 5)?;
    assert_eq!(lines.new_ones(), [""; 0], "no other lines");
    Ok(())
}
