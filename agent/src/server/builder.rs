//! Requests as clients and relays send them, for tests: good unless a test spoils them.

#![expect(clippy::arithmetic_side_effects, reason = "lengths of a few hundred bytes")]

use super::layers::sum;

/// A request to be built, layer by layer.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    pub(crate) destination_mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    pub(crate) tags: Vec<[u8; 4]>,
    /// A multiple of four bytes.
    pub(crate) ip_options: Vec<u8>,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
    pub(crate) ports: (u16, u16),
    pub(crate) flags: [u8; 2],
    pub(crate) ciaddr: [u8; 4],
    pub(crate) giaddr: [u8; 4],
    pub(crate) mac: [u8; 6],
    pub(crate) sname: [u8; 64],
    pub(crate) file: [u8; 128],
    /// Codes, lengths, values and END.
    pub(crate) options: Vec<u8>,
    /// Zeroes after END, so that the message has this length at least.
    pub(crate) least: usize,
}

pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const XID: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];

impl Builder {
    /// A broadcast message of this type with no other options.
    pub(crate) fn new(kind: u8) -> Self {
        Self::with_options(&[53, 1, kind, 255])
    }

    /// A broadcast message with exactly these option bytes.
    pub(crate) fn with_options(options: &[u8]) -> Self {
        Self {
            destination_mac: [0xff; 6],
            source_mac: MAC,
            tags: Vec::new(),
            ip_options: Vec::new(),
            source: [0; 4],
            destination: [255; 4],
            ports: (68, 67),
            flags: [0; 2],
            ciaddr: [0; 4],
            giaddr: [0; 4],
            mac: MAC,
            sname: [0; 64],
            file: [0; 128],
            options: options.to_vec(),
            least: 0,
        }
    }

    /// Adds an option before END, split where it is long.
    pub(crate) fn option(mut self, code: u8, value: &[u8]) -> Self {
        assert_eq!(self.options.pop(), Some(255));
        if value.is_empty() {
            self.options.extend([code, 0]);
        }
        for part in value.chunks(255) {
            self.options.extend([code, u8::try_from(part.len()).unwrap()]);
            self.options.extend(part);
        }
        self.options.push(255);
        self
    }

    /// The UDP payload.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = vec![1, 1, 6, 0];
        message.extend(XID);
        message.extend([0, 0]);
        message.extend(self.flags);
        message.extend(self.ciaddr);
        message.extend([0; 8]);
        message.extend(self.giaddr);
        message.extend(self.mac);
        message.extend([0; 10]);
        message.extend(self.sname);
        message.extend(self.file);
        message.extend([99, 130, 83, 99]);
        message.extend(&self.options);
        if message.len() < self.least {
            message.resize(self.least, 0);
        }
        message
    }

    /// The whole frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.frame_around(&self.message())
    }

    /// A frame with another payload, and right checksums.
    pub(crate) fn frame_around(&self, message: &[u8]) -> Vec<u8> {
        let udp_length = u16::try_from(message.len() + 8).unwrap().to_be_bytes();
        let mut udp = Vec::new();
        udp.extend(self.ports.0.to_be_bytes());
        udp.extend(self.ports.1.to_be_bytes());
        udp.extend(udp_length);
        udp.extend([0, 0]);
        udp.extend(message);
        let pseudo = [&self.source[..], &self.destination, &[0, 17], &udp_length].concat();
        let checksum = sum(&pseudo).even(sum(&udp)).udp_bytes();
        udp[6..8].copy_from_slice(&checksum);

        let header_length = 20 + self.ip_options.len();
        let total = u16::try_from(header_length + udp.len()).unwrap();
        let mut ip = vec![0x40 | u8::try_from(header_length / 4).unwrap(), 0];
        ip.extend(total.to_be_bytes());
        ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        ip.extend(self.source);
        ip.extend(self.destination);
        ip.extend(&self.ip_options);
        let checksum = sum(&ip).bytes();
        ip[10..12].copy_from_slice(&checksum);

        let mut frame = Vec::new();
        frame.extend(self.destination_mac);
        frame.extend(self.source_mac);
        frame.extend(self.tags.as_flattened());
        frame.extend([8, 0]);
        frame.extend(ip);
        frame.extend(udp);
        frame
    }
}
