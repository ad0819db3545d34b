//! The program and the engine in one state, and what each says to a frame.

use std::net::Ipv4Addr;

use xdhcpd::clock::{Moment, Now};
use xdhcpd::config::{self, Config};
use xdhcpd::engine::served::Place;
use xdhcpd::engine::templates::Templates;
use xdhcpd::engine::{Engine, KernelChange};
use xdhcpd::lease::Table;
use xdhcpd::server::gate::{UdpChecksum, gate};
use xdhcpd_common::decision::{self, Verdict};
use xdhcpd_common::facts::MessageType;
use xdhcpd_common::gate::{self as shared, Arrival};
use xdhcpd_common::maps::Wire;
use xdhcpd_tests::frames::{OURS, Reply};
use xdhcpd_tests::program::{self, INTERFACE, Program};
use xdhcpd_tests::random::Random;

use crate::client::Client;
use crate::{CLIENTS, CONFIG};

/// Both sides in one state.
pub struct Both {
    pub program: Program,
    engine: Engine,
    table: Table,
    pub clients: Vec<Client>,
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
    pub fn new(mut program: Program, random: &mut Random) -> Self {
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
        let mut client = Client::new(random, network, number);
        let discover = client.sent(client.base(MessageType::DISCOVER));
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
    pub fn compare(&mut self, random: &mut Random, number: u64) -> bool {
        let at = random.below(self.clients.len());
        let client = &mut self.clients[at];
        client.age(random, Now::read().moment);
        let frame = client.frame(random);
        self.send(at, &frame, &format!("frame {number} of client {at}")).is_some()
    }

    /// Sends a frame to both, of a client whose lease is as it was given; what both say, if the kernel
    /// answers.
    pub fn send(&mut self, at: usize, frame: &[u8], what: &str) -> Option<Reply> {
        let client = &self.clients[at];
        let now = Now::read().moment;
        self.program.set_lease(client.key, client.entry);
        self.table.put(client.lease.clone());

        let outcome = self.program.run(frame);
        let expected = expected(frame, client, &self.engine, now);
        let wire = |vlan| Wire { interface: INTERFACE, vlan };
        let said = gate(frame, UdpChecksum::Trusted)
            .ok()
            .and_then(|request| {
                let vlan = request.vlan;
                self.engine.handle(&mut self.table, &request, wire(vlan), now).ok()
            })
            .and_then(|outcome| outcome.reply);
        let context = || format!("{what}:\n{}", hex(frame));
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
        (outcome.action == program::TX).then(|| Reply::read(&outcome.frame))
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

fn hex(bytes: &[u8]) -> String {
    let line = |(at, line): (usize, &[u8])| format!("{:4}  {line:02x?}\n", at * 16);
    bytes.chunks(16).enumerate().map(line).collect()
}
