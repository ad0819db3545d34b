//! The stages of an answer, one after the other in one function: on its way are nothing but look-ups.
//!
//! A call costs a return, which takes as long as a third of a look-up. So calls are kept for what is rare,
//! and takes memory of a stack: budgets, and other servers. What the kernel calls a global function is
//! checked once, for any state of memory; arguments and results can only be the context and numbers.
//! What stages leave to each other lies in this CPU's [`Scratch`], so that the verifier forgets on which
//! way it came about, and verifying costs the sum of the stages and not their product.

use aya_ebpf::programs::XdpContext;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::frame::{Frame as _, ip};
use xdhcpd_common::gate::{self, Link};

use crate::count::Counting;
use crate::maps::{self, Scratch};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::{answer, events, limits, words, write};

/// Begins with a request: keeps for the stages what is known of it.
#[inline(always)]
pub(crate) fn begin(scratch: &mut Scratch, link: Link) {
    let now = scratch.clock.latest();
    let request = &mut scratch.request;
    request.link = link;
    request.now = now;
}

/// Takes a request through all stages.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> Outcome {
    let mut outcome = parse(ctx);
    if outcome.is_open() {
        outcome = answer_and_write(ctx);
    }
    if outcome.is_charged() {
        return Outcome::from_number(stage_charge(outcome.number()));
    }
    outcome
}

/// Notes a reply of some DHCP server.
#[inline(always)]
pub(crate) fn other_server(ctx: &XdpContext, link: Link) {
    let packet = Packet::new(ctx);
    let source = packet.block::<4>(link.length().wrapping_add(ip::SOURCE));
    if let (Some(scratch), Some(source)) = (scratch(), source) {
        scratch.request.link = link;
        stage_other_server(source.u32::<0>());
    }
}

/// This CPU's scratch memory, for one stage.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the element is this CPU's alone, and stages do not keep it: one has it at a time.
    maps::scratch().map(|scratch| unsafe { &mut *scratch })
}

/// Without scratch memory, which is always had.
#[inline(always)]
fn lost() -> Outcome {
    Outcome::passed(Counter::NotServed)
}

/// Checks a request, and notes what it says.
#[inline(always)]
fn parse(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = scratch() else { return lost() };
    let Scratch { forgotten, request, .. } = scratch;
    let packet = &Packet::with(ctx, forgotten);
    match gate::header(packet, request.link, &request.server) {
        Ok(header) => {
            words::put_key(&mut request.key, request.link.wire, words::of_chaddr(header.chaddr));
            request.header = header;
        }
        Err(reason) => return Outcome::passed(reason),
    }
    match gate::options(packet, &mut request.header) {
        Ok(echoes) => request.echoes = echoes,
        Err(reason) => return Outcome::left_to_agent(reason),
    }
    Outcome::OPEN
}

/// Decides on a request, makes ready for a reply, and writes it.
#[inline(always)]
fn answer_and_write(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = scratch() else { return lost() };
    let outcome = answer::answer(ctx, scratch);
    if !outcome.is_answered() {
        return outcome;
    }
    match write::write(ctx, scratch) {
        Some(()) => outcome,
        // Never: the frame is as long as planned. Half a reply must go nowhere.
        None => Outcome::dropped(Counter::NoRoom),
    }
}

/// Charges the budgets for a message to the agent; returns what it is given, or that it is dropped.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stage_charge(outcome: u32) -> u32 {
    let Some(scratch) = scratch() else { return lost().number() };
    match limits::over(&scratch.request) {
        Some(limit) => Outcome::dropped(limit).number(),
        None => outcome,
    }
}

/// Counts a reply of another DHCP server, and tells of it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stage_other_server(source: u32) -> u32 {
    if let (Some(scratch), Some(mut counting)) = (scratch(), Counting::here()) {
        events::other_server(&scratch.request.link, source.to_ne_bytes(), &mut counting);
    }
    0
}
