//! Checklist rows 21 to 41 as far as they are the kernel's: the four states of a REQUEST, lease times,
//! and what an ACK does to the lease.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::fingerprint;
use xdhcpd_common::maps::{EventKind, Lease, LeaseKey, LeaseState, Template};
use xdhcpd_common::times::{SECOND, TICK, TOLD_FOR};
use xdhcpd_tests::frames::*;
use xdhcpd_tests::scene::*;

#[test]
fn c21_the_present_binding_is_offered_again() {
    let Some(mut scene) = Scene::set() else { return };
    let before = scene.0.lease(key());
    let reply = scene.answer(&discover());
    assert_eq!(reply.option(53), Some(&[2][..]));
    assert_eq!(scene.0.count(Counter::AnsweredOffer), 1);
    assert_eq!(scene.0.lease(key()), before, "an offer changes nothing");
    assert!(scene.0.events().is_empty());
}

#[test]
fn c21_an_unknown_client_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let other = discover().with(|frame| {
        frame.chaddr[5] += 1;
        frame.source[5] += 1;
    });
    scene.passes_built(&other, Counter::NoLease);
}

#[test]
fn c22_an_offer_carries_51_53_54_and_the_mask_and_never_50_55_57() {
    let Some(mut scene) = Scene::set() else { return };
    scene.0.set_lease(key(), Lease { ask: fingerprint::add(0, 55, &[1, 3]), ..lease() });
    let codes = scene.answer(&discover().option(57, &[5, 220]).option(55, &[1, 3])).codes();
    assert!([51, 53, 54, 1].iter().all(|code| codes.contains(code)), "{codes:?}");
    assert!(![50, 55, 57].iter().any(|code| codes.contains(code)), "{codes:?}");
}

#[test]
fn c23_the_lease_time_asked_for_is_clamped() {
    let Some(mut scene) = Scene::set() else { return };
    assert_eq!(scene.answer(&discover()).seconds(51), LEASE_TIME);
    for (asked, given) in [(0, LEASE_TIME), (1, 60), (60, 60), (5000, 5000), (7201, 7200), (u32::MAX, 7200)] {
        let reply = scene.answer(&discover().option(51, &u32::to_be_bytes(asked)));
        assert_eq!(reply.seconds(51), given, "asked for {asked}");
    }
}

#[test]
fn c26_other_parameters_than_the_template_was_rendered_for_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    let ask = fingerprint::add(fingerprint::add(0, 55, &[1, 3, 6]), 60, b"udhcp");
    scene.0.set_lease(key(), Lease { ask, ..lease() });
    scene.answer(&discover().option(55, &[1, 3, 6]).option(60, b"udhcp"));
    scene.passes_built(&discover().option(60, b"udhcp").option(55, &[1, 3, 6]), Counter::OtherParameters);
    scene.passes_built(&discover().option(55, &[1, 6, 3]).option(60, b"udhcp"), Counter::OtherParameters);
    scene.passes_built(&discover().option(55, &[1, 3, 6]), Counter::OtherParameters);
    scene.passes_built(&discover(), Counter::OtherParameters);
}

#[test]
fn c29_selecting_ours_is_acked_and_the_renewal_told_of() {
    let Some(mut scene) = Scene::set() else { return };
    scene.0.set_lease(key(), Lease { state: LeaseState::OFFERED, ..lease() });
    let before = now();
    let reply = scene.answer(&selecting());
    assert_eq!(reply.option(53), Some(&[5][..]));
    let after = now();
    let changed = scene.0.lease(key()).expect("there");
    assert_eq!(changed.state, LeaseState::BOUND);
    let time = u64::from(reply.seconds(51)) * SECOND + TOLD_FOR;
    assert!((before + time..=after + time + TICK).contains(&changed.expires), "renewed by its time");
    assert!((before - TICK..=after).contains(&changed.answered));
    let events = scene.0.events();
    assert_eq!(events.len(), 1);
    let event = events[0];
    assert_eq!((event.kind, event.key, event.ip), (EventKind::RENEWED, key(), ADDRESS));
    assert_eq!((event.at, event.expires), (changed.answered, changed.expires));
    assert_eq!(scene.0.count(Counter::AnsweredAck), 1);
}

#[test]
fn c29_what_is_not_durable_for_so_long_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let before = Lease { horizon: now() + 3000 * SECOND, ..lease() };
    scene.0.set_lease(key(), before);
    scene.passes_built(&selecting(), Counter::Horizon);
    assert_eq!(scene.0.lease(key()), Some(before));
    assert!(scene.0.events().is_empty());
}

