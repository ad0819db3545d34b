//! What has broken other servers, put to the XDP program: each frame goes up byte for byte unchanged for
//! the right reason, or is answered as any other. The frames are the corpus's.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::fingerprint;
use xdhcpd_common::maps::{Lease, LeaseState};
use xdhcpd_tests::breakers;
use xdhcpd_tests::corpus;
use xdhcpd_tests::frames::Reply;
use xdhcpd_tests::program::{DROP, PASS, TX};
use xdhcpd_tests::scene::*;

/// Each frame of a row goes up, for the reason that its name has.
fn all_pass(row: &str, reason: impl Fn(&str) -> Counter) {
    let Some(mut scene) = Scene::set() else { return };
    let before = scene.0.lease(key());
    for (name, frame) in corpus::files("frames", row) {
        println!("{name}");
        scene.passes(&frame, reason(&name));
    }
    assert_eq!(scene.0.lease(key()), before, "nothing has changed");
}

/// Each frame of a row is answered: a well-formed reply, for [`ADDRESS`].
fn all_answered(row: &str, lease: Lease, check: impl Fn(&str, &Reply)) {
    let Some(mut scene) = Scene::set_with(server(), template(), lease) else { return };
    for (name, frame) in corpus::files("frames", row) {
        let outcome = scene.0.run(&frame);
        assert_eq!(outcome.action, TX, "{name}");
        let reply = Reply::read(&outcome.frame);
        assert_eq!(reply.message[16..20], ADDRESS, "{name}");
        check(&name, &reply);
    }
}

#[test]
fn every_frame_of_the_corpus_is_answered_dropped_or_left_as_it_was() {
    let Some(mut scene) = Scene::set() else { return };
    for (name, frame) in corpus::files("frames", "") {
        scene.0.set_lease(key(), lease());
        let outcome = scene.0.run(&frame);
        match outcome.action {
            TX => drop(Reply::read(&outcome.frame)),
            PASS | DROP => assert_eq!(outcome.frame, frame, "{name}"),
            other => panic!("{name}: action {other}"),
        }
    }
}

#[test]
fn b01_any_hlen_but_6_goes_up() {
    all_pass("b01", |_| Counter::Bootp);
}

#[test]
fn b02_a_wrong_cookie_goes_up() {
    all_pass("b02", |_| Counter::Bootp);
}

#[test]
fn b03_who_asks_for_108_where_no_subnet_is_served_goes_up() {
    all_pass("b03", |name| match name {
        "b03-108-on-a-strange-vlan" => Counter::NotServed,
        "b03-108-through-a-strange-relay" => Counter::OtherRelay,
        _ => Counter::RareOption,
    });
}

#[test]
fn b04_a_bad_host_name_changes_no_answer() {
    all_answered("b04", lease(), |name, reply| assert_eq!(reply.option(12), None, "{name}"));
}

#[test]
fn b05_a_bad_fqdn_changes_no_answer() {
    all_answered("b05", lease(), |name, reply| assert_eq!(reply.option(81), None, "{name}"));
}

#[test]
fn b06_client_ids_too_short_or_too_long_to_echo_go_up() {
    all_pass("b06", |_| Counter::EchoLength);
}

#[test]
fn b07_udp_lengths_that_lie_go_up() {
    all_pass("b07", |_| Counter::Length);
}

#[test]
fn b08_options_cut_at_each_byte_go_up() {
    all_pass("b08", |_| Counter::Options);
}

#[test]
fn b09_option_53_of_length_2_goes_up() {
    all_pass("b09", |_| Counter::Options);
}

#[test]
fn b10_option_50_of_length_3_goes_up() {
    all_pass("b10", |_| Counter::Options);
}

#[test]
fn b11_a_release_stays_one_whatever_its_client_id_looks_like() {
    let Some(mut scene) = Scene::set() else { return };
    for (_, frame) in corpus::files("frames", "b11") {
        scene.passes(&frame, Counter::GivenBack);
        assert_eq!(scene.0.lease(key()).expect("there").state, LeaseState::SUSPENDED);
    }
}

#[test]
fn b12_overload_goes_up() {
    all_pass("b12", |_| Counter::RareOption);
}

#[test]
fn b13_ip_options_go_up() {
    all_pass("b13", |_| Counter::IpHeader);
}

#[test]
fn b14_fragments_go_up() {
    let is_first = |name: &str| name.ends_with("first");
    all_pass("b14", |name| if is_first(name) { Counter::IpHeader } else { Counter::NotDhcp });
}

#[test]
fn b15_htype_32_goes_up() {
    all_pass("b15", |_| Counter::Bootp);
}

#[test]
fn b16_text_of_a_clients_is_echoed_as_it_came_and_nothing_else() {
    for (at, text) in breakers::HOSTILE.iter().enumerate() {
        let client_id = fingerprint::add(fingerprint::NONE, 61, text);
        all_answered(&format!("b16-text-{at}"), Lease { client_id, ..lease() }, |name, reply| {
            assert_eq!(reply.option(61), Some(*text), "{name}");
            assert_eq!((reply.option(12), reply.option(81)), (None, None), "{name}");
        });
    }
}

#[test]
fn b17_thousands_of_strange_relays_go_up_and_change_nothing() {
    all_pass("b17", |_| Counter::OtherRelay);
    let Some(mut scene) = Scene::set() else { return };
    for relay in 0..5_000_u32 {
        let [_, a, b, c] = relay.wrapping_mul(7919).to_be_bytes();
        let frame = breakers::from_relay([198, a, b, c]);
        let outcome = scene.0.run(&frame);
        assert_eq!((outcome.action, outcome.frame), (PASS, frame));
    }
    assert_eq!(scene.0.count(Counter::OtherRelay), 5_000);
    assert!(scene.0.events().is_empty());
    scene.answer(&discover());
}

#[test]
fn b18_declines_of_other_addresses_suspend_nothing() {
    all_pass("b18", |_| Counter::OtherAddress);
    let Some(mut scene) = Scene::set() else { return };
    for last in (0..=255).filter(|last| *last != ADDRESS[3]) {
        scene.passes(&breakers::decline([10, 9, 0, last]), Counter::OtherAddress);
    }
    assert_eq!(scene.0.lease(key()).expect("there").state, LeaseState::BOUND);
    assert!(scene.0.events().is_empty());
}
