//! One client: what it always says, and what it sends.

use std::net::Ipv4Addr;

use xdhcpd::clock::Moment;
use xdhcpd::config;
use xdhcpd::lease::{Lease, State};
use xdhcpd_common::maps::{self, LeaseKey, LeaseState, Template};
use xdhcpd_tests::frames::{FrameBuilder, OURS, RELAY};
use xdhcpd_tests::random::Random;

use crate::CONFIG;

/// An hour.
const HOUR: u64 = 3_600_000_000_000;

/// One client as it was served last: what it sends, its lease, and its entry.
pub struct Client {
    pub network: usize,
    pub mac: [u8; 6],
    relayed: bool,
    id: Option<Vec<u8>>,
    relay_info: Option<Vec<u8>>,
    parameters: Vec<u8>,
    /// Options 60, 77 and 93.
    says: Vec<(u8, &'static [u8])>,
    pub lease: Lease,
    pub key: LeaseKey,
    pub entry: maps::Lease,
    pub template: Template,
}

impl Client {
    /// A client that nobody knows yet. On the first network the one with number 1 and the one behind
    /// port 3 have reservations, on the second the one with a certain client-id.
    pub fn new(random: &mut Random, network: usize, number: u8) -> Self {
        let relayed = network == 3 || (network == 0 && number.is_multiple_of(3));
        let id = match (network, number) {
            (1, 5) => Some(vec![1, 2, 3, 4, 5]),
            _ => (!number.is_multiple_of(4)).then(|| random.bytes(2, 64)),
        };
        let relay_info = match (network, number) {
            (0, 6) => Some(vec![1, 2, 3, 3]),
            _ => (relayed && number.is_multiple_of(2)).then(|| relay_info(random)),
        };
        Self {
            network,
            relayed,
            mac: [2, 0, 0, 0, u8::try_from(network).unwrap(), number],
            id,
            relay_info,
            parameters: random.bytes(0, 20).into_iter().map(|byte| byte % 122 + 1).collect(),
            says: match number % 5 {
                0 => vec![(60, b"PXEClient:Arch:00000"), (93, &[0, 0])],
                2 => vec![(60, b"HTTPClient:Arch:00016"), (93, &[0, 16])],
                3 => vec![(77, b"iPXE"), (93, &[0, 7])],
                _ => Vec::new(),
            },
            lease: lease_of_nobody(),
            key: LeaseKey::default(),
            entry: maps::Lease::default(),
            template: xdhcpd::engine::templates::terms(
                &config::parse_yaml(CONFIG).unwrap().networks[network],
                [0; 4],
                0,
            ),
        }
    }

    fn server(&self) -> [u8; 4] {
        [[10, 9, 0, 2], [10, 10, 0, 2], [10, 11, 0, 2], [10, 9, 0, 2]][self.network]
    }

    /// A REQUEST in SELECTING, with all that it always says.
    pub fn selecting(&self) -> FrameBuilder {
        self.base(3).option(50, &self.lease.ip.octets()).option(54, &self.server())
    }

    /// The frame as its relay hands it on, if it has one.
    pub fn sent(&self, frame: FrameBuilder) -> Vec<u8> {
        let frame = match &self.relay_info {
            Some(info) => frame.option(82, info),
            None => frame,
        };
        frame.build()
    }

    /// A message of this client with all that it always says.
    pub fn base(&self, kind: u8) -> FrameBuilder {
        let mut frame = FrameBuilder::message(kind);
        frame.chaddr = [0; 16];
        frame.chaddr[..6].copy_from_slice(&self.mac);
        frame.source = self.mac;
        match self.network {
            1 => frame = frame.vlan(5),
            2 => frame = frame.vlan(5).vlan(7),
            _ => {}
        }
        if self.relayed {
            frame =
                frame.relayed(if self.network == 3 { [10, 20, 0, 1] } else { [10, 9, 0, 9] }, self.server());
            frame.source = RELAY;
        }
        if let Some(id) = &self.id {
            frame = frame.option(61, id);
        }
        if !self.parameters.is_empty() {
            frame = frame.option(55, &self.parameters);
        }
        self.says.iter().fold(frame, |frame, (code, value)| frame.option(*code, value))
    }

    /// Gives lease and entry some state that they may have.
    pub fn age(&mut self, random: &mut Random, now: Moment) {
        let states = [(State::Bound, LeaseState::BOUND), (State::Offered, LeaseState::OFFERED)];
        let (state, kernel) = states[usize::from(random.chance(5))];
        self.lease.state = state;
        self.entry.state = if random.chance(40) { LeaseState::SUSPENDED } else { kernel };
        let infinite = self.network == 2;
        let ends = if random.chance(30) { now.0.saturating_sub(HOUR / 60) } else { now.0 + HOUR };
        let ends = if infinite { u64::MAX } else { ends };
        self.lease.expires = Moment(ends);
        self.entry.expires = ends;
        let horizon = if random.chance(30) { now.0 + HOUR / 100 } else { now.0 + 100 * HOUR };
        self.entry.horizon = if infinite { u64::MAX } else { horizon };
        self.entry.generation = if random.chance(50) { 6 } else { 7 };
    }

