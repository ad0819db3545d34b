//! An engine with its table, a disk that can fail, and the kernel's maps as the agent fills them.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::{Decodable, Decoder, v4};
use xdhcpd_common::decision::{self, Verdict};
use xdhcpd_common::gate::{self, Arrival};
use xdhcpd_common::maps::{self, Event, EventKind, LeaseKey, LeaseState, Template, Wire};

use super::Ignored;
use super::kernel;
use crate::clock::Moment;
use crate::config::{Config, parse_yaml};
use crate::engine::permit::{Alone, Permits, Turn};
use crate::engine::reply::ReplyKind;
use crate::engine::request::Request;
use crate::engine::served::Place;
use crate::engine::templates::Templates;
use crate::engine::{Engine, KernelChange, Outcome, TakeBack, Write};
use crate::lease::{Lease, Synced, Table};
use crate::server::builder::Builder;
use crate::server::gate::{UdpChecksum, gate};

pub(super) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 9, 2];
pub(super) const WIRE: Wire = Wire { interface: 7, vlan: [0; 2] };
const SLOTS: u32 = 64;

pub(super) struct Lab {
    pub(super) engine: Engine,
    pub(super) table: Table,
    pub(super) now: Moment,
    /// What may be promised.
    pub(super) permits: Box<dyn Permits>,
    /// Writes fail.
    pub(super) disk_fails: bool,
    /// What was written, in order.
    pub(super) writes: Vec<Write>,
    /// Whose each address is on disk, and until when.
    disk: HashMap<Ipv4Addr, ([u8; 6], Moment)>,
    pub(super) entries: HashMap<LeaseKey, maps::Lease>,
    pub(super) templates: HashMap<u32, Template>,
    /// Addresses on their way back.
    pub(super) leaving: HashMap<Ipv4Addr, TakeBack>,
    generation: u32,
}

/// A reply as a client sees it.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) kind: ReplyKind,
    pub(super) frame: Vec<u8>,
    /// The UDP payload.
    pub(super) message: Vec<u8>,
    pub(super) decoded: v4::Message,
    pub(super) yiaddr: Ipv4Addr,
    /// Codes and values of the options field, as they stand there.
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

fn places(config: &Config) -> Vec<Place> {
    let place = |network: &crate::config::Network| Place {
        wire: WIRE,
        mac: SERVER_MAC,
        server: network.self_ip.map_or(Ipv4Addr::new(10, 9, 0, 2), |own| own.addr()),
        on_link: !network.name.starts_with("far"),
    };
    config.networks.iter().map(place).collect()
}

