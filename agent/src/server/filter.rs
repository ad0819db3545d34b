//! Classic BPF programs for our sockets: what the kernel hands over, and what it keeps.
//!
//! The filter of a [`super::socket::Link`] only spares us work: the gate looks at everything again.
//! It must let every DHCP request through, so it tests nothing that a request could fail.

use socket2::SockFilter;
use xdhcpd_common::frame::{ethernet, ip, udp};

use crate::engine::arp;

/// Offsets of the EtherType, in frames with no, one and two tags before it.
const ETHER_TYPE: [u32; 3] = [12, 16, 20];
/// Offsets in a frame without tags, which X moves.
const IP_HEADER: u32 = 14;
const IP_FRAGMENT: u32 = 20;
const IP_PROTOCOL: u32 = 23;
/// Offset of the UDP destination port with the length of the IP header left out.
const UDP_DESTINATION: u32 = 16;
/// Types of packets from this up were sent to other hosts, or by us.
const PACKET_OTHERHOST: u32 = 3;
/// Where the kernel shows a packet's type to a filter.
#[expect(clippy::cast_sign_loss, reason = "offsets below zero, as the kernel wants them")]
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;

/// Takes IPv4 datagrams to UDP port 67 that were sent to us or to all, with up to two VLAN tags in
/// the frame (one more may travel beside it).
pub(super) fn requests() -> Vec<SockFilter> {
    program(Place::Drop)
}

/// Takes ARP messages as well.
pub(super) fn requests_and_arp() -> Vec<SockFilter> {
    program(Place::Take)
}

/// `to`: where an ARP message goes.
fn program(to: Place) -> Vec<SockFilter> {
    use Place::{AfterTag, AfterTwoTags, Drop, Ip, Tagged, Take, TwiceTagged, Untagged};
    use libc::{BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_K, BPF_LD};
    use libc::{BPF_JEQ, BPF_JGE, BPF_JSET, BPF_LDX, BPF_LSH, BPF_MISC, BPF_TAX, BPF_W, BPF_X};

    let [untagged, tagged, twice_tagged] = ETHER_TYPE;
    let load_half = |offset| Line::Do(BPF_LD | BPF_H | BPF_ABS, offset);
    let load_half_moved = |offset| Line::Do(BPF_LD | BPF_H | BPF_IND, offset);
    let load_byte_moved = |offset| Line::Do(BPF_LD | BPF_B | BPF_IND, offset);
    let move_by = |offset| Line::Do(BPF_LDX | BPF_W | BPF_IMM, offset);
    let equal = |value: u16, then, otherwise| Line::If(BPF_JEQ, value.into(), then, otherwise);
    let next = Place::Next;
    assemble(&[
        Line::Do(BPF_LD | BPF_W | BPF_ABS, PACKET_TYPE),
        Line::If(BPF_JGE, PACKET_OTHERHOST, Drop, next),
        load_half(untagged),
        equal(ethernet::IPV4, Untagged, next),
        equal(arp::ETHER_TYPE, to, next),
        equal(ethernet::VLAN, Tagged, next),
        equal(ethernet::SERVICE_VLAN, Tagged, Drop),
        Line::Here(Tagged),
        load_half(tagged),
        equal(ethernet::IPV4, AfterTag, next),
        equal(arp::ETHER_TYPE, to, next),
        equal(ethernet::VLAN, TwiceTagged, next),
        equal(ethernet::SERVICE_VLAN, TwiceTagged, Drop),
        Line::Here(TwiceTagged),
        load_half(twice_tagged),
        equal(arp::ETHER_TYPE, to, next),
        equal(ethernet::IPV4, AfterTwoTags, Drop),
        Line::Here(AfterTwoTags),
        move_by(8),
        Line::Go(Ip),
        Line::Here(AfterTag),
        move_by(4),
        Line::Go(Ip),
        Line::Here(Untagged),
        move_by(0),
        Line::Here(Ip),
        load_byte_moved(IP_PROTOCOL),
        equal(ip::UDP.into(), next, Drop),
        // Only the first fragment has a UDP header; the gate says no to that one.
        load_half_moved(IP_FRAGMENT),
        Line::If(BPF_JSET, ip::FRAGMENT_OFFSET.into(), Drop, next),
        load_byte_moved(IP_HEADER),
        Line::Do(BPF_ALU | BPF_AND | BPF_K, 0x0f),
        Line::Do(BPF_ALU | BPF_LSH | BPF_K, 2),
        Line::Do(BPF_ALU | BPF_ADD | BPF_X, 0),
        Line::Do(BPF_MISC | BPF_TAX, 0),
        load_half_moved(UDP_DESTINATION),
        equal(udp::SERVER, Take, Drop),
        Line::Here(Drop),
        Line::Return(0),
        Line::Here(Take),
        Line::Return(u32::MAX),
    ])
}

/// Takes nothing at all.
pub(super) fn nothing() -> Vec<SockFilter> {
    assemble(&[Line::Return(0)])
}

