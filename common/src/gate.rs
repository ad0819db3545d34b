//! The gate: what a frame must be before anyone looks at what it says (checklist G1 to G9).
//!
//! In steps, so that each caller stops where it must: [`arrival`] tells DHCP from all other traffic
//! with a few reads; [`header`] needs to know how the wire is served; [`options()`] is the walk. What
//! goes through is a [`Parsed`] request: facts for the decision, and what a reply copies.

use crate::checksum::{Sum, sum_before};
use crate::counters::Counter;
use crate::facts::{Facts, NONE};
use crate::fingerprint;
use crate::frame::{Block, Frame, LONGEST, bootp, ethernet, ip, udp};
use crate::maps::{Server, ServerFlags, Wire};
use crate::options::{self, Echoes};

/// What a frame is, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Something to UDP port 67.
    Request(Link),
    /// A reply of some DHCP server to a client.
    Reply(Link),
    /// Anything else.
    Other,
}

/// The link layer of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The interface, and the VLAN ids.
    pub wire: Wire,
    /// How many VLAN tags there are: 0, 1 or 2. (One may have id 0.)
    pub tags: usize,
    /// Source MAC.
    pub source: [u8; 6],
    /// Destination MAC.
    pub destination: [u8; 6],
}

impl Link {
    /// Bytes before the IP header.
    #[inline(always)]
    pub fn length(&self) -> usize {
        match self.tags {
            0 => ethernet::LENGTH,
            1 => ethernet::LENGTH + ethernet::TAG,
            _ => ethernet::LENGTH + 2 * ethernet::TAG,
        }
    }
}

/// A request's fixed part, which is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The link layer.
    pub link: Link,
    /// Facts, but for those from options.
    pub facts: Facts,
    /// xid, as bytes in memory.
    pub xid: [u8; 4],
    /// flags, as bytes in memory.
    pub flags: [u8; 2],
    /// chaddr, all 16 bytes, as two words in memory.
    pub chaddr: [u64; 2],
    /// Length of the frame.
    pub length: usize,
}

/// A request that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Its fixed part, with all the facts.
    pub header: Header,
    /// Where the options are that a reply echoes.
    pub echoes: Echoes,
}

/// MAC of everybody.
pub const EVERYBODY: [u8; 6] = [0xff; 6];

/// The lowest bit of a MAC's first byte: a group, not a station.
const GROUP: u8 = 1;

/// All of the gate: for a frame of which the wire's [`Server`] is known.
///
/// # Errors
///
/// The counter of the first check that failed.
#[inline(always)]
pub fn gate<F: Frame + ?Sized>(frame: &F, link: Link, server: &Server) -> Result<Parsed, Counter> {
    let mut header = header(frame, link, server)?;
    let echoes = options(frame, &mut header)?;
    Ok(Parsed { header, echoes })
}

/// Tells what a frame is, as cheaply as can be.
#[inline(always)]
pub fn arrival<F: Frame + ?Sized>(frame: &F, interface: u32) -> Arrival {
    of_udp(frame, interface).unwrap_or(Arrival::Other)
}

