//! Thousands of exchanges a second, each lease on disk before it is promised, and none lost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::perfdhcp::{self, Load};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;

const NETWORK: &str = "
  - name: hall
    interface: s0
    subnet: 10.9.0.0/16
    ranges: [10.9.1.0-10.9.200.255]
    relays: [10.9.255.1]
    leaseTime: 1h
    probe: false
";

/// perfdhcp speaks for all its clients from one address, and its budget is a relay's.
const LIMITS: &str = "log: {level: warn}\nlimits: {clientPerSecond: 10000, interfacePerSecond: 100000}";

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && skip::is_there(&test, "perfdhcp", "kea-admin")
}

/// A network with an agent, alone: two loads at one time would measure each other.
fn scene(network: &str) -> Result<(Pair, Server, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = Pair::with_address("10.9.0.2/16")?;
    pair.client.ip("address add 10.9.255.1/16 dev c0")?;
    let server = Server::start_with(&pair.server, network, LIMITS)?;
    Ok((pair, server, alone))
}

const LOAD: Load<'_> = Load {
    from: "10.9.255.1",
    server: "10.9.0.2",
    rate: 2000,
    clients: 50_000,
    seconds: 5,
    renewals: 0,
    releases: 0,
};

fn all_get_a_lease(network: &str) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let (pair, server, _alone) = scene(network)?;
    let report = perfdhcp::run(&pair.client, LOAD)?;
    let stats = server.json("stats")?;
    assert_eq!(report.unanswered(), 0, "{report:?} {stats:#}");
    assert!(report.acks.received > 8_000, "{report:?}");
    assert!(stats["networks"][0]["used"].as_u64().is_some_and(|used| used > 8_000), "{stats:#}");
    Ok(())
}

#[test]
fn two_thousand_new_clients_a_second_all_get_a_lease() -> Result<()> {
    all_get_a_lease(NETWORK)
}

/// The relay is on our own link, and so are its clients.
#[test]
fn c24_two_thousand_new_clients_a_second_all_get_a_lease_after_a_probe() -> Result<()> {
    all_get_a_lease(&NETWORK.replace("probe: false", "probe: true"))
}

#[test]
fn two_thousand_known_clients_a_second_are_answered_in_the_kernel() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let (pair, server, _alone) = scene(NETWORK)?;
    let few = Load { clients: 100, ..LOAD };
    perfdhcp::run(&pair.client, Load { rate: 100, seconds: 2, ..few })?;
    let before = server.answered()?;
    let report = perfdhcp::run(&pair.client, few)?;
    assert_eq!(report.unanswered(), 0, "{report:?}");
    let since = server.answered()?.since(before);
    assert!(since.kernel.1 > 8_000, "{since:?} {:#}", server.json("stats")?);
    // A hundred clients drawn by lot need not all have been met before.
    assert!(since.agent.1 < 400, "{since:?}");
    Ok(())
}
