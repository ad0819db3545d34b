//! Several controllers: one works, and another takes over.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::json;
use xdhcpd_tests::cluster_agent::{CONVERGED, install_definitions};
use xdhcpd_tests::controller::{Controller, holder, wait_for_part};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::{skip, wait};

use super::{make, parts_of};

/// How long clients may wait for somebody to take over.
const TAKEN_OVER: Duration = Duration::from_secs(15);

fn wait_for_holder(cluster: &Cluster, name: Option<&str>) -> Result<()> {
    let what = format!("{name:?} to hold the Lease");
    wait::until_true(&what, CONVERGED, || Ok(holder(cluster)?.as_deref() == name))
}

/// Whether it takes itself for the one that works.
fn leads(controller: &Controller) -> Result<bool> {
    Ok(controller.metric("xdhcpd_leader")?.as_deref() == Some("1"))
}

fn wait_until_leading(controller: &Controller, leading: bool) -> Result<()> {
    wait::until_true("a word on who leads", CONVERGED, || Ok(leads(controller)? == leading))
        .with_context(|| controller.last_words())
}

#[test]
fn one_works_and_another_takes_over() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    install_definitions(&cluster)?;
    let mut first = Controller::start(&cluster, "first", 9181, &[])?;
    wait_for_holder(&cluster, Some("first"))?;
    let mut second = Controller::start(&cluster, "second", 9182, &[])?;
    wait_until_leading(&first, true)?;
    let agent = make(&cluster, &json!({}))?;
    wait_for_part(&cluster, "daemonset", &parts_of(&agent), "there", |_| true)?;
    assert!(!leads(&second)?);
    assert_eq!(second.metric("xdhcpd_controller_looks_total{result=\"done\"}")?.as_deref(), Some("0"));

    // One that does not get to run learns of it when it does.
    first.signal(Signal::STOP)?;
    let started = Instant::now();
    wait_until_leading(&second, true)?;
    assert!(started.elapsed() < TAKEN_OVER, "{:?}", started.elapsed());
    first.signal(Signal::CONT)?;
    wait_until_leading(&first, false)?;
    assert!(leads(&second)?);

    // One that is gone without a word.
    second.stop(Signal::KILL)?;
    let started = Instant::now();
    wait_until_leading(&first, true)?;
    assert!(started.elapsed() < TAKEN_OVER, "{:?}", started.elapsed());
    let agent = make(&cluster, &json!({}))?;
    wait_for_part(&cluster, "daemonset", &parts_of(&agent), "there", |_| true)?;

    // One that stops gives it up.
    let (status, body) = first.http("/healthz")?;
    assert_eq!((status, body.as_str()), (200, "{\"ok\":true}"));
    let ended = first.stop(Signal::TERM)?;
    assert!(ended.success(), "{ended}: {}", first.last_words());
    assert_eq!(holder(&cluster)?, None);
    Ok(())
}

#[test]
fn while_the_api_server_is_away_nobody_works_and_when_it_is_back_one_does() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    install_definitions(&cluster)?;
    let controller = Controller::start(&cluster, "only", 9181, &[])?;
    wait_until_leading(&controller, true)?;
    cluster.stop_api();
    wait_until_leading(&controller, false)?;
    assert_eq!(controller.http("/healthz")?.0, 200, "it is no reason to end it");
    cluster.start_api()?;
    wait_until_leading(&controller, true)?;
    let agent = make(&cluster, &json!({}))?;
    wait_for_part(&cluster, "daemonset", &parts_of(&agent), "there", |_| true)
        .with_context(|| controller.last_words())?;
    Ok(())
}
