//! The slow path's gate: a raw frame becomes a [`Request`], or is [`Ignored`] for a reason.
//!
//! Nothing is guessed: a frame is understood whole, or not at all. It takes what the kernel's gate
//! takes, and, where that is safe, what that one passes up: IP options, repeated options where they
//! are parts of one (RFC 3396), overload, more and longer options, BOOTP with and without options.

use xdhcpd_common::facts::{Facts, MessageType, NONE};
use xdhcpd_common::fingerprint;
use xdhcpd_common::frame::bootp;
use xdhcpd_common::gate::{self as shared, Arrival};
use xdhcpd_common::maps::Server;
use xdhcpd_common::options::LEAST_CLIENT_ID;

use super::layers::{self, Datagram};
use crate::engine::ignored::Ignored;
use crate::engine::request::Request;
use crate::engine::request::options::{RequestOptions, code};

/// What is known of the UDP checksum of a frame that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpChecksum {
    /// Nothing: it must be right.
    Verify,
    /// It need not be looked at: the device has verified it, or the sender is a virtual machine or
    /// container on this host and the checksum was never finished.
    Trusted,
}

/// Reads a frame as it came in, VLAN tags in place.
pub fn gate(frame: &[u8], checksum: UdpChecksum) -> Result<Request, Ignored> {
    let datagram = layers::open(frame, checksum)?;
    let message = Message::read(datagram.payload)?;
    message.check()?;
    let options = if message.is_bare() {
        RequestOptions::default()
    } else {
        RequestOptions::read(message.options, message.file, message.sname)?
    };
    let kind = message_type(&options)?;
    let facts = shared_facts(frame)
        .unwrap_or_else(|| lenient_facts(&datagram, &message, &options, kind.unwrap_or_default()));
    Ok(Request {
        facts,
        vlan: vlan(&datagram.tags),
        tags: datagram.tags,
        source_mac: datagram.source_mac,
        destination_mac: datagram.destination_mac,
        source_port: datagram.source_port,
        xid: message.xid,
        flags: message.flags,
        chaddr: message.chaddr,
        htype: message.htype,
        hlen: message.hlen,
        options,
        bootp: kind.is_none(),
    })
}

/// The fixed part of a message (RFC 2131 §2), without what a server has no use for.
struct Message<'a> {
    op: u8,
    htype: u8,
    hlen: u8,
    hops: u8,
    xid: [u8; 4],
    flags: [u8; 2],
    ciaddr: [u8; 4],
    giaddr: [u8; 4],
    chaddr: [u8; 16],
    sname: &'a [u8],
    file: &'a [u8],
    cookie: [u8; 4],
    options: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(mut payload: &'a [u8]) -> Result<Self, Ignored> {
        let rest = &mut payload;
        let [op, htype, hlen, hops] = *take(rest)?;
        let xid = *take(rest)?;
        let _secs: &[u8; 2] = take(rest)?;
        let flags = *take(rest)?;
        let ciaddr = *take(rest)?;
        let _yiaddr_siaddr: &[u8; 8] = take(rest)?;
        let giaddr = *take(rest)?;
        let chaddr = *take(rest)?;
        let sname = take::<64>(rest)?;
        let file = take::<128>(rest)?;
        let cookie = *take(rest)?;
        Ok(Self {
            op,
            htype,
            hlen,
            hops,
            xid,
            flags,
            ciaddr,
            giaddr,
            chaddr,
            sname,
            file,
            cookie,
            options: rest,
        })
    }

    fn check(&self) -> Result<(), Ignored> {
        if self.op != bootp::REQUEST {
            return Err(Ignored::Op);
        }
        if self.htype != bootp::ETHERNET {
            return Err(Ignored::Htype);
        }
        if self.hlen != bootp::MAC_LENGTH {
            return Err(Ignored::Hlen);
        }
        if self.hops > bootp::MOST_HOPS {
            return Err(Ignored::Hops);
        }
        if self.mac() == [0; 6] || layers::is_group(self.mac()) {
            return Err(Ignored::Chaddr);
        }
        if self.cookie != bootp::MAGIC && !self.is_bare() {
            return Err(Ignored::Cookie);
        }
        Ok(())
    }

    /// Whether its vendor field is empty, as BOOTP has it where there is nothing to say (RFC 951 §3).
    fn is_bare(&self) -> bool {
        self.cookie.iter().chain(self.options).all(|byte| *byte == 0)
    }

    fn mac(&self) -> [u8; 6] {
        let [m0, m1, m2, m3, m4, m5, ..] = self.chaddr;
        [m0, m1, m2, m3, m4, m5]
    }
}

/// The next `N` bytes of a message, which the cursor steps over.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Ignored> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(Ignored::Lengths)?;
    *rest = after;
    Ok(taken)
}

/// Option 53, if it is something that a client sends; none: BOOTP.
fn message_type(options: &RequestOptions) -> Result<Option<u8>, Ignored> {
    match options.fixed::<1>(code::MESSAGE_TYPE) {
        None => Ok(None),
        Some(
            [
                kind @ (MessageType::DISCOVER
                | MessageType::REQUEST
                | MessageType::DECLINE
                | MessageType::RELEASE
                | MessageType::INFORM),
            ],
        ) => Ok(Some(kind)),
        Some(_) => Err(Ignored::MessageType),
    }
}

/// What the kernel makes of the frame, if it takes it: then both sides have the same facts because
/// they have them from the same code.
fn shared_facts(frame: &[u8]) -> Option<Facts> {
    let Arrival::Request(link) = shared::arrival(frame, 0) else { return None };
    // Whose MAC it is sent to was checked where it came in, and its checksums by now.
    let server = Server { mac: link.destination, ..Server::default() };
    shared::gate(frame, link, &server).ok().map(|parsed| parsed.header.facts)
}

/// The facts of a message that the kernel leaves to us.
fn lenient_facts(
    datagram: &Datagram<'_>,
    message: &Message<'_>,
    options: &RequestOptions,
    kind: u8,
) -> Facts {
    let of = |code, value| fingerprint::add(fingerprint::NONE, code, value);
    let client_id = options.get(code::CLIENT_ID).filter(|id| id.len() >= LEAST_CLIENT_ID);
    let relay_info = options.get(code::RELAY_INFO).filter(|_| message.giaddr != NONE);
    let [flags, _] = message.flags;
    Facts {
        kind,
        broadcast: flags & 0x80 != 0,
        from_client: datagram.source_mac == message.mac(),
        mac: message.mac(),
        source: datagram.source,
        destination: datagram.destination,
        ciaddr: message.ciaddr,
        giaddr: message.giaddr,
        requested: options.fixed(code::REQUESTED_ADDRESS).unwrap_or_default(),
        server: options.fixed(code::SERVER).unwrap_or_default(),
        lease_time: options.fixed(code::LEASE_TIME).map_or(0, u32::from_be_bytes),
        client_id: client_id.map_or(fingerprint::NONE, |id| of(code::CLIENT_ID, id)),
        relay_info: relay_info.map_or(fingerprint::NONE, |info| of(code::RELAY_INFO, info)),
        ask: options.ask(),
    }
}

/// The ids in up to two tags, without priority and drop bits.
fn vlan(tags: &[[u8; 4]]) -> [u16; 2] {
    let id =
        |place: usize| tags.get(place).map_or(0, |[_, _, t0, t1]| u16::from_be_bytes([*t0, *t1]) & 0x0fff);
    [id(0), id(1)]
}

#[cfg(test)]
mod tests;
