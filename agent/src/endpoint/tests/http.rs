//! Endpoints over plain HTTP: what is ready, what is read, and what is said of the rest.

use serde_json::json;

use super::stand_in::{Reply, bmc, json as json_reply, listener, ok, status};
use super::*;

/// What a look at a server with these replies sees, and which paths it asked for.
async fn look_at(replies: BTreeMap<String, Reply>, login: bool) -> (Seen, Vec<String>) {
    let server = StandIn::http(replies).await;
    let secret = with_login(Pki::new().secret(), "admin", "se cret");
    let credentials = login.then(|| credentials(&secret));
    let seen = look(&Target { credentials, ..at(server.port()) }, &patient()).await;
    (seen, server.paths())
}

fn bmc_with(path: &str, reply: Reply) -> BTreeMap<String, Reply> {
    let mut replies = bmc();
    replies.insert(path.to_owned(), reply);
    replies
}

#[tokio::test]
async fn a_service_root_is_ready_and_without_a_login_all_that_is_read() {
    let (seen, paths) = look_at(bmc(), false).await;
    assert!(seen.ready);
    assert_eq!(seen.fault, None);
    let expected = [
        ("name", "Root Service"),
        ("os", ""),
        ("product", "Board Keeper"),
        ("redfishVersion", "1.6.0"),
        ("uuid", "92384634-2938-2342-8820-489239905423"),
        ("vendor", "Acme"),
    ];
    assert_eq!(seen.info, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(paths, ["/redfish/v1/"]);
}

#[tokio::test]
async fn a_login_shows_system_and_manager() {
    let (seen, _) = look_at(bmc(), true).await;
    assert_eq!((seen.ready, seen.fault), (true, None));
    let expected = [
        ("manufacturer", "Acme"),
        ("model", "A9"),
        ("serialNumber", "S-77"),
        ("powerState", "On"),
        ("biosVersion", "2.1"),
        ("hostName", "node5"),
        ("health", "OK"),
        ("bmcFirmware", "9.9"),
        ("os", "Linux 6.12.1"),
    ];
    for (name, value) in expected {
        assert_eq!(seen.info.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[tokio::test]
async fn one_connection_serves_a_whole_look() {
    let server = StandIn::http(bmc()).await;
    let target = Target {
        credentials: Some(credentials(&with_login(Pki::new().secret(), "a", "b"))),
        ..at(server.port())
    };
    assert!(look(&target, &patient()).await.ready);
    let heads = server.heads();
    assert_eq!((heads.len(), server.connections()), (6, 1));
    let host = format!("host: 127.0.0.1:{}\r\n", server.port());
    assert!(heads.iter().all(|head| head.to_lowercase().contains(&host)), "{heads:?}");
}

#[tokio::test]
async fn an_endpoint_that_closes_after_each_answer_is_asked_on_new_connections() {
    let close = |reply| match reply {
        Reply::Keep(bytes) => Reply::Close(bytes),
        other => other,
    };
    let replies = bmc().into_iter().map(|(path, reply)| (path, close(reply))).collect();
    let (seen, paths) = look_at(replies, true).await;
    assert_eq!((seen.ready, seen.fault), (true, None));
    assert_eq!(seen.info["bmcFirmware"], "9.9");
    assert_eq!(paths.len(), 6, "{paths:?}");
}

#[tokio::test]
async fn the_login_goes_along_as_basic_authorization() {
    let server = StandIn::http(bmc()).await;
    let secret = with_login(Pki::new().secret(), "admin", "se cret");
    look(&Target { credentials: Some(credentials(&secret)), ..at(server.port()) }, &patient()).await;
    // base64 of `admin:se cret`
    let header = "authorization: Basic YWRtaW46c2UgY3JldA==\r\n";
    assert!(server.heads().iter().all(|head| head.contains(header)), "{:?}", server.heads());
}

#[tokio::test]
async fn an_endpoint_that_wants_a_login_we_do_not_have_is_not_ready() {
    let (seen, _) = look_at(bmc_with("/redfish/v1/", status("401 Unauthorized", "")), false).await;
    assert!(fault(seen).contains("asks for a username"));
}

#[tokio::test]
async fn a_login_that_is_refused_makes_it_not_ready_and_is_not_tried_again() {
    let (seen, paths) = look_at(bmc_with("/redfish/v1/Systems", status("401 Unauthorized", "")), true).await;
    assert_eq!(seen.info["vendor"], "Acme");
    let fault = fault(seen);
    assert!(fault.contains("/redfish/v1/Systems: HTTP 401"), "{fault}");
    assert!(fault.contains("username or password is refused"), "{fault}");
    assert_eq!(paths, ["/redfish/v1/", "/redfish/v1/Systems"]);
}

#[tokio::test]
async fn what_cannot_be_read_below_the_root_is_a_fault_of_a_ready_endpoint() {
    let (seen, _) = look_at(bmc_with("/redfish/v1/Systems/1", status("503 Busy", "")), true).await;
    assert!(seen.ready);
    assert_eq!(seen.fault.as_deref(), Some("/redfish/v1/Systems/1: HTTP 503"));
    assert_eq!(seen.info["bmcFirmware"], "9.9");
}

#[tokio::test]
async fn a_root_without_systems_is_ready() {
    let root = json!({"RedfishVersion": "1.0.0"});
    let (seen, paths) = look_at(bmc_with("/redfish/v1/", json_reply(&root)), true).await;
    assert_eq!((seen.ready, seen.fault, paths.len()), (true, None, 1));
    let (seen, _) = look_at(bmc_with("/redfish/v1/Systems", json_reply(&json!({"Members": []}))), true).await;
    assert_eq!((seen.ready, seen.fault), (true, None));
}

#[tokio::test]
async fn an_http_server_that_is_no_redfish_service_is_not_ready() {
    let (seen, _) = look_at(bmc_with("/redfish/v1/", Reply::Keep(ok("<html>It works!</html>"))), false).await;
    assert!(fault(seen).contains("not with a Redfish resource"));
    let (seen, _) = look_at(bmc_with("/redfish/v1/", json_reply(&json!({"status": "ok"}))), false).await;
    assert!(fault(seen).contains("no Redfish service root"));
    let (seen, _) = look_at(BTreeMap::new(), false).await;
    assert_eq!(fault(seen), "/redfish/v1/: HTTP 404");
}

#[tokio::test]
async fn the_other_spelling_of_the_root_is_the_one_redirect_that_is_followed() {
    for absolute in [false, true] {
        let listener = listener().await;
        let port = listener.local_addr().unwrap().port();
        let origin = if absolute { format!("http://127.0.0.1:{port}") } else { String::new() };
        let redirect = status("308 Moved", &format!("Location: {origin}/redfish/v1\r\n"));
        let mut replies = bmc();
        let root = replies.insert("/redfish/v1/".to_owned(), redirect).unwrap();
        replies.insert("/redfish/v1".to_owned(), root);
        let server = StandIn::http_on(listener, replies);
        assert!(look(&at(port), &patient()).await.ready);
        assert_eq!(server.paths(), ["/redfish/v1/", "/redfish/v1"]);
    }
}

#[tokio::test]
async fn other_redirects_are_not_followed_and_said() {
    let elsewhere = status("302 Found", "Location: http://10.9.0.9/redfish/v1\r\n");
    let (seen, paths) = look_at(bmc_with("/redfish/v1/", elsewhere), false).await;
    assert!(fault(seen).contains("redirects to http://10.9.0.9/redfish/v1, which is not followed"));
    assert_eq!(paths.len(), 1);
    let to_https = status("301 Moved", "Location: https://127.0.0.1/redfish/v1/\r\n");
    let (seen, _) = look_at(bmc_with("/redfish/v1/", to_https), false).await;
    assert!(fault(seen).contains("should https be true?"));
    let in_circles = status("301 Moved", "Location: /redfish/v1\r\n");
    let mut replies = bmc_with("/redfish/v1/", in_circles.clone());
    replies.insert("/redfish/v1".to_owned(), in_circles);
    let (seen, paths) = look_at(replies, false).await;
    assert!(!seen.ready);
    assert_eq!(paths.len(), 2);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_fault() {
    let server = StandIn::http(BTreeMap::new()).await;
    let port = server.port();
    drop(server);
    // Its task is dropped at the runtime's next turn.
    tokio::task::yield_now().await;
    let fault = fault(look(&at(port), &patient()).await);
    assert!(fault.starts_with("cannot connect: Connection refused"), "{fault}");
}
