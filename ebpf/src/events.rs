//! What the agent must hear of, through the ring buffer.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::gate::Link;
use xdhcpd_common::maps::{Event, EventKind, LeaseKey};

use crate::count::Counting;
use crate::maps::EVENTS;
use crate::{limits, maps};

/// Reserves room for an event; `None`: the ring buffer is full.
#[inline(always)]
pub(crate) fn reserve() -> Option<RingBufEntry<Event>> {
    EVENTS.reserve_untyped::<Event>(0)
}

/// Sends an event for which there is room.
#[inline(always)]
pub(crate) fn submit(room: RingBufEntry<Event>, event: Event) {
    let mut room = room;
    room.write(event);
    room.submit(0);
}

/// Counts a reply of another DHCP server on a wire that is ours, and tells of it about once a second.
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
    let Some(messages) = limits::other_servers_to_tell(link.wire, now) else {
        return;
    };
    if let Some(room) = reserve() {
        let kind = EventKind::OTHER_SERVER;
        let key = LeaseKey { wire: link.wire, mac: link.source, zero: [0; 2] };
        submit(room, Event { kind, messages, key, ip, at: now, ..Event::default() });
    }
}
