//! Frames as they come by the wire: how many the program answers in a second, beside the reflector.
//!
//! A program of the bench writes requests at the client's end of a veth pair and sends them off in
//! batches (`BPF_F_TEST_XDP_LIVE_FRAMES`), each for another client; replies are counted and dropped at
//! the same end. Sender, server and receiver share one processor, so the rates are of all three.

use std::time::Instant;

use anyhow::{Result, ensure};
use xdhcpd_common::counters::Counter;
use xdhcpd_tests::frames::FrameBuilder;
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::scene;

use crate::bench::Bench;
use crate::part::{Part, Row, Wanted};
use crate::requests::{lease, server, template, usual};
use crate::rig::{self, Load, Rig, Target, seen};

/// Clients, one after the other.
const CLIENTS: u32 = 1 << 10;

/// Measures it all.
pub fn measure(bench: &Bench) -> Result<Part> {
    // From now on: the rates are of one processor.
    rig::stay();
    let pair = Pair::new()?;
    // Without it a veth takes frames only where it has a program of its own.
    pair.server.run("ethtool", &["-K", "s0", "gro", "on"])?;
    let interface = pair.server.inside(|| index(c"s0"))?;
    let mut rig = Rig::new(interface, CLIENTS, server(), &template(), lease())?;
    rig.receive_at(&pair.client, "c0")?;
    let mut part = Part {
        about: format!(
            "Requests of {CLIENTS} clients in turn over a veth pair, replies counted where the requests \
             come from, all on one processor. The reflector gets the same frames from the same sender."
        ),
        ..Part::default()
    };
    for (mode, flag, wanted) in
        [("native", "xdpdrv", Some(Wanted::RatioAtLeast(0.6))), ("generic", "xdpgeneric", None)]
    {
        bench.say(mode);
        for (what, frame, place, counter) in [
            ("OFFER", usual(scene::discover()), seen::OFFER, Counter::AnsweredOffer),
            ("ACK", usual(scene::renewing()), seen::ACK, Counter::AnsweredAck),
        ] {
            let (mut ours, mut reflector, mut lost) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..bench.amount(7, 1) {
                rig.attach(&pair.server, "s0", flag, Target::Reflector)?;
                reflector.push(rate(bench, &mut rig, &pair, &frame, seen::REQUEST)?.0);
                rig.attach(&pair.server, "s0", flag, Target::Ours)?;
                let before = rig.counters().get(counter);
                let (rate, missing) = rate(bench, &mut rig, &pair, &frame, place)?;
                ours.push(rate);
                lost.push(missing);
                ensure!(rig.counters().get(counter) > before, "no {what} was counted");
                rig.program().events();
            }
            let row = Row::new(format!("{what}, {mode}"), "million/s", ours).beside("reflector", reflector);
            part.rows.push(Row { wanted, ..row });
            let lost = Row::new(format!("{what}, {mode}: not answered"), "frames", lost);
            part.rows.push(if mode == "native" { lost.wanted(Wanted::AtMost(0.0)) } else { lost });
        }
    }
    if rig.is_watched()? {
        part.notes.push(crate::kernel::WATCHED.into());
    }
    Ok(part)
}

/// Million replies of a kind in a second, and how many frames that were sent had none.
fn rate(bench: &Bench, rig: &mut Rig, pair: &Pair, frame: &FrameBuilder, place: usize) -> Result<(f64, f64)> {
    let frames = bench.amount(500_000_u32, 50_000);
    let load = Load { frame: frame.clone(), clients: CLIENTS, shuffled: false };
    // After a change of programs queues may still be on the other processor.
    rig.inject(&pair.client, "c0", &load, CLIENTS)?;
    let before = (rig.seen()?[place], not_sent(pair)?);
    let began = Instant::now();
    rig.inject(&pair.client, "c0", &load, frames)?;
    let took = began.elapsed().as_secs_f64();
    let back = rig.seen()?[place] - before.0;
    ensure!(back > 0, "none of {frames} frames came back as it should");
    let sent = u64::from(frames).saturating_sub(not_sent(pair)? - before.1);
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    Ok((back as f64 / took / 1e6, sent.saturating_sub(back) as f64))
}

/// Frames that the sender had no room for, on its way to the server.
fn not_sent(pair: &Pair) -> Result<u64> {
    let statistics = pair.client.run("ethtool", &["-S", "c0"])?;
    let errors = statistics.lines().filter_map(|line| line.trim().split_once("_xdp_xmit_errors: "));
    errors.map(|(_, count)| Ok(count.parse::<u64>()?)).sum()
}

/// An interface's index in the namespace of this thread; 0: there is none.
pub fn index(name: &std::ffi::CStr) -> u32 {
    // SAFETY: a string that ends in zero.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}
