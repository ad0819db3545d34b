//! One step: from what is known of one address to what is to be done.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use super::super::desired::{Action, Endpoint, Facts, Hold, Holding, Look, Settings, action};
use super::super::objects::{HostStatus, HostType, label};
use super::store::Store;
use super::{NAME, NOW, bare, endpoint, holding, ip, leased, mac, settings, without_discovery};

/// The facts of one address, owned.
#[derive(Debug, Clone, Default)]
struct Known {
    holding: Option<Holding>,
    endpoint: Option<Endpoint>,
    look: Option<Look>,
    observed: Option<HostStatus>,
}

impl Known {
    fn action(&self, settings: &Settings) -> Option<Action> {
        let facts = Facts {
            holding: self.holding,
            endpoint: self.endpoint.as_ref(),
            look: self.look.as_ref(),
            observed: self.observed.as_ref(),
        };
        action(settings, ip(), facts, NOW)
    }

    /// Does what is to be done until nothing is: the verbs of it.
    fn settle(&mut self, settings: &Settings) -> Vec<&'static str> {
        let mut store = Store::default();
        if let Some(object) = self.observed.take() {
            store.put(object);
            self.observed = Some(store.get(NAME));
        }
        while let Some(action) = self.action(settings) {
            assert!(store.writes.len() < 9, "it does not end: {:?}", store.writes);
            self.observed = store.apply(action);
        }
        store.writes
    }

    fn object(&self) -> &HostStatus {
        self.observed.as_ref().expect("an object")
    }

    fn holding(mut self, holding: impl Into<Option<Holding>>) -> Self {
        self.holding = holding.into();
        self
    }

    fn endpoint(mut self, there: bool) -> Self {
        self.endpoint = there.then(|| Endpoint::of(&endpoint("host", "10.9.0.100", None)).unwrap());
        self
    }

    fn change(mut self, change: impl FnOnce(&mut HostStatus)) -> Self {
        change(self.observed.as_mut().expect("an object"));
        self
    }
}

fn known() -> Known {
    Known::default()
}

/// With the object that follows from the facts.
fn settled(mut known: Known) -> Known {
    known.settle(&settings());
    known
}

/// Kind, client and whether it is active, in the status and in the labels.
fn shows(known: &Known) -> (HostType, String, bool) {
    let object = known.object();
    let basic = object.status.as_ref().expect("a status").basic.clone();
    assert_eq!(object.labels()[label::MODE], basic.kind.name());
    assert_eq!(object.labels()[label::ACTIVE], basic.active_dhcp_client.to_string());
    assert_eq!(object.labels()[label::IP], "10.9.0.100");
    (basic.kind, basic.mac, basic.active_dhcp_client)
}

#[test]
fn every_change_of_an_address_has_its_few_writes() {
    const CREATE: [&str; 2] = ["create", "update"];
    const BOTH: [&str; 2] = ["patch", "update"];
    let lease = || settled(known().holding(leased(1)));
    let host = || settled(known().endpoint(true));
    let both = || settled(known().endpoint(true).holding(leased(1)));
    let kept = || settled(known().holding(holding(1, Hold::Kept)));
    let offered = |to| holding(to, Hold::Offered);
    let cases: Vec<(&str, Known, &[&str])> = vec![
        ("nothing known", known(), &[]),
        ("a lease is new", known().holding(leased(1)), &CREATE),
        ("it is renewed", lease(), &[]),
        ("it has ended", lease().holding(None), &["delete"]),
        ("it has ended and is kept", lease().holding(holding(1, Hold::Kept)), &BOTH),
        ("the client of a kept one is back", kept().holding(leased(1)), &BOTH),
        ("a kept one is offered to its client", kept().holding(offered(1)), &[]),
        ("an ended one is offered to its client", lease().holding(offered(1)), &BOTH),
        ("an ended one is offered to another", lease().holding(offered(2)), &["delete"]),
        ("an address is offered", known().holding(offered(1)), &[]),
        ("the address moves to another", lease().holding(leased(2)), &["update"]),
        ("a kept one moves to another", kept().holding(leased(2)), &BOTH),
        ("an endpoint is new", known().endpoint(true), &CREATE),
        ("it is gone", host().endpoint(false), &["delete"]),
        ("its address is leased", host().holding(leased(1)), &BOTH),
        ("its address is offered", host().holding(offered(1)), &[]),
        ("its lease ends", both().holding(None), &BOTH),
        ("its lease ends and is kept", both().holding(holding(1, Hold::Kept)), &BOTH),
        ("an endpoint goes, its lease stays", both().endpoint(false), &BOTH),
        ("an endpoint comes to a lease", lease().endpoint(true), &BOTH),
        ("both go", both().endpoint(false).holding(None), &["delete"]),
        ("no status: a crash came between", lease().change(|object| object.status = None), &["update"]),
        ("no labels", lease().change(|object| object.metadata.labels = None), &["patch"]),
        ("an owner by hand", lease().change(add_owner), &["patch"]),
        ("no owner", host().change(|object| object.metadata.owner_references = None), &["patch"]),
        ("a label by hand", lease().change(relabel), &["patch"]),
        ("a status by hand", lease().change(edit), &["update"]),
        ("label and status by hand", lease().change(|object| (relabel(object), edit(object)).0), &BOTH),
        ("a note by hand", lease().change(note), &[]),
        ("made by hand, no lease", known_as(bare(NAME)), &["delete"]),
        ("made by hand, and a lease", known_as(bare(NAME)).holding(leased(1)), &BOTH),
    ];
    for (what, mut known, writes) in cases {
        assert_eq!(known.settle(&settings()), writes, "{what}");
        assert_eq!(known.settle(&settings()), [""; 0], "{what}: once more");
    }
}

