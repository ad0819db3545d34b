//! Frames of the kinds that have broken DHCP servers: the corpus in `tests/corpus/frames` is made of them.
//!
//! They are sent by [`CLIENT`] to the server of [`crate::scene`]. A name begins with the row of the
//! checklist that it is for.

use xdhcpd_common::frame::{bootp, ethernet, ip, udp};

use crate::frames::{CLIENT, FrameBuilder, fix_ip_checksum, fix_udp_checksum};
use crate::scene::{ADDRESS, SERVER, discover, reboot, selecting};

/// Where the IP header starts.
const START: usize = ethernet::LENGTH;

/// Text that would end a string, a statement or an entry of a lease file, or a string of an object.
pub const HOSTILE: [&[u8]; 4] = [
    b"a\"; }\nlease 10.9.0.1 {\n  binding state active;\n}\n",
    b"\\\"\\\\\\x\\000 \\",
    b"\x00\x01\x7f\x80\xff\xfe\r\n\t#{};",
    "{\"mac\": null}\u{202e}\u{0}\u{ffff}".as_bytes(),
];

/// All of them: names and frames.
pub fn frames() -> Vec<(String, Vec<u8>)> {
    let mut all = Frames(Vec::new());
    all.fixed_part();
    all.no_subnet();
    all.names_and_ids();
    all.lengths();
    all.options();
    all.ip();
    all.hostile_text();
    all.many();
    all.0
}

struct Frames(Vec<(String, Vec<u8>)>);

impl Frames {
    fn add(&mut self, name: impl Into<String>, frame: Vec<u8>) {
        self.0.push((name.into(), frame));
    }

    fn fixed_part(&mut self) {
        for hlen in [0, 1, 5, 7, 16, 17, 32, 128, 255] {
            self.add(format!("b01-hlen-{hlen}"), with_byte(bootp::HLEN, hlen));
        }
        for (at, byte) in [(0, 0), (1, 83), (3, 98)] {
            self.add(format!("b02-cookie-{at}"), with_byte(bootp::COOKIE + at, byte));
        }
        self.add("b15-htype-32", with_byte(bootp::HTYPE, 32));
    }

    fn no_subnet(&mut self) {
        let asks = || discover().option(55, &[1, 3, 108]);
        self.add("b03-108-through-a-strange-relay", asks().relayed([192, 0, 2, 1], SERVER).build());
        self.add("b03-108-on-a-strange-vlan", asks().vlan(99).build());
        self.add("b03-108-for-a-strange-subnet", asks().option(118, &[192, 0, 2, 0]).build());
    }

    fn names_and_ids(&mut self) {
        let names: [(&str, &[u8]); 5] = [
            ("empty", b""),
            ("zero", b"\0"),
            ("long", &[b'x'; 255]),
            ("no-utf8", b"\xff\xfe\x80"),
            ("dots", b"a..b"),
        ];
        for (what, name) in names {
            self.add(format!("b04-host-name-{what}"), discover().option(12, name).build());
        }
        let label = [&b"\x04\0\0\x40"[..], &[b'a'; 64], b"\0"].concat();
        self.add("b05-fqdn-label-64", discover().option(81, &label).build());
        self.add("b05-fqdn-label-cut", discover().option(81, b"\x04\0\0\x3fabc").build());
        self.add("b05-fqdn-pointer", discover().option(81, b"\x04\0\0\xc0\x00").build());
        for length in [0, 1, 255] {
            self.add(format!("b06-client-id-{length}"), discover().option(61, &vec![1; length]).build());
        }
        let release = FrameBuilder::message(7).unicast(ADDRESS, SERVER).option(54, &SERVER);
        self.add("b11-release", release.option(61, &[53, 1, 3, 50, 4, 10, 9, 0, 5, 255]).build());
    }

    fn lengths(&mut self) {
        let right = u16::try_from(discover().build().len() - START - ip::LENGTH).expect("short");
        for (what, length) in
            [("0", 0), ("7", 7), ("8", 8), ("under", right - 1), ("over", right + 1), ("wrapped", u16::MAX)]
        {
            let mut frame = discover().build();
            frame[START + udp::TOTAL..][..2].copy_from_slice(&length.to_be_bytes());
            self.add(format!("b07-udp-length-{what}"), frame);
        }
    }

    fn options(&mut self) {
        let whole = selecting().option(61, b"client").option(12, b"host").options;
        for cut in 0..whole.len() {
            let frame = discover().without_options().raw_options(&whole[..cut]);
            let frame = frame.with(|frame| (frame.end, frame.least_payload) = (false, 0));
            self.add(format!("b08-cut-{cut:02}"), frame.build());
        }
        let bare = || discover().without_options();
        self.add("b09-53-of-length-2", bare().option(53, &[1, 1]).build());
        self.add(
            "b10-50-of-length-3",
            bare().option(53, &[3]).option(50, &[10, 9, 0]).option(54, &SERVER).build(),
        );
        for fields in 1..=3 {
            let itself = [52, 1, fields, 255];
            let frame = discover().option(52, &[fields]).with(|frame| {
                frame.names[..4].copy_from_slice(&itself);
                frame.names[64..68].copy_from_slice(&itself);
            });
            self.add(format!("b12-overload-{fields}"), frame.build());
        }
    }

    fn ip(&mut self) {
        let mut frame = discover().build();
        frame.splice(START + ip::LENGTH..START + ip::LENGTH, [1, 1, 1, 0]);
        frame[START] = 0x46;
        let total = u16::try_from(frame.len() - START).expect("short");
        frame[START + ip::TOTAL..][..2].copy_from_slice(&total.to_be_bytes());
        fix_ip_checksum(&mut frame, START);
        self.add("b13-ihl-6", frame);
        for (what, bits) in [("first", 0x2000_u16), ("middle", 0x2001), ("last", 0x1fff)] {
            let mut frame = discover().build();
            frame[START + ip::FRAGMENT..][..2].copy_from_slice(&bits.to_be_bytes());
            fix_ip_checksum(&mut frame, START);
            self.add(format!("b14-fragment-{what}"), frame);
        }
    }

    fn hostile_text(&mut self) {
        for (at, text) in HOSTILE.iter().enumerate() {
            let frame = reboot().option(12, text).option(61, text).option(81, &[&[0; 3], *text].concat());
            self.add(format!("b16-text-{at}"), frame.build());
        }
    }

    fn many(&mut self) {
        for relay in [[192, 0, 2, 1], [10, 8, 0, 2], [255; 4], [127, 0, 0, 1]] {
            let [a, b, c, d] = relay;
            self.add(format!("b17-relay-{a}-{b}-{c}-{d}"), from_relay(relay));
        }
        for address in [[10, 9, 0, 101], [10, 9, 0, 2], [0; 4], [255; 4]] {
            let [a, b, c, d] = address;
            self.add(format!("b18-decline-{a}-{b}-{c}-{d}"), decline(address));
        }
    }
}

/// What a relay at this address sends.
pub fn from_relay(relay: [u8; 4]) -> Vec<u8> {
    discover().relayed(relay, SERVER).build()
}

/// The client declines an address.
pub fn decline(address: [u8; 4]) -> Vec<u8> {
    FrameBuilder::message(4).option(50, &address).option(54, &SERVER).build()
}

/// A DISCOVER with one byte of its message changed, under right checksums.
fn with_byte(at: usize, byte: u8) -> Vec<u8> {
    let mut frame = discover().build();
    assert_eq!(frame[6..12], CLIENT, "no tags");
    frame[START + at] = byte;
    fix_udp_checksum(&mut frame, START);
    frame
}
