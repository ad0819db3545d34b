//! Which Secrets will do, and what is said of the others.

use super::pki::Identity;
use super::*;
use crate::endpoint::CredentialsError;

/// A certificate of X.509 version 1 and its key, as `openssl ecparam -genkey`, `openssl req -new` and
/// `openssl x509 -req` (3.0) make them by default. No part of anything but this test.
const VERSION_1: (&str, &str) = (
    "-----BEGIN EC PARAMETERS-----\n\
     BggqhkjOPQMBBw==\n\
     -----END EC PARAMETERS-----\n\
     -----BEGIN EC PRIVATE KEY-----\n\
     MHcCAQEEIEmXLiuLdIG/Y9cGfRc28eKu91owtQAKiRkqFrlPbglroAoGCCqGSM49\n\
     AwEHoUQDQgAEj/iKZ2lEtRumnAw+8Njwu7zkN/9UZmRKEy/y2rwPMqIxGRaMSZN9\n\
     G1T/epj6DBh8VNjR0NgBKo7lpuPXmrBr8A==\n\
     -----END EC PRIVATE KEY-----\n",
    "-----BEGIN CERTIFICATE-----\n\
     MIIBGTCBvwIUJUjGCHK6ce5THWOGFO6Pk12ps/gwCgYIKoZIzj0EAwIwDjEMMAoG\n\
     A1UEAwwDb2xkMCAXDTI2MTEyNjEzMjc0NVoYDzIxMjYxMTAyMTMyNzQ1WjAOMQww\n\
     CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASP+IpnaUS1G6ac\n\
     DD7w2PC7vOQ3/1RmZEoTL/LavA8yojEZFoxJk30bVP96mPoMGHxU2NHQ2AEqjuWm\n\
     49easGvwMAoGCCqGSM49BAMCA0kAMEYCIQDrcolexjFAGl0eQBkZv5yPmPS173ZL\n\
     6Cwf9TPMe0urBwIhAL9jYagmXbc+YnIKD45Yd0wJJ0nJGzbge0535DbFs7SV\n\
     -----END CERTIFICATE-----\n",
);

fn secret() -> BTreeMap<String, Vec<u8>> {
    with_login(Pki::new().secret(), "admin", "secret")
}

/// What is said of a good Secret in which one value is another, or missing.
fn error_with(key: &str, value: Option<&[u8]>) -> String {
    let mut data = secret();
    data.remove(key);
    if let Some(value) = value {
        data.insert(key.to_owned(), value.to_vec());
    }
    Credentials::from_secret(&data).unwrap_err().to_string()
}

#[test]
fn a_client_certificate_will_do_with_or_without_login_and_authority() {
    assert!(Credentials::from_secret(&secret()).unwrap().has_login());
    let alone = Identity::self_signed().secret();
    assert!(!Credentials::from_secret(&alone).unwrap().has_login());
}

#[test]
fn a_certificate_of_version_1_will_do() {
    let (key, certificate) = VERSION_1;
    let data = |certificate: &str| {
        BTreeMap::from([
            ("tls.crt".to_owned(), certificate.as_bytes().to_vec()),
            ("tls.key".to_owned(), key.as_bytes().to_vec()),
        ])
    };
    assert!(Credentials::from_secret(&data(certificate)).is_ok());
    let other = Identity::self_signed().certificate.pem();
    assert_eq!(Credentials::from_secret(&data(&other)).unwrap_err(), CredentialsError::NotTogether);
}

#[test]
fn what_is_missing_or_empty_is_named() {
    for key in ["tls.crt", "tls.key"] {
        for value in [None, Some(b"".as_slice())] {
            assert_eq!(error_with(key, value), format!("{key}: is missing or empty"));
        }
    }
    assert_eq!(error_with("password", None), "password: is missing or empty, while there is a username");
    assert_eq!(error_with("username", Some(b"")), "username: is missing or empty, while there is a password");
}

#[test]
fn an_empty_value_is_an_absent_one() {
    let mut data = with_login(secret(), "", "");
    data.insert("ca.crt".to_owned(), Vec::new());
    assert!(!Credentials::from_secret(&data).unwrap().has_login());
}

#[test]
fn what_cannot_be_parsed_is_named() {
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".as_slice();
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        for value in [b"nonsense".as_slice(), broken, &[0xff; 100], b"-----BEGIN CERTIFICATE-----\n!"] {
            let error = error_with(key, Some(value));
            assert!(error.starts_with(&format!("{key}: expected ")), "{error}");
        }
    }
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(error_with("tls.key", Some(encrypted)).contains("not encrypted"));
}

#[test]
fn one_bad_certificate_in_a_bundle_is_an_error() {
    let mut bundle = Identity::self_signed().certificate.pem();
    bundle.push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(error_with("ca.crt", Some(bundle.as_bytes())).starts_with("ca.crt: "));
}

#[test]
fn a_key_of_another_certificate_is_an_error() {
    let other = Identity::self_signed().key.serialize_pem();
    assert!(error_with("tls.key", Some(other.as_bytes())).starts_with("tls.key: is not the key"));
}

#[test]
fn a_login_that_cannot_be_sent_is_an_error() {
    assert_eq!(error_with("username", Some(b"a:b")), "username: expected no colon");
    for key in ["username", "password"] {
        for value in [b"line\n".as_slice(), b"\xff", b"nul\0"] {
            assert!(error_with(key, Some(value)).starts_with(&format!("{key}: expected UTF-8 text")));
        }
    }
}

#[test]
fn a_value_larger_than_a_secret_can_be_is_an_error() {
    assert_eq!(error_with("ca.crt", Some(&vec![b' '; (1 << 20) + 1])), "ca.crt: expected at most 1 MiB");
}

#[test]
fn credentials_are_equal_when_the_values_that_we_read_are() {
    let data = secret();
    let same = |other: &BTreeMap<String, Vec<u8>>| {
        Credentials::from_secret(&data).unwrap() == Credentials::from_secret(other).unwrap()
    };
    let mut other = data.clone();
    other.insert("note".to_owned(), b"not ours".to_vec());
    assert!(same(&other));
    other.insert("password".to_owned(), b"changed".to_vec());
    assert!(!same(&other));
}

#[test]
fn debug_output_and_errors_hold_no_secret() {
    let data = secret();
    let target = Target { credentials: Some(credentials(&data)), ..at(443) };
    let text = format!("{target:?}");
    let key = String::from_utf8(data["tls.key"].clone()).unwrap();
    let secrets = ["admin", "\"secret", "YWRtaW46", key.lines().nth(1).unwrap()];
    assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    assert!(!text.contains(&format!("{:?}", data["password"])), "{text}");
    assert!(text.contains("tls.key"), "{text}");
    let torn = key.replace("END PRIVATE", "END");
    assert!(!error_with("tls.key", Some(torn.as_bytes())).contains(secrets[3]));
}
