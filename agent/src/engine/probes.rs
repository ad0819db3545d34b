//! Probes: a new address is asked for before it is offered (checklist row 24).
//!
//! The address is held for its client in memory alone, as an offer that nobody was told of, while it
//! is asked for: by ARP where we are on its link, else, behind a relay, by ICMP echo. Where nobody
//! answers in time, the DISCOVER is answered. Who answers keeps the address: it is out of use as if
//! it were declined, and the same DISCOVER is decided once more, which leads to the next address.
//! Nothing waits for a probe but the DISCOVER it is about.
//!
//! Never probed: an address that the client has or had last, for it may be the one who answers.
//!
//! A probe of somebody else's for the same address is no claim: two servers that hear the same
//! DISCOVER may well ask for the same address.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use xdhcpd_common::maps::Wire;

use crate::clock::Moment;
use crate::lease::{AnsweredBy, Lease, State, Table};

use super::arp;
use super::choice::Client;
use super::ignored::Ignored;
use super::permit::Turn;
use super::request::Request;
use super::{Engine, Note, Outcome, Write, grant};

/// How often an address is asked for: one frame may be lost.
pub const ASKED: u8 = 2;

/// How long each time: many times what a host takes that answers from its kernel, and with
/// [`ASKED`] a fifteenth of what the least patient client waits before it repeats its DISCOVER (3 s).
pub const WITHIN: Duration = Duration::from_millis(100);

/// The most addresses that are probed at one time: 13,000 new clients a second, and a few megabytes
/// of DISCOVERs. Past that, addresses are offered without a probe, and counted.
pub const MOST: usize = 4096;

/// A question: who has this address?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The address.
    pub ip: Ipv4Addr,
    /// How it is asked.
    pub ask: Ask,
}

/// How an address is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// By this ARP request, on the wire that the DISCOVER came in by.
    Arp(Vec<u8>),
    /// By an ICMP echo request, over the host's routes.
    Echo,
}

/// What became of a DISCOVER whose address was probed, or what is to be sent for it.
#[derive(Debug)]
pub struct Probed {
    /// Where it came in.
    pub wire: Wire,
    /// What it leads to.
    pub outcome: Result<Outcome, Ignored>,
}

/// Whether an address is to be probed before it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It is the client's own, or its network wants no probes.
    None,
    /// It is.
    Probe,
    /// It would be, but too many are.
    TooMany,
}

/// How probes ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Nobody answered.
    pub free: u64,
    /// Somebody has the address.
    pub in_use: u64,
    /// Offered without a probe, for there were too many.
    pub left_out: u64,
}

impl ProbeCounts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            free: self.free.saturating_add(other.free),
            in_use: self.in_use.saturating_add(other.in_use),
            left_out: self.left_out.saturating_add(other.left_out),
        }
    }
}

/// The probes that are out.
#[derive(Debug, Default)]
pub struct Probes {
    out: HashMap<Ipv4Addr, Running>,
    /// When each is to be looked at next: one entry for each probe.
    queue: BTreeSet<(Moment, Ipv4Addr)>,
    counts: ProbeCounts,
}

#[derive(Debug)]
struct Running {
    /// The client's newest DISCOVER: its transaction is the one that waits for an answer.
    request: Request,
    wire: Wire,
    ask: Ask,
    asked: u8,
    until: Moment,
}

impl Probes {
    /// Whether the address is being probed.
    pub fn is_out(&self, ip: Ipv4Addr) -> bool {
        self.out.contains_key(&ip)
    }

    /// Starts a probe, if the address is not being probed for this client already: then only the
    /// DISCOVER to be answered is another.
    fn start(&mut self, probe: &Probe, request: &Request, wire: Wire, now: Moment) -> bool {
        if let Some(running) = self.out.get_mut(&probe.ip)
            && running.request.facts.mac == request.facts.mac
        {
            running.request = request.clone();
            return false;
        }
        self.stop(probe.ip);
        let until = now.after(WITHIN);
        self.queue.insert((until, probe.ip));
        let running = Running { request: request.clone(), wire, ask: probe.ask.clone(), asked: 1, until };
        self.out.insert(probe.ip, running);
        true
    }

