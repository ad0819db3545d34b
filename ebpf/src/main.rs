//! The XDP program: known clients are answered where their requests arrive.
//!
//! A frame is parsed, looked up, decided on, and either rewritten in place and sent back, or passed
//! up as it came. Every check, and every resize, comes before the first write; whatever is not
//! answered is counted by the reason. What a request means is decided by `xdhcpd-common`, which
//! the agent shares.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_ptr_alignment,
    reason = "this runs on 64 bits alone; lengths are checked; the kernel takes words at any address"
)]

mod answer;
mod clock;
mod count;
mod echoes;
mod events;
mod limits;
mod log;
mod maps;
mod outcome;
mod packet;
mod plan;
mod resize;
mod stages;
mod words;
mod write;

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::gate::{self, Arrival, Link};

use crate::count::Counting;
use crate::outcome::Outcome;
use crate::packet::Packet;

/// The program: what the kernel calls with each frame.
#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn xdhcpd(ctx: *mut xdp_md) -> u32 {
    let ctx = &XdpContext::new(ctx);
    // There is one element, so this is always had.
    let Some(mut counting) = Counting::here() else {
        return XDP_PASS;
    };
    let outcome = outcome(ctx, &mut counting);
    counting.add_number(outcome.counter());
    if outcome.is_answered() {
        counting.answered();
    }
    outcome.action()
}

#[inline(always)]
fn outcome(ctx: &XdpContext, counting: &mut Counting) -> Outcome {
    // SAFETY: the context is the kernel's.
    let interface = unsafe { (*ctx.ctx).ingress_ifindex };
    match gate::arrival(&Packet::new(ctx), interface) {
        Arrival::Other => Outcome::passed(Counter::NotDhcp),
        Arrival::Reply(link) => {
            stages::other_server(ctx, link);
            Outcome::passed(Counter::NotDhcp)
        }
        Arrival::Request(link) => {
            let outcome = request(ctx, link, counting);
            log::outcome(ctx, &link, outcome);
            outcome
        }
    }
}

#[inline(always)]
fn request(ctx: &XdpContext, link: Link, counting: &mut Counting) -> Outcome {
    // There is one element, so this is always had.
    let Some(scratch) = stages::scratch() else {
        return Outcome::passed(Counter::NotServed);
    };
    if maps::serve(scratch, &link.wire).is_none() {
        return Outcome::passed(Counter::NotServed);
    }
    counting.started();
    stages::begin(scratch, link);
    stages::run(ctx)
}

/// Never called: nothing here panics, and a program that could would not load.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// No helper is called that is for programs under the GPL alone.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 11] = *b"Apache-2.0\0";
