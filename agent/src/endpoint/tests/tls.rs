//! Endpoints over HTTPS: whose certificate will do, and that ours is shown.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::pki::{Identity, address, host};
use super::stand_in::bmc;
use super::*;

/// What a look over HTTPS with a Secret's data sees of a BMC of this identity.
async fn look_at(identity: Identity, secret: &BTreeMap<String, Vec<u8>>) -> Seen {
    let server = StandIn::https(bmc(), identity.server()).await;
    look(&secure(server.port(), Some(credentials(secret))), &patient()).await
}

fn secure(port: u16, credentials: Option<Arc<Credentials>>) -> Target {
    Target { https: true, credentials, ..at(port) }
}

#[tokio::test]
async fn a_certificate_of_the_secrets_authority_will_do() {
    let pki = Pki::new();
    for names in [vec![], vec![host("bmc-5.example.org")], vec![address(Ipv4Addr::LOCALHOST)]] {
        let seen = look_at(pki.identity(names.clone()), &pki.secret()).await;
        assert_eq!((seen.ready, seen.fault), (true, None), "{names:?}");
    }
}

#[tokio::test]
async fn a_certificate_for_other_addresses_will_not() {
    let pki = Pki::new();
    let names = vec![host("bmc-5.example.org"), address(Ipv4Addr::new(10, 9, 0, 5))];
    let text = fault(look_at(pki.identity(names), &pki.secret()).await);
    assert!(text.starts_with("TLS: ") && text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_will_not() {
    let text = fault(look_at(Pki::new().identity(Vec::new()), &Pki::new().secret()).await);
    assert_eq!(text, "TLS: its certificate is not signed by the Secret's ca.crt");
}

#[tokio::test]
async fn a_self_signed_certificate_will_do_when_it_is_the_secrets_ca_crt() {
    let bmc = Identity::self_signed();
    let mut secret = Pki::new().secret();
    secret.insert("ca.crt".to_owned(), bmc.certificate.pem().into_bytes());
    assert!(look_at(bmc, &secret).await.ready);
    let text = fault(look_at(Identity::self_signed(), &secret).await);
    assert!(text.starts_with("TLS: "), "{text}");
}

#[tokio::test]
async fn without_an_authority_any_certificate_will_do() {
    let mut secret = Pki::new().secret();
    secret.remove("ca.crt");
    assert!(look_at(Identity::self_signed(), &secret).await.ready);
    let server = StandIn::https(bmc(), Identity::self_signed().server()).await;
    assert!(look(&secure(server.port(), None), &patient()).await.ready);
}

#[tokio::test]
async fn our_certificate_is_shown_to_who_wants_it() {
    let pki = Pki::new();
    let server = StandIn::https(bmc(), pki.server_for_own_clients(pki.identity(Vec::new()))).await;
    assert!(look(&secure(server.port(), Some(credentials(&pki.secret()))), &patient()).await.ready);

    let stranger = fault(
        look(
            &secure(server.port(), Some(credentials(&Pki::new().identity(Vec::new()).secret()))),
            &patient(),
        )
        .await,
    );
    assert!(stranger.contains("received fatal alert"), "{stranger}");
    let nobody = fault(look(&secure(server.port(), None), &patient()).await);
    assert!(nobody.contains("received fatal alert"), "{nobody}");
}

#[tokio::test]
async fn the_whole_machine_is_read_over_tls() {
    let pki = Pki::new();
    let seen = look_at(pki.identity(Vec::new()), &with_login(pki.secret(), "admin", "secret")).await;
    assert_eq!((seen.ready, seen.fault), (true, None));
    assert_eq!(seen.info["bmcFirmware"], "9.9");
}

#[tokio::test]
async fn a_port_that_speaks_plain_http_is_said_to() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (seen, _stream) = tokio::join!(async { look(&secure(port, None), &patient()).await }, answer);
    let text = fault(seen);
    assert!(text.contains("should https be false?"), "{text}");
}
