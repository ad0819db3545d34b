//! Facts that come in, and what becomes of a name.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use serde_json::json;

use super::super::board::Board;
use super::super::desired::{Hold, Look, Reach};
use super::super::objects::{ClusterAgent, HostStatus};
use super::store::Store;
use super::{AGENT, NAME, bare, board, endpoint, holding, ip, leased, without_discovery};

const NONE: [&str; 0] = [];

/// A board and a store that know of one lease and show it.
fn with_a_lease() -> (Board, Store) {
    let (mut board, mut store) = (board(), Store::default());
    board.set_holding(ip(), Some(leased(1)));
    assert_eq!(store.settle(&mut board), ["create", "update"]);
    (board, store)
}

fn agents(names: &[&str]) -> BTreeMap<String, ClusterAgent> {
    let agent = |name: &str| {
        let object = json!({"metadata": {"name": name}, "spec": {"agentYaml": {}}});
        (name.to_owned(), serde_json::from_value(object).unwrap())
    };
    names.iter().map(|name| agent(name)).collect()
}

#[test]
fn a_lease_comes_and_goes_and_a_renewal_is_nothing() {
    let (mut board, mut store) = with_a_lease();
    board.set_holding(ip(), Some(leased(1)));
    assert!(board.queue.is_idle());
    board.set_holding(ip(), None);
    assert_eq!(store.settle(&mut board), ["delete"]);
    assert!(store.objects.is_empty() && board.queue.is_idle());
    board.set_holdings(&BTreeMap::from([(ip(), leased(2))]));
    assert_eq!(store.settle(&mut board), ["create", "update"]);
    board.set_holdings(&BTreeMap::new());
    assert_eq!(store.settle(&mut board), ["delete"]);
}

#[test]
fn objects_of_other_agents_are_not_touched() {
    let (mut board, mut store) = (board(), Store::default());
    for name in ["other-10-9-0-100", "bmc-2-10-9-0-100", "bmc-host", "bmc-10-9-0-300"] {
        store.put(bare(name));
        board.set_object(store.get(name));
    }
    board.look_at_all();
    assert_eq!(store.settle(&mut board), NONE);
    board.set_object(bare(NAME));
    store.put(bare(NAME));
    board.set_object(store.get(NAME));
    assert_eq!(store.settle(&mut board), ["delete"]);
}

#[test]
fn an_endpoint_belongs_to_whom_it_names_and_without_a_name_to_the_only_agent() {
    let (mut board, mut store) = (board(), Store::default());
    board.set_agents(&agents(&[AGENT]));
    board.set_endpoint(endpoint("ours", "10.9.0.1", Some(AGENT)));
    board.set_endpoint(endpoint("theirs", "10.9.0.2", Some("other")));
    board.set_endpoint(endpoint("nobodys", "10.9.0.3", None));
    board.set_endpoint(endpoint("empty", "10.9.0.4", Some("")));
    board.show_endpoints();
    assert_eq!(store.settle(&mut board).len(), 6);
    assert_eq!(board.ownerless().count(), 0);
    let names: Vec<_> = store.objects.keys().cloned().collect();
    assert_eq!(names, ["bmc-10-9-0-1", "bmc-10-9-0-3", "bmc-10-9-0-4"]);
    board.set_agents(&agents(&[AGENT, "other"]));
    board.show_endpoints();
    assert_eq!(store.settle(&mut board), ["delete", "delete"]);
    let ownerless: Vec<_> = board.ownerless().map(kube::ResourceExt::name_any).collect();
    assert_eq!(ownerless, ["empty", "nobodys"]);
    board.set_endpoints(vec![endpoint("ours", "10.9.0.1", Some("other"))]);
    board.show_endpoints();
    assert_eq!(store.settle(&mut board), ["delete"]);
    assert!(store.objects.is_empty());
}

