//! What a frame costs in the kernel, one at a time (`BPF_PROG_TEST_RUN`), beside the reflector.
//!
//! Each figure is what the kernel's loop takes for one run, of the reflector as of the program. A frame
//! that a run changes is written anew before the next; what that takes is measured with the reflector in
//! the program's place, and taken off. Every run is checked: the counters must say that each frame was
//! answered (or passed) as it was meant to be.
//!
//! # What was tried
//!
//! On an AMD EPYC under Linux 6.18 a look-up in a hash map takes 26 to 28 ns, 20 where it finds nothing; taking
//! a lease's lock and giving it back 80; the boot clock 40; a look-up in an array, or the count of ticks,
//! nothing that can be seen. The return from a function goes through a thunk, which takes up to 7 ns where
//! what follows has to wait for it. It helped
//!
//! - to read the clock once in a tick (40 ns of each OFFER and each miss; an ACK, which promises, has it read);
//! - to fingerprint options where the walk comes by them, not in a function of their own (7 ns an option);
//! - to let the compiler load MACs and addresses as words (a twelfth; a call of `memset` for each six bytes);
//! - to tell of a client's renewals once in a quarter of a second, and to wake the agent for a burst and not for
//!   each event;
//! - to hide from the compiler that words are zero: it clears more than one by a call of `memset`, which goes
//!   byte by byte (25 ns of an answer);
//! - to write keys and MACs as words, which are then read as words: a load of more bytes than were stored at
//!   once waits until the stores are through (15 ns);
//! - to have all stages in one function (15 ns). Two in one and the third apart is more than the verifier looks at;
//! - to remember how the wire is served for as long as `EPOCH` stays (27 ns, and as much again of copies);
//! - to take no lock for an ACK that tells of nothing new, if `EPOCH` says that the agent wrote nothing meanwhile (45 ns);
//! - to read the clock before the look-up: it waits for all loads that are under way.
//!
//! It did not help
//!
//! - to look the client up before its options are walked: 28 ns more for a hit, because what is found cannot be
//!   handed from one stage to the next, for less than that off a miss;
//! - to move the frame's end in place of its front: both take 9 ns;
//! - to leave the padding out where the reply is long enough;
//! - to remember, each CPU by itself, what its events told of a client, so that an ACK that they cover needs no lock: a
//!   quarter less, where the epoch brings a fifth without memory of its own. It was taken out again;
//! - to have MAC addresses as words in place of six bytes, although that spares some forty instructions: no difference that
//!   could be told from noise;
//! - to let the verifier forget a value in a register (`le64`, which is no instruction) in place of memory: it
//!   asks back along the way of the value, and a million instructions are not enough for the walk.
//!
//! A million clients in no order cost what the memory does: a line of the table, and three of the entry (the key
//! crosses from the first to the second). A value whose first 56 bytes were all that an answer reads would save
//! one of four, for another layout of `LEASES`: that is not enough for 1.5 times, and was left.

use anyhow::Result;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::maps::{Lease, Server};
use xdhcpd_tests::frames::FrameBuilder;
use xdhcpd_tests::program::INTERFACE;
use xdhcpd_tests::scene;

use crate::bench::Bench;
use crate::part::{Part, Row, Wanted};
use crate::requests::{lease, relayed, relayed_lease, renewing_through_a_relay, server, template, usual};
use crate::rig::{self, Load, Rig, Target};

/// Clients of the small map.
const FEW: u32 = 1 << 10;

/// Clients of the large one.
const MANY: u32 = 1 << 20;

/// What is wanted: so many times the reflector for a hit, for a miss and for other traffic.
const HIT: Wanted = Wanted::RatioAtMost(25.0);
const MISS: Wanted = Wanted::RatioAtMost(5.0);
const OTHER: Wanted = Wanted::RatioAtMost(1.5);

/// What makes figures useless.
pub const WATCHED: &str = "The kernel timed each run meanwhile for some other process (`BPF_ENABLE_STATS`): all \
                           figures are too high by what that takes, and ratios too low.";

