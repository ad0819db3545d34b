//! The reply, written over the request.
//!
//! [`Plan::measure`] did all that can fail while the frame is still as it came; [`write()`] goes from
//! the reply's end to its start, so that words may reach over the start of an option: what they touch
//! there is written later.

use aya_ebpf::programs::XdpContext;
use xdhcpd_common::checksum::Sum;
use xdhcpd_common::frame::{bootp, ethernet, ip, udp};
use xdhcpd_common::gate::Header;
use xdhcpd_common::maps::{TEMPLATE_OPTIONS, Template};
use xdhcpd_common::options::code;
use xdhcpd_common::reply;

use crate::echoes::{self, Kept};
use crate::maps::{Scratch, TEMPLATES};
use crate::packet::{Packet, Room, whole};
use crate::plan::Plan;
use crate::words;

/// Writes the reply over a frame of its length; `None` if it is not of that length (it is).
#[inline(always)]
pub(crate) fn write(ctx: &XdpContext, scratch: &mut Scratch) -> Option<()> {
    let Scratch { forgotten, request, plan, kept, .. } = scratch;
    let terms = TEMPLATES.get(plan.template)?;
    let mut packet = Packet::with(ctx, forgotten);
    let mut sum = Sum::from_partial(terms.sum);
    write_options(&mut packet, plan, kept, terms, &mut sum)?;
    let mut room = packet.room::<{ bootp::OPTIONS }>(plan.start)?;
    write_bootp(&mut room, &request.header, plan, terms, &mut sum);
    write_ip_and_udp(&mut room, plan, terms, sum);
    write_link(&mut packet, plan, request.link.tags, words::of_mac(&request.server.mac))
}

/// From END to option 53.
#[inline(always)]
fn write_options(
    packet: &mut Packet<'_>,
    plan: &Plan,
    kept: &Kept,
    terms: &Template,
    sum: &mut Sum,
) -> Option<()> {
    const PADDED: usize = reply::LEAST_PAYLOAD - reply::FIXED;
    let first = plan.start.wrapping_add(bootp::OPTIONS);
    let mut padding = packet.room::<PADDED>(first)?;
    padding.put::<0, u64>(0);
    padding.put::<8, u64>(0);
    padding.put::<16, u64>(0);
    padding.put::<24, u64>(0);
    padding.put::<32, u64>(0);
    padding.put::<40, u64>(0);
    padding.put::<48, u64>(0);
    padding.put::<56, u32>(0);
    let end = plan.start.wrapping_add(bootp::OP).wrapping_add(plan.content).wrapping_sub(1);
    packet.room::<1>(end)?.put::<0, _>(code::END);
    *sum = sum.at(end, Sum::default().pair([code::END, 0]));
    let end = echoes::put_relay_info(packet, kept, plan.relay_info, end, sum)?;
    let end = echoes::put_client_id(packet, kept, plan.client_id, end, sum)?;
    copy_options(packet, terms, plan.options, end)?;
    write_leading(packet, plan, terms, first, sum)
}

/// Copies the template's options so that they end before `end`.
///
/// The first word may reach over what stands before them, here as there: in the frame that is
/// written later, in the template it is `file`.
#[inline(always)]
fn copy_options(packet: &mut Packet<'_>, terms: &Template, used: usize, end: usize) -> Option<()> {
    const BEFORE: usize = core::mem::offset_of!(Template, options) - 8;
    let mut left = packet.forgotten(used);
    let mut at = packet.forgotten(end);
    for _ in 0..TEMPLATE_OPTIONS / 8 {
        if left == 0 {
            break;
        }
        at = at.wrapping_sub(8);
        // The verifier has lost sight of it.
        left = whole(left);
        if left > TEMPLATE_OPTIONS {
            return None;
        }
        // SAFETY: `left` is at most the length of `options`.
        let word = unsafe {
            core::ptr::from_ref(terms)
                .cast::<u8>()
                .wrapping_add(BEFORE.wrapping_add(left))
                .cast::<u64>()
                .read()
        };
        packet.put(at, word)?;
        left = left.saturating_sub(8);
    }
    Some(())
}

/// Options 53, 54, 51, and 58 and 59 where there are timers.
#[inline(always)]
fn write_leading(
    packet: &mut Packet<'_>,
    plan: &Plan,
    terms: &Template,
    first: usize,
    sum: &mut Sum,
) -> Option<()> {
    let kind = plan.kind;
    let [s0, s1, s2, s3] = terms.server;
    let lease = plan.lease.to_be_bytes();
    let [l0, l1, l2, l3] = lease;
    let mut room = packet.room::<{ reply::LEADING }>(first)?;
    room.put::<0, _>(u64::from_ne_bytes([code::MESSAGE_TYPE, 1, kind, code::SERVER, 4, s0, s1, s2]));
    // One byte is written twice, so that words fit.
    room.put::<7, _>(u64::from_ne_bytes([s2, s3, code::LEASE_TIME, 4, l0, l1, l2, l3]));
    *sum = sum.pair([kind, 0]).odd(Sum::default().quad(lease));
    if !plan.has_timers {
        return Some(());
    }
    let [a0, a1, a2, a3] = plan.renewal.to_be_bytes();
    let [b0, b1, b2, b3] = plan.rebinding.to_be_bytes();
    let (renewal, rebinding) = (code::RENEWAL_TIME, code::REBINDING_TIME);
    let mut room = packet.room::<{ reply::TIMERS }>(first.wrapping_add(reply::LEADING))?;
    room.put::<0, _>(u64::from_ne_bytes([renewal, 4, a0, a1, a2, a3, rebinding, 4]));
    room.put::<8, _>(u32::from_ne_bytes([b0, b1, b2, b3]));
    let timers =
        Sum::default().pair([renewal, 4]).quad([a0, a1, a2, a3]).pair([rebinding, 4]).quad([b0, b1, b2, b3]);
    *sum = sum.odd(timers);
    Some(())
}