#[test]
fn c30_selecting_another_server_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let other = FrameBuilder::message(3).option(54, &[10, 9, 0, 9]).option(50, &ADDRESS);
    scene.passes_built(&other, Counter::OtherServer);
}

#[test]
fn c31_selecting_another_address_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let other = FrameBuilder::message(3).option(54, &SERVER).option(50, &[10, 9, 0, 101]);
    scene.passes_built(&other, Counter::OtherAddress);
}

#[test]
fn c32_init_reboot_with_the_right_address_is_acked() {
    let Some(mut scene) = Scene::set() else { return };
    assert_eq!(scene.answer(&reboot()).option(53), Some(&[5][..]));
    scene.0.set_lease(key(), Lease { state: LeaseState::OFFERED, ..lease() });
    scene.passes_built(&reboot(), Counter::NotBound);
}

#[test]
fn c33_init_reboot_with_a_wrong_address_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    scene.passes_built(&FrameBuilder::message(3).option(50, &[192, 168, 1, 2]), Counter::OtherAddress);
}

#[test]
fn c35_renewing_is_acked_with_the_full_time() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&renewing());
    assert_eq!((reply.option(53), reply.seconds(51)), (Some(&[5][..]), LEASE_TIME));
}

#[test]
fn c35_a_renewal_never_shortens_a_lease() {
    let Some(mut scene) = Scene::set() else { return };
    let expires = now() + 2 * 3600 * SECOND;
    scene.0.set_lease(key(), Lease { expires, ..lease() });
    scene.answer(&renewing());
    assert_eq!(scene.0.lease(key()).expect("there").expires, expires);
}

#[test]
fn c36_rebinding_is_acked() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&rebinding());
    assert_eq!((reply.option(53), reply.to), (Some(&[5][..]), ADDRESS));
}

#[test]
fn c37_renewing_another_address_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    scene.passes_built(&renewing().with(|frame| frame.ciaddr[3] += 1), Counter::OtherAddress);
}

#[test]
fn c38_requests_of_no_state_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    scene.passes_built(&renewing().option(50, &ADDRESS), Counter::RequestForm);
    scene.passes_built(&renewing().option(54, &SERVER), Counter::RequestForm);
    scene.passes_built(&FrameBuilder::message(3), Counter::RequestForm);
    scene.passes_built(&FrameBuilder::message(3).option(54, &SERVER), Counter::RequestForm);
}

#[test]
fn c39_timers_are_ordered_and_an_infinite_lease_has_none() {
    let Some(mut scene) = Scene::set() else { return };
    for asked in [60_u32, 61, 3600, 7200] {
        let reply = scene.answer(&selecting().option(51, &asked.to_be_bytes()));
        let (t1, t2) = (reply.seconds(58), reply.seconds(59));
        assert!(0 < t1 && t1 < t2 && t2 < asked, "{t1} < {t2} < {asked}");
    }
    scene.0.set_template(0, Template { lease_default: u32::MAX, lease_max: u32::MAX, ..template() });
    scene.0.set_lease(key(), Lease { horizon: u64::MAX, ..lease() });
    let reply = scene.answer(&selecting());
    assert_eq!(reply.seconds(51), u32::MAX);
    assert_eq!(reply.codes(), [53, 54, 51, 1, 3, 6]);
    assert_eq!(scene.0.lease(key()).expect("there").expires, u64::MAX);
}

#[test]
fn c40_and_c41_the_ack_says_what_the_offer_said() {
    let Some(mut scene) = Scene::set() else { return };
    let offer = scene.answer(&discover().option(61, b"id"));
    let ack = scene.answer(&selecting().option(61, b"id"));
    assert_eq!(offer.options[1..], ack.options[1..]);
    assert_eq!(offer.message[44..236], ack.message[44..236]);
    assert_eq!(offer.field(xdhcpd_common::frame::bootp::SIADDR, 4), NEXT_SERVER);
    assert_eq!(ack.field(xdhcpd_common::frame::bootp::SIADDR, 4), NEXT_SERVER);
}

