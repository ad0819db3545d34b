//! The stages of an answer, each a function that the verifier looks at on its own.
//!
//! What it calls a global function is checked once, for any state of memory, and a call is then one
//! step on the caller's way: verifying costs the sum of the stages and not their product, and each
//! has a stack of its own. Arguments and results can only be the context and numbers, so what one
//! stage leaves to the next lies in this CPU's [`Scratch`].

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::frame::{Frame as _, ip};
use xdhcpd_common::gate::{self, Link};
use xdhcpd_common::maps::{LeaseKey, Server};

use crate::count::Counting;
use crate::maps::{self, Scratch};
use crate::outcome::Outcome;
use crate::packet::Packet;
use crate::{answer, events, limits, write};

/// Begins with a request: keeps for the stages what is known of it.
#[inline(always)]
pub(crate) fn begin(scratch: &mut Scratch, link: Link, server: &Server) {
    let now = scratch.clock.latest();
    let request = &mut scratch.request;
    request.link = link;
    request.server = *server;
    request.now = now;
}

/// Takes a request through all stages.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> Outcome {
    let mut outcome = Outcome::from_number(stage_parse(ctx.ctx));
    if outcome.is_open() {
        outcome = Outcome::from_number(stage_answer(ctx.ctx));
    }
    if outcome.is_answered() {
        return Outcome::from_number(stage_write(ctx.ctx, outcome.number()));
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
fn lost() -> u32 {
    Outcome::passed(Counter::NotServed).number()
}

/// Checks a request, and notes what it says.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stage_parse(ctx: *mut xdp_md) -> u32 {
    let Some(scratch) = scratch() else { return lost() };
    let Scratch { forgotten, request, .. } = scratch;
    let ctx = XdpContext::new(ctx);
    let packet = &Packet::with(&ctx, forgotten);
    match gate::header(packet, request.link, &request.server) {
        Ok(header) => {
            request.key = LeaseKey { wire: request.link.wire, mac: header.facts.mac, zero: [0; 2] };
            request.header = header;
        }
        Err(reason) => return Outcome::passed(reason).number(),
    }
    match gate::options(packet, &mut request.header) {
        Ok(echoes) => request.echoes = echoes,
        Err(reason) => return Outcome::left_to_agent(reason).number(),
    }
    Outcome::OPEN.number()
}

/// Decides on a request, and makes ready for a reply.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stage_answer(ctx: *mut xdp_md) -> u32 {
    let Some(scratch) = scratch() else { return lost() };
    answer::answer(&XdpContext::new(ctx), scratch).number()
}

/// Writes the reply over the frame, which has its length by now; returns what it is given.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stage_write(ctx: *mut xdp_md, outcome: u32) -> u32 {
    let Some(scratch) = scratch() else { return lost() };
    match write::write(&XdpContext::new(ctx), scratch) {
        Some(()) => outcome,
        // Never: the frame is as long as planned. Half a reply must go nowhere.
        None => Outcome::dropped(Counter::NoRoom).number(),
    }
}

/// Charges the budgets for a message to the agent; returns what it is given, or that it is dropped.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stage_charge(outcome: u32) -> u32 {
    let Some(scratch) = scratch() else { return lost() };
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
