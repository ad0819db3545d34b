//! What replies and renewals take from the maps, and leave in them: templates unaltered (checklist row
//! 55), times of the boot clock alone (row 61), all of a change or none, and nothing without room.

use std::sync::atomic::{AtomicBool, Ordering};

use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::maps::{Lease, LeaseState, Server, Template, Wire};
use xdhcpd_common::times::{SECOND, TICK, TOLD_FOR};
use xdhcpd_tests::frames::FrameBuilder;
use xdhcpd_tests::program::{Leases, PASS, Program, TX};
use xdhcpd_tests::scene::*;

/// Options as an agent renders them; 119 is compressed, 121 has the default route in it.
const RENDERED: &[(u8, &[u8])] = &[
    (1, &[255, 255, 255, 0]),
    (121, &[24, 10, 8, 7, 10, 9, 0, 1, 0, 10, 9, 0, 1]),
    (6, &[10, 9, 0, 53, 10, 9, 0, 54]),
    (12, b"node-1"),
    (15, b"example.net"),
    (26, &[0x23, 0x28]),
    (28, &[10, 9, 0, 255]),
    (42, &[10, 9, 0, 123]),
    (43, &[6, 1, 8]),
    (66, b"boot.example.net"),
    (67, b"undionly.kpxe"),
    (119, b"\x03lab\x07example\x03net\x00\x02hq\xc0\x04"),
    (150, &[10, 9, 0, 3]),
    (224, &[0, 255, 82, 53]),
];

#[test]
fn c55_options_come_unaltered_and_in_order_from_the_template() {
    let mut encoded = Vec::new();
    for (code, value) in RENDERED {
        encoded.extend([*code, u8::try_from(value.len()).expect("short")]);
        encoded.extend(*value);
    }
    let Some(mut scene) = Scene::set_with(server(), template_with(&encoded), lease()) else { return };
    for frame in [discover(), selecting(), renewing(), discover().option(61, &[1, 2, 3])] {
        let reply = scene.answer(&frame);
        for (code, value) in RENDERED {
            assert_eq!(reply.option(*code), Some(*value), "option {code}");
        }
        let codes: Vec<_> = RENDERED.iter().map(|(code, _)| *code).collect();
        assert!(reply.codes().windows(codes.len()).any(|part| part == codes), "{:?}", reply.codes());
    }
}

/// What a test leaves behind must decide nothing of the next.
#[test]
fn a_test_finds_empty_maps() {
    let strict = Server { wire_per_second: 1, client_per_second: 1, ..server() };
    let Some(mut scene) = Scene::set_with(strict, template(), lease()) else { return };
    scene.answer(&renewing());
    scene.passes_built(&reboot().option(52, &[1]), Counter::RareOption);
    drop(scene);

    let Some(mut program) = Program::load() else { return };
    assert_eq!(program.lease(key()), None);
    assert_eq!(program.counters(), Counters::default());
    assert_eq!(program.events(), []);
    let passed = program.run(&discover().build());
    assert_eq!((passed.action, program.count(Counter::NotServed)), (PASS, 1), "no wire is served");
    program.serve(wire(), strict);
    program.set_lease(key(), lease());
    let old = program.run(&discover().build());
    assert_eq!((old.action, program.count(Counter::Stale)), (PASS, 1), "no template, and all of the budget");
}

/// What a CPU found in `SERVERS` is good for one epoch, and one wire.
#[test]
fn how_a_wire_is_served_is_looked_up_again_in_each_epoch() {
    let Some(mut program) = Program::load() else { return };
    let other = Wire { vlan: [7, 0], ..wire() };
    let newer = Server { generation: server().generation + 1, ..server() };
    program.set_template(0, template());
    program.set_lease(key(), lease());
    let frame = discover().build();
    program.serve(wire(), server());
    program.serve(other, newer);
    assert_eq!(program.run(&frame).action, TX);
    assert_eq!(program.run(&frame).action, TX, "as found before");
    let tagged = program.run(&discover().vlan(7).build());
    assert_eq!((tagged.action, program.count(Counter::NoLease)), (PASS, 1), "another wire");
    assert_eq!(program.run(&frame).action, TX);
    program.serve(wire(), newer);
    assert_eq!((program.run(&frame).action, program.count(Counter::Stale)), (PASS, 1), "another epoch");
    program.set_epoch(0);
    program.write_server(wire(), server());
    assert_eq!(program.run(&frame).action, TX, "no epoch");
    program.write_server(wire(), newer);
    assert_eq!((program.run(&frame).action, program.count(Counter::Stale)), (PASS, 2), "nor now");
}

#[test]
fn c61_leases_end_by_the_boot_clock_which_no_step_of_the_time_of_day_moves() {
    let Some(mut scene) = Scene::set() else { return };
    let before = now();
    scene.answer(&renewing());
    // What is promised ends a tick late in the books.
    let times = before..=now() + TICK;
    let full = u64::from(LEASE_TIME) * SECOND + TOLD_FOR;
    let renewed = scene.0.lease(key()).expect("the lease");
    assert!(times.contains(&(renewed.expires - full)), "{renewed:?}");
    assert!(times.contains(&renewed.answered), "{renewed:?}");
    let [event] = scene.0.events()[..] else { panic!("one event") };
    assert!(times.contains(&event.at), "{event:?}");
    assert_eq!(event.expires, renewed.expires);
    // Seconds around now decide; the time of day is decades away.
    scene.0.set_lease(key(), Lease { expires: now() + 10 * SECOND, ..lease() });
    scene.answer(&renewing());
    scene.0.set_lease(key(), Lease { expires: now(), ..lease() });
    scene.passes_built(&renewing(), Counter::Expired);
}

