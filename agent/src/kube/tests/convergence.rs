//! Whatever is known and whatever is there, the steps end, soon, where nothing is left to do.

use std::net::Ipv4Addr;

use kube::ResourceExt as _;
use proptest::prelude::*;

use super::super::board::Board;
use super::super::desired::{Hold, Holding, Look};
use super::super::names;
use super::super::objects::{HostStatus, HostStatusStatus, HostType, label};
use super::store::Store;
use super::{AGENT, bare, endpoint, holding, mac, settings};

/// Few, so that facts meet.
const ADDRESSES: u8 = 4;

/// Removed, or made and written, or labelled and written.
const MOST_WRITES: usize = 2;

/// What happens to one of the addresses.
#[derive(Debug, Clone)]
enum Happens {
    Held(Option<Holding>),
    Endpoint(bool),
    Look(Look),
    /// Somebody makes or edits the object.
    Edited(Option<HostStatusStatus>, Option<String>, bool),
    /// Somebody removes it.
    Removed,
    /// What somebody did came while nobody watched.
    Listed,
    Settles,
    Discovery(bool),
}

fn hold() -> impl Strategy<Value = Hold> {
    prop_oneof![Just(Hold::Offered), Just(Hold::Leased), Just(Hold::Kept)]
}

fn status() -> impl Strategy<Value = HostStatusStatus> {
    let kind = prop_oneof![Just(HostType::Dhcp), Just(HostType::HostEndpoint)];
    (kind, 0..3_u8, any::<bool>(), proptest::option::of(any::<bool>())).prop_map(
        |(kind, last, active, ready)| {
            let mut status = HostStatusStatus { health_ready: ready, ..HostStatusStatus::default() };
            status.basic.kind = kind;
            status.basic.mac = if last == 0 { String::new() } else { mac(last).to_string() };
            status.basic.active_dhcp_client = active;
            status
        },
    )
}

fn happens() -> impl Strategy<Value = Happens> {
    let look = (any::<bool>(), any::<bool>(), "[a-z]?").prop_map(|(ready, whole, model)| Look {
        ready,
        whole,
        info: [("model".to_owned(), model)].into(),
    });
    let label = proptest::option::of(prop_oneof![Just("true".to_owned()), Just("x".to_owned())]);
    prop_oneof![
        3 => proptest::option::of((1..3_u8, hold()))
            .prop_map(|held| Happens::Held(held.map(|(last, hold)| holding(last, hold)))),
        1 => any::<bool>().prop_map(Happens::Endpoint),
        1 => look.prop_map(Happens::Look),
        2 => (proptest::option::of(status()), label, any::<bool>())
            .prop_map(|(status, label, owned)| Happens::Edited(status, label, owned)),
        1 => Just(Happens::Removed),
        1 => Just(Happens::Listed),
        2 => Just(Happens::Settles),
        1 => any::<bool>().prop_map(Happens::Discovery),
    ]
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, last)
}

/// Somebody writes an object as they please.
fn edit(store: &mut Store, name: &str, status: Option<HostStatusStatus>, label: Option<String>, owned: bool) {
    let mut object: HostStatus = store.objects.get(name).cloned().unwrap_or_else(|| bare(name));
    object.status = status;
    object.metadata.labels = label.map(|value| [(label::ACTIVE.to_owned(), value)].into());
    let owner = super::super::desired::Endpoint::of(&endpoint("other", "10.9.0.9", None)).unwrap().owner;
    object.metadata.owner_references = owned.then(|| vec![owner]);
    store.put(object);
}

fn happen(board: &mut Board, store: &mut Store, last: u8, what: Happens) {
    let (ip, name) = (address(last), names::name(AGENT, address(last)));
    match what {
        Happens::Held(holding) => board.set_holding(ip, holding),
        Happens::Endpoint(true) => {
            board.set_endpoint(endpoint(&format!("host-{last}"), &ip.to_string(), Some(AGENT)));
            board.show_endpoints();
        }
        Happens::Endpoint(false) => {
            board.remove_endpoint(&format!("host-{last}"));
            board.show_endpoints();
        }
        Happens::Look(look) => board.set_look(name, look),
        Happens::Edited(status, label, owned) => {
            edit(store, &name, status, label, owned);
            board.set_object(store.get(&name));
        }
        Happens::Removed => {
            if let Some(object) = store.remove(&name) {
                board.remove_object(&object);
            }
        }
        Happens::Listed => {
            edit(store, &name, None, None, false);
            let next = names::name(AGENT, address((last + 1) % ADDRESSES));
            store.remove(&next);
            board.begin_list();
            board.set_objects(store.objects.values().cloned().collect());
        }
        Happens::Settles => drop(store.settle(board)),
        Happens::Discovery(discovery) => {
            board.set_settings(super::super::desired::Settings { discovery, ..settings() });
        }
    }
}

/// Everybody whose object was removed turns out to be alive.
fn answer_wishes(board: &mut Board) {
    board.unseen().into_iter().for_each(|ip| board.answered(ip));
}

proptest! {
    #[test]
    fn whatever_happens_objects_come_to_what_follows_from_the_facts_and_stay(
        story in proptest::collection::vec((0..ADDRESSES, happens()), 0..40)
    ) {
        let (mut board, mut store) = (super::board(), Store::default());
        for (last, what) in story {
            happen(&mut board, &mut store, last, what);
        }
        answer_wishes(&mut board);
        let writes = store.settle(&mut board);
        prop_assert!(writes.len() <= MOST_WRITES * usize::from(ADDRESSES), "{writes:?}");
        prop_assert!(board.queue.is_idle());
        board.look_at_all();
        prop_assert_eq!(store.settle(&mut board), Vec::<&str>::new());
        // The same facts told to somebody who knows nothing of what happened.
        board.set_settings(settings());
        store.settle(&mut board);
        answer_wishes(&mut board);
        for (name, object) in &store.objects {
            let status = object.status.clone().unwrap_or_default();
            prop_assert_eq!(&object.labels()[label::MODE], status.basic.kind.name());
            prop_assert_eq!(&object.labels()[label::ACTIVE], &status.basic.active_dhcp_client.to_string());
            prop_assert_eq!(&names::name(AGENT, status.basic.ip_addr.parse().unwrap()), name);
            let is_owned = !object.owner_references().is_empty();
            prop_assert_eq!(is_owned, status.basic.kind == HostType::HostEndpoint);
        }
    }
}