    fn stop(&mut self, ip: Ipv4Addr) -> Option<Running> {
        let running = self.out.remove(&ip)?;
        self.queue.remove(&(running.until, ip));
        Some(running)
    }

    /// The first address whose time has come.
    fn due(&self, now: Moment) -> Option<Ipv4Addr> {
        self.queue.first().filter(|(until, _)| *until <= now).map(|(_, ip)| *ip)
    }

    /// Asks once more; none: often enough.
    fn again(&mut self, ip: Ipv4Addr, now: Moment) -> Option<(Wire, Probe)> {
        let running = self.out.get_mut(&ip).filter(|running| running.asked < ASKED)?;
        self.queue.remove(&(running.until, ip));
        running.asked = running.asked.saturating_add(1);
        running.until = now.after(WITHIN);
        self.queue.insert((running.until, ip));
        Some((running.wire, Probe { ip, ask: running.ask.clone() }))
    }
}

impl Engine {
    /// Whether any probe is out.
    pub fn is_probing(&self) -> bool {
        !self.probes.out.is_empty()
    }

    /// When [`Self::probed`] has to be asked next.
    pub fn next_probe(&self) -> Option<Moment> {
        self.probes.queue.first().map(|(until, _)| *until)
    }

    /// How the probes of this configuration ended.
    pub fn probe_counts(&self) -> ProbeCounts {
        self.probes.counts
    }