fn known_as(object: HostStatus) -> Known {
    Known { observed: Some(object), ..known() }
}

fn add_owner(object: &mut HostStatus) {
    let owner = Endpoint::of(&endpoint("other", "10.9.0.1", None)).unwrap().owner;
    object.metadata.owner_references = Some(vec![owner]);
}

fn relabel(object: &mut HostStatus) {
    object.labels_mut().insert(label::ACTIVE.into(), "maybe".into());
}

fn edit(object: &mut HostStatus) {
    let status = object.status.as_mut().unwrap();
    status.basic.port = 1;
    status.cluster_agent = "nobody".into();
}

/// What others add is theirs.
fn note(object: &mut HostStatus) {
    object.labels_mut().insert("rack".into(), "7".into());
    object.annotations_mut().insert("note".into(), "noisy".into());
}

#[test]
fn an_object_says_who_has_the_address_and_how_its_endpoint_is_reached() {
    let lease = settled(known().holding(leased(1)));
    assert_eq!(shows(&lease), (HostType::Dhcp, mac(1).to_string(), true));
    let status = lease.object().status.clone().unwrap();
    assert_eq!((status.basic.https, status.basic.port), (true, 8443));
    assert_eq!((status.basic.secret_name.as_str(), status.basic.secret_namespace.as_str()), ("secret", "ns"));
    assert_eq!((status.health_ready, status.healthy), (Some(false), Some(false)));
    assert_eq!((status.last_update_time.as_str(), status.info["os"].as_str()), (NOW, ""));
    assert!(lease.object().owner_references().is_empty());

    let host = settled(known().endpoint(true));
    assert_eq!(shows(&host), (HostType::HostEndpoint, String::new(), false));
    let status = host.object().status.clone().unwrap();
    assert_eq!((status.basic.https, status.basic.port, status.basic.secret_name.as_str()), (false, 80, ""));
    let [owner] = host.object().owner_references() else { panic!("one owner") };
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("HostEndpoint", "host"));
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));

    let both = settled(known().endpoint(true).holding(leased(1)));
    assert_eq!(shows(&both), (HostType::HostEndpoint, mac(1).to_string(), true));
    assert_eq!(both.object().status.as_ref().unwrap().basic.port, 80);
    let kept = settled(known().holding(holding(1, Hold::Kept)));
    assert_eq!(shows(&kept), (HostType::Dhcp, mac(1).to_string(), false));
    let mut moved = lease.holding(leased(2));
    moved.settle(&settings());
    assert_eq!(shows(&moved), (HostType::Dhcp, mac(2).to_string(), true));
}

#[test]
fn without_discovery_leases_make_and_remove_no_objects_and_endpoints_do() {
    let off = without_discovery();
    let lease = || settled(known().holding(leased(1)));
    let host = || settled(known().endpoint(true));
    let crashed = host().endpoint(false).change(|object| object.status = None);
    for (what, mut known, writes) in [
        ("a new lease", known().holding(leased(1)), &[][..]),
        ("a lease that was shown", lease(), &[]),
        ("it has ended", lease().holding(None), &[]),
        ("it is kept", lease().holding(holding(1, Hold::Kept)), &[]),
        ("an endpoint", known().endpoint(true), &["create", "update"]),
        ("its lease is new", host().holding(leased(1)), &[]),
        ("it is gone", host().endpoint(false), &["delete"]),
        ("it is gone before its status was written", crashed, &["delete"]),
    ] {
        assert_eq!(known.settle(&off), writes, "{what}");
    }
}