#[test]
fn of_two_endpoints_with_one_address_the_first_is_shown_and_the_other_when_that_goes() {
    let (mut board, mut store) = (board(), Store::default());
    board.set_endpoint(endpoint("b", "10.9.0.100", Some(AGENT)));
    board.set_endpoint(endpoint("a", "10.9.0.100", Some(AGENT)));
    board.show_endpoints();
    store.settle(&mut board);
    let owner = |store: &Store| store.get(NAME).owner_references()[0].name.clone();
    assert_eq!(owner(&store), "a");
    board.remove_endpoint("a");
    board.show_endpoints();
    assert_eq!(store.settle(&mut board), ["patch"]);
    assert_eq!(owner(&store), "b");
}

#[test]
fn an_endpoint_that_is_being_removed_is_gone() {
    let (mut board, mut store) = (board(), Store::default());
    let mut host = endpoint("host", "10.9.0.100", Some(AGENT));
    board.set_endpoint(host.clone());
    board.show_endpoints();
    store.settle(&mut board);
    host.metadata.deletion_timestamp = serde_json::from_value(super::NOW.into()).unwrap();
    board.set_endpoint(host);
    board.show_endpoints();
    assert_eq!(store.settle(&mut board), ["delete"]);
}

#[test]
fn an_address_that_no_agent_could_mean_is_left_out() {
    let mut board = board();
    board.set_endpoint(endpoint("v6", "fd00::1", Some(AGENT)));
    board.show_endpoints();
    let mut unstored = endpoint("unstored", "10.9.0.1", Some(AGENT));
    unstored.metadata.uid = None;
    board.set_endpoint(unstored);
    board.show_endpoints();
    assert!(board.queue.is_idle());
}

#[test]
fn the_object_of_a_client_that_somebody_removed_waits_until_it_is_known_whether_the_client_lives() {
    for hold in [Hold::Leased, Hold::Kept] {
        let (mut board, mut store) = with_a_lease();
        board.set_holding(ip(), Some(holding(1, hold)));
        store.settle(&mut board);
        board.remove_object(&store.remove(NAME).unwrap());
        assert_eq!(board.unseen(), [ip()]);
        board.look_at_all();
        assert_eq!(store.settle(&mut board), NONE, "{hold:?}: it is not known yet");
        let (mut dead, mut deads) = (with_a_lease().0, store.clone());
        board.answered(ip());
        assert_eq!(store.settle(&mut board), ["create", "update"], "{hold:?}: it lives");
        dead.set_holding(ip(), None);
        deads.objects.clear();
        dead.remove_object(&bare(NAME));
        assert_eq!(deads.settle(&mut dead), NONE, "{hold:?}: its lease has ended");
    }
}

#[test]
fn of_many_endpoints_each_is_looked_at_once_and_not_before_all_are_known() {
    let mut board = board();
    for last in 1..=100 {
        board.set_endpoint(endpoint(&format!("host-{last}"), &format!("10.9.0.{last}"), Some(AGENT)));
    }
    board.remove_endpoint("host-1");
    let now = tokio::time::Instant::now();
    assert_eq!(board.queue.take(now), None);
    board.show_endpoints();
    assert_eq!(std::iter::from_fn(|| board.queue.take(now)).count(), 99);
    board.show_endpoints();
    assert_eq!(board.queue.take(now), None, "nothing is new");
}