/// A frame longer than its reply.
fn long(frame: &FrameBuilder) -> Vec<u8> {
    frame.clone().with(|frame| frame.least_payload = 548).build()
}

#[test]
fn a_frame_that_cannot_be_resized_goes_up_and_changes_nothing() {
    const METADATA: [u8; 8] = *b"metadata";
    let Some(mut scene) = Scene::set() else { return };
    let before = scene.0.lease(key());
    for (number, frame) in [discover(), renewing()].iter().enumerate() {
        let frame = long(frame);
        let Some(outcome) = scene.0.run_after_metadata(&METADATA, &frame) else { return };
        assert_eq!(outcome.action, PASS);
        assert_eq!(outcome.frame, [&METADATA[..], &frame].concat());
        assert_eq!(scene.0.count(Counter::NoRoom), number as u64 + 1);
    }
    assert_eq!(scene.0.lease(key()), before);
    assert!(scene.0.events().is_empty());
    assert_eq!(scene.0.run(&long(&renewing())).action, TX, "without metadata there is room");
}

/// Tells another thread to end.
struct StopsAtEnd<'a>(&'a AtomicBool);

impl Drop for StopsAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_entry_that_another_clients_took_the_memory_of_answers_nobody() {
    let anothers = Lease { mac: [2, 0, 0, 0, 0, 0x99], ..lease() };
    let Some(mut scene) = Scene::set_with(server(), template(), anothers) else { return };
    for (number, frame) in [discover(), selecting(), renewing()].iter().enumerate() {
        assert_eq!(scene.0.run(&frame.build()).action, PASS);
        assert_eq!(scene.0.count(Counter::Stale), number as u64 + 1);
    }
    assert_eq!(scene.0.lease(key()), Some(anothers));
    scene.0.set_lease(key(), Lease { mac: key().mac, ..anothers });
    scene.answer(&renewing());
}

#[test]
fn a_lease_that_is_changed_while_it_is_renewed_is_one_or_the_other() {
    let Some(mut scene) = Scene::set() else { return };
    let ours = Lease { mac: key().mac, ..lease() };
    let later = Lease { expires: ours.expires + SECOND, horizon: ours.horizon + SECOND, ..ours };
    // Another's by now, and not bound: a renewal of ours must leave no trace on it.
    renew_while_changed(&mut scene, ours, Lease { ip: [10, 9, 0, 101], state: LeaseState::OFFERED, ..later });
    // The same address, but another client's.
    renew_while_changed(&mut scene, ours, Lease { mac: [2, 0, 0, 0, 0, 0x99], ..later });
}

/// Renews a lease while it is now ours, now somebody else's.
fn renew_while_changed(scene: &mut Scene, ours: Lease, others: Lease) {
    scene.0.set_lease(key(), ours);
    let leases = scene.0.leases();
    let frame = renewing().build();
    let mut answers = 0;
    let before = scene.0.count(Counter::AnsweredAck);
    while_changed(leases, [others, ours], || {
        for _ in 0..20_000 {
            answers += u32::from(scene.0.run(&frame).action == TX);
            let seen = scene.0.lease(key()).expect("the lease");
            if (seen.ip, seen.mac) == (ours.ip, ours.mac) {
                let Lease { expires, answered, .. } = seen;
                assert_eq!(seen, Lease { expires, answered, ..ours });
                assert_eq!(expires == ours.expires, answered == 0, "{seen:?}");
            } else {
                assert_eq!(seen, others);
            }
        }
    });
    assert_eq!(scene.0.count(Counter::AnsweredAck) - before, u64::from(answers));
    assert_ne!(answers, 0);
    assert_ne!(answers, 20_000);
}

/// Works while another thread makes the lease now the one, now the other.
fn while_changed(mut leases: Leases, both: [Lease; 2], work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        // Also when an assertion fails, or the scope would wait for ever.
        let _stop = StopsAtEnd(&done);
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for lease in both {
                    leases.set(key(), lease);
                }
            }
        });
        work();
    });
}

/// What an ACK repeats was told of this very lease: of one that is its client's by a half, and by the other
/// another's, nothing was told.
#[test]
fn an_ack_that_repeats_what_was_told_is_of_one_lease() {
    let terms = Template { lease_max: u32::MAX - 1, ..template() };
    let ours = Lease { mac: key().mac, horizon: u64::MAX, ..lease() };
    let Some(mut scene) = Scene::set_with(server(), terms, ours) else { return };
    let others = Lease { mac: [2, 0, 0, 0, 0, 0x99], expires: u64::MAX, answered: u64::MAX, ..ours };
    let (mut answers, mut told) = (0, 0);
    while_changed(scene.0.leases(), [others, ours], || {
        for asked in LEASE_TIME..LEASE_TIME + 50_000 {
            let longer = renewing().option(51, &asked.to_be_bytes());
            answers += usize::from(scene.0.run(&longer.build()).action == TX);
            told += scene.0.events().len();
        }
    });
    assert_eq!(answers, told, "each asks for longer than all before");
    assert_ne!(answers, 0);
}