/// From op to the cookie.
#[inline(always)]
fn write_bootp(
    room: &mut Room<{ bootp::OPTIONS }>,
    header: &Header,
    plan: &Plan,
    terms: &Template,
    sum: &mut Sum,
) {
    let raw = u32::from_ne_bytes;
    let [chaddr, rest] = header.chaddr;
    let [f0, f1] = header.flags;
    room.put::<{ bootp::OP }, _>(raw([bootp::REPLY, bootp::ETHERNET, bootp::MAC_LENGTH, 0]));
    room.put::<{ bootp::XID }, _>(raw(header.xid));
    room.put::<{ bootp::SECS }, _>(raw([0, 0, f0, f1]));
    room.put::<{ bootp::CIADDR }, _>(raw(plan.ciaddr));
    room.put::<{ bootp::YIADDR }, _>(raw(plan.yiaddr));
    room.put::<{ bootp::SIADDR }, _>(raw(terms.next_server));
    room.put::<{ bootp::GIADDR }, _>(raw(header.facts.giaddr));
    room.put::<{ bootp::CHADDR }, _>(chaddr);
    room.put::<{ bootp::CHADDR + 8 }, _>(rest);
    copy_names(room, terms);
    room.put::<{ bootp::COOKIE }, _>(raw(bootp::MAGIC));
    *sum = sum
        .quad(header.xid)
        .pair(header.flags)
        .quad(plan.ciaddr)
        .quad(plan.yiaddr)
        .quad(header.facts.giaddr)
        .word(u64::from_le(chaddr))
        .word(u64::from_le(rest));
}

/// sname and file, which follow each other in the template as they do in the reply.
#[inline(always)]
fn copy_names(room: &mut Room<{ bootp::OPTIONS }>, terms: &Template) {
    const WORDS: usize = (64 + 128) / 8;
    const FROM: usize = core::mem::offset_of!(Template, server_name);
    const {
        assert!(core::mem::offset_of!(Template, file) == FROM + 64, "file follows sname");
        assert!(bootp::SNAME + WORDS * 8 == bootp::COOKIE, "the cookie follows file");
    }
    // SAFETY: both are fields of `terms`, one after the other.
    let names =
        unsafe { &*core::ptr::from_ref(terms).cast::<u8>().wrapping_add(FROM).cast::<[u64; WORDS]>() };
    room.fill::<{ bootp::SNAME }, WORDS>(names);
}

/// The IP and the UDP header.
#[inline(always)]
fn write_ip_and_udp(room: &mut Room<{ bootp::OPTIONS }>, plan: &Plan, terms: &Template, sum: Sum) {
    let raw = u32::from_ne_bytes;
    let datagram = (plan.payload as u16).wrapping_add(udp::LENGTH as u16);
    let [t0, t1] = datagram.wrapping_add(ip::LENGTH as u16).to_be_bytes();
    let [d0, d1] = reply::DONT_FRAGMENT.to_be_bytes();
    let (first, second) = ([ip::VERSION_4, 0, t0, t1], [0, 0, d0, d1]);
    let checksum =
        Sum::default().quad(first).quad(second).pair([reply::TTL, ip::UDP]).quad(terms.server).quad(plan.to);
    let [c0, c1] = checksum.bytes();
    room.put::<{ ip::VERSION }, _>(raw(first));
    room.put::<{ ip::VERSION + 4 }, _>(raw(second));
    room.put::<{ ip::PROTOCOL - 1 }, _>(raw([reply::TTL, ip::UDP, c0, c1]));
    room.put::<{ ip::SOURCE }, _>(raw(terms.server));
    room.put::<{ ip::DESTINATION }, _>(raw(plan.to));
    let sum = sum.quad(plan.to).number(plan.port).number(datagram).number(datagram);
    room.put::<{ udp::SOURCE }, _>(udp::SERVER.to_be());
    room.put::<{ udp::SOURCE + 2 }, _>(plan.port.to_be());
    room.put::<{ udp::TOTAL }, _>(datagram.to_be());
    room.put::<{ udp::CHECKSUM }, _>(u16::from_ne_bytes(sum.udp_bytes()));
}

/// The Ethernet header, with the request's VLAN tags.
#[inline(always)]
fn write_link(packet: &mut Packet<'_>, plan: &Plan, tags: usize, ours: u64) -> Option<()> {
    let mut room = packet.room::<{ ethernet::LENGTH + 2 * ethernet::TAG }>(0)?;
    room.put_mac::<{ ethernet::DESTINATION }>(plan.link);
    room.put_mac::<{ ethernet::SOURCE }>(ours);
    let [outer, inner] = plan.tags;
    let kind = ethernet::IPV4.to_be();
    match tags {
        0 => room.put::<{ ethernet::TYPE }, _>(kind),
        1 => {
            room.put::<{ ethernet::TYPE }, _>(outer);
            room.put::<{ ethernet::TYPE + ethernet::TAG }, _>(kind);
        }
        _ => {
            room.put::<{ ethernet::TYPE }, _>(outer);
            room.put::<{ ethernet::TYPE + ethernet::TAG }, _>(inner);
            room.put::<{ ethernet::TYPE + 2 * ethernet::TAG }, _>(kind);
        }
    }
    Some(())
}