#[test]
fn g10_only_bound_leases_of_this_wire_are_answered() {
    let Some(mut scene) = Scene::set() else { return };
    scene.0.set_lease(key(), Lease { state: LeaseState::SUSPENDED, ..lease() });
    scene.passes_built(&discover(), Counter::Suspended);
    scene.0.set_lease(key(), Lease { generation: GENERATION + 1, ..lease() });
    scene.passes_built(&discover(), Counter::Stale);
    scene.0.set_lease(key(), Lease { template: 5000, ..lease() });
    scene.passes_built(&discover(), Counter::Stale);
    let elsewhere = LeaseKey { mac: [2, 0, 0, 0, 9, 9], ..key() };
    scene.0.set_lease(elsewhere, lease());
    scene.0.set_lease(key(), lease());
    scene.answer(&discover());
}

#[test]
fn g11_an_expired_lease_goes_up_and_so_does_one_that_is_about_to() {
    let Some(mut scene) = Scene::set() else { return };
    scene.0.set_lease(key(), Lease { expires: now() - 1, ..lease() });
    scene.passes_built(&discover(), Counter::Expired);
    scene.passes_built(&renewing(), Counter::Expired);
    scene.0.set_lease(key(), Lease { expires: now() + 4 * SECOND, ..lease() });
    scene.passes_built(&discover(), Counter::Expiring);
    scene.answer(&renewing());
}

#[test]
fn no_renewal_is_lost_when_the_ring_is_full() {
    let Some(mut scene) = Scene::set() else { return };
    let frame = renewing().build();
    let mut answered = 0_usize;
    while scene.0.run(&frame).action == xdhcpd_tests::program::TX {
        answered += 1;
        assert!(answered < 100_000, "the ring has an end");
        // Nothing was told of it: the next one needs an event too.
        scene.0.set_lease(key(), lease());
    }
    let before = scene.0.lease(key());
    scene.passes(&frame, Counter::RingFull);
    assert_eq!(scene.0.lease(key()), before, "not renewed");
    scene.answer(&discover());
    assert_eq!(scene.0.events().len(), answered, "each renewal is told of");
    scene.answer(&renewing());
}

#[test]
fn a_client_that_repeats_itself_is_answered_and_told_of_once() {
    let Some(mut scene) = Scene::set() else { return };
    let time = u64::from(LEASE_TIME) * SECOND;
    scene.answer(&renewing());
    let first = scene.0.lease(key()).expect("there");
    let mut again = 0;
    while now() < first.answered + TOLD_FOR / 2 {
        scene.answer(&renewing());
        again += 1;
    }
    assert!(again > 0, "within an eighth of a second");
    assert!(now() + time < first.expires, "the end that was told of covers each answer");
    assert_eq!(scene.0.lease(key()), Some(first));
    let [event] = scene.0.events()[..] else { panic!("one event") };
    assert_eq!((event.at, event.expires), (first.answered, first.expires));
    assert_eq!(scene.0.count(Counter::AnsweredAck), again + 1, "but each is counted");
}

#[test]
fn an_end_is_never_told_past_the_horizon() {
    let Some(mut scene) = Scene::set() else { return };
    let horizon = now() + u64::from(LEASE_TIME) * SECOND + TOLD_FOR / 2;
    scene.0.set_lease(key(), Lease { horizon, ..lease() });
    scene.answer(&renewing());
    assert_eq!(scene.0.lease(key()).expect("there").expires, horizon);
    let [event] = scene.0.events()[..] else { panic!("one event") };
    assert_eq!(event.expires, horizon);
}

#[test]
fn a_client_that_is_not_bound_yet_is_told_of_whatever_its_end() {
    let Some(mut scene) = Scene::set() else { return };
    let expires = now() + 7200 * SECOND;
    let offered = Lease { state: LeaseState::OFFERED, expires, answered: now(), ..lease() };
    scene.0.set_lease(key(), offered);
    scene.answer(&selecting());
    assert_eq!(scene.0.events().len(), 1);
    assert_eq!(scene.0.lease(key()).expect("there").state, LeaseState::BOUND);
}

#[test]
fn one_answer_in_64_is_timed() {
    let Some(mut scene) = Scene::set() else { return };
    let frame = discover().build();
    for _ in 0..640 {
        scene.0.run(&frame);
    }
    let counters = scene.0.counters();
    let timed: u64 = counters.answer_nanoseconds.iter().sum();
    assert_eq!(counters.answered_offer, 640);
    assert!((9..=11).contains(&timed), "{timed} of 640");
    assert!(counters.answer_nanoseconds_sum > 0);
}
