//! What was said on the wire, as exchanges: DISCOVER, OFFER, REQUEST, ACK.

use std::collections::BTreeMap;

use xdhcpd_common::frame::{bootp, ethernet, ip, udp};
use xdhcpd_tests::frames;
use xdhcpd_tests::tap::Frame;

/// Options that tests ask about.
pub mod code {
    pub const MESSAGE_TYPE: u8 = 53;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const USER_CLASS: u8 = 77;
    pub const ARCHITECTURE: u8 = 93;
    pub const MACHINE_ID: u8 = 97;
}

/// A DHCP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// yiaddr.
    pub yiaddr: [u8; 4],
    /// siaddr.
    pub siaddr: [u8; 4],
    /// file.
    pub file: String,
    options: BTreeMap<u8, Vec<u8>>,
    xid: [u8; 4],
}

impl Message {
    /// The message in a frame, if there is one.
    fn read(frame: &[u8]) -> Option<Self> {
        let start = ethernet::LENGTH;
        let port = |at: usize| u16::from_be_bytes([frame[start + at], frame[start + at + 1]]);
        let is_udp = frame.len() > start + bootp::OPTIONS
            && frame[ethernet::TYPE..start] == ethernet::IPV4.to_be_bytes()
            && frame[start + ip::PROTOCOL] == ip::UDP;
        if !is_udp || ![(68, 67), (67, 68)].contains(&(port(udp::SOURCE), port(udp::SOURCE + 2))) {
            return None;
        }
        let field = |at: usize| frame[start + at..][..4].try_into().expect("4 bytes");
        let file = &frame[start + bootp::SNAME + 64..][..128];
        let (options, _) = frames::options(&frame[start + bootp::OPTIONS..]);
        Some(Self {
            yiaddr: field(bootp::YIADDR),
            siaddr: field(bootp::SIADDR),
            file: String::from_utf8_lossy(file).trim_end_matches('\0').to_owned(),
            options: options.into_iter().collect(),
            xid: field(bootp::XID),
        })
    }

    /// An option's value.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.get(&code).map(Vec::as_slice)
    }

    /// Its type: option 53.
    fn kind(&self) -> u8 {
        self.option(code::MESSAGE_TYPE).map_or(0, |value| value[0])
    }

    /// All that it says, but whether it is an OFFER or an ACK.
    pub fn promises(&self) -> Self {
        let mut promises = self.clone();
        promises.options.remove(&code::MESSAGE_TYPE);
        promises
    }
}

/// The messages of one transaction that came to an ACK, each as often as it was sent.
#[derive(Debug, Default)]
pub struct Exchange {
    pub discovers: Vec<Message>,
    pub offers: Vec<Message>,
    pub requests: Vec<Message>,
    pub acks: Vec<Message>,
}

/// The exchanges among these frames, in their order.
pub fn exchanges(frames: &[Frame]) -> Vec<Exchange> {
    let mut order = Vec::new();
    let mut by_xid: BTreeMap<[u8; 4], Exchange> = BTreeMap::new();
    for message in frames.iter().filter_map(|frame| Message::read(&frame.bytes)) {
        if !by_xid.contains_key(&message.xid) {
            order.push(message.xid);
        }
        let exchange = by_xid.entry(message.xid).or_default();
        match message.kind() {
            1 => exchange.discovers.push(message),
            2 => exchange.offers.push(message),
            3 => exchange.requests.push(message),
            5 => exchange.acks.push(message),
            kind => panic!("a message of type {kind}: {message:?}"),
        }
    }
    order.iter().filter_map(|xid| by_xid.remove(xid)).collect()
}
