//! Whatever is published comes back to the letter; whatever somebody else wrote comes back as a block, or as an
//! error that names its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::text::form_of_bytes;
use super::*;
use crate::claims::{AgentId, At, Binding, Block, BlockId, FOREVER, Mark, Slot, Term};
use crate::kube::objects::AddressBlockSpec;
use crate::lease::ClientKey;

fn id() -> BlockId {
    BlockId::of(Ipv4Addr::new(10, 9, 0, 0))
}

fn agent() -> impl Strategy<Value = AgentId> {
    "[0-9a-f]{16}".prop_map(Into::into)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_u64, any::<u64>(), 1_000_000_000_000..2_000_000_000_000_u64, Just(FOREVER)]
}

fn client() -> impl Strategy<Value = ClientKey> {
    prop_oneof![
        any::<[u8; 6]>().prop_map(ClientKey::Mac),
        vec(any::<u8>(), 0..20).prop_map(|id| ClientKey::Id(id.into())),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    (number(), number(), number(), btree_set(agent(), 0..4)).prop_map(
        |(serial, given_up, not_before, confirmed)| Mark {
            serial,
            given_up: At(given_up),
            not_before: At(not_before),
            confirmed,
        },
    )
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        (prop_oneof![Just("0123456789abcdef".into()), agent()], 0..3_u64)
            .prop_map(|(agent, incarnation)| Slot::Claimed { agent, incarnation }),
        (client(), number(), option::of(mark())).prop_map(|(client, longest, mark)| Slot::Bound(Binding {
            client,
            longest,
            mark
        })),
    ]
}

fn block() -> impl Strategy<Value = Block> {
    let slots = btree_map(0..=255_u8, slot(), 0..64);
    (number(), slots).prop_map(|(serial, slots)| Block {
        serial,
        slots: slots.into_iter().map(|(host, slot)| (Ipv4Addr::new(10, 9, 0, host), slot)).collect(),
    })
}

proptest! {
    #[test]
    fn a_block_is_read_as_it_was_written(block in block()) {
        let form = serde_json::to_vec(&form_of_block("bmc", &block)).unwrap();
        let form: AddressBlockSpec = serde_json::from_slice(&form).unwrap();
        prop_assert_eq!(block_of(id(), &form).unwrap(), block);
    }

    #[test]
    fn a_term_is_read_as_it_was_written(
        serial in number(), incarnation in number(), until in number(), longest in number(),
    ) {
        let term = Term { serial, incarnation, until: At(until), longest };
        prop_assert_eq!(term_of(&form_of_term("bmc", Some("node"), &term)).unwrap(), term);
    }

    #[test]
    fn no_text_is_more_than_wrong(text in "\\PC{0,24}|[-0-9dhms@:TZ.]{0,24}") {
        let _ = time_of(&text);
        let _ = text::bytes_of(&text);
        if let Ok(span) = span_of(&text) {
            prop_assert_eq!(span_of(&form_of_span(span)), Ok(span));
        }
    }
}

#[test]
fn what_is_published_can_be_read_by_people() {
    let claimed = |incarnation| Slot::Claimed { agent: "00000000000000aa".into(), incarnation };
    let ip = |host| Ipv4Addr::new(10, 9, 0, host);
    let mark = Mark {
        serial: 7,
        given_up: At(1_785_585_600_500),
        not_before: At::NEVER,
        confirmed: BTreeSet::from(["00000000000000bb".into()]),
    };
    let mac = ClientKey::Mac([2, 0, 0, 0, 0, 1]);
    let slots = BTreeMap::from([
        (ip(4), claimed(1)),
        (ip(5), claimed(2)),
        (ip(6), claimed(2)),
        (ip(7), claimed(2)),
        (ip(9), claimed(2)),
        (ip(10), Slot::Bound(Binding { client: mac, longest: 43_200_000, mark: None })),
        (
            ip(11),
            Slot::Bound(Binding {
                client: ClientKey::Id([1, 0xab].into()),
                longest: FOREVER,
                mark: Some(mark),
            }),
        ),
    ]);
    let form = form_of_block("bmc", &Block { serial: 8, slots });
    let expected = json!({
        "clusterAgent": "bmc", "serial": 8, "counts": {"claimed": 5, "bound": 2, "marked": 1},
        "claimed": [
            {"agent": "00000000000000aa", "incarnation": 1, "addresses": ["10.9.0.4"]},
            {"agent": "00000000000000aa", "incarnation": 2, "addresses": ["10.9.0.5-10.9.0.7", "10.9.0.9"]},
        ],
        "bound": [
            {"ip": "10.9.0.10", "mac": "02:00:00:00:00:01", "longest": "12h"},
            {"ip": "10.9.0.11", "clientId": "01ab", "longest": "infinite", "mark": {
                "serial": 7, "givenUp": "2026-08-01T12:00:00.5Z", "confirmed": ["00000000000000bb"],
            }},
        ],
    });
    assert_eq!(serde_json::to_value(form).unwrap(), expected);
}

