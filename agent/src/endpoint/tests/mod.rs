//! Looks at real servers on the loopback, well-behaved ones and others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::{Credentials, Limits, Seen, Target, look};
use pki::Pki;
use stand_in::StandIn;

mod credentials;
mod hostile;
mod http;
mod pki;
mod stand_in;
mod tls;

/// Time enough for what comes, on a busy machine.
fn patient() -> Limits {
    Limits { connect: Duration::from_secs(20), total: Duration::from_secs(20), ..Limits::default() }
}

/// For what never comes.
fn hasty() -> Limits {
    Limits { total: Duration::from_millis(300), ..patient() }
}

fn at(port: u16) -> Target {
    Target { ip: Ipv4Addr::LOCALHOST, port, https: false, credentials: None }
}

/// A Secret's data as credentials.
fn credentials(data: &BTreeMap<String, Vec<u8>>) -> Arc<Credentials> {
    Arc::new(Credentials::from_secret(data).unwrap())
}

/// A Secret's data with a login.
fn with_login(
    mut data: BTreeMap<String, Vec<u8>>,
    username: &str,
    password: &str,
) -> BTreeMap<String, Vec<u8>> {
    data.insert("username".to_owned(), username.into());
    data.insert("password".to_owned(), password.into());
    data
}

/// The fault of an endpoint that is not ready.
fn fault(seen: Seen) -> String {
    assert!(!seen.ready, "{seen:?}");
    seen.fault.unwrap()
}
