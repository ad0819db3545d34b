//! A BMC in a namespace, looked at over a wire.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use anyhow::Result;
use xdhcpd::endpoint::{Credentials, Limits, Seen, Target, look};
use xdhcpd_tests::bmc::{Authority, Bmc};
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::skip;
use xdhcpd_tests::wait::SOON;

const BMC: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);

/// What a look from `namespace` sees.
fn look_from(namespace: &NetNs, target: &Target) -> Result<Seen> {
    // No look is to fail for want of time on a busy machine.
    let limits = Limits { connect: SOON, total: SOON, ..Limits::default() };
    namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(look(target, &limits)))
    })?
}

fn with_login(
    secret: &BTreeMap<String, Vec<u8>>,
    username: &str,
    password: &str,
) -> Result<Option<Arc<Credentials>>> {
    let mut secret = secret.clone();
    secret.insert("username".to_owned(), username.into());
    secret.insert("password".to_owned(), password.into());
    Ok(Some(Arc::new(Credentials::from_secret(&secret)?)))
}

#[test]
fn a_bmc_over_https_is_seen_with_what_it_says_and_no_more_once_it_is_gone() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    pair.client.ip(&format!("address add {BMC}/24 dev c0"))?;
    let authority = Authority::new()?;
    let secret = authority.secret()?;
    let bmc = Bmc::start(&pair.client, SocketAddrV4::new(BMC, 443), Some(&authority))?;
    bmc.demand_login("admin", "se cret");
    let target = |credentials| Target { ip: BMC, port: 443, https: true, credentials };

    let right = target(with_login(&secret, "admin", "se cret")?);
    let seen = look_from(&pair.server, &right)?;
    assert_eq!((seen.ready, seen.fault), (true, None));
    assert_eq!((seen.info["powerState"].as_str(), seen.info["bmcFirmware"].as_str()), ("On", "9.9"));
    assert_eq!(bmc.requests(), 5);
    bmc.set_power("Off");
    assert_eq!(look_from(&pair.server, &right)?.info["powerState"], "Off");

    let wrong = look_from(&pair.server, &target(with_login(&secret, "admin", "guess")?))?;
    assert!(!wrong.ready && wrong.fault.is_some_and(|fault| fault.contains("HTTP 401")));
    let stranger = look_from(&pair.server, &target(None))?;
    assert!(!stranger.ready && stranger.fault.is_some_and(|fault| fault.contains("alert")));

    drop(bmc);
    let gone = look_from(&pair.server, &right)?;
    assert!(!gone.ready && gone.fault.is_some_and(|fault| fault.contains("Connection refused")));
    Ok(())
}

#[test]
fn a_bmc_over_http_needs_no_certificates() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    pair.client.ip(&format!("address add {BMC}/24 dev c0"))?;
    let _bmc = Bmc::start(&pair.client, SocketAddrV4::new(BMC, 8000), None)?;
    let seen = look_from(&pair.server, &Target { ip: BMC, port: 8000, https: false, credentials: None })?;
    assert_eq!((seen.ready, seen.fault), (true, None));
    assert_eq!(seen.info["redfishVersion"], "1.6.0");
    Ok(())
}
