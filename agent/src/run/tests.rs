//! The core with nothing to serve, as any source of configurations may begin with: asked, and told of
//! others.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::oneshot;
use xdhcpd_common::maps::Wire;

use super::*;
use crate::config::parse_yaml;
use crate::control::{Handle, LeaseOf, LeaseQuery};
use crate::engine::served::Place;
use crate::lease::Changes;
use crate::lease_feed::LeaseFeed;
use crate::report::LoaderState;

/// One network, on an interface that no machine has.
fn elsewhere(folder: &TempDir) -> Config {
    let network = "name: a, interface: no-such-one, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]";
    let name = format!("xdhcpd-test-{}-core", std::process::id());
    let leases = folder.path().display();
    parse_yaml(&format!("name: {name}\nleases: {{dir: {leases}}}\nnetworks: [{{{network}}}]")).unwrap()
}

fn without_networks(folder: &TempDir) -> Config {
    Config { networks: Vec::new(), ..elsewhere(folder) }
}

/// Runs a core that serves no network, and does something with it meanwhile.
async fn while_running(
    folder: &TempDir,
    outlets: Outlets,
    work: impl AsyncFnOnce(Handle, mpsc::Sender<Reload>),
) {
    let prepared = prepare_config(without_networks(folder)).map_err(|problems| problems.to_string()).unwrap();
    let leases = open_journal(&prepared.config).unwrap();
    let begin = Begin { prepared, loader: Loader::default(), leases, share: None, outlets };
    let core = build_core(begin).unwrap();
    let (handle, questions) = control::channel();
    let (configs, reloads) = mpsc::channel(RELOADS);
    let stop = CancellationToken::new();
    let working = async {
        work(handle, configs).await;
        stop.cancel();
    };
    let ((_core, ended), ()) = tokio::join!(core.run(questions, reloads, stop.clone()), working);
    ended.unwrap();
}

#[tokio::test]
async fn without_networks_everything_is_answered_and_nothing_is_served() {
    let folder = tempfile::tempdir().unwrap();
    while_running(&folder, Outlets::default(), async |handle, _configs| {
        let query = LeaseQuery { limit: 9, ..LeaseQuery::default() };
        assert!(handle.leases(query).await.unwrap().unwrap().leases.is_empty());
        let ip = Ipv4Addr::new(10, 9, 0, 100);
        assert_eq!(handle.leases_of(&[ip]).await.unwrap(), [LeaseOf { ip, lease: None, kept: false }]);
        let stats = handle.snapshot().await.unwrap().stats;
        assert!(stats.agent.running && stats.networks.is_empty());
        assert!(!stats.kernel.attached && stats.loader.state == LoaderState::Stopped);
        let health = handle.health().await;
        assert!(health.live && health.ready, "{health:?}");
    })
    .await;
}

#[tokio::test]
async fn a_source_learns_whether_its_configuration_is_served_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    while_running(&folder, Outlets::default(), async |_handle, configs| {
        let told = async |config: Config, places: Vec<Place>| {
            let (answer, told) = oneshot::channel();
            let prepared = Prepared { config, places };
            configs.send(Reload { prepared, answer: Some(answer) }).await.unwrap();
            told.await.unwrap()
        };
        assert_eq!(told(without_networks(&folder), Vec::new()).await, Ok(()));
        let renamed = Config { name: "another".into(), ..without_networks(&folder) };
        let refused = told(renamed, Vec::new()).await.unwrap_err();
        assert!(refused.contains("it takes a restart"), "{refused}");
        let place = Place {
            wire: Wire { interface: 9_999, vlan: [0; 2] },
            mac: [2, 0, 0, 0, 9, 2],
            server: Ipv4Addr::new(10, 9, 0, 2),
            on_link: true,
        };
        let refused = told(elsewhere(&folder), vec![place]).await.unwrap_err();
        assert!(refused.contains("no-such-one") && refused.contains("stays as it was"), "{refused}");
        assert_eq!(told(without_networks(&folder), Vec::new()).await, Ok(()), "it still runs");
    })
    .await;
}

#[tokio::test]
async fn who_shows_leases_elsewhere_is_told_of_all_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Arc::new(LeaseFeed::default());
    let outlets = Outlets { leases: Some(Arc::clone(&feed)), ..Outlets::default() };
    while_running(&folder, outlets, async |_handle, _configs| {
        feed.changed().await;
        assert_eq!(feed.take(), Changes::All);
    })
    .await;
}

#[test]
fn what_this_machine_cannot_serve_has_its_place_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let Err(problems) = prepare_config(elsewhere(&folder)) else { panic!("there is no such interface") };
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["networks[0].interface"]);
}
