//! Encodes a reply as the whole frame that goes out.
//!
//! Written apart from the kernel's own writer on purpose: a differential test holds the two to the
//! same bytes, so neither can be wrong alone.

use std::net::Ipv4Addr;
use std::time::Duration;

use xdhcpd_common::decision::{Destination, Link};
use xdhcpd_common::facts::MessageType;
use xdhcpd_common::options::code;
use xdhcpd_common::reply::LEAST_PAYLOAD;
use xdhcpd_common::times::Times;

use super::render::Rendered;
use crate::engine::request::Request;

/// IP and UDP headers.
const IP_UDP: usize = 28;
/// The longest IP packet that is sent, whatever option 57 allows: fragments reach no boot ROM.
const MOST_PACKET: u16 = 1500;
/// Option 52 says in which header fields the options go on.
const OVERLOAD: usize = 3;

/// What kind of reply it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
    /// BOOTP's only reply: without option 53 and what else DHCP brought.
    Bootp,
}

impl ReplyKind {
    const fn code(self) -> Option<u8> {
        match self {
            Self::Offer => Some(MessageType::OFFER),
            Self::Ack => Some(MessageType::ACK),
            Self::Nak => Some(MessageType::NAK),
            Self::Bootp => None,
        }
    }
}

/// A frame ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub kind: ReplyKind,
    /// How long the lease is that it names; nothing where it names none.
    pub lease: Duration,
    /// Ethernet header to padding.
    pub frame: Vec<u8>,
}

/// All that a reply says beside what it copies from the request.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Option 53.
    pub kind: ReplyKind,
    /// Our address on the network: the IP source.
    pub server: Ipv4Addr,
    /// Option 54: that address, or the relay's own (row 52).
    pub identifier: Ipv4Addr,
    /// Our MAC.
    pub mac: [u8; 6],
    /// ciaddr.
    pub ciaddr: [u8; 4],
    /// yiaddr.
    pub yiaddr: Ipv4Addr,
    /// Options 51, 58 and 59; none in a NAK and in the ACK to an INFORM.
    pub times: Option<Times>,
    /// Boot fields and options; none in a NAK.
    pub rendered: Option<&'a Rendered>,
    /// Option 82 comes back (row 51): only to a trusted relay.
    pub echo_relay_info: bool,
    /// Where it goes.
    pub to: Destination,
}

/// Encodes a reply to `request`.
pub fn encode(request: &Request, content: &Content<'_>) -> Reply {
    let payload = bootp(request, content);
    let udp_length = payload.len().saturating_add(8);
    let mut frame = Vec::with_capacity(payload.len().saturating_add(IP_UDP).saturating_add(22));
    frame.extend(match content.to.link {
        Link::Broadcast => [0xff; 6],
        Link::Client => request.facts.mac,
        Link::Sender => request.source_mac,
    });
    frame.extend(content.mac);
    for tag in &request.tags {
        frame.extend(tag);
    }
    frame.extend([0x08, 0x00]);
    frame.extend(ip_header(content, udp_length.saturating_add(20)));
    frame.extend(udp_header(content, udp_length, &payload));
    frame.extend(payload);
    let lease = match content.kind {
        ReplyKind::Bootp => Duration::MAX,
        _ => content.times.map_or(Duration::ZERO, |times| super::span(times.lease)),
    };
    Reply { kind: content.kind, lease, frame }
}

fn bootp(request: &Request, content: &Content<'_>) -> Vec<u8> {
    let limit = match content.kind {
        ReplyKind::Bootp => LEAST_PAYLOAD,
        _ => usize::from(request.max_message().min(MOST_PACKET)).saturating_sub(IP_UDP),
    };
    let leading = leading(content);
    let fixed = xdhcpd_common::reply::FIXED.saturating_add(leading.len()).saturating_add(1);
    let echoes = echoes(request, content.echo_relay_info, limit.saturating_sub(fixed));
    let body = Body::new(content, limit.saturating_sub(fixed).saturating_sub(echoes.len()));

    let mut out = Vec::with_capacity(limit.max(LEAST_PAYLOAD));
    out.extend([2, 1, 6, 0]);
    out.extend(request.xid);
    out.extend([0, 0]);
    out.extend(flags(request, content));
    out.extend(content.ciaddr);
    out.extend(content.yiaddr.octets());
    out.extend(content.rendered.map_or([0; 4], |rendered| rendered.boot.next_server));
    out.extend(request.facts.giaddr);
    out.extend(request.chaddr);
    out.extend(body.server_name);
    out.extend(body.file);
    out.extend([99, 130, 83, 99]);
    out.extend(leading);
    out.extend(body.options);
    out.extend(echoes);
    out.push(code::END);
    out.resize(out.len().max(LEAST_PAYLOAD), 0);
    out
}

/// Options 53, 54 and 51, and the timers: what every DHCP client reads first.
fn leading(content: &Content<'_>) -> Vec<u8> {
    let Some(kind) = content.kind.code() else { return Vec::new() };
    let mut out = vec![code::MESSAGE_TYPE, 1, kind];
    push_option(&mut out, code::SERVER, &content.identifier.octets());
    if let Some(times) = content.times {
        push_option(&mut out, code::LEASE_TIME, &times.lease.to_be_bytes());
        if let Some((renew, rebind)) = times.timers {
            push_option(&mut out, code::RENEWAL_TIME, &renew.to_be_bytes());
            push_option(&mut out, code::REBINDING_TIME, &rebind.to_be_bytes());
        }
    }
    out
}

/// What was rendered, as it fits.
struct Body {
    server_name: [u8; 64],
    file: [u8; 128],
    options: Vec<u8>,
}