/// Answers, and what counts them.
fn hits() -> [(&'static str, FrameBuilder, Lease, Counter); 7] {
    let (offer, ack) = (Counter::AnsweredOffer, Counter::AnsweredAck);
    [
        ("OFFER", usual(scene::discover()), lease(), offer),
        ("ACK, selecting", usual(scene::selecting()), lease(), ack),
        ("ACK, renewing", usual(scene::renewing()), lease(), ack),
        ("ACK, rebinding", usual(scene::rebinding()), lease(), ack),
        ("ACK, init-reboot", usual(scene::reboot()), lease(), ack),
        ("OFFER, relayed", relayed(scene::discover()), relayed_lease(), offer),
        ("ACK, relayed", renewing_through_a_relay(), relayed_lease(), ack),
    ]
}

/// Measures it all.
pub fn measure(bench: &Bench) -> Result<Part> {
    rig::alone(|| measure_alone(bench))
}

fn measure_alone(bench: &Bench) -> Result<Part> {
    let mut part = Part {
        about: "The program run on one frame at a time by the kernel itself, without a network. The \
                reflector, an XDP program that swaps the MAC addresses and counts, is run in the same loop; \
                so is an empty program, which shows what the loop alone takes. Requests and replies have the \
                options that are usual."
            .into(),
        ..Part::default()
    };
    let mut rig = Rig::new(INTERFACE, FEW, server(), &template(), lease())?;
    let mut empty = Vec::new();
    let mut reflector = Vec::new();
    let frame = usual(scene::discover()).build();
    for _ in 0..runs(bench) {
        empty.push(rig.plain(Target::Nothing, &frame, chunks(bench))?);
        reflector.push(rig.plain(Target::Reflector, &frame, chunks(bench))?);
    }
    part.rows.push(Row::new("empty program", "ns", empty).beside("reflector", reflector));
    for (what, frame, lease, counter) in hits() {
        rig.set_all(lease);
        let load = Load { frame, clients: 1, shuffled: false };
        let (ours, reflector) = beside_reflector(bench, &mut rig, &load, counter)?;
        part.rows.push(Row::new(what, "ns", ours).beside("reflector", reflector).wanted(HIT));
    }
    part.rows.extend(misses(bench, &mut rig)?);
    part.rows.extend(others(bench, &mut rig)?);
    if rig.is_watched()? {
        part.notes.push(WATCHED.into());
    }
    rig.set_all(lease());
    // One program at a time: the small map goes before the large one comes.
    let few = of_a_map(bench, rig, FEW)?;
    bench.say("a million leases");
    let many = of_a_map(bench, Rig::new(INTERFACE, MANY, server(), &template(), lease())?, MANY)?;
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        let row = Row::new(format!("{what} a million clients"), "ns", many);
        part.rows.push(row.beside("of a thousand", few).wanted(Wanted::RatioAtMost(1.5)));
    }
    part.notes.push(
        "In no order, a million clients are more than any cache holds: their figures are those of the \
         machine's memory."
            .into(),
    );
    Ok(part)
}

/// Answers to one client of a map, and to all of them in no order.
fn of_a_map(bench: &Bench, mut rig: Rig, all: u32) -> Result<Vec<(String, Vec<f64>)>> {
    let mut figures = Vec::new();
    for (what, frame, _, counter) in hits().into_iter().take(3) {
        for (clients, text) in [(1, "one client of"), (all, "in no order, all of")] {
            let load = Load { frame: frame.clone(), clients, shuffled: true };
            let (ours, _) = beside_reflector(bench, &mut rig, &load, counter)?;
            figures.push((format!("{what}, {text}"), ours));
        }
    }
    Ok(figures)
}

fn runs(bench: &Bench) -> usize {
    bench.amount(7, 1)
}

/// How many times ten thousand frames make a run.
fn chunks(bench: &Bench) -> usize {
    bench.amount(10, 1)
}

/// What the program takes for each frame of a load, and the reflector on the same frame.
fn beside_reflector(
    bench: &Bench,
    rig: &mut Rig,
    load: &Load,
    counter: Counter,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut ours, mut reflector) = (Vec::new(), Vec::new());
    for _ in 0..runs(bench) {
        let plain = rig.plain(Target::Reflector, &load.frame.build(), chunks(bench))?;
        let restoring = rig.restored(Target::Reflector, load, chunks(bench))? - plain;
        let with = rig.counted(load, chunks(bench), counter)?;
        ours.push(with - restoring);
        reflector.push(plain);
    }
    Ok((ours, reflector))
}

/// Clients that are not known: within the budgets of what goes up, and over them.
fn misses(bench: &Bench, rig: &mut Rig) -> Result<Vec<Row>> {
    let unknown = usual(scene::discover()).with(|frame| {
        frame.chaddr[1] = 7;
        frame.source[1] = 7;
    });
    let load = Load { frame: unknown, clients: 1, shuffled: false };
    let limited = Server { client_per_second: 1 << 30, wire_per_second: 1 << 30, ..server() };
    let spent = Server { client_per_second: 1, ..server() };
    let mut rows = Vec::new();
    for (what, limits, counter) in [
        ("miss", server(), Counter::NoLease),
        ("miss, over its budget", spent, Counter::ClientBudget),
        ("miss, within its budgets", limited, Counter::NoLease),
    ] {
        rig.serve(limits);
        let (mut ours, mut reflector) = (Vec::new(), Vec::new());
        for _ in 0..runs(bench) {
            reflector.push(rig.plain(Target::Reflector, &load.frame.build(), chunks(bench))?);
            ours.push(rig.plain(Target::Ours, &load.frame.build(), chunks(bench))?);
        }
        anyhow::ensure!(rig.counters().get(counter) > 0, "{what}: none was counted as {}", counter.name());
        rows.push(Row::new(what, "ns", ours).beside("reflector", reflector).wanted(MISS));
    }
    rig.serve(server());
    Ok(rows)
}

/// Traffic that is not ours.
fn others(bench: &Bench, rig: &mut Rig) -> Result<Vec<Row>> {
    let frame = usual(scene::discover());
    let udp = frame.clone().with(|frame| frame.to_port = 53).build();
    let mut tcp = frame.build();
    tcp[14 + 9] = 6;
    let mut ipv6 = frame.build();
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    let mut rows = Vec::new();
    for (what, frame) in [("not DHCP: UDP", udp), ("not DHCP: TCP", tcp), ("not DHCP: IPv6", ipv6)] {
        let (mut ours, mut reflector) = (Vec::new(), Vec::new());
        for _ in 0..runs(bench) {
            reflector.push(rig.plain(Target::Reflector, &frame, chunks(bench))?);
            ours.push(rig.plain(Target::Ours, &frame, chunks(bench))?);
        }
        rows.push(Row::new(what, "ns", ours).beside("reflector", reflector).wanted(OTHER));
    }
    Ok(rows)
}
