//! Budgets of what goes up to the agent: a token bucket for each client, and one for each wire.
//!
//! CPUs do not wait for each other here: two that take from one bucket at one moment may take one
//! token, which lets a little more through.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::maps::{Budget, LeaseKey, Wire};
use xdhcpd_common::times::SECOND;

use crate::maps::{LIMITS, Request};
use crate::words;

/// The key of a wire's own bucket: no client has this MAC.
const WIRE: u64 = 0;

/// What makes of another server's MAC a group's, which is no client's either: the key of what was seen of it.
const GROUP: u8 = 1;

/// The key of a wire's bucket of events about other servers.
const OTHER_SERVERS: [u8; 6] = [0xff; 6];

/// Events about other servers, a second and a wire: somebody may forge many.
const OTHER_SERVERS_PER_SECOND: u32 = 16;

/// Which budget a message is over, if any; else it is taken from both.
///
/// The client's comes first: what is over it must not use up the wire's, which is everybody's.
#[inline(always)]
pub(crate) fn over(request: &Request) -> Option<Counter> {
    if !take(&request.key, request.server.client_per_second, request.now) {
        return Some(Counter::ClientBudget);
    }
    let mut wire = request.key;
    words::put_key(&mut wire, request.key.wire, WIRE);
    if !take(&wire, request.server.wire_per_second, request.now) {
        return Some(Counter::WireBudget);
    }
    None
}

/// Counts a message of another server on this wire. About once in a second there is an event due about each:
/// then it gives how many of its messages came since the last.
#[inline(always)]
pub(crate) fn other_server_to_tell(wire: Wire, server: [u8; 6], now: u64) -> Option<u32> {
    let [first, second, third, fourth, fifth, sixth] = server;
    let key = LeaseKey { wire, mac: [first | GROUP, second, third, fourth, fifth, sixth], zero: [0; 2] };
    let everybody = LeaseKey { wire, mac: OTHER_SERVERS, zero: [0; 2] };
    let Some(seen) = LIMITS.get_ptr_mut(key) else {
        // If it cannot be kept, there is an event for each: the wire's bucket is the bound then.
        let _kept = LIMITS.insert(key, Budget { filled: now, left: 0, zero: 0 }, 0);
        return take(&everybody, OTHER_SERVERS_PER_SECOND, now).then_some(1);
    };
    // SAFETY: the map's elements outlive the program's run; a race costs a count at most.
    let seen = unsafe { &mut *seen };
    let messages = seen.left.wrapping_add(1);
    if now.saturating_sub(seen.filled) < SECOND || !take(&everybody, OTHER_SERVERS_PER_SECOND, now) {
        seen.left = messages;
        return None;
    }
    *seen = Budget { filled: now, left: 0, zero: 0 };
    Some(messages)
}

/// Takes a token of a bucket that holds and gets `per_second`; 0: there is no limit.
#[inline(always)]
fn take(key: &LeaseKey, per_second: u32, now: u64) -> bool {
    if per_second == 0 {
        return true;
    }
    let Some(budget) = LIMITS.get_ptr_mut(key) else {
        let first = Budget { filled: now, left: per_second.wrapping_sub(1), zero: 0 };
        // If it cannot be kept, the message goes up all the same: the bound is the agent's then.
        let _kept = LIMITS.insert(key, first, 0);
        return true;
    };
    // SAFETY: the map's elements outlive the program's run; races cost a token at most.
    let budget = unsafe { &mut *budget };
    // Another CPU's clock may be a tick ahead.
    let elapsed = now.saturating_sub(budget.filled);
    let mut left = budget.left;
    if elapsed >= SECOND {
        left = per_second;
        budget.filled = now;
    } else {
        // Under 2^30 times 2^32.
        let earned = elapsed.wrapping_mul(u64::from(per_second)) / SECOND;
        if earned != 0 {
            let sum = u64::from(left).wrapping_add(earned);
            left = if sum > u64::from(per_second) { per_second } else { sum as u32 };
            // The part of a token that is left over stays in the time.
            let used = earned.wrapping_mul(SECOND).checked_div(u64::from(per_second)).unwrap_or(0);
            budget.filled = budget.filled.wrapping_add(used);
        }
    }
    if left == 0 {
        budget.left = 0;
        return false;
    }
    budget.left = left.wrapping_sub(1);
    true
}
