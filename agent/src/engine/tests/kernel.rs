//! The kernel's reply, put together from its maps once more, and what any reply's frame must be.
//!
//! What the XDP program itself writes is compared with the engine's replies where it can be run;
//! here it is the engine that is held to the layout that both agree on.

use xdhcpd_common::decision::{Answer, Link};
use xdhcpd_common::gate::Parsed;
use xdhcpd_common::maps::{self, Server, Template};
use xdhcpd_common::options::Span;
use xdhcpd_common::reply;

/// The frame that the program makes of a request; none where the reply is too long for it.
pub(super) fn reply(
    frame: &[u8],
    parsed: &Parsed,
    entry: &maps::Lease,
    terms: &Template,
    server: &Server,
    answer: &Answer,
) -> Option<Vec<u8>> {
    let header = &parsed.header;
    let mut message = vec![2, 1, 6, 0];
    message.extend(header.xid);
    message.extend([0, 0]);
    message.extend(header.flags);
    message.extend(answer.ciaddr);
    message.extend(entry.ip);
    message.extend(terms.next_server);
    message.extend(header.facts.giaddr);
    message.extend(&frame[header.link.length() + 28 + 28..][..16]);
    message.extend(terms.server_name);
    message.extend(terms.file);
    message.extend([99, 130, 83, 99, 53, 1, answer.kind, 54, 4]);
    message.extend(terms.server);
    message.extend([51, 4]);
    message.extend(answer.times.lease.to_be_bytes());
    if let Some((renew, rebind)) = answer.times.timers {
        message.extend([58, 4]);
        message.extend(renew.to_be_bytes());
        message.extend([59, 4]);
        message.extend(rebind.to_be_bytes());
    }
    message.extend(&terms.options[..terms.options_len as usize]);
    for (code, Span { end, length }) in [(61, parsed.echoes.client_id), (82, parsed.echoes.relay_info)] {
        if length != 0 {
            message.extend([code, u8::try_from(length).unwrap()]);
            message.extend(&frame[end - length..end]);
        }
    }
    message.push(255);
    if message.len() > reply::MOST_PAYLOAD {
        return None;
    }
    message.resize(message.len().max(reply::LEAST_PAYLOAD), 0);

    let udp_length = u16::try_from(message.len() + 8).unwrap();
    let mut udp = [&[0, 67][..], &answer.to.port.to_be_bytes(), &udp_length.to_be_bytes(), &[0, 0]].concat();
    udp.extend(&message);
    let pseudo = [&terms.server[..], &answer.to.ip, &[0, 17], &udp_length.to_be_bytes(), &udp].concat();
    let checksum = match !sum(&pseudo) {
        0 => 0xffff,
        right => right,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    let total = (udp_length + 20).to_be_bytes();
    let mut ip =
        [&[0x45, 0][..], &total, &[0, 0, 0x40, 0, 64, 17, 0, 0], &terms.server, &answer.to.ip].concat();
    let checksum = !sum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());

    let link = match answer.to.link {
        Link::Broadcast => [0xff; 6],
        Link::Client => header.facts.mac,
        Link::Sender => header.link.source,
    };
    Some([&link[..], &server.mac, &frame[12..header.link.length()], &ip, &udp].concat())
}

/// The ones' complement sum of the bytes as 16-bit words.
fn sum(bytes: &[u8]) -> u16 {
    let mut total: u32 = 0;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap()
}

/// Where the IP header starts.
fn ip_at(frame: &[u8]) -> usize {
    let tags =
        frame[12..].chunks(4).take_while(|tag| tag[..2] == [0x81, 0] || tag[..2] == [0x88, 0xa8]).count();
    14 + 4 * tags
}

/// The UDP payload of a reply.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    &frame[ip_at(frame) + 28..]
}

/// Row 9, and lengths that agree.
pub(super) fn check_checksums(frame: &[u8]) {
    let packet = &frame[ip_at(frame)..];
    let number = |at: usize| usize::from(packet[at]) << 8 | usize::from(packet[at + 1]);
    assert_eq!(number(2), packet.len(), "the IP length");
    assert_eq!(number(24), packet.len() - 20, "the UDP length");
    assert_eq!(sum(&packet[..20]), 0xffff, "the IP checksum");
    assert_ne!(number(26), 0, "there is a UDP checksum");
    let pseudo = [&packet[12..20], &[0, 17], &packet[24..26], &packet[20..]].concat();
    assert_eq!(sum(&pseudo), 0xffff, "the UDP checksum");
}
