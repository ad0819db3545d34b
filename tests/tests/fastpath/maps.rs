//! The maps: entries written, suspended, or left alone.

use aya::maps::{Array, Map, MapData};
use xdhcpd::clock::Moment;
use xdhcpd::config::FastPathMode;
use xdhcpd::fastpath::{FastPath, FastPathError};
use xdhcpd_common::maps::{COVERS_LEASES, Event, EventKind, Lease, LeaseKey, LeaseState, Server, Wire};

use super::scene::*;

#[test]
fn events_wait_for_the_next_agent_and_come_once() {
    Scene::play("events", |scene| {
        let mut first = scene.start(FastPathMode::Auto);
        let mut events = Vec::new();
        assert!(!first.drain(&mut events), "an idle ring holds less than one call's limit");
        drop(first);
        let mut second = scene.start(FastPathMode::Auto);
        second.settle();
        while second.drain(&mut events) {}
        let drained = events.len();
        assert!(!second.drain(&mut events));
        assert_eq!(events.len(), drained);
    });
}

#[test]
fn a_lease_is_written_suspended_and_removed() {
    Scene::play("lease", |scene| {
        let mut fast_path = scene.start(FastPathMode::Auto);
        assert_eq!(fast_path.suspend(key(1)).unwrap(), None);
        assert_eq!(fast_path.lease(key(1)).unwrap(), None);
        fast_path.put_lease(key(1), &lease(1)).unwrap();
        assert_eq!(fast_path.suspend(key(1)).unwrap(), Some(lease(1)));
        fast_path.settle();
        let suspended = Lease { state: LeaseState::SUSPENDED, ..lease(1) };
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(suspended));
        fast_path.put_lease(key(1), &lease(2)).unwrap();
        assert_eq!(fast_path.leases().unwrap(), [(key(1), lease(2))]);
        assert!(fast_path.remove_lease(key(1)).unwrap());
        assert!(!fast_path.remove_lease(key(1)).unwrap());
        assert_eq!(fast_path.leases().unwrap(), []);
    });
}

#[test]
fn a_renewal_that_a_write_of_ours_set_back_is_written_again() {
    Scene::play("renewal", |scene| {
        let mut fast_path = scene.start(FastPathMode::Off);
        let renewed = |ip, expires| Event {
            kind: EventKind::RENEWED,
            key: key(1),
            ip,
            at: 20,
            expires,
            ..Event::default()
        };
        assert!(!fast_path.keep_renewal(&renewed(lease(1).ip, 2_000)).unwrap(), "there is no entry");
        fast_path.put_lease(key(1), &lease(1)).unwrap();
        assert!(!fast_path.keep_renewal(&renewed(lease(1).ip, 1_000)).unwrap(), "it is there already");
        assert!(!fast_path.keep_renewal(&renewed(lease(2).ip, 2_000)).unwrap(), "of another address");
        let declined = Event { kind: EventKind::SUSPENDED, ..renewed(lease(1).ip, 2_000) };
        assert!(!fast_path.keep_renewal(&declined).unwrap(), "no renewal");
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(lease(1)));

        assert!(fast_path.keep_renewal(&renewed(lease(1).ip, 2_000)).unwrap());
        let kept = Lease { expires: 2_000, answered: 20, ..lease(1) };
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(kept));
        fast_path.suspend(key(1)).unwrap();
        assert!(fast_path.keep_renewal(&renewed(lease(1).ip, 3_000)).unwrap());
        let suspended = Lease { expires: 3_000, state: LeaseState::SUSPENDED, ..kept };
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(suspended), "it stays suspended");

        let later = Event { at: u64::MAX, ..renewed(lease(1).ip, 4_000) };
        assert!(!fast_path.keep_renewal(&later).unwrap(), "no write of ours can have met it");
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(suspended));
    });
}

#[test]
fn a_full_map_and_a_template_too_many_are_said() {
    Scene::play("full", |scene| {
        let mut fast_path = scene.start_for(1, FastPathMode::Off);
        let capacity = fast_path.lease_capacity();
        let full = (0..=capacity).find_map(|n| fast_path.put_lease(key(n), &lease(n)).err());
        let full = full.expect("there is no room for one more");
        assert!(matches!(full, FastPathError::Full { map: "LEASES", .. }), "{full}");
        assert_eq!(fast_path.leases().unwrap().len(), usize::try_from(capacity).unwrap());
        fast_path.put_lease(key(0), &lease(9)).expect("an entry that is there can be changed");

        let capacity = fast_path.template_capacity();
        let beyond = fast_path.put_template(capacity, &template(1));
        assert!(matches!(beyond, Err(FastPathError::NoTemplate { .. })));
    });
}

