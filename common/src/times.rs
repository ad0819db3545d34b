//! Lease times: what is asked for, what is given, and T1 and T2 with their jitter.
//!
//! Pure functions of the request, the terms and the client, so that the kernel and the agent say
//! the same.

use crate::maps::Template;

/// A second, in the unit of the maps.
pub const SECOND: u64 = 1_000_000_000;

/// How far ahead the kernel's side may be of the boot clock, which it reads once in a tick: as long as
/// the longest there is (`CONFIG_HZ=100`).
pub const TICK: u64 = SECOND / 100;

/// How much later an end the kernel tells of than the client's own. While it lasts, further ACKs to
/// the same client need no event: a client that repeats itself a million times a second neither fills
/// the ring of events nor keeps the agent busy. The address is held for as much longer.
pub const TOLD_FOR: u64 = SECOND / 4;

/// Option 51's value for a lease without an end.
pub const INFINITE: u32 = u32::MAX;

/// Under this many seconds there is no T1 < T2 < lease with T1 over zero.
pub const LEAST_WITH_TIMERS: u32 = 3;

/// What options 51, 58 and 59 say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Option 51.
    pub lease: u32,
    /// Options 58 and 59; neither where the lease has no end, or is too short for both.
    pub timers: Option<(u32, u32)>,
}

/// The times for a client that asks for `asked` seconds (0: did not ask).
#[inline(always)]
pub fn times(asked: u32, mac: [u8; 6], terms: &Template) -> Times {
    let wanted = if asked == 0 { terms.lease_default } else { asked };
    let lease = if wanted > terms.lease_max {
        terms.lease_max
    } else if wanted < terms.lease_min {
        terms.lease_min
    } else {
        wanted
    };
    if lease == INFINITE || lease < LEAST_WITH_TIMERS {
        return Times { lease, timers: None };
    }
    let jitter = jitter(lease, mac);
    let middle = lease / 2;
    let late = lease.wrapping_sub(lease / 8);
    let mut t2 = if terms.rebind != 0 { terms.rebind } else { late.wrapping_sub(jitter) };
    // A client may get less than the time the fixed T1 and T2 were meant for.
    if t2 >= lease {
        t2 = lease.wrapping_sub(1);
    }
    let mut t1 = if terms.renew != 0 { terms.renew } else { middle.wrapping_sub(jitter) };
    if t1 >= t2 {
        t1 = t2.wrapping_sub(1);
    }
    Times { lease, timers: Some((t1, t2)) }
}

/// Up to a thirty-second of the time, the same for a client each time, so that machines that were
/// switched on together do not renew together for ever.
#[inline(always)]
fn jitter(lease: u32, mac: [u8; 6]) -> u32 {
    let [vendor @ .., m3, m4, m5] = mac;
    let [v0, v1, v2] = vendor;
    let low = u32::from_be_bytes([v2, m3, m4, m5]);
    let high = u32::from_be_bytes([0, 0, v0, v1]);
    let mixed = (low ^ high.rotate_left(13)).wrapping_mul(0x9e37_79b1) >> 16;
    // lease / 32 * mixed / 65536, without a division that the kernel would do slowly.
    let span = u64::from(lease / 32);
    #[expect(clippy::cast_possible_truncation, reason = "at most lease / 32")]
    let jitter = (span.wrapping_mul(u64::from(mixed)) >> 16) as u32;
    jitter
}

/// When a lease of `seconds` that starts `now` ends.
#[inline(always)]
pub fn end(now: u64, seconds: u32) -> u64 {
    if seconds == INFINITE { u64::MAX } else { now.saturating_add(u64::from(seconds).wrapping_mul(SECOND)) }
}