pub(super) fn config(yaml: &str) -> Config {
    match parse_yaml(yaml) {
        Ok(mut config) => {
            // Most tests count on an OFFER at once.
            config.networks.iter_mut().for_each(|network| network.probe &= yaml.contains("probe: true"));
            config
        }
        Err(problems) => panic!("{problems}\n{yaml}"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "tests build each message where they send it")]
impl Lab {
    pub(super) fn new(yaml: &str) -> Self {
        let config = config(yaml);
        Self {
            engine: Engine::new(&config, &places(&config), 1, Templates::new(SLOTS)),
            table: Table::new(&config),
            now: Moment(1_000_000_000_000),
            permits: Box::new(Alone),
            disk_fails: false,
            writes: Vec::new(),
            disk: HashMap::new(),
            entries: HashMap::new(),
            templates: HashMap::new(),
            leaving: HashMap::new(),
            generation: 1,
        }
    }

    /// The configuration changes under way.
    pub(super) fn reconfigure(&mut self, yaml: &str) {
        self.serve(&config(yaml));
    }

    pub(super) fn serve(&mut self, config: &Config) {
        self.generation += 1;
        self.table.reconfigure(config);
        self.engine = Engine::new(config, &places(config), self.generation, Templates::new(SLOTS));
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    pub(super) fn lease(&self, ip: Ipv4Addr) -> &Lease {
        self.table.get(ip).expect("no lease is known")
    }

    pub(super) fn entry(&self, mac: [u8; 6]) -> Option<&maps::Lease> {
        let entry = self.entries.get(&LeaseKey { wire: WIRE, mac, zero: [0; 2] });
        entry.filter(|entry| entry.state != LeaseState::SUSPENDED)
    }

    /// What the engine makes of a frame, carried out.
    pub(super) fn send(&mut self, builder: &Builder) -> Result<Outcome, Ignored> {
        self.send_frame(&builder.frame())
    }

    /// The same of a frame that no builder makes.
    pub(super) fn send_frame(&mut self, frame: &[u8]) -> Result<Outcome, Ignored> {
        let request = gate(frame, UdpChecksum::Verify).expect("the gate lets it through");
        let turn = Turn { now: self.now, permits: &*self.permits };
        let outcome = self.engine.handle(&mut self.table, &request, WIRE, turn)?;
        let outcome = self.carry_out(outcome);
        Self::check_reply(&request, &outcome);
        Ok(outcome)
    }

    /// Answers, and asks again, where a probe's time has come.
    pub(super) fn probed(&mut self) -> Vec<Result<Outcome, Ignored>> {
        let turn = Turn { now: self.now, permits: &*self.permits };
        let probed = self.engine.probed(&mut self.table, turn);
        probed.into_iter().map(|probed| Ok(self.carry_out(probed.outcome?))).collect()
    }

    /// Somebody says on the wire that the address is its own.
    pub(super) fn claimed(&mut self, wire: Wire, ip: Ipv4Addr, by: [u8; 6]) -> Vec<Result<Outcome, Ignored>> {
        let turn = Turn { now: self.now, permits: &*self.permits };
        let probed = self.engine.claimed(&mut self.table, wire, ip, by, turn);
        probed.into_iter().map(|probed| Ok(self.carry_out(probed.outcome?))).collect()
    }

    /// The address answers an echo request.
    pub(super) fn echoed(&mut self, ip: Ipv4Addr) -> Vec<Result<Outcome, Ignored>> {
        let turn = Turn { now: self.now, permits: &*self.permits };
        let probed = self.engine.echoed(&mut self.table, ip, turn);
        probed.into_iter().map(|probed| Ok(self.carry_out(probed.outcome?))).collect()
    }

    /// The reply is gone if its lease was not written.
    fn carry_out(&mut self, mut outcome: Outcome) -> Outcome {
        if let Some(ip) = outcome.granted {
            self.leaving.remove(&ip);
        }
        if let Some(take_back) = outcome.take_back {
            self.leaving.insert(take_back.ip, take_back);
        }
        let written = outcome.write.is_none_or(|write| self.write(write));
        let change = outcome.kernel.take();
        match change {
            Some(KernelChange::Put { .. }) if !written => {}
            Some(change) => self.tell_kernel(change),
            None => {}
        }
        if !written {
            outcome.reply = None;
        }
        self.check_durable(&outcome);
        self.check_horizons();
        outcome
    }

    pub(super) fn write(&mut self, write: Write) -> bool {
        if self.disk_fails {
            return false;
        }
        self.writes.push(write);
        let lease = self.table.get(write.ip).expect("only known leases are written").clone();
        self.disk.insert(write.ip, (lease.mac, write.until));
        self.table.mark_durable(&Synced::pretend(&[(&lease, write.until)]));
        let key = self.engine.key_of(&self.table, write.ip);
        let entry = key.and_then(|key| self.entries.get_mut(&key));
        if let Some(entry) = entry.filter(|entry| entry.ip == write.ip.octets()) {
            entry.horizon = entry.horizon.max(write.until.0);
        }
        true
    }

    fn tell_kernel(&mut self, change: KernelChange) {
        match change {
            KernelChange::Put { key, entry, template } => {
                if let Some(template) = template {
                    self.templates.insert(entry.template, *template);
                }
                self.entries.insert(key, *entry);
            }
            KernelChange::Template { slot, template } => {
                self.templates.insert(slot, *template);
            }
            KernelChange::Suspend(key) => {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.state = LeaseState::SUSPENDED;
                }
            }
        }
    }

    fn check_reply(request: &Request, outcome: &Outcome) {
        let Some(reply) = &outcome.reply else { return };
        assert_eq!(Got::of(&reply.frame, reply.kind).message[4..8], request.xid);
    }

    /// Promise 1, whatever the test is about: what a reply names is on disk.
    fn check_durable(&self, outcome: &Outcome) {
        let Some(reply) = &outcome.reply else { return };
        let got = Got::of(&reply.frame, reply.kind);
        if reply.kind == ReplyKind::Nak || got.yiaddr.is_unspecified() {
            return;
        }
        let lease = self.lease(got.yiaddr);
        assert!(lease.durable_until >= lease.expires, "an answer names what is not durable: {lease:?}");
        assert!(lease.expires > self.now, "an answer names what has run out: {lease:?}");
    }

    /// No entry goes past what is on disk.
    fn check_horizons(&self) {
        for (key, entry) in &self.entries {
            if entry.state == LeaseState::SUSPENDED {
                continue;
            }
            let (mac, until) = self.disk[&Ipv4Addr::from(entry.ip)];
            assert_eq!(mac, key.mac, "an entry is of somebody that the disk does not know: {entry:?}");
            assert!(entry.horizon <= until.0, "an entry goes past the disk: {entry:?}");
        }
    }

    pub(super) fn got(&mut self, builder: &Builder) -> Option<Got> {
        let reply = self.send(builder).ok()?.reply?;
        Some(Got::of(&reply.frame, reply.kind))
    }

    fn expect(&mut self, builder: &Builder, kind: ReplyKind) -> Got {
        let outcome = self.send(builder);
        let reply = outcome.expect("it is ignored").reply.expect("no reply");
        assert_eq!(reply.kind, kind);
        Got::of(&reply.frame, reply.kind)
    }

    pub(super) fn offer(&mut self, builder: Builder) -> Got {
        self.expect(&builder, ReplyKind::Offer)
    }

    pub(super) fn ack(&mut self, builder: Builder) -> Got {
        self.expect(&builder, ReplyKind::Ack)
    }

    pub(super) fn nak(&mut self, builder: Builder) -> Got {
        self.expect(&builder, ReplyKind::Nak)
    }

    /// It is ignored, for this reason.
    pub(super) fn ignored(&mut self, builder: Builder) -> Ignored {
        self.send(&builder).expect_err("it is not ignored")
    }

    /// Silence, whether something follows from the message or not.
    pub(super) fn silence(&mut self, builder: Builder) {
        assert!(self.got(&builder).is_none(), "there is a reply");
    }

    /// What the kernel says to a frame, and does with it: its reply, if it gives one.
    pub(super) fn kernel(&mut self, builder: &Builder) -> Option<Vec<u8>> {
        let frame = builder.frame();
        let server = self.engine.server(WIRE)?;
        let Arrival::Request(link) = gate::arrival(&frame[..], WIRE.interface) else { return None };
        let parsed = gate::gate(&frame[..], link, &server).ok()?;
        let key = LeaseKey { wire: WIRE, mac: parsed.header.facts.mac, zero: [0; 2] };
        let entry = self.entries.get_mut(&key)?;
        let terms = self.templates.get(&entry.template)?;
        match decision::decide(&parsed.header.facts, entry, terms, &server, self.now.0) {
            Verdict::Reply(answer) => {
                let reply = kernel::reply(&frame, &parsed, entry, terms, &server, &answer)?;
                if answer.kind == xdhcpd_common::facts::MessageType::ACK {
                    entry.state = LeaseState::BOUND;
                    entry.expires = entry.expires.max(answer.expires);
                    let event = Event {
                        kind: EventKind::RENEWED,
                        key,
                        ip: entry.ip,
                        at: self.now.0,
                        expires: answer.expires,
                        ..Event::default()
                    };
                    if let Some(write) = self.engine.renewed(&mut self.table, &event, self.now) {
                        self.write(write);
                    }
                }
                Some(reply)
            }
            Verdict::Suspend => {
                entry.state = LeaseState::SUSPENDED;
                None
            }
            Verdict::Pass(_) | Verdict::Drop(_) => None,
        }
    }

    /// Everything that is on its way back, or due, is taken back; what is free then.
    pub(super) fn take_back(&mut self) -> HashSet<Ipv4Addr> {
        for due in self.engine.due(&mut self.table, self.now) {
            self.leaving.entry(due.ip).or_insert(due);
        }
        let leaving: Vec<TakeBack> = self.leaving.drain().map(|(_, take_back)| take_back).collect();
        let mut freed = HashSet::new();
        for take_back in leaving {
            if self.entries.get(&take_back.key).is_some_and(|entry| entry.ip == take_back.ip.octets()) {
                self.entries.remove(&take_back.key);
            }
            if self.engine.taken_back(&mut self.table, take_back, self.now) {
                self.write(Write { ip: take_back.ip, until: self.now });
                freed.insert(take_back.ip);
            }
        }
        freed
    }
}

impl Got {
    pub(super) fn of(frame: &[u8], kind: ReplyKind) -> Self {
        kernel::check_checksums(frame);
        let message = kernel::payload(frame).to_vec();
        let decoded = v4::Message::decode(&mut Decoder::new(&message)).expect("dhcproto reads it");
        Self {
            kind,
            frame: frame.to_vec(),
            yiaddr: decoded.yiaddr(),
            decoded,
            options: walk(&message[240..]),
            message,
        }
    }

    pub(super) fn codes(&self) -> Vec<u8> {
        self.options.iter().map(|(code, _)| *code).collect()
    }

    /// The value of an option, its parts joined.
    pub(super) fn option(&self, code: u8) -> Option<Vec<u8>> {
        let parts: Vec<_> = self.options.iter().filter(|(found, _)| *found == code).collect();
        (!parts.is_empty()).then(|| parts.iter().flat_map(|(_, value)| value.clone()).collect())
    }

    pub(super) fn number(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.option(code)?.try_into().expect("four bytes")))
    }
}

/// The options of a field up to END, which must be there, with nothing but zeros after it.
pub(super) fn walk(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        match rest {
            [255, padding @ ..] => {
                assert!(padding.iter().all(|byte| *byte == 0), "something follows END");
                return options;
            }
            [code, length, after @ ..] => {
                let (value, after) = after.split_at(usize::from(*length));
                options.push((*code, value.to_vec()));
                rest = after;
            }
            _ => panic!("no END"),
        }
    }
}
