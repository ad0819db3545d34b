//! Builders of DHCP frames, right unless told otherwise, and a reader of replies.

use xdhcpd_common::frame::{bootp, ethernet, ip, udp};

/// MAC of the client that tests speak for.
pub const CLIENT: [u8; 6] = [0x02, 0, 0, 0, 0, 0x11];
/// MAC of the served interface.
pub const OURS: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// MAC of a relay.
pub const RELAY: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
/// Everybody.
pub const EVERYBODY: [u8; 6] = [0xff; 6];
/// 255.255.255.255.
pub const BROADCAST: [u8; 4] = [255; 4];
/// No address.
pub const NOWHERE: [u8; 4] = [0; 4];

/// A frame to be built: each field is what the wire gets, lengths and checksums are computed.
#[derive(Debug, Clone)]
pub struct FrameBuilder {
    /// Destination MAC.
    pub destination: [u8; 6],
    /// Source MAC.
    pub source: [u8; 6],
    /// VLAN tags, outermost first: EtherType and tag control information.
    pub tags: Vec<(u16, u16)>,
    /// IP source.
    pub from: [u8; 4],
    /// IP destination.
    pub to: [u8; 4],
    /// UDP source port.
    pub from_port: u16,
    /// UDP destination port.
    pub to_port: u16,
    /// op, htype, hlen, hops.
    pub kind: [u8; 4],
    /// xid.
    pub xid: u32,
    /// secs.
    pub secs: u16,
    /// flags.
    pub flags: u16,
    /// ciaddr.
    pub ciaddr: [u8; 4],
    /// yiaddr.
    pub yiaddr: [u8; 4],
    /// siaddr.
    pub siaddr: [u8; 4],
    /// giaddr.
    pub giaddr: [u8; 4],
    /// chaddr, all of it.
    pub chaddr: [u8; 16],
    /// sname and file.
    pub names: Vec<u8>,
    /// Options, encoded, without END.
    pub options: Vec<u8>,
    /// Whether END is appended.
    pub end: bool,
    /// Zeros are appended up to this much UDP payload.
    pub least_payload: usize,
    /// Whether a UDP checksum is sent.
    pub udp_checksum: bool,
}

impl FrameBuilder {
    /// A message of this type from [`CLIENT`], broadcast from nowhere.
    pub fn message(kind: u8) -> Self {
        let mut chaddr = [0; 16];
        chaddr[..6].copy_from_slice(&CLIENT);
        Self {
            destination: EVERYBODY,
            source: CLIENT,
            tags: Vec::new(),
            from: NOWHERE,
            to: BROADCAST,
            from_port: 68,
            to_port: 67,
            kind: [1, 1, 6, 0],
            xid: 0x1234_5678,
            secs: 3,
            flags: 0,
            ciaddr: NOWHERE,
            yiaddr: NOWHERE,
            siaddr: NOWHERE,
            giaddr: NOWHERE,
            chaddr,
            names: vec![0; 192],
            options: vec![53, 1, kind],
            end: true,
            least_payload: 300,
            udp_checksum: true,
        }
    }