#[test]
fn an_object_that_is_being_removed_is_left_alone() {
    let removed = |known: Known| {
        known.change(|object| {
            let time = serde_json::from_value(NOW.into()).unwrap();
            object.metadata.deletion_timestamp = Some(time);
            edit(object);
        })
    };
    let lease = removed(settled(known().holding(leased(1))));
    assert_eq!(lease.action(&settings()), None);
    assert_eq!(lease.holding(None).action(&settings()), None);
}

#[test]
fn the_older_name_of_ready_and_capital_letters_are_read_and_both_names_are_written() {
    let mut old = settled(known().holding(leased(0xab))).change(|object| {
        let status = object.status.as_mut().unwrap();
        (status.health_ready, status.healthy) = (None, Some(true));
        status.basic.mac = status.basic.mac.to_uppercase();
        status.info.insert("os".into(), "Linux".into());
    });
    assert_eq!(old.settle(&settings()), ["update"]);
    let status = old.object().status.clone().unwrap();
    assert_eq!((status.health_ready, status.healthy), (Some(true), Some(true)));
    assert_eq!(status.info["os"], "Linux");
    assert_eq!(status.basic.mac, "02:00:00:00:00:ab");
}

#[test]
fn an_object_is_written_once_and_then_with_the_time_of_the_last_change() {
    let Some(Action::WriteStatus(object)) = settled(known().holding(leased(1)))
        .change(|object| {
            let status = object.status.as_mut().unwrap();
            status.last_update_time = "2020-01-01T00:00:00Z".into();
            status.healthy = Some(true);
        })
        .action(&settings())
    else {
        panic!("its status is to be written")
    };
    assert_eq!(object.status.unwrap().last_update_time, NOW);
    let old = settled(known().holding(leased(1)))
        .change(|object| object.status.as_mut().unwrap().last_update_time = "2020-01-01T00:00:00Z".into());
    assert_eq!(old.action(&settings()), None, "the time alone is no change");
}

fn look(ready: bool, whole: bool, info: &[(&str, &str)]) -> Look {
    let info = info.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Look { ready, whole, info: info.collect() }
}

fn health(known: &Known) -> (bool, BTreeMap<String, String>) {
    let status = known.object().status.clone().unwrap();
    (status.is_healthy(), status.info)
}

#[test]
fn what_an_endpoint_said_is_shown_and_stays_over_a_restart() {
    let mut host = settled(known().holding(leased(1)));
    host.look = Some(look(true, true, &[("os", "Linux"), ("model", "9")]));
    assert_eq!(host.settle(&settings()), ["update"]);
    let said = health(&host);
    assert!(said.0 && said.1["model"] == "9");
    host.look = None;
    assert_eq!(host.settle(&settings()), [""; 0], "it has not been asked again yet");
    host.look = Some(look(false, true, &[("os", "")]));
    assert_eq!(host.settle(&settings()), ["update"]);
    assert_eq!(health(&host), (false, BTreeMap::from([("os".into(), String::new())])));
}

#[test]
fn what_could_not_be_read_for_once_stays_as_it_was() {
    let mut host = settled(known().holding(leased(1)));
    host.look = Some(look(true, true, &[("os", "Linux"), ("model", "9"), ("power", "On")]));
    host.settle(&settings());
    let before = health(&host);
    host.look = Some(look(true, false, &[("os", ""), ("model", "9")]));
    assert_eq!(host.settle(&settings()), [""; 0]);
    assert_eq!(health(&host), before);
    host.look = Some(look(true, true, &[("os", ""), ("model", "9")]));
    assert_eq!(host.settle(&settings()), ["update"], "all was read, and it is less");
    assert!(!health(&host).1.contains_key("power"));
}

#[test]
fn what_another_host_said_is_not_shown_of_this_one() {
    let mut host = settled(known().holding(leased(1)));
    host.look = Some(look(true, true, &[("os", "Linux")]));
    host.settle(&settings());
    host.look = None;
    let mut other = host.holding(leased(2));
    other.settle(&settings());
    assert_eq!(health(&other), (false, BTreeMap::from([("os".into(), String::new())])));
    // The hardware address of an endpoint's host is not known before it has a lease.
    let mut host = settled(known().endpoint(true));
    host.look = Some(look(true, true, &[("os", "Linux")]));
    host.settle(&settings());
    host.look = None;
    let mut host = host.holding(leased(1));
    host.settle(&settings());
    assert!(health(&host).0);
    let mut host = host.holding(None);
    host.settle(&settings());
    assert!(health(&host).0);
}