#[inline(always)]
fn of_udp<F: Frame + ?Sized>(frame: &F, interface: u32) -> Option<Arrival> {
    let start = frame.block::<{ ethernet::LENGTH }>(0)?;
    let mut tags = 0;
    let mut vlan = [0; 2];
    let mut kind = start.number::<{ ethernet::TYPE }>();
    if is_tag(kind) {
        (kind, vlan[0]) = tag::<F, { ethernet::LENGTH }>(frame)?;
        tags = 1;
        if is_tag(kind) {
            (kind, vlan[1]) = tag::<F, { ethernet::LENGTH + ethernet::TAG }>(frame)?;
            tags = 2;
        }
    }
    if kind != ethernet::IPV4 {
        return None;
    }
    let link = Link {
        wire: Wire { interface, vlan },
        tags,
        source: start.mac::<{ ethernet::SOURCE }>(),
        destination: start.mac::<{ ethernet::DESTINATION }>(),
    };
    let head = frame.block::<{ ip::LENGTH + 4 }>(link.length())?;
    let is_first = head.number::<{ ip::FRAGMENT }>() & ip::FRAGMENT_OFFSET == 0;
    if head.u8::<{ ip::PROTOCOL }>() != ip::UDP || !is_first {
        return None;
    }
    let words = head.u8::<{ ip::VERSION }>() & 0x0f;
    let ports = if words == 5 {
        [head.number::<{ udp::SOURCE }>(), head.number::<{ udp::SOURCE + 2 }>()]
    } else {
        let after = link.length().wrapping_add(usize::from(words).wrapping_mul(4));
        let ports = frame.block::<4>(after)?;
        [ports.number::<0>(), ports.number::<2>()]
    };
    match ports {
        [_, udp::SERVER] => Some(Arrival::Request(link)),
        [udp::SERVER, udp::CLIENT] if words == 5 => {
            let op = frame.block::<1>(link.length().wrapping_add(bootp::OP))?.u8::<0>();
            (op == bootp::REPLY).then_some(Arrival::Reply(link))
        }
        _ => None,
    }
}

#[inline(always)]
fn is_tag(kind: u16) -> bool {
    kind == ethernet::VLAN || kind == ethernet::SERVICE_VLAN
}

/// The VLAN id of the tag whose EtherType ends before `AT`, and the EtherType after it.
#[inline(always)]
fn tag<F: Frame + ?Sized, const AT: usize>(frame: &F) -> Option<(u16, u16)> {
    let tag = frame.block::<{ ethernet::TAG }>(AT)?;
    Some((tag.number::<2>(), tag.number::<0>() & ethernet::VLAN_ID))
}

/// Checks the fixed part of a request (G1, G2, G4 to G7).
///
/// # Errors
///
/// The counter of the first check that failed.
#[inline(always)]
pub fn header<F: Frame + ?Sized>(frame: &F, link: Link, server: &Server) -> Result<Header, Counter> {
    if link.destination != EVERYBODY && link.destination != server.mac {
        return Err(Counter::ForeignDestination);
    }
    // A reply would go to a group.
    let [first, ..] = link.source;
    if first & GROUP != 0 {
        return Err(Counter::ForeignNetwork);
    }
    // Else all that follows would be looked at for each number of tags.
    let link = Link { tags: forgotten(frame, link.tags), ..link };
    let start = link.length();
    let start = forgotten(frame, start);
    let short = Counter::Length;
    let ip_header = frame.block::<{ ip::LENGTH + udp::LENGTH }>(start).ok_or(short)?;
    if ip_header.u8::<{ ip::VERSION }>() != ip::VERSION_4
        || ip_header.number::<{ ip::FRAGMENT }>() & ip::FRAGMENTED != 0
    {
        return Err(Counter::IpHeader);
    }
    let total = usize::from(ip_header.number::<{ ip::TOTAL }>());
    let length = frame.length();
    if length != start.wrapping_add(total)
        || usize::from(ip_header.number::<{ udp::TOTAL }>()) != total.wrapping_sub(ip::LENGTH)
        || length > LONGEST
    {
        return Err(short);
    }
    let message = frame.block::<{ bootp::OPTIONS }>(start).ok_or(short)?;
    if !ip_checksum_is_right(message) {
        return Err(Counter::Checksum);
    }
    if server.flags & ServerFlags::CHECK_UDP != 0 && !udp_checksum_is_right(frame, message, length) {
        return Err(Counter::Checksum);
    }
    fixed_part(frame, message, link, length)
}

#[inline(always)]
fn ip_checksum_is_right<const N: usize>(message: Block<'_, N>) -> bool {
    Sum::default()
        .quad(message.u32::<0>().to_ne_bytes())
        .quad(message.u32::<4>().to_ne_bytes())
        .quad(message.u32::<8>().to_ne_bytes())
        .quad(message.u32::<{ ip::SOURCE }>().to_ne_bytes())
        .quad(message.u32::<{ ip::DESTINATION }>().to_ne_bytes())
        .is_right()
}

