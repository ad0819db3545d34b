//! Health, metrics and leases over HTTP, as a probe and a scraper see them.

use anyhow::Result;
use serde_json::Value;
use xdhcpd_tests::exchange::{self, message};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    probe: false
";

const HTTP: &str = "127.0.0.1:9167";

const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 1];

#[test]
fn health_metrics_and_leases_answer_over_http() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, "http: {listen: \"127.0.0.1:9167\"}")?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, CLIENT, |frame| frame)?;
    exchange::obtain(&tap, CLIENT, |frame| frame)?;

    assert_eq!(server.http(HTTP, "/healthz")?.0, 200);
    let (status, body) = server.http(HTTP, "/readyz")?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(server.http(HTTP, "/no-such-page")?.0, 404);

    let (status, leases) = server.http(HTTP, "/leases")?;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&leases)?, server.json("leases")?);

    let (status, metrics) = server.http(HTTP, "/metrics")?;
    assert_eq!(status, 200);
    for line in [
        "xdhcpd_replies_total{path=\"agent\",type=\"offer\"} 1",
        "xdhcpd_replies_total{path=\"kernel\",type=\"offer\"} 1",
        "xdhcpd_pool_addresses{network=\"rack1\",state=\"total\"} 11",
        "xdhcpd_fastpath_attached{interface=\"s0\",mode=\"generic\"} 1",
    ] {
        assert!(metrics.lines().any(|have| have == line), "no {line} in\n{metrics}");
    }
    for name in ["xdhcpd_reply_seconds", "xdhcpd_journal_sync_seconds", "xdhcpd_build_info"] {
        assert!(metrics.contains(&format!("# HELP {name}")), "no {name} in\n{metrics}");
    }
    Ok(())
}

#[test]
fn c27_an_empty_pool_is_silence_one_warning_and_a_metric() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let one_address = NETWORK.replace("10.9.0.100-10.9.0.110", "10.9.0.100-10.9.0.100");
    let server = Server::start_with(&pair.server, &one_address, "http: {listen: \"127.0.0.1:9167\"}")?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, CLIENT, |frame| frame)?;
    for last in 2..=4 {
        let late = exchange::from_client(message::DISCOVER, [2, 0, 0, 0, 1, last]);
        assert!(exchange::is_met_with_silence(&tap, &late)?, "there is no address for it");
    }
    let warning = "no free address for 02:00:00:00:01:02 on rack1: the pool is empty";
    server.wait_for_log(warning)?;
    assert_eq!(server.log().matches("the pool is empty").count(), 1, "{}", server.log());
    let (_, metrics) = server.http(HTTP, "/metrics")?;
    let wanted = [
        "xdhcpd_ignored_total{reason=\"no_free_address\"} 3",
        "xdhcpd_pool_addresses{network=\"rack1\",state=\"remaining\"} 0",
    ];
    for line in wanted {
        assert!(metrics.lines().any(|have| have == line), "no {line} in\n{metrics}");
    }
    Ok(())
}

#[test]
fn c58_another_server_is_told_of_once_and_each_of_its_messages_counted() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start_with(&pair.server, NETWORK, "http: {listen: \"127.0.0.1:9167\"}")?;
    let tap = Tap::open(&pair.client, "c0")?;
    let offer = exchange::from_client(message::OFFER, CLIENT).with(|frame| {
        (frame.from_port, frame.to_port, frame.kind[0]) = (67, 68, 2);
        (frame.source, frame.from) = ([2, 0, 0, 0, 1, 0x66], [10, 9, 0, 66]);
    });
    for _ in 0..5 {
        assert!(exchange::is_met_with_silence(&tap, &offer)?, "it is never answered");
    }
    server.wait_for_log("another DHCP server answers on network rack1: 10.9.0.66 (02:00:00:00:01:66)")?;
    // What comes within a second is told of with the next.
    until("each to be counted", SOON, || {
        tap.send(&offer.build())?;
        let (_, metrics) = server.http(HTTP, "/metrics")?;
        let line = "xdhcpd_rogue_server_messages_total{network=\"rack1\"} ";
        let count = metrics.lines().find_map(|have| have.strip_prefix(line)?.parse::<u32>().ok());
        Ok(count.filter(|count| *count >= 5))
    })?;
    assert_eq!(server.log().matches("another DHCP server").count(), 1);
    Ok(())
}