    /// Asks once more for what is due; where nobody answered, the DISCOVER is answered.
    pub fn probed<'a>(&mut self, table: &mut Table, turn: impl Into<Turn<'a>>) -> Vec<Probed> {
        let turn = turn.into();
        let now = turn.now;
        let mut probed = Vec::new();
        // Each is due once: what is asked again is due later, what is answered is no more.
        while let Some(ip) = self.probes.due(now) {
            if let Some((wire, probe)) = self.probes.again(ip, now) {
                let Some(network) = table.network_of(ip) else { continue };
                let outcome = Ok(Outcome { probe: Some(probe), ..Outcome::new(network) });
                probed.push(Probed { wire, outcome });
                continue;
            }
            let Some(Running { request, wire, .. }) = self.probes.stop(ip) else { continue };
            if is_held(table, ip, &request) {
                self.probes.counts.free = self.probes.counts.free.saturating_add(1);
                let mut outcome = self.handle(table, &request, wire, turn);
                if let Ok(outcome) = &mut outcome {
                    // It was put down when it was held; only now is it the client's.
                    outcome.note = outcome.granted.map(Note::Allocated);
                }
                probed.push(Probed { wire, outcome });
            }
        }
        probed
    }

    /// Somebody on the wire says that an address is its own. If that is being probed, it is out of
    /// use for a while, and the client is offered another.
    pub fn claimed<'a>(
        &mut self,
        table: &mut Table,
        wire: Wire,
        ip: Ipv4Addr,
        by: [u8; 6],
        turn: impl Into<Turn<'a>>,
    ) -> Vec<Probed> {
        // The client itself may have the address still: from a server before us, or by hand.
        let is_other = |running: &Running| {
            running.ask == Ask::Echo || running.wire != wire || running.request.facts.mac == by
        };
        if self.probes.out.get(&ip).is_none_or(is_other) {
            return Vec::new();
        }
        self.in_use(table, ip, Some(by), turn.into())
    }

    /// An address answered an echo request. If that is being probed, the same follows.
    pub fn echoed<'a>(&mut self, table: &mut Table, ip: Ipv4Addr, turn: impl Into<Turn<'a>>) -> Vec<Probed> {
        if self.probes.out.get(&ip).is_none_or(|running| running.ask != Ask::Echo) {
            return Vec::new();
        }
        self.in_use(table, ip, None, turn.into())
    }

    fn in_use(
        &mut self,
        table: &mut Table,
        ip: Ipv4Addr,
        by: Option<[u8; 6]>,
        turn: Turn<'_>,
    ) -> Vec<Probed> {
        let Some(Running { request, wire, .. }) = self.probes.stop(ip) else { return Vec::new() };
        if !is_held(table, ip, &request) {
            return Vec::new();
        }
        let Some(quarantine) = self.quarantine(table, ip, by, turn.now) else { return Vec::new() };
        self.probes.counts.in_use = self.probes.counts.in_use.saturating_add(1);
        let next = self.handle(table, &request, wire, turn);
        vec![Probed { wire, outcome: Ok(quarantine) }, Probed { wire, outcome: next }]
    }

    /// Forgets all probes and what is held for them: their clients ask again. For the end of this
    /// configuration.
    pub fn forget_probes(&mut self, table: &mut Table) {
        self.probes.queue.clear();
        for (ip, running) in self.probes.out.drain() {
            if is_held(table, ip, &running.request) {
                table.forget(ip);
            }
        }
    }

    /// Whether an address can be offered to the client as it is.
    pub(super) fn needs_probe(&self, table: &Table, client: &Client<'_>, ip: Ipv4Addr) -> Need {
        if !client.served.config.probe {
            return Need::None;
        }
        match grant::own(table, client, ip) {
            Some(lease) if lease.state == State::Offered && self.probes.is_out(ip) => Need::Probe,
            Some(_) => Need::None,
            None if self.probes.out.len() < MOST => Need::Probe,
            None => Need::TooMany,
        }
    }

    /// Holds an address for the client and asks who has it.
    pub(super) fn hold(
        table: &mut Table,
        request: &Request,
        client: &Client<'_>,
        ip: Ipv4Addr,
        now: Moment,
    ) -> Outcome {
        let until = now.after(client.served.config.offer_hold);
        table.put(grant::lease(request, ip, None, State::Offered, now, until));
        let place = &client.served.place;
        let ask = if place.on_link { Ask::Arp(arp::probe(place.mac, &request.tags, ip)) } else { Ask::Echo };
        Outcome { probe: Some(Probe { ip, ask }), ..Outcome::new(client.id) }
    }

    /// Notes what a request led to: an address to be probed, or one that needs no probe any more.
    pub(super) fn note_probe(&mut self, outcome: &mut Outcome, request: &Request, wire: Wire, now: Moment) {
        if let Some(ip) = outcome.granted {
            self.probes.stop(ip);
        }
        if outcome.unprobed {
            self.probes.counts.left_out = self.probes.counts.left_out.saturating_add(1);
        }
        if outcome.probe.as_ref().is_some_and(|probe| !self.probes.start(probe, request, wire, now)) {
            outcome.probe = None;
        }
    }

    /// The address is somebody's who is no client of ours: nobody's lease, and out of use.
    fn quarantine(
        &self,
        table: &mut Table,
        ip: Ipv4Addr,
        by: Option<[u8; 6]>,
        now: Moment,
    ) -> Option<Outcome> {
        let network = table.network_of(ip)?;
        let until = now.after(self.served_of(table, ip)?.config.decline_hold);
        table.put(Lease {
            ip,
            mac: [0; 6],
            client_id: None,
            host_name: None,
            state: State::Declined,
            starts: now,
            expires: until,
            durable_until: Moment::NEVER,
            answered_by: AnsweredBy::Agent,
            taken: false,
        });
        Some(Outcome {
            write: Some(Write { ip, until }),
            note: Some(Note::InUse { ip, by }),
            ..Outcome::new(network)
        })
    }
}

/// Whether the address is still held for the client whose DISCOVER it is probed for.
fn is_held(table: &Table, ip: Ipv4Addr, request: &Request) -> bool {
    table.get(ip).is_some_and(|lease| lease.state == State::Offered && lease.mac == request.facts.mac)
}