/// A place that a jump may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The instruction after the jump.
    Next,
    Untagged,
    Tagged,
    TwiceTagged,
    AfterTag,
    AfterTwoTags,
    Ip,
    Drop,
    Take,
}

/// A line of a program.
enum Line {
    /// Marks the place of the line that follows.
    Here(Place),
    /// An instruction that is no jump, and its operand.
    Do(u32, u32),
    /// A comparison with a constant: where to go if it holds, and if not.
    If(u32, u32, Place, Place),
    /// A jump.
    Go(Place),
    /// The end: how many bytes to take.
    Return(u32),
}

fn assemble(lines: &[Line]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for (line_at, line) in lines.iter().enumerate() {
        let after = lines.get(line_at.saturating_add(1)..).unwrap_or_default();
        let to = |place| distance(after, place);
        program.push(match *line {
            Line::Here(_) => continue,
            Line::Do(operation, operand) => SockFilter::new(code(operation), 0, 0, operand),
            Line::If(test, operand, then, otherwise) => {
                SockFilter::new(code(libc::BPF_JMP | test | libc::BPF_K), to(then), to(otherwise), operand)
            }
            Line::Go(place) => SockFilter::new(code(libc::BPF_JMP | libc::BPF_JA), 0, 0, to(place).into()),
            Line::Return(length) => SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, length),
        });
    }
    program
}

/// How many instructions lie between a jump and a place in the lines after it.
///
/// A place that is not there is past the end, and the kernel refuses the program.
fn distance(after: &[Line], place: Place) -> u8 {
    if place == Place::Next {
        return 0;
    }
    let before = after.iter().take_while(|line| !matches!(line, Line::Here(here) if *here == place));
    u8::try_from(before.filter(|line| !matches!(line, Line::Here(_))).count()).unwrap_or(u8::MAX)
}

/// The codes fit: libc's constants are wider than the field.
fn code(bits: u32) -> u16 {
    u16::try_from(bits).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::io::Read as _;

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::server::builder::Builder;

    /// Whether the kernel lets a frame through the filter: a pair of local sockets stands for the
    /// interface.
    fn takes(program: &[SockFilter], frame: &[u8]) -> bool {
        let (near, mut far) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
        far.set_nonblocking(true).unwrap();
        far.attach_filter(program).unwrap();
        near.send(frame).unwrap();
        let mut buffer = [0; 2048];
        match far.read(&mut buffer) {
            Ok(length) => {
                assert_eq!(&buffer[..length], frame, "the frame was cut");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    #[test]
    fn requests_with_up_to_two_tags_pass() {
        let tags = [[0x88, 0xa8, 0, 1], [0x81, 0, 0, 2], [0x81, 0, 0, 3]];
        for count in 0..=3 {
            let frame = Builder { tags: tags[..count].to_vec(), ..Builder::new(1) }.frame();
            assert_eq!(takes(&requests(), &frame), count < 3, "{count} tags");
        }
    }

    #[test]
    fn requests_with_ip_options_pass() {
        for words in 0..=10 {
            let ip_options = vec![1; words * 4];
            let frame = Builder { ip_options, tags: vec![[0x81, 0, 0, 2]], ..Builder::new(1) }.frame();
            assert!(takes(&requests(), &frame), "{words} words");
        }
    }

    #[test]
    fn what_is_no_request_does_not_pass() {
        let other_port = Builder { ports: (67, 68), ..Builder::new(1) }.frame();
        assert!(!takes(&requests(), &other_port));
        for (offset, byte, what) in [(12, 0x86, "IPv6"), (23, 6, "TCP"), (21, 1, "a later fragment")] {
            let mut frame = Builder::new(1).frame();
            frame[offset] = byte;
            assert!(!takes(&requests(), &frame), "{what}");
        }
        let frame = Builder::new(1).frame();
        for length in 0..38 {
            assert!(!takes(&requests(), &frame[..length]), "{length} bytes");
        }
    }

    #[test]
    fn c24_arp_passes_only_while_it_is_listened_to_and_requests_always_do() {
        let tags = [[0x88, 0xa8, 0, 1], [0x81, 0, 0, 2], [0x81, 0, 0, 3]];
        for count in 0..=3 {
            let probe = arp::probe([2; 6], &tags[..count], [10, 9, 0, 100].into());
            assert!(!takes(&requests(), &probe), "{count} tags");
            assert_eq!(takes(&requests_and_arp(), &probe), count < 3, "{count} tags");
            let request = Builder { tags: tags[..count].to_vec(), ..Builder::new(1) }.frame();
            assert_eq!(takes(&requests_and_arp(), &request), count < 3, "{count} tags");
        }
        let other_port = Builder { ports: (67, 68), ..Builder::new(1) }.frame();
        assert!(!takes(&requests_and_arp(), &other_port));
    }

    #[test]
    fn a_first_fragment_is_left_to_the_gate_to_count() {
        let mut frame = Builder::new(1).frame();
        frame[20] = 0x20;
        assert!(takes(&requests(), &frame));
    }

    #[test]
    fn nothing_passes_the_filter_of_the_port() {
        assert!(!takes(&nothing(), &Builder::new(1).frame()));
    }
}