#[test]
fn a_full_block_stays_small() {
    let binding =
        |host: u8| Binding { client: ClientKey::Mac([2, 0, 0, 0, 0, host]), longest: 43_200_000, mark: None };
    let slots = (0..=255).map(|host| (Ipv4Addr::new(10, 9, 0, host), Slot::Bound(binding(host)))).collect();
    let form = serde_json::to_string(&form_of_block("bmc", &Block { serial: 1, slots })).unwrap();
    assert!(form.len() < 256 * 64 + 200, "{}", form.len());
}

#[test]
fn spans_and_times_that_people_write_are_read() {
    for (text, span) in [
        ("12h", Some(43_200_000)),
        ("1d1ms", Some(86_400_001)),
        ("0s", Some(0)),
        ("", None),
        ("1h1h", None),
        ("1s1h", None),
        ("5", None),
        ("+5s", None),
        ("99999999999999999999d", None),
        ("18446744073709551615ms", None),
    ] {
        assert_eq!(span_of(text).ok(), span, "{text}");
    }
    for (text, time) in [
        ("1970-01-01T00:00:01Z", Some(1000)),
        ("1970-01-01T02:00:01+02:00", Some(1000)),
        ("@7", Some(7)),
        ("@-7", None),
        ("1969-12-31T23:59:59Z", None),
        ("2026-02-30T00:00:00Z", None),
        ("now", None),
    ] {
        assert_eq!(time_of(text).ok(), time.map(At), "{text}");
    }
    assert_eq!(form_of_bytes(&[0, 255]), "00ff");
}

#[test]
fn nonsense_is_an_error_that_names_its_place() {
    let bound = |ip: &str, more: serde_json::Value| {
        let mut bound = json!({"ip": ip, "mac": "02:00:00:00:00:01", "longest": "12h"});
        bound.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bound
    };
    let claimed =
        |addresses: &[&str]| json!({"agent": "00000000000000aa", "incarnation": 1, "addresses": addresses});
    for (claimed, bound, error) in [
        (
            vec![claimed(&["10.9.1.4"])],
            vec![],
            "spec.claimed[0].addresses[0]: 10.9.1.4 is not of 10.9.0.0/24",
        ),
        (
            vec![claimed(&["10.9.0.4-10.9.0.3"])],
            vec![],
            "spec.claimed[0].addresses[0]: \"10.9.0.4-10.9.0.3\" ends",
        ),
        (
            vec![claimed(&["10.9.0.4", "x"])],
            vec![],
            "spec.claimed[0].addresses[1]: \"x\" is not an IPv4 address",
        ),
        (
            vec![claimed(&["10.9.0.4-10.9.0.6"])],
            vec![bound("10.9.0.5", json!({}))],
            "spec.bound[0].ip: 10.9.0.5 is named twice",
        ),
        (vec![], vec![bound("10.9.0.5", json!({"clientId": "01"}))], "spec.bound[0].mac: give either"),
        (vec![], vec![bound("10.9.0.5", json!({"mac": "x"}))], "spec.bound[0].mac: \"x\" is not a MAC"),
        (
            vec![],
            vec![bound("10.9.0.5", json!({"mac": null, "clientId": "0"}))],
            "spec.bound[0].clientId: \"0\"",
        ),
        (
            vec![],
            vec![bound("10.9.0.5", json!({"longest": "soon"}))],
            "spec.bound[0].longest: \"soon\" is not a time span",
        ),
        (
            vec![],
            vec![bound("10.9.0.5", json!({"mark": {"serial": 1, "notBefore": "soon"}}))],
            "spec.bound[0].mark.notBefore: \"soon\" is not an RFC 3339 time",
        ),
    ] {
        let form = json!({"clusterAgent": "bmc", "serial": 1, "claimed": claimed, "bound": bound});
        let found = block_of(id(), &serde_json::from_value(form).unwrap()).unwrap_err().to_string();
        assert!(found.starts_with(error), "{found} for {error}");
    }
}
