//! The boot clock, as cheap as a message can afford it: read once in a tick of the kernel for budgets and
//! offers. What is promised, with an ACK, counts from the clock itself: ticks are counted by one CPU for all,
//! which in a virtual machine can stand still while others go on.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use xdhcpd_common::times::TICK;

/// What this CPU last read.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    tick: u64,
    now: u64,
}

impl Clock {
    /// The latest that it can be by now, if the ticks are counted in time: up to [`TICK`] more than it is. So a
    /// lease counts as ended a moment too early, not too late.
    #[inline(always)]
    pub(crate) fn latest(&mut self) -> u64 {
        // SAFETY: a helper without arguments; the kernel makes a load of it.
        let tick = unsafe { bpf_jiffies64() };
        if self.tick != tick {
            *self = Self { tick, now: exactly().wrapping_add(TICK) };
        }
        self.now
    }
}

/// The boot clock itself.
#[inline(always)]
pub(crate) fn exactly() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
