//! An agent that is killed again and again under load gives no address twice.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::exchange::message;
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::perfdhcp::{self, Load};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Frame;
use xdhcpd_tests::wait::until_true;

const NETWORK: &str = "
  - name: hall
    interface: s0
    subnet: 10.9.0.0/16
    ranges: [10.9.1.0-10.9.200.255]
    relays: [10.9.255.1]
    leaseTime: 1h
    probe: false
";

const LIMITS: &str = "log: {level: warn}\nlimits: {clientPerSecond: 10000, interfacePerSecond: 100000}";

const LOAD: Load<'_> =
    Load { from: "10.9.255.1", server: "10.9.0.2", rate: 300, clients: 20_000, seconds: 8 };

/// How often the agent is killed, each time once it has made some promises.
const DEATHS: u64 = 5;
const PROMISES: u64 = 20;

#[test]
fn an_agent_killed_under_load_gives_no_address_twice() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !skip::is_there(&test, "perfdhcp", "kea-admin") {
        return Ok(());
    }
    let pair = Pair::with_address("10.9.0.2/16")?;
    pair.client.ip("address add 10.9.255.1/16 dev c0")?;
    let mut server = Server::start_with(&pair.server, NETWORK, LIMITS)?;
    let capture = Capture::start(&pair.client, "c0")?;
    std::thread::scope(|scope| -> Result<()> {
        let load = scope.spawn(|| perfdhcp::run(&pair.client, LOAD));
        for _ in 0..DEATHS {
            until_true("some promises", Duration::from_secs(10), || {
                Ok(server.answered()?.agent.0 >= PROMISES)
            })?;
            server.stop("KILL")?;
            server.restart(&pair.server)?;
        }
        load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    })?;
    let mut owners: HashMap<Ipv4Addr, [u8; 6]> = HashMap::new();
    let mut promises = 0;
    for (ip, client) in capture.finish()?.frames.iter().filter_map(promise) {
        promises += 1;
        let owner = *owners.entry(ip).or_insert(client);
        assert_eq!(owner, client, "{ip} was given to both");
    }
    assert!(promises > DEATHS * PROMISES, "{promises} promises");
    // What was promised is still known.
    let leases = server.json("leases")?;
    let known = leases["leases"].as_array().map_or(0, Vec::len);
    assert!(known >= owners.len(), "{known} of {} are known", owners.len());
    Ok(())
}

/// The address and the client of an ACK, or of an OFFER.
fn promise(frame: &Frame) -> Option<(Ipv4Addr, [u8; 6])> {
    let message = frame.bytes.get(14 + 20 + 8..)?;
    let is_promise = matches!(message.get(240..243)?, [53, 1, message::OFFER | message::ACK]);
    let ip: [u8; 4] = message.get(16..20)?.try_into().ok()?;
    let client: [u8; 6] = message.get(28..34)?.try_into().ok()?;
    is_promise.then_some((ip.into(), client))
}
