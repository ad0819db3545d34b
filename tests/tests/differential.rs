//! One decision, compiled twice: the program and the engine, in the same state, given the same
//! frames, say the same bytes.
//!
//! Frames are generated from a seed that is printed: `XDHCPD_SEED` and `XDHCPD_FRAMES` repeat and
//! lengthen a run.

use std::net::Ipv4Addr;

use xdhcpd::clock::{Moment, Now};
use xdhcpd::config::{self, Config};
use xdhcpd::engine::served::Place;
use xdhcpd::engine::templates::Templates;
use xdhcpd::engine::{Engine, KernelChange};
use xdhcpd::lease::{Lease, State, Table};
use xdhcpd::server::gate::{UdpChecksum, gate};
use xdhcpd_common::decision::{self, Verdict};
use xdhcpd_common::facts::MessageType;
use xdhcpd_common::gate::{self as shared, Arrival};
use xdhcpd_common::maps::{self, LeaseKey, LeaseState, Template, Wire};
use xdhcpd_tests::frames::{FrameBuilder, OURS, RELAY};
use xdhcpd_tests::program::{self, INTERFACE, Program};
use xdhcpd_tests::random::Random;

/// Frames of one run.
const FRAMES: u64 = 200_000;
/// So many of a hundred frames must be answered by the kernel, or the generator tests nothing.
const LEAST_ANSWERED: u64 = 25;
/// Clients on each network.
const CLIENTS: u8 = 12;
/// An hour.
const HOUR: u64 = 3_600_000_000_000;

const CONFIG: &str = r"
networks:
  - name: plain
    interface: lo
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.200]
    probe: false
    gateway: 10.9.0.1
    leaseTime: 2h
    minLeaseTime: 10m
    maxLeaseTime: 1d
    relays: [10.9.0.9]
    options: {dns: [10.9.0.53, 10.9.0.54], domainName: example.org, mtu: 1400, ntp: [10.9.0.123]}
    boot: {nextServer: 10.9.0.3, file: undionly.kpxe, serverName: boot}
    classes:
      - {name: vendor, match: {vendorClass: PXEClient}, boot: {file: ipxe.efi}, options: {ntp: [10.9.0.7]}}
  - name: tagged
    interface: lo
    vlans: [5]
    subnet: 10.10.0.0/16
    ranges: [10.10.1.0-10.10.1.200]
    probe: false
    identity: client-id
    alwaysBroadcast: true
    renewTime: 20m
    rebindTime: 40m
    leaseTime: 1h
  - name: twice
    interface: lo
    vlans: [5, 7]
    subnet: 10.11.0.0/24
    ranges: [10.11.0.10-10.11.0.90]
    probe: false
    leaseTime: infinite
    checkSource: false
    options: {domainSearch: [a.example.org, b.example.org], routes: [{to: 10.0.0.0/8, via: 10.11.0.3}]}
  - name: remote
    interface: lo
    subnet: 10.20.0.0/24
    ranges: [10.20.0.10-10.20.0.200]
    probe: false
    gateway: 10.20.0.1
    relays: [10.20.0.1, 10.8.0.0/24]
    leaseTime: 30m
";

/// One client as it was served last: what it sends, its lease, and its entry.
struct Client {
    network: usize,
    relayed: bool,
    mac: [u8; 6],
    id: Option<Vec<u8>>,
    relay_info: Option<Vec<u8>>,
    parameters: Vec<u8>,
    vendor: Option<Vec<u8>>,
    lease: Lease,
    key: LeaseKey,
    entry: maps::Lease,
    template: Template,
}

/// Both sides in one state.
struct Both {
    program: Program,
    engine: Engine,
    table: Table,
    clients: Vec<Client>,
}

#[test]
fn kernel_and_engine_say_the_same_bytes() {
    let Some(program) = Program::load() else { return };
    let seed = number_from("XDHCPD_SEED").unwrap_or(0x5eed_0001);
    let frames = number_from("XDHCPD_FRAMES").unwrap_or(FRAMES);
    println!("seed {seed:#x}, {frames} frames");
    let mut random = Random::new(seed);
    let mut both = Both::new(program, &mut random);
    let mut answered = 0;
    for number in 0..frames {
        answered += u64::from(both.compare(&mut random, number));
        // A full ring would make the kernel leave all to the agent.
        if number % 1024 == 0 {
            both.program.events();
        }
    }
    println!("{answered} of {frames} frames were answered by the kernel");
    assert!(answered * 100 >= frames * LEAST_ANSWERED, "only {answered} of {frames} were answered");
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    Some(hex.unwrap_or_else(|| text.parse()).expect("a number"))
}

fn places(config: &Config) -> Vec<Place> {
    let servers = [[10, 9, 0, 2], [10, 10, 0, 2], [10, 11, 0, 2], [10, 9, 0, 2]];
    let place = |(network, server): (&config::Network, [u8; 4])| {
        let tag = |at: usize| network.vlans.get(at).copied().unwrap_or(0);
        Place {
            wire: Wire { interface: INTERFACE, vlan: [tag(0), tag(1)] },
            mac: OURS,
            server: server.into(),
            on_link: network.subnet.contains(&Ipv4Addr::from(server)),
        }
    };
    config.networks.iter().zip(servers).map(place).collect()
}

impl Both {
    fn new(mut program: Program, random: &mut Random) -> Self {
        let config = config::parse_yaml(CONFIG).unwrap_or_else(|problems| panic!("{problems}"));
        let places = places(&config);
        let engine = Engine::new(&config, &places, 7, Templates::new(1024));
        for place in &places {
            program.serve(place.wire, engine.server(place.wire).unwrap());
        }
        let table = Table::new(&config);
        let mut both = Self { program, engine, table, clients: Vec::new() };
        for network in 0..config.networks.len() {
            for number in 0..CLIENTS {
                let client = both.introduce(random, network, number);
                both.clients.push(client);
            }
        }
        both
    }