/// Words of the longest UDP datagram that is looked at.
const UDP_WORDS: usize = LONGEST / 8;

#[inline(always)]
fn udp_checksum_is_right<F: Frame + ?Sized, const N: usize>(
    frame: &F,
    message: Block<'_, N>,
    end: usize,
) -> bool {
    if message.u16::<{ udp::CHECKSUM }>() == 0 {
        return true;
    }
    let length = usize::from(message.number::<{ udp::TOTAL }>());
    let Some(datagram) = sum_before::<UDP_WORDS>(frame, end, length) else {
        return false;
    };
    Sum::default()
        .quad(message.address::<{ ip::SOURCE }>())
        .quad(message.address::<{ ip::DESTINATION }>())
        .pair([0, ip::UDP])
        .number(message.number::<{ udp::TOTAL }>())
        .at(length, datagram)
        .is_right()
}

#[expect(clippy::cast_possible_truncation, reason = "it was a length before")]
#[inline(always)]
fn forgotten<F: Frame + ?Sized>(frame: &F, length: usize) -> usize {
    frame.forget(length as u64) as usize
}

#[inline(always)]
fn forgotten_bool<F: Frame + ?Sized>(frame: &F, holds: bool) -> bool {
    frame.forget(u64::from(holds)) != 0
}

/// G4 and G7, and the facts of the fixed part.
#[inline(always)]
fn fixed_part<F: Frame + ?Sized, const N: usize>(
    frame: &F,
    message: Block<'_, N>,
    link: Link,
    length: usize,
) -> Result<Header, Counter> {
    let giaddr = message.address::<{ bootp::GIADDR }>();
    let from = message.number::<{ udp::SOURCE }>();
    if from != udp::CLIENT && (from != udp::SERVER || giaddr == NONE) {
        return Err(Counter::NotDhcp);
    }
    let mac = message.mac::<{ bootp::CHADDR }>();
    let [first, ..] = mac;
    if message.u8::<{ bootp::OP }>() != bootp::REQUEST
        || message.u8::<{ bootp::HTYPE }>() != bootp::ETHERNET
        || message.u8::<{ bootp::HLEN }>() != bootp::MAC_LENGTH
        || message.u8::<{ bootp::HOPS }>() > bootp::MOST_HOPS
        || message.address::<{ bootp::COOKIE }>() != bootp::MAGIC
        || first & GROUP != 0
        || mac == [0; 6]
    {
        return Err(Counter::Bootp);
    }
    let facts = Facts {
        broadcast: forgotten_bool(frame, message.number::<{ bootp::FLAGS }>() & bootp::BROADCAST != 0),
        from_client: forgotten_bool(frame, link.source == mac),
        mac,
        source: message.address::<{ ip::SOURCE }>(),
        destination: message.address::<{ ip::DESTINATION }>(),
        ciaddr: message.address::<{ bootp::CIADDR }>(),
        giaddr,
        client_id: frame.hide(fingerprint::NONE),
        relay_info: frame.hide(fingerprint::NONE),
        ask: frame.hide(fingerprint::NONE),
        ..Facts::default()
    };
    Ok(Header {
        link,
        facts,
        xid: message.address::<{ bootp::XID }>(),
        flags: message.u16::<{ bootp::FLAGS }>().to_ne_bytes(),
        chaddr: [message.u64::<{ bootp::CHADDR }>(), message.u64::<{ bootp::CHADDR + 8 }>()],
        length,
    })
}

/// Walks the options of a request whose fixed part is in order (G9), and adds what they say to its
/// facts.
///
/// # Errors
///
/// The counter of the reason why the agent must look at them.
#[inline(always)]
pub fn options<F: Frame + ?Sized>(frame: &F, header: &mut Header) -> Result<Echoes, Counter> {
    let start = header.link.length().wrapping_add(bootp::OPTIONS);
    options::walk(frame, start, header.length, &mut header.facts)
}