    /// A message of this client: right as a rule, wrong in some way else.
    pub fn frame(&self, random: &mut Random) -> Vec<u8> {
        let kinds = [1, 3, 3, 3, 3, 3, 3, 4, 7, 8];
        let kind = if random.chance(50) { random.byte() } else { kinds[random.below(kinds.len())] };
        let mut frame = self.base(kind);
        frame.xid = random.number();
        frame.secs = u16::from(random.byte());
        frame.flags = [0, 0x8000, 0x1234, 0xffff][random.below(4)];
        let ip = if random.chance(15) { [10, 9, 0, random.byte()] } else { self.lease.ip.octets() };
        let server = if random.chance(15) { [10, 9, 0, 3] } else { self.server() };
        match (kind, random.below(4)) {
            (3, 0) | (4, _) => frame = frame.option(50, &ip).option(54, &server),
            (3, 1) => frame = frame.option(50, &ip),
            (3, 2) => frame.ciaddr = ip,
            (3, _) => {
                frame.ciaddr = ip;
                if !self.relayed {
                    frame.from = ip;
                    frame.to = self.server();
                    frame.destination = OURS;
                }
            }
            (7, _) => {
                frame.ciaddr = ip;
                frame = frame.option(54, &server);
            }
            _ => {}
        }
        if random.chance(4) {
            frame = frame.option(51, &random.number().to_be_bytes());
        }
        if random.chance(4) {
            let sizes: [[u8; 2]; 4] = [[2, 64 + random.byte() % 64], [0, 100], [5, 220], [255, 255]];
            frame = frame.option(57, &sizes[random.below(4)]);
        }
        if random.chance(6) {
            frame = frame.option(12, b"node-with-a-name");
        }
        for _ in 0..[0, 0, 0, 1, 2][random.below(5)] {
            frame = disturb(random, frame);
        }
        if let Some(info) = self.relay_info.as_ref().filter(|_| !random.chance(30)) {
            frame = frame.option(82, info);
        }
        frame.least_payload = [300, 300, 0, 244, 400, 548][random.below(6)];
        let mut bytes = frame.build();
        if random.chance(25) {
            let at = random.below(bytes.len());
            bytes[at] = random.byte();
        }
        if random.chance(40) {
            bytes.truncate(random.below(bytes.len() + 1).max(14));
        }
        bytes
    }
}

/// Makes something wrong, or just unusual.
fn disturb(random: &mut Random, mut frame: FrameBuilder) -> FrameBuilder {
    match random.below(12) {
        0 => frame.option(random.byte(), &random.bytes(0, 40)),
        1 => frame.raw_options(&random.bytes(1, 8)),
        2 => frame.raw_options(&[0; 3]),
        3 => {
            frame.source = [2, 9, 9, 9, 9, 9];
            frame
        }
        4 => {
            frame.giaddr = [10, 8, 0, random.byte()];
            frame
        }
        5 => {
            frame.from = [10, 9, 0, random.byte()];
            frame
        }
        6 => {
            frame.to = [10, 9, 0, 255];
            frame
        }
        7 => {
            frame.kind[random.below(4)] = random.byte();
            frame
        }
        8 => frame.vlan(u16::from(random.byte() % 8)),
        9 => {
            frame.udp_checksum = false;
            frame
        }
        10 => {
            let codes = [50, 51, 52, 53, 54, 55, 57, 60, 61, 77, 82, 93, 97, 118];
            frame.option(codes[random.below(codes.len())], &random.bytes(0, 6))
        }
        _ => {
            frame.chaddr[random.below(16)] = random.byte();
            frame
        }
    }
}

fn relay_info(random: &mut Random) -> Vec<u8> {
    let circuit = random.bytes(1, 60);
    let mut info = vec![1, u8::try_from(circuit.len()).unwrap()];
    info.extend(circuit);
    info
}

fn lease_of_nobody() -> Lease {
    Lease {
        ip: Ipv4Addr::UNSPECIFIED,
        mac: [0; 6],
        client_id: None,
        host_name: None,
        state: State::Expired,
        starts: Moment::NEVER,
        expires: Moment::NEVER,
        durable_until: Moment::NEVER,
        answered_by: xdhcpd::lease::AnsweredBy::Agent,
        taken: true,
    }
}
