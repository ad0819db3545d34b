//! Exchanges made by hand: a frame out, the reply to it back.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xdhcpd_common::frame::bootp;

use crate::frames::{EVERYBODY, FrameBuilder, Reply};
use crate::tap::{Frame, Tap};
use crate::wait::SOON;

/// DHCP message types (RFC 2132 §9.6).
pub mod message {
    /// DISCOVER.
    pub const DISCOVER: u8 = 1;
    /// OFFER.
    pub const OFFER: u8 = 2;
    /// REQUEST.
    pub const REQUEST: u8 = 3;
    /// DECLINE.
    pub const DECLINE: u8 = 4;
    /// ACK.
    pub const ACK: u8 = 5;
    /// NAK.
    pub const NAK: u8 = 6;
    /// RELEASE.
    pub const RELEASE: u8 = 7;
}

/// How long to listen where no reply is expected: many times what one takes.
pub const SILENCE: Duration = Duration::from_millis(500);

/// A message of this type by the client with this hardware address.
pub fn from_client(kind: u8, mac: [u8; 6]) -> FrameBuilder {
    FrameBuilder::message(kind).with(|frame| {
        frame.source = mac;
        frame.chaddr[..6].copy_from_slice(&mac);
        frame.xid = u32::from_be_bytes([mac[2], mac[3], mac[4], mac[5]]) ^ (u32::from(kind) << 24);
    })
}

/// Sends a frame and waits for the reply to it.
pub fn ask(tap: &Tap, frame: &FrameBuilder) -> Result<Reply> {
    tap.send(&frame.build())?;
    reply_to(tap, frame, SOON)?.with_context(|| format!("no reply to {frame:?}"))
}

/// Sends a frame; whether nobody replies.
pub fn is_met_with_silence(tap: &Tap, frame: &FrameBuilder) -> Result<bool> {
    tap.send(&frame.build())?;
    Ok(reply_to(tap, frame, SILENCE)?.is_none())
}

/// The reply to a frame that was sent.
pub fn reply_to(tap: &Tap, frame: &FrameBuilder, limit: Duration) -> Result<Option<Reply>> {
    Ok(reply_frame(tap, frame, limit)?.map(|reply| Reply::read(&reply.bytes)))
}

/// The same, as it was on the wire.
pub fn reply_frame(tap: &Tap, frame: &FrameBuilder, limit: Duration) -> Result<Option<Frame>> {
    let started = Instant::now();
    while let Some(rest) = limit.checked_sub(started.elapsed()) {
        let Some(seen) = tap.receive(rest)? else { break };
        if answers(&seen.bytes, frame) {
            return Ok(Some(seen));
        }
    }
    Ok(None)
}

/// Whether these bytes are a reply with the frame's transaction number, behind as many tags.
fn answers(bytes: &[u8], frame: &FrameBuilder) -> bool {
    let start = frame.link_length() + 28;
    let xid = frame.xid.to_be_bytes();
    bytes.get(start) == Some(&2) && bytes.get(start + 4..start + 8) == Some(xid.as_slice())
}

/// Whether these bytes are a DHCP reply without tags; what it says may be wrong all the same.
pub fn is_reply(bytes: &[u8]) -> bool {
    const START: usize = 42;
    bytes.get(12..14) == Some(&[8, 0])
        && bytes.get(23) == Some(&17)
        && bytes.get(34..36) == Some(&[0, 67])
        && bytes.get(START) == Some(&2)
}

/// The address that a reply gives.
pub fn address(reply: &Reply) -> Ipv4Addr {
    let bytes: [u8; 4] = reply.field(bootp::CIADDR + 4, 4).try_into().unwrap_or_default();
    bytes.into()
}

/// The whole way to a lease: DISCOVER, OFFER, REQUEST, ACK.
pub fn obtain(tap: &Tap, mac: [u8; 6], change: impl Fn(FrameBuilder) -> FrameBuilder) -> Result<[Reply; 2]> {
    let offer = ask(tap, &change(from_client(message::DISCOVER, mac)))?;
    let server = offer.option(54).context("an OFFER names its server")?.to_vec();
    let request = from_client(message::REQUEST, mac).option(50, &address(&offer).octets());
    let ack = ask(tap, &change(request.option(54, &server)))?;
    Ok([offer, ack])
}

/// A REQUEST of a client that renews its lease (RENEWING), or begins to rebind it: by a broadcast
/// frame, for hardware addresses of servers are not known here.
pub fn renewal(mac: [u8; 6], ip: Ipv4Addr, server: [u8; 4]) -> FrameBuilder {
    with_address(message::REQUEST, mac, ip, server)
}

/// A RELEASE of a client's address.
pub fn release(mac: [u8; 6], ip: Ipv4Addr, server: [u8; 4]) -> FrameBuilder {
    with_address(message::RELEASE, mac, ip, server).option(54, &server)
}

fn with_address(kind: u8, mac: [u8; 6], ip: Ipv4Addr, server: [u8; 4]) -> FrameBuilder {
    from_client(kind, mac).unicast(ip.octets(), server).with(|frame| frame.destination = EVERYBODY)
}
