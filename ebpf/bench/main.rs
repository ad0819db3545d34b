//! What the bench compares the XDP program with, and drives it by. No part of the product.
//!
//! - `reflect` swaps the MAC addresses, counts and sends back: the least that answers at all.
//! - `nothing` sends back.
//! - `restore` writes the request anew over what the last run left, then runs what `TARGET` holds.
//! - `inject` writes the request and sends it off, for live frames.
//! - `receive` counts what comes back, by kind, and drops it.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "this runs on 64 bits alone; lengths are checked; the kernel takes words at any address"
)]

mod frame;

use core::arch::asm;

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_TX};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::btf_maps::{Array, PerCpuArray, ProgramArray};
use aya_ebpf::helpers::generated::bpf_xdp_adjust_head;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;

use crate::frame::{Frame, WORDS};

/// The request.
#[btf_map]
static FRAME: Array<Frame, 1> = Array::new();

/// What `restore` runs.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

/// How many frames were made.
#[btf_map]
static MADE: PerCpuArray<u64, 1> = PerCpuArray::new();

/// How many frames were seen: by `reflect` all of them, by `receive` as [`Seen`] has it.
#[btf_map]
static SEEN: PerCpuArray<[u64; 4], 1> = PerCpuArray::new();

/// Places in `SEEN`.
mod seen {
    /// OFFERs.
    pub const OFFER: usize = 0;
    /// ACKs.
    pub const ACK: usize = 1;
    /// Requests, as they were sent.
    pub const REQUEST: usize = 2;
    /// All else.
    pub const OTHER: usize = 3;
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn reflect(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    let start = ctx.data();
    if start.wrapping_add(14) > ctx.data_end() {
        return XDP_ABORTED;
    }
    let Some(seen) = SEEN.get_ptr_mut(0) else { return XDP_ABORTED };
    // SAFETY: in bounds as just checked; the element is this CPU's alone.
    unsafe {
        (*seen)[seen::OTHER] = (*seen)[seen::OTHER].wrapping_add(1);
        let to = (start as *const [u16; 3]).read();
        let from = ((start.wrapping_add(6)) as *const [u16; 3]).read();
        (start as *mut [u16; 3]).write(from);
        ((start.wrapping_add(6)) as *mut [u16; 3]).write(to);
    }
    XDP_TX
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn nothing(_: *mut xdp_md) -> u32 {
    XDP_TX
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn restore(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    if write(&ctx).is_some() {
        // SAFETY: a tail call; nothing here waits to be dropped.
        unsafe { TARGET.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn inject(ctx: *mut xdp_md) -> u32 {
    match write(&XdpContext::new(ctx)) {
        Some(()) => XDP_TX,
        None => XDP_ABORTED,
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn receive(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    let place = kind(&ctx).unwrap_or(seen::OTHER);
    if let Some(seen) = SEEN.get_ptr_mut(0) {
        // SAFETY: the element is this CPU's alone.
        if let Some(count) = unsafe { (*seen).get_mut(place) } {
            *count = count.wrapping_add(1);
        }
    }
    XDP_DROP
}

/// What an untagged frame is: op at 42, and option 53's value at 284, which a reply has first.
#[inline(always)]
fn kind(ctx: &XdpContext) -> Option<usize> {
    let start = ctx.data();
    if start.wrapping_add(285) > ctx.data_end() {
        return None;
    }
    // SAFETY: in bounds as just checked.
    let (ports, op, kind) = unsafe {
        (
            (start.wrapping_add(34) as *const u32).read(),
            (start.wrapping_add(42) as *const u8).read(),
            (start.wrapping_add(284) as *const u8).read(),
        )
    };
    if ports != u32::from_ne_bytes([0, 67, 0, 68]) && ports != u32::from_ne_bytes([0, 68, 0, 67]) {
        return None;
    }
    match (op, kind) {
        (2, 2) => Some(seen::OFFER),
        (2, 5) => Some(seen::ACK),
        (1, _) => Some(seen::REQUEST),
        _ => None,
    }
}

/// Writes the next client's request over a frame, and takes back what a reply had grown it by.
#[inline(always)]
fn write(ctx: &XdpContext) -> Option<()> {
    let frame = FRAME.get(0)?;
    let made = MADE.get_ptr_mut(0)?;
    // SAFETY: the element is this CPU's alone.
    let number = unsafe {
        *made = (*made).wrapping_add(1);
        *made as u32
    };
    let grown = (ctx.data_end().wrapping_sub(ctx.data()) as i32).wrapping_sub(frame.length as i32);
    // SAFETY: the context is the kernel's; packet pointers are made anew after this.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, grown) } != 0 {
        return None;
    }
    let (start, end) = (ctx.data(), ctx.data_end());
    let mut at = start;
    for word in &frame.words {
        if at.wrapping_add(8) > end {
            break;
        }
        // SAFETY: in bounds as just checked.
        unsafe { (at as *mut u64).write(*word) };
        at = at.wrapping_add(8);
    }
    // The last eight bytes, of which the loop may have left some.
    let last = start.wrapping_add(whole(frame.length as usize).wrapping_sub(8) & 511);
    let last = whole(last);
    if last.wrapping_add(8) > end {
        return None;
    }
    // SAFETY: in bounds as just checked.
    unsafe { (last as *mut u64).write(frame.last) };
    let client = (number.wrapping_mul(frame.step) & frame.clients).to_be();
    let chaddr = frame.chaddr as usize;
    if chaddr > WORDS * 8 {
        return None;
    }
    let chaddr = start.wrapping_add(chaddr).wrapping_add(2);
    if start.wrapping_add(12) > end || chaddr.wrapping_add(4) > end {
        return None;
    }
    // SAFETY: in bounds as just checked.
    unsafe {
        (start.wrapping_add(8) as *mut u32).write(client);
        (chaddr as *mut u32).write(client);
    }
    Some(())
}

/// The number, of which the compiler does not know how it came about: the verifier ties a check to the
/// value that it was made on.
#[inline(always)]
fn whole(number: usize) -> usize {
    let mut number = number;
    // SAFETY: a register is moved to itself.
    unsafe { asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// Never called: nothing here panics.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// No helper is called that is for programs under the GPL alone.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
pub static LICENSE: [u8; 11] = *b"Apache-2.0\0";