    /// Appends an option.
    #[must_use]
    pub fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.options.push(code);
        self.options.push(u8::try_from(value.len()).expect("a length of one byte"));
        self.options.extend_from_slice(value);
        self
    }

    /// Appends bytes where options are, as they are.
    #[must_use]
    pub fn raw_options(mut self, bytes: &[u8]) -> Self {
        self.options.extend_from_slice(bytes);
        self
    }

    /// Takes all options away.
    #[must_use]
    pub fn without_options(mut self) -> Self {
        self.options.clear();
        self
    }

    /// Puts the frame behind an 802.1Q tag with this id, inside of those it has.
    #[must_use]
    pub fn vlan(mut self, id: u16) -> Self {
        self.tags.push((ethernet::VLAN, id));
        self
    }

    /// Changes fields.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Sent by a relay: from its MAC and address, unicast to us.
    #[must_use]
    pub fn relayed(mut self, relay: [u8; 4], us: [u8; 4]) -> Self {
        self.source = RELAY;
        self.destination = OURS;
        self.from = relay;
        self.to = us;
        self.from_port = 67;
        self.giaddr = relay;
        self.kind[3] = 1;
        self
    }

    /// Unicast by a client that has an address.
    #[must_use]
    pub fn unicast(mut self, from: [u8; 4], us: [u8; 4]) -> Self {
        self.destination = OURS;
        self.from = from;
        self.to = us;
        self.ciaddr = from;
        self
    }

    /// Length of the link layer's header.
    pub fn link_length(&self) -> usize {
        ethernet::LENGTH + ethernet::TAG * self.tags.len()
    }

    /// The BOOTP message.
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = self.kind.to_vec();
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend(self.secs.to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            bytes.extend(address);
        }
        bytes.extend(self.chaddr);
        bytes.extend(&self.names);
        bytes.extend(bootp::MAGIC);
        bytes.extend(&self.options);
        if self.end {
            bytes.push(255);
        }
        if bytes.len() < self.least_payload {
            bytes.resize(self.least_payload, 0);
        }
        bytes
    }

    /// The frame.
    pub fn build(&self) -> Vec<u8> {
        let payload = self.payload();
        let mut bytes = self.destination.to_vec();
        bytes.extend(self.source);
        for (kind, control) in &self.tags {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(ethernet::IPV4.to_be_bytes());
        let udp_length = short(payload.len() + udp::LENGTH);
        let mut header = vec![ip::VERSION_4, 0];
        header.extend((udp_length + 20).to_be_bytes());
        header.extend([0, 0, 0, 0, 64, ip::UDP, 0, 0]);
        header.extend(self.from);
        header.extend(self.to);
        bytes.extend(header);
        bytes.extend(self.from_port.to_be_bytes());
        bytes.extend(self.to_port.to_be_bytes());
        bytes.extend(udp_length.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(payload);
        let start = self.link_length();
        fix_ip_checksum(&mut bytes, start);
        if self.udp_checksum {
            fix_udp_checksum(&mut bytes, start);
        }
        bytes
    }
}

/// Makes the checksum of the IP header at `start` right.
pub fn fix_ip_checksum(frame: &mut [u8], start: usize) {
    frame[start + 10..start + 12].fill(0);
    let length = usize::from(frame[start] & 15) * 4;
    let sum = !ones_complement(&[&frame[start..start + length]]);
    frame[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
}

/// Makes the checksum of the UDP datagram right whose IP header of 20 bytes is at `start`.
pub fn fix_udp_checksum(frame: &mut [u8], start: usize) {
    frame[start + udp::CHECKSUM..start + udp::CHECKSUM + 2].fill(0);
    let sum = !udp_sum(frame, start);
    let sum = if sum == 0 { 0xffff } else { sum };
    frame[start + udp::CHECKSUM..start + udp::CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
}

fn udp_sum(frame: &[u8], start: usize) -> u16 {
    let datagram = &frame[start + ip::LENGTH..];
    let length = short(datagram.len()).to_be_bytes();
    ones_complement(&[&frame[start + ip::SOURCE..start + ip::LENGTH], &[0, ip::UDP], &length, datagram])
}

/// RFC 1071 as it is written: the sum of big-endian pairs, with the carries added.
fn ones_complement(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    short(sum as usize)
}

fn short(number: usize) -> u16 {
    u16::try_from(number).expect("16 bits")
}

/// A reply, taken apart and judged: lengths and checksums are right, or this panics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Destination MAC.
    pub destination: [u8; 6],
    /// Source MAC.
    pub source: [u8; 6],
    /// VLAN tags with all their bits, outermost first.
    pub tags: Vec<(u16, u16)>,
    /// IP source.
    pub from: [u8; 4],
    /// IP destination.
    pub to: [u8; 4],
    /// UDP ports.
    pub ports: (u16, u16),
    /// The BOOTP message.
    pub message: Vec<u8>,
    /// Options in their order, without pads and END.
    pub options: Vec<(u8, Vec<u8>)>,
    /// What follows END.
    pub padding: Vec<u8>,
}

impl Reply {
    /// Takes a frame apart.
    ///
    /// # Panics
    ///
    /// If it is not a well-formed DHCP reply.
    pub fn read(frame: &[u8]) -> Self {
        let mut at = ethernet::TYPE;
        let mut tags = Vec::new();
        while [ethernet::VLAN, ethernet::SERVICE_VLAN].contains(&number(frame, at)) {
            tags.push((number(frame, at), number(frame, at + 2)));
            at += ethernet::TAG;
        }
        assert_eq!(number(frame, at), ethernet::IPV4, "EtherType");
        let start = at + 2;
        assert_eq!(&frame[start..start + 2], [0x45, 0], "version, header length, type of service");
        assert_eq!(usize::from(number(frame, start + 2)), frame.len() - start, "IP length");
        assert_eq!(&frame[start + 4..start + 10], [0, 0, 0x40, 0, 64, 17], "id, flags, TTL, protocol");
        assert_eq!(ones_complement(&[&frame[start..start + 20]]), 0xffff, "IP checksum");
        assert_eq!(usize::from(number(frame, start + 24)), frame.len() - start - 20, "UDP length");
        assert_ne!(number(frame, start + 26), 0, "UDP checksum is sent");
        assert_eq!(udp_sum(frame, start), 0xffff, "UDP checksum");
        let message = frame[start + 28..].to_vec();
        assert!(message.len() >= 300, "payload of {}", message.len());
        assert_eq!(&message[236..240], bootp::MAGIC, "cookie");
        let (options, padding) = options(&message[240..]);
        Self {
            destination: frame[..6].try_into().expect("6 bytes"),
            source: frame[6..12].try_into().expect("6 bytes"),
            tags,
            from: frame[start + 12..start + 16].try_into().expect("4 bytes"),
            to: frame[start + 16..start + 20].try_into().expect("4 bytes"),
            ports: (number(frame, start + 20), number(frame, start + 22)),
            message,
            options,
            padding,
        }
    }

    /// An option's value.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(have, _)| *have == code).map(|(_, value)| value.as_slice())
    }

    /// An option of four bytes, as a number.
    ///
    /// # Panics
    ///
    /// If it is not there, or not of four bytes.
    pub fn seconds(&self, code: u8) -> u32 {
        u32::from_be_bytes(self.option(code).expect("the option").try_into().expect("4 bytes"))
    }

    /// The codes of its options, in their order.
    pub fn codes(&self) -> Vec<u8> {
        self.options.iter().map(|(code, _)| *code).collect()
    }

    /// Bytes of the BOOTP message.
    pub fn field(&self, at: usize, length: usize) -> &[u8] {
        &self.message[at - bootp::OP..][..length]
    }
}

fn number(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// Options up to END with their codes, in their order, and what follows END.
///
/// # Panics
///
/// If they are cut, or have no END.
pub fn options(mut rest: &[u8]) -> (Vec<(u8, Vec<u8>)>, Vec<u8>) {
    let mut options = Vec::new();
    loop {
        match rest {
            [255, padding @ ..] => return (options, padding.to_vec()),
            [0, more @ ..] => rest = more,
            [code, length, more @ ..] => {
                let (value, more) = more.split_at(usize::from(*length));
                options.push((*code, value.to_vec()));
                rest = more;
            }
            _ => panic!("options without END"),
        }
    }
}