    /// Lets the engine serve a new client, as it would be before the kernel knows it.
    fn introduce(&mut self, random: &mut Random, network: usize, number: u8) -> Client {
        let relayed = network == 3 || (network == 0 && number.is_multiple_of(3));
        let mut client = Client {
            network,
            relayed,
            mac: [2, 0, 0, 0, u8::try_from(network).unwrap(), number],
            id: (!number.is_multiple_of(4)).then(|| random.bytes(2, 64)),
            relay_info: (relayed && number.is_multiple_of(2)).then(|| relay_info(random)),
            parameters: random.bytes(0, 20).into_iter().map(|byte| byte % 122 + 1).collect(),
            vendor: number.is_multiple_of(5).then(|| b"PXEClient:Arch:00000".to_vec()),
            lease: lease_of_nobody(),
            key: LeaseKey::default(),
            entry: maps::Lease::default(),
            template: xdhcpd::engine::templates::terms(
                &config::parse_yaml(CONFIG).unwrap().networks[network],
                [0; 4],
                0,
            ),
        };
        // The relay of a network without listed option 82 (a neighbour's) is not to be trusted.
        let discover = client.base(MessageType::DISCOVER).build();
        let request = gate(&discover, UdpChecksum::Verify).expect("a good frame");
        let wire = Wire { interface: INTERFACE, vlan: request.vlan };
        let now = Now::read().moment;
        let outcome = self.engine.handle(&mut self.table, &request, wire, now).expect("is served");
        let ip = outcome.granted.expect("an address");
        client.lease = self.table.get(ip).expect("its lease").clone();
        let Some(KernelChange::Put { key, entry, template }) = outcome.kernel else {
            panic!("the kernel may answer {discover:02x?}: {:?}", outcome.kernel)
        };
        client.key = key;
        client.entry = *entry;
        client.template = if let Some(template) = template {
            *template
        } else {
            let same = self.clients.iter().find(|other| other.entry.template == client.entry.template);
            same.expect("a template that was written").template
        };
        self.program.set_template(client.entry.template, client.template);
        client
    }

    /// Sends one frame to both; whether the kernel answered it.
    fn compare(&mut self, random: &mut Random, number: u64) -> bool {
        let at = random.below(self.clients.len());
        let client = &mut self.clients[at];
        let now = Now::read().moment;
        client.age(random, now);
        let frame = client.frame(random);
        self.program.set_lease(client.key, client.entry);
        self.table.put(client.lease.clone());

        let outcome = self.program.run(&frame);
        let expected = expected(&frame, client, &self.engine, now);
        let wire = |vlan| Wire { interface: INTERFACE, vlan };
        let said = gate(&frame, UdpChecksum::Trusted)
            .ok()
            .and_then(|request| {
                let vlan = request.vlan;
                self.engine.handle(&mut self.table, &request, wire(vlan), now).ok()
            })
            .and_then(|outcome| outcome.reply);
        let context = || format!("frame {number} of client {at}:\n{}", hex(&frame));
        match outcome.action {
            program::TX => {
                let said = said.unwrap_or_else(|| panic!("the engine is silent on {}", context()));
                assert!(
                    said.frame == outcome.frame,
                    "{}\nkernel\n{}\nengine\n{}",
                    context(),
                    hex(&outcome.frame),
                    hex(&said.frame)
                );
            }
            program::PASS => assert!(outcome.frame == frame, "changed, then passed: {}", context()),
            program::DROP => assert!(said.is_none(), "dropped, but the engine answers {}", context()),
            other => panic!("action {other} on {}", context()),
        }
        if let Some(answers) = expected {
            assert_eq!(outcome.action == program::TX, answers, "{}", context());
        }
        outcome.action == program::TX
    }
}

/// Whether the kernel has to answer, as the shared decision has it for this entry; none: that is not
/// this client's frame any more.
fn expected(frame: &[u8], client: &Client, engine: &Engine, now: Moment) -> Option<bool> {
    let Arrival::Request(link) = shared::arrival(frame, INTERFACE) else { return Some(false) };
    let Some(server) = engine.server(link.wire) else { return Some(false) };
    let Ok(parsed) = shared::gate(frame, link, &server) else { return Some(false) };
    let facts = &parsed.header.facts;
    if facts.mac != client.mac || link.wire != client.key.wire {
        return None;
    }
    let verdict = decision::decide(facts, &client.entry, &client.template, &server, now.0);
    Some(matches!(verdict, Verdict::Reply(_)))
}

impl Client {
    fn server(&self) -> [u8; 4] {
        [[10, 9, 0, 2], [10, 10, 0, 2], [10, 11, 0, 2], [10, 9, 0, 2]][self.network]
    }

    /// A message of this client with all that it always says.
    fn base(&self, kind: u8) -> FrameBuilder {
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
        if let Some(vendor) = &self.vendor {
            frame = frame.option(60, vendor);
        }
        frame
    }

    /// Gives lease and entry some state that they may have.
    fn age(&mut self, random: &mut Random, now: Moment) {
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
    fn frame(&self, random: &mut Random) -> Vec<u8> {
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
            frame = frame.option(57, &[2, 64 + random.byte() % 64]);
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
        10 => frame.option([50, 51, 53, 54, 55, 57, 61, 82][random.below(8)], &random.bytes(0, 6)),
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

fn hex(bytes: &[u8]) -> String {
    let line = |(at, line): (usize, &[u8])| format!("{:4}  {line:02x?}\n", at * 16);
    bytes.chunks(16).enumerate().map(line).collect()
}