impl Body {
    /// All in the options' own field if there is `room`; else what does not fit goes into file and
    /// sname where nothing else stands there (option 52, row 54).
    fn new(content: &Content<'_>, room: usize) -> Self {
        let Some(rendered) = content.rendered else {
            return Self { server_name: [0; 64], file: [0; 128], options: Vec::new() };
        };
        let (mut server_name, mut file) = (rendered.boot.server_name, rendered.boot.file);
        if rendered.options.len() <= room {
            return Self { server_name, file, options: rendered.options.clone() };
        }
        if content.kind == ReplyKind::Bootp {
            let [options] = rendered.packed([room]);
            return Self { server_name, file, options };
        }
        let rooms = [room.saturating_sub(OVERLOAD), spare(&file), spare(&server_name)];
        let [first, in_file, in_server_name] = rendered.packed(rooms);
        let fields = u8::from(!in_file.is_empty()) | u8::from(!in_server_name.is_empty()) << 1;
        let mut options = Vec::new();
        if fields != 0 {
            push_option(&mut options, code::OVERLOAD, &[fields]);
        }
        options.extend(first);
        overload(&mut file, &in_file);
        overload(&mut server_name, &in_server_name);
        Self { server_name, file, options }
    }
}

/// Room for options in a header field, before its END: none where something stands there.
fn spare(field: &[u8]) -> usize {
    if field.iter().all(|byte| *byte == 0) { field.len().saturating_sub(1) } else { 0 }
}

fn overload(field: &mut [u8], options: &[u8]) {
    if options.is_empty() {
        return;
    }
    for (to, from) in field.iter_mut().zip(options.iter().chain(&[code::END])) {
        *to = *from;
    }
}

/// A NAK through a relay carries the broadcast bit, for the client cannot take a unicast (row 13).
fn flags(request: &Request, content: &Content<'_>) -> [u8; 2] {
    let [high, low] = request.flags;
    if content.kind == ReplyKind::Nak && request.facts.is_relayed() {
        [high | 0x80, low]
    } else {
        [high, low]
    }
}

/// Options 61, 97, 118 and 82 as they were sent (rows 50, 57, 52 and 51): the client's own together, and
/// the relay's last, where it looks for it. A relay gets its own back whatever `room` there is, since
/// it takes it off before the client sees the reply.
fn echoes(request: &Request, relay_info: bool, room: usize) -> Vec<u8> {
    let mut relays = Vec::new();
    if let (true, Some(info)) = (relay_info, request.relay_info()) {
        push_option(&mut relays, code::RELAY_INFO, info);
    }
    let mut out = Vec::new();
    let subnet = request.subnet_selection();
    let own = [
        (code::CLIENT_ID, request.client_id()),
        (code::MACHINE_ID, request.machine_id()),
        (code::SUBNET_SELECTION, subnet.as_ref().map(<[u8; 4]>::as_slice)),
    ];
    for (code, sent) in own {
        let mut echo = Vec::new();
        // BOOTP knows none of them.
        if let Some(sent) = sent.filter(|_| !request.bootp) {
            push_option(&mut echo, code, sent);
        }
        if out.len().saturating_add(echo.len()).saturating_add(relays.len()) <= room {
            out.extend(echo);
        }
    }
    out.extend(relays);
    out
}

/// One option, in as many parts as it needs (RFC 3396).
pub(super) fn push_option(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    if value.is_empty() {
        out.extend([code, 0]);
    }
    for part in value.chunks(255) {
        out.push(code);
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend(part);
    }
}

fn ip_header(content: &Content<'_>, total: usize) -> [u8; 20] {
    let [length_high, length_low] = u16::try_from(total).unwrap_or(u16::MAX).to_be_bytes();
    let [s0, s1, s2, s3] = content.server.octets();
    let [d0, d1, d2, d3] = content.to.ip;
    let with = |[high, low]: [u8; 2]| {
        [0x45, 0, length_high, length_low, 0, 0, 0x40, 0, 64, 17, high, low, s0, s1, s2, s3, d0, d1, d2, d3]
    };
    with(complement(sum(&with([0, 0]), 0)))
}

fn udp_header(content: &Content<'_>, length: usize, payload: &[u8]) -> [u8; 8] {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    let [length_high, length_low] = length.to_be_bytes();
    let [port_high, port_low] = content.to.port.to_be_bytes();
    let with = |[high, low]: [u8; 2]| [0, 67, port_high, port_low, length_high, length_low, high, low];
    let mut total = sum(&content.server.octets(), 0);
    total = sum(&content.to.ip, total);
    total = total.saturating_add(17).saturating_add(u64::from(length));
    total = sum(&with([0, 0]), total);
    let checksum = complement(sum(payload, total));
    // Zero would say that there is no checksum (RFC 768).
    with(if checksum == [0, 0] { [0xff, 0xff] } else { checksum })
}

/// The bytes as big-endian 16-bit words, added to `start`; the last odd byte is a high one.
fn sum(bytes: &[u8], start: u64) -> u64 {
    bytes.chunks(2).fold(start, |total, pair| {
        let word = match *pair {
            [high, low] => u16::from_be_bytes([high, low]),
            [high] => u16::from_be_bytes([high, 0]),
            _ => 0,
        };
        total.saturating_add(u64::from(word))
    })
}

/// The Internet checksum of a sum of words (RFC 1071).
fn complement(mut total: u64) -> [u8; 2] {
    while total > 0xffff {
        total = (total & 0xffff).saturating_add(total >> 16);
    }
    (!u16::try_from(total).unwrap_or(u16::MAX)).to_be_bytes()
}