#[test]
fn a_removal_that_is_no_wish_asks_nobody() {
    // Ours.
    let (mut board, mut store) = with_a_lease();
    board.set_holding(ip(), None);
    store.settle(&mut board);
    board.set_holding(ip(), Some(leased(1)));
    assert_eq!((board.unseen(), store.settle(&mut board)), (vec![], vec!["create", "update"]));
    // One that shows another client than has the address now.
    let (mut board, mut store) = with_a_lease();
    board.set_holding(ip(), Some(leased(2)));
    board.remove_object(&store.remove(NAME).unwrap());
    assert_eq!((board.unseen(), store.settle(&mut board)), (vec![], vec!["create", "update"]));
    // One that goes with its endpoint, with a lease and without.
    for with in [None, Some(leased(1))] {
        let (mut board, mut store) = (super::board(), Store::default());
        board.set_endpoint(endpoint("host", "10.9.0.100", Some(AGENT)));
        board.show_endpoints();
        board.set_holding(ip(), with);
        store.settle(&mut board);
        board.remove_object(&store.remove(NAME).unwrap());
        assert_eq!((board.unseen(), store.settle(&mut board)), (vec![], vec!["create", "update"]));
    }
    // One whose status was never written.
    let (mut board, mut store) = with_a_lease();
    let mut object = store.get(NAME);
    object.status = None;
    store.put(object);
    board.set_object(store.get(NAME));
    board.remove_object(&store.remove(NAME).unwrap());
    assert!(board.unseen().is_empty());
    // While leases make no objects.
    let (mut board, mut store) = with_a_lease();
    board.set_settings(without_discovery());
    board.remove_object(&store.remove(NAME).unwrap());
    assert_eq!((board.unseen(), store.settle(&mut board)), (vec![], vec![]));
}

#[test]
fn a_wish_about_one_client_says_nothing_of_the_next() {
    let (mut board, mut store) = with_a_lease();
    board.remove_object(&store.remove(NAME).unwrap());
    board.set_holding(ip(), Some(leased(2)));
    assert_eq!((board.unseen(), store.settle(&mut board)), (vec![], vec!["create", "update"]));
    board.remove_object(&store.remove(NAME).unwrap());
    board.set_holding(ip(), None);
    board.set_holding(ip(), Some(leased(2)));
    assert_eq!((board.unseen(), store.settle(&mut board)), (vec![], vec!["create", "update"]));
}

#[test]
fn a_list_that_misses_an_object_is_its_removal() {
    let (mut board, mut store) = with_a_lease();
    store.remove(NAME);
    board.begin_list();
    board.set_objects(vec![]);
    assert_eq!(board.unseen(), [ip()]);
    board.answered(ip());
    assert_eq!(store.settle(&mut board), ["create", "update"]);
}

#[test]
fn a_list_that_misses_what_was_written_meanwhile_is_no_removal() {
    let (mut board, mut store) = (board(), Store::default());
    board.begin_list();
    board.set_holding(ip(), Some(leased(1)));
    let action = board.action(NAME, super::NOW).unwrap();
    board.wrote(store.apply(action).unwrap());
    let action = board.action(NAME, super::NOW).unwrap();
    board.wrote(store.apply(action).unwrap());
    board.set_objects(vec![]);
    assert!(board.unseen().is_empty());
    // The watch that follows tells of it.
    board.set_object(store.get(NAME));
    assert_eq!(store.settle(&mut board), NONE);
}

#[test]
fn what_is_older_is_not_believed_whichever_way_it_comes() {
    let (mut board, mut store) = with_a_lease();
    let older = store.get(NAME);
    let mut newer = older.clone();
    newer.labels_mut().clear();
    store.put(newer);
    // The watch overtook the answer to a write.
    board.set_object(store.get(NAME));
    board.wrote(older.clone());
    assert_eq!(store.settle(&mut board), ["patch"], "that of the newest version is accepted");
    // The answer to a write overtook the watch.
    let mut newest = store.get(NAME);
    newest.labels_mut().clear();
    store.put(newest);
    board.wrote(store.get(NAME));
    board.set_object(older.clone());
    assert_eq!(store.settle(&mut board), ["patch"]);
    // The watch told of the object's end before the answer to a write came.
    board.set_holding(ip(), None);
    board.remove_object(&store.remove(NAME).unwrap());
    board.wrote(older);
    assert_eq!(store.settle(&mut board), NONE);
    board.set_holding(ip(), Some(leased(1)));
    assert_eq!(store.settle(&mut board), ["create", "update"]);
}

#[test]
fn an_object_that_cannot_be_read_is_not_taken_for_removed() {
    let (mut board, _) = with_a_lease();
    board.set_unreadable(NAME);
    board.set_objects(vec![]);
    assert!(board.unseen().is_empty());
}

