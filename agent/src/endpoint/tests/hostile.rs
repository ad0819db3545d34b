//! Endpoints that mean harm, or are broken: none may cost more than the limits.

use tokio::time::Instant;

use super::stand_in::{Reply, bmc, json, ok};
use super::*;

async fn look_at_root(reply: Reply, limits: &Limits) -> Seen {
    let server = StandIn::http(BTreeMap::from([("/redfish/v1/".to_owned(), reply)])).await;
    look(&at(server.port()), limits).await
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let huge = format!("{{\"RedfishVersion\":\"1.0.0\",\"x\":\"{}\"}}", "x".repeat(256 << 10));
    let text = fault(look_at_root(Reply::Keep(ok(&huge)), &patient()).await);
    assert!(text.contains("length limit exceeded"), "{text}");
}

#[tokio::test]
async fn a_body_without_end_is_not_read() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    let text = fault(look_at_root(Reply::Repeat(head, chunk), &patient()).await);
    assert!(text.contains("length limit exceeded"), "{text}");
}

#[tokio::test]
async fn headers_without_end_are_not_read() {
    let header = format!("X: {}\r\n", "x".repeat(1000)).into_bytes();
    let text = fault(look_at_root(Reply::Repeat(b"HTTP/1.1 200 OK\r\n".to_vec(), header), &patient()).await);
    assert!(text.starts_with("HTTP: "), "{text}");
    let text = fault(
        look_at_root(Reply::Repeat(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".to_vec()), &patient()).await,
    );
    assert!(text.starts_with("HTTP: "), "{text}");
}

#[tokio::test]
async fn an_endpoint_that_only_drips_costs_no_more_than_the_time_there_is() {
    for bytes in [ok("{}"), [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".as_slice(), &[b' '; 9]].concat()]
    {
        let start = Instant::now();
        let text = fault(look_at_root(Reply::Drip(bytes), &hasty()).await);
        assert!(text.contains("has not answered in full within 300ms"), "{text}");
        assert!(start.elapsed() < patient().total / 2);
    }
}

#[tokio::test]
async fn what_does_not_speak_http_is_a_fault() {
    let text = fault(look_at_root(Reply::Close(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec()), &patient()).await);
    assert!(text.starts_with("HTTP: "), "{text}");
    let text = fault(look_at_root(Reply::Close(Vec::new()), &patient()).await);
    assert!(text.starts_with("HTTP: connection closed"), "{text}");
    let cut_short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Redfish".to_vec();
    let text = fault(look_at_root(Reply::Close(cut_short), &patient()).await);
    assert!(text.starts_with("/redfish/v1/: the body:"), "{text}");
}

#[tokio::test]
async fn links_that_lead_elsewhere_are_not_followed() {
    use serde_json::json as value;
    let elsewhere = StandIn::http(bmc()).await;
    let mut replies = bmc();
    let there = format!("http://127.0.0.1:{}/redfish/v1/Managers", elsewhere.port());
    let root = value!({
        "RedfishVersion": "1.6.0",
        "Systems": {"@odata.id": "/redfish/v1/Systems"}, "Managers": {"@odata.id": there},
    });
    replies.insert("/redfish/v1/".to_owned(), json(&root));
    let members = value!({"Members": [{"@odata.id": "/redfish/v1/../../etc/passwd"}]});
    replies.insert("/redfish/v1/Systems".to_owned(), json(&members));
    let server = StandIn::http(replies).await;
    let secret = with_login(Pki::new().secret(), "admin", "secret");
    let seen =
        look(&Target { credentials: Some(credentials(&secret)), ..at(server.port()) }, &patient()).await;
    assert_eq!((seen.ready, seen.fault), (true, None));
    assert_eq!(server.paths(), ["/redfish/v1/", "/redfish/v1/Systems"]);
    assert!(elsewhere.heads().is_empty());
}

#[tokio::test]
async fn details_that_do_not_come_leave_the_endpoint_ready() {
    let mut replies = bmc();
    let slow = ok(&" ".repeat(9000));
    replies.insert("/redfish/v1/Systems/1".to_owned(), Reply::Drip(slow));
    let server = StandIn::http(replies).await;
    let secret = with_login(Pki::new().secret(), "admin", "secret");
    let target = Target { credentials: Some(credentials(&secret)), ..at(server.port()) };
    let seen = look(&target, &Limits { total: Duration::from_secs(2), ..patient() }).await;
    assert!(seen.ready);
    assert!(seen.fault.unwrap().contains("has not answered in full"));
    assert_eq!(seen.info["vendor"], "Acme");
}
