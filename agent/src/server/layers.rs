//! Ethernet, IPv4 and UDP: from a frame to the payload of a datagram to port 67.
//!
//! Stricter than a host's stack: every length agrees with the others, every checksum is right.
//! More lenient than the kernel's gate in two things only: IP options are stepped over, and what
//! follows the IP packet (Ethernet's padding) is dropped.

use xdhcpd_common::checksum::Sum;
use xdhcpd_common::frame::{ethernet, ip, udp};
use xdhcpd_common::gate::EVERYBODY;

use super::gate::UdpChecksum;
use crate::engine::ignored::Ignored;

/// More tags than this are on no wire that a network can name.
const MAX_TAGS: usize = 2;

/// A UDP datagram to port 67, with what its headers say.
#[derive(Debug)]
pub struct Datagram<'a> {
    pub destination_mac: [u8; 6],
    pub source_mac: [u8; 6],
    /// TPID and TCI of each tag, outermost first.
    pub tags: Vec<[u8; 4]>,
    pub source: [u8; 4],
    pub destination: [u8; 4],
    pub source_port: u16,
    pub payload: &'a [u8],
}

/// Opens a frame down to the UDP payload.
pub fn open(frame: &[u8], checksum: UdpChecksum) -> Result<Datagram<'_>, Ignored> {
    let (destination_mac, rest) = frame.split_first_chunk::<6>().ok_or(Ignored::Ethernet)?;
    let (source_mac, rest) = rest.split_first_chunk::<6>().ok_or(Ignored::Ethernet)?;
    if is_group(*destination_mac) && *destination_mac != EVERYBODY {
        return Err(Ignored::Destination);
    }
    if is_group(*source_mac) {
        return Err(Ignored::Source);
    }
    let (tags, packet) = untag(rest)?;
    let packet = open_ip(packet)?;
    let udp = open_udp(&packet, checksum)?;
    Ok(Datagram {
        destination_mac: *destination_mac,
        source_mac: *source_mac,
        tags,
        source: packet.source,
        destination: packet.destination,
        source_port: udp.source_port,
        payload: udp.payload,
    })
}

/// Whether a MAC is a multicast or the broadcast address: no single station's.
pub fn is_group(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 == 1
}

/// Takes the tags off, and the EtherType, which must be IPv4's.
fn untag(mut rest: &[u8]) -> Result<(Vec<[u8; 4]>, &[u8]), Ignored> {
    let mut tags = Vec::new();
    loop {
        let (ether_type, after) = rest.split_first_chunk::<2>().ok_or(Ignored::Ethernet)?;
        match u16::from_be_bytes(*ether_type) {
            ethernet::IPV4 => return Ok((tags, after)),
            ethernet::VLAN | ethernet::SERVICE_VLAN if tags.len() < MAX_TAGS => {}
            _ => return Err(Ignored::Ethernet),
        }
        let (tag, after) = rest.split_first_chunk::<4>().ok_or(Ignored::Ethernet)?;
        tags.push(*tag);
        rest = after;
    }
}

struct Packet<'a> {
    source: [u8; 4],
    destination: [u8; 4],
    payload: &'a [u8],
}

fn open_ip(packet: &[u8]) -> Result<Packet<'_>, Ignored> {
    let (fixed, _) = packet.split_first_chunk::<{ ip::LENGTH }>().ok_or(Ignored::Lengths)?;
    let [version_length, _, l0, l1, _, _, f0, f1, _, protocol, _, _, addresses @ ..] = *fixed;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    if version_length >> 4 != 4 {
        return Err(Ignored::IpHeader);
    }
    let header_length = usize::from(version_length & 0x0f).saturating_mul(4);
    if header_length < fixed.len() {
        return Err(Ignored::IpHeader);
    }
    // Cuts Ethernet's padding off.
    let whole = packet.get(..usize::from(u16::from_be_bytes([l0, l1]))).ok_or(Ignored::Lengths)?;
    let (header, payload) = whole.split_at_checked(header_length).ok_or(Ignored::Lengths)?;
    if !sum(header).is_right() {
        return Err(Ignored::Checksum);
    }
    if u16::from_be_bytes([f0, f1]) & ip::FRAGMENTED != 0 {
        return Err(Ignored::Fragment);
    }
    if protocol != ip::UDP {
        return Err(Ignored::NotDhcp);
    }
    let source = [s0, s1, s2, s3];
    // A group, "this host" of the loopback, or the broadcast address sends nothing.
    if s0 >= 224 || s0 == 127 {
        return Err(Ignored::Source);
    }
    Ok(Packet { source, destination: [d0, d1, d2, d3], payload })
}

struct Udp<'a> {
    source_port: u16,
    payload: &'a [u8],
}

fn open_udp<'a>(packet: &Packet<'a>, checksum: UdpChecksum) -> Result<Udp<'a>, Ignored> {
    let (header, payload) = packet.payload.split_first_chunk::<{ udp::LENGTH }>().ok_or(Ignored::Lengths)?;
    let [s0, s1, d0, d1, l0, l1, c0, c1] = *header;
    if u16::from_be_bytes([d0, d1]) != udp::SERVER {
        return Err(Ignored::NotDhcp);
    }
    if usize::from(u16::from_be_bytes([l0, l1])) != packet.payload.len() {
        return Err(Ignored::Lengths);
    }
    if checksum == UdpChecksum::Verify && [c0, c1] != [0, 0] {
        // The pseudo-header first (RFC 768).
        let total =
            Sum::default().quad(packet.source).quad(packet.destination).pair([0, ip::UDP]).pair([l0, l1]);
        if !total.even(sum(packet.payload)).is_right() {
            return Err(Ignored::Checksum);
        }
    }
    Ok(Udp { source_port: u16::from_be_bytes([s0, s1]), payload })
}

/// The sum of bytes that start at an even offset; an odd one at the end counts as a high one.
pub fn sum(bytes: &[u8]) -> Sum {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let sum = pairs.iter().fold(Sum::default(), |sum, pair| sum.pair(*pair));
    odd.iter().fold(sum, |sum, last| sum.pair([*last, 0]))
}