fn look(model: &str, whole: bool) -> Look {
    let info = if whole { BTreeMap::from([("model".to_owned(), model.to_owned())]) } else { BTreeMap::new() };
    Look { ready: true, info, whole }
}

fn model(object: &HostStatus) -> Option<String> {
    object.status.as_ref()?.info.get("model").cloned()
}

#[test]
fn what_an_endpoint_said_is_written_once_and_goes_with_its_host() {
    let (mut board, mut store) = with_a_lease();
    board.set_look(NAME.into(), look("9", true));
    // Before that was written, it was asked again and did not say all.
    board.set_look(NAME.into(), look("", false));
    assert_eq!(store.settle(&mut board), ["update"]);
    assert_eq!(model(&store.get(NAME)).as_deref(), Some("9"));
    board.set_look(NAME.into(), look("", false));
    assert_eq!(store.settle(&mut board), NONE);
    board.set_holding(ip(), Some(leased(2)));
    assert_eq!(store.settle(&mut board), ["update"]);
    assert_eq!(model(&store.get(NAME)), None);
    // Of a host that was gone meanwhile nothing is remembered.
    board.set_look(NAME.into(), look("9", true));
    board.set_holding(ip(), None);
    board.places();
    board.set_holding(ip(), Some(leased(2)));
    store.settle(&mut board);
    assert_eq!(model(&store.get(NAME)), None);
    // Nor of an endpoint's.
    let (mut board, mut store) = (super::board(), Store::default());
    board.set_endpoint(endpoint("host", "10.9.0.100", Some(AGENT)));
    board.show_endpoints();
    board.set_look(NAME.into(), look("9", true));
    board.remove_endpoint("host");
    board.show_endpoints();
    board.places();
    board.set_endpoint(endpoint("next", "10.9.0.100", Some(AGENT)));
    board.show_endpoints();
    store.settle(&mut board);
    assert_eq!(model(&store.get(NAME)), None);
}

#[test]
fn every_object_that_is_to_be_there_has_an_endpoint_that_is_asked() {
    let mut board = board();
    board.set_holding(ip(), Some(leased(1)));
    board.set_holding([10, 9, 0, 101].into(), Some(holding(2, Hold::Kept)));
    board.set_holding([10, 9, 0, 102].into(), Some(holding(3, Hold::Offered)));
    board.set_endpoint(endpoint("a", "10.9.0.1", Some(AGENT)));
    board.set_endpoint(endpoint("b", "10.9.0.101", Some(AGENT)));
    board.show_endpoints();
    let ports: Vec<(String, i32)> =
        board.places().into_iter().map(|(name, place)| (name, place.reach.port)).collect();
    let expected = [("bmc-10-9-0-1", 80), ("bmc-10-9-0-100", 8443), ("bmc-10-9-0-101", 80)];
    assert_eq!(ports, expected.map(|(name, port)| (name.to_owned(), port)));
    board.set_settings(without_discovery());
    assert_eq!(board.places().len(), 2);
}

#[test]
fn other_settings_change_every_object_that_depends_on_them() {
    let (mut board, mut store) = with_a_lease();
    let mut settings = super::settings();
    board.set_settings(settings.clone());
    assert_eq!(store.settle(&mut board), NONE);
    settings.endpoint = Reach { port: 1, ..settings.endpoint };
    board.set_settings(settings);
    assert_eq!(store.settle(&mut board), ["update"]);
    assert_eq!(store.get(NAME).status.unwrap().basic.port, 1);
}

#[test]
fn a_foreign_owner_beside_ours_is_taken_away() {
    let (mut board, mut store) = with_a_lease();
    let mut object = store.get(NAME);
    object.metadata.owner_references = Some(vec![OwnerReference::default()]);
    store.put(object);
    board.set_object(store.get(NAME));
    assert_eq!(store.settle(&mut board), ["patch"]);
    assert!(store.get(NAME).owner_references().is_empty());
}