#[test]
fn maps_of_another_layout_are_left_alone_and_nothing_answers_from_them() {
    Scene::play("layout", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let servers = scene.pins().join("SERVERS");
        std::fs::remove_file(&servers).unwrap();
        let create =
            format!("bpftool map create {} type hash key 4 value 4 entries 16 name x", servers.display());
        run(&create);
        let error = scene.try_start(100, &[("server", FastPathMode::Auto)]).err().expect("a foreign map");
        assert!(matches!(error, FastPathError::Layout { .. }), "{error}");
        assert!(error.to_string().contains("keys of SERVERS have 4 bytes"), "{error}");
        assert!(!scene.pins().join("link-server").exists(), "the old program is off the wire");
        assert!(scene.pins().join("LEASES").exists(), "the maps stay");
    });
}

#[test]
fn maps_without_the_number_of_their_layout_are_another_versions() {
    Scene::play("marker", |scene| {
        drop(scene.start(FastPathMode::Auto));
        std::fs::remove_file(scene.pins().join("LAYOUT")).unwrap();
        let error = scene.try_start(100, &[("server", FastPathMode::Auto)]).err().expect("no marker");
        assert!(error.to_string().contains("there is no LAYOUT"), "{error}");
    });
}

#[test]
fn each_rest_after_changes_is_an_epoch_of_its_own() {
    Scene::play("epoch", |scene| {
        let mut fast_path = scene.start(FastPathMode::Off);
        let pin = scene.pins().join("EPOCH");
        let epoch = || {
            let map = Map::from_map_data(MapData::from_pin(&pin).unwrap()).unwrap();
            Array::<_, u64>::try_from(map).unwrap().get(&0, 0).unwrap()
        };
        let mut seen = vec![0];
        let mut rests = |fast_path: &mut FastPath, what: &str| {
            assert_eq!(epoch(), 0, "{what}: a change is under way");
            fast_path.rest().unwrap();
            seen.push(epoch());
            fast_path.rest().unwrap();
            assert_eq!(seen.last(), Some(&epoch()), "{what}: nothing was changed since");
        };
        rests(&mut fast_path, "the start");
        let wire = Wire { interface: 9, vlan: [0; 2] };
        let key = LeaseKey { wire, mac: [2, 0, 0, 0, 0, 1], zero: [0; 2] };
        let lease = Lease { state: LeaseState::BOUND, ip: [10, 9, 0, 100], ..Lease::default() };
        fast_path.put_server(wire, &Server::default()).unwrap();
        rests(&mut fast_path, "a new wire");
        fast_path.remove_server(wire).unwrap();
        rests(&mut fast_path, "a wire less");
        fast_path.put_lease(key, &lease).unwrap();
        rests(&mut fast_path, "a new lease");
        fast_path.extend_lease(key, lease.ip.into(), Moment(9)).unwrap();
        rests(&mut fast_path, "a later horizon");
        let renewed = Event { kind: EventKind::RENEWED, key, ip: lease.ip, expires: 7, ..Event::default() };
        assert!(fast_path.keep_renewal(&renewed).unwrap());
        rests(&mut fast_path, "a renewal kept");
        fast_path.suspend(key).unwrap();
        rests(&mut fast_path, "a suspended lease");
        fast_path.remove_lease(key).unwrap();
        rests(&mut fast_path, "a lease less");
        drop(fast_path);
        rests(&mut scene.start(FastPathMode::Off), "another start");
        assert!(seen.is_sorted_by(|earlier, later| earlier < later), "{seen:?}");
        let says = if cfg!(target_arch = "x86_64") { COVERS_LEASES } else { 0 };
        assert!(seen.iter().skip(1).all(|epoch| epoch & COVERS_LEASES == says), "{seen:?}");
    });
}

#[test]
fn wires_are_written_listed_and_removed() {
    Scene::play("servers", |scene| {
        let mut fast_path = scene.start(FastPathMode::Off);
        let (one, two) = (Server { generation: 1, ..Server::default() }, Server::default());
        let other = Wire { interface: 8, vlan: [0, 0] };
        fast_path.put_server(wire(), &one).unwrap();
        fast_path.put_server(other, &two).unwrap();
        let mut servers = fast_path.servers().unwrap();
        servers.sort_by_key(|(wire, _)| *wire);
        assert_eq!(servers, [(wire(), one), (other, two)]);
        assert!(fast_path.remove_server(other).unwrap());
        assert!(!fast_path.remove_server(other).unwrap());
        assert_eq!(fast_path.server(other).unwrap(), None);
    });
}
