//! Health, metrics and leases over HTTP, as a probe and a scraper see them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::exchange;
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::SOON;

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    probe: false
";

const CLIENT: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// The status and the body of a GET.
fn get(namespace: &NetNs, path: &str) -> Result<(u16, String)> {
    namespace.inside(|| {
        let mut stream = TcpStream::connect("127.0.0.1:9167")?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no end of the header")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        Ok((status, if chunked { without_chunks(body)? } else { body.to_owned() }))
    })?
}

/// RFC 9112 §7.1, for bodies of ASCII.
fn without_chunks(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    while let Some((length, more)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16)?;
        body.push_str(more.get(..length).context("a chunk is cut")?);
        rest = more.get(length..).unwrap_or_default().trim_start_matches("\r\n");
        if length == 0 {
            break;
        }
    }
    Ok(body)
}

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

    assert_eq!(get(&pair.server, "/healthz")?.0, 200);
    let (status, body) = get(&pair.server, "/readyz")?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(get(&pair.server, "/no-such-page")?.0, 404);

    let (status, leases) = get(&pair.server, "/leases")?;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&leases)?, server.json("leases")?);

    let (status, metrics) = get(&pair.server, "/metrics")?;
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
