//! Log lines, for those who ask for them.
//!
//! [`LOG_LEVEL`] is zero unless the loader sets it, and the kernel drops the branches that it never takes:
//! what is not asked for costs nothing.

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::{debug, info};
use xdhcpd_common::gate::Link;

use crate::outcome::Outcome;

/// 0: none; 3: what was answered or dropped; 4: what went up, too. (aya-log's numbers.)
#[unsafe(no_mangle)]
static LOG_LEVEL: Global<u8> = Global::new(0);

/// aya-log's number of "info".
const INFO: u8 = 3;

/// aya-log's number of "debug".
const DEBUG: u8 = 4;

/// Says what became of a request.
#[inline(always)]
pub(crate) fn outcome(ctx: &XdpContext, link: &Link, outcome: Outcome) {
    let level = LOG_LEVEL.load();
    if level < INFO {
        return;
    }
    let (interface, mac) = (link.wire.interface, link.source);
    let counter = outcome.counter();
    match outcome.action() {
        XDP_TX => answered(ctx, interface, mac, counter),
        XDP_DROP => dropped(ctx, interface, mac, counter),
        _ if level >= DEBUG => passed(ctx, interface, mac, counter),
        _ => {}
    }
}

// Each is a function of its own, for the stack that a log line takes.

#[inline(never)]
fn answered(ctx: &XdpContext, interface: u32, mac: [u8; 6], kind: u32) {
    info!(ctx, "interface {}: {:mac}: answered, counter {}", interface, mac, kind);
}

#[inline(never)]
fn dropped(ctx: &XdpContext, interface: u32, mac: [u8; 6], reason: u32) {
    info!(ctx, "interface {}: {:mac}: dropped, counter {}", interface, mac, reason);
}

#[inline(never)]
fn passed(ctx: &XdpContext, interface: u32, mac: [u8; 6], reason: u32) {
    debug!(ctx, "interface {}: {:mac}: passed, counter {}", interface, mac, reason);
}
