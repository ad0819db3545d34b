//! What the agent must hear of, through the ring buffer.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::gate::Link;
use xdhcpd_common::maps::{Event, EventKind, LeaseKey};

use crate::count::Counting;
use crate::maps::EVENTS;
use crate::{limits, maps};

/// How long the agent is not woken again.
const WAKE_AGAIN_AFTER: u64 = 10_000_000;

/// Events of one CPU for which the agent need not be woken: there is room for 18,000.
const MOST_WAITING: u64 = 1024;

const WAKE_UP: u64 = BPF_RB_FORCE_WAKEUP as u64;
const NO_WAKE_UP: u64 = BPF_RB_NO_WAKEUP as u64;

/// Reserves room for an event; `None`: the ring buffer is full.
#[inline(always)]
pub(crate) fn reserve() -> Option<RingBufEntry<Event>> {
    EVENTS.reserve_untyped::<Event>(0)
}

/// Gives the room for an event back.
#[inline(always)]
pub(crate) fn discard(room: RingBufEntry<Event>) {
    room.discard(NO_WAKE_UP);
}

/// When this CPU last woke the agent, and how many events it has not woken it for since.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Woken {
    at: u64,
    since: u64,
}

/// Sends an event for which there is room, and wakes the agent unless that was done a moment ago: it
/// costs more than ten answers. The last events of a burst are read when the agent looks by itself, a
/// second later at most; before a quarter of the ring is full it is woken in any case.
#[inline(always)]
pub(crate) fn submit(room: RingBufEntry<Event>, event: Event, woken: &mut Woken) {
    let waiting = woken.since.wrapping_add(1);
    let wakes = event.at.saturating_sub(woken.at) > WAKE_AGAIN_AFTER || waiting > MOST_WAITING;
    *woken = if wakes { Woken { at: event.at, since: 0 } } else { Woken { since: waiting, ..*woken } };
    let mut room = room;
    room.write(event);
    room.submit(if wakes { WAKE_UP } else { NO_WAKE_UP });
}

/// Sends an event that is rare, and wakes the agent.
#[inline(always)]
pub(crate) fn submit_now(room: RingBufEntry<Event>, event: Event) {
    let mut room = room;
    room.write(event);
    room.submit(WAKE_UP);
}

/// Counts a reply of another DHCP server on a wire that is ours, and tells of that server about once a second.
#[inline(always)]
pub(crate) fn other_server(link: &Link, ip: [u8; 4], counting: &mut Counting) {
    let Some(server) = maps::server(&link.wire) else {
        return;
    };
    if link.source == server.mac {
        return;
    }
    counting.add(Counter::OtherServerMessages);
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let Some(messages) = limits::other_server_to_tell(link.wire, link.source, now) else {
        return;
    };
    if let Some(room) = reserve() {
        let kind = EventKind::OTHER_SERVER;
        let key = LeaseKey { wire: link.wire, mac: link.source, zero: [0; 2] };
        submit_now(room, Event { kind, messages, key, ip, at: now, ..Event::default() });
    }
}
