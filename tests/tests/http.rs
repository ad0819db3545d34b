//! Health, metrics and leases over HTTP, as a probe and a scraper see them.

use anyhow::Result;
use serde_json::Value;
use xdhcpd_tests::exchange;
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;

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
