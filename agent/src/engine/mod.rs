//! What the agent answers: (table, request, now) → reply and effects.
//!
//! The engine has no clock, no socket and no await. It reads and changes the lease table, and
//! returns an [`Outcome`]: what to write, what to tell the kernel, and what to send. The caller
//! does these in this order, and sends nothing whose write failed: no OFFER and no ACK names a
//! binding that is not on disk.
//!
//! A request of a known client is first put to [`xdhcpd_common::decision::decide`], the decision
//! that the kernel takes too; only what that leaves open is decided here.
//!
//! An address goes back to the pool only through [`TakeBack`]: its entry in the kernel is suspended,
//! the program runs under way are waited for, their events are read, and then
//! [`Engine::taken_back`] looks once more. Until then the address is occupied.

pub mod arp;
mod bootp;
mod candidates;
mod choice;
mod classes;
mod give_back;
mod grant;
pub mod ignored;
mod messages;
pub mod permit;
pub mod probes;
pub mod render;
pub mod reply;
pub mod request;
pub mod served;
pub mod templates;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

use xdhcpd_common::facts::MessageType;
use xdhcpd_common::maps::{self, Event, LeaseKey, Server, ServerFlags, Template, Wire};

use crate::clock::Moment;
use crate::config::Config;
use crate::lease::{AnsweredBy, Lease, State};
use crate::lease::{NetworkId, Table};

use self::ignored::Ignored;
use self::permit::Turn;
use self::probes::{Probe, Probes};
use self::reply::Reply;
use self::served::{Place, Served};
use self::templates::Templates;
use crate::engine::request::Request;

/// The engine of one configuration.
#[derive(Debug)]
pub struct Engine {
    served: Vec<Served>,
    templates: Templates,
    generation: u32,
    /// How far ahead a lease is written, in lease times.
    horizon: u32,
    probes: Probes,
}

/// What a request led to. Effects are carried out in the order of the fields.
#[derive(Debug)]
pub struct Outcome {
    /// The network it concerned.
    pub network: NetworkId,
    /// The address that the client was offered or given: what was to be taken back of it is not,
    /// any more.
    pub granted: Option<Ipv4Addr>,
    /// The lease to be written, with its horizon, before anything else happens.
    pub write: Option<Write>,
    /// What the kernel has to know, once that is on disk.
    pub kernel: Option<KernelChange>,
    /// What is sent then.
    pub reply: Option<Reply>,
    /// Which address is asked for, before the request is answered.
    pub probe: Option<Probe>,
    /// The address is offered although it should have been probed first: too many are being probed.
    pub unprobed: bool,
    /// An address on its way back to the pool.
    pub take_back: Option<TakeBack>,
    /// What is worth a line in the log.
    pub note: Option<Note>,
}

/// A lease (as the table has it) that must be on disk up to `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// Its address.
    pub ip: Ipv4Addr,
    /// The horizon.
    pub until: Moment,
}

/// A change of the kernel's view of one client.
#[derive(Debug)]
pub enum KernelChange {
    /// The entry to put.
    Put {
        /// The client.
        key: LeaseKey,
        /// Its lease.
        entry: Box<maps::Lease>,
        /// A template to be written into its slot first.
        template: Option<Box<Template>>,
    },
    /// A template that belongs in its slot, whoever uses it.
    Template {
        /// The slot.
        slot: u32,
        /// What belongs there.
        template: Box<Template>,
    },
    /// The kernel shall no longer answer this client.
    Suspend(LeaseKey),
}

/// An address to be freed, after the kernel has let go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeBack {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its entry in the kernel, if it has one.
    pub key: LeaseKey,
    /// What it becomes.
    pub into: Ending,
    /// State and end of the lease when this was decided. A lease that is not like this any more was
    /// answered since, and stays. None: it goes in any case, for an operator wants it.
    pub seen: Option<(State, Moment)>,
}

/// What becomes of a lease that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was given back; the address stays its client's as long as it can be.
    Released,
    /// It ran out; likewise.
    Expired,
    /// The address is nobody's, although an ended lease may keep it.
    LetGo,
}

impl TakeBack {
    /// Frees a lease as it is now.
    fn of(lease: &Lease, served: &Served, into: Ending) -> Self {
        let seen = Some((lease.state, lease.expires));
        Self { ip: lease.ip, key: served.key(lease.mac), into, seen }
    }
}

/// What is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A client got an address that it did not have.
    Allocated(Ipv4Addr),
    /// A client gave its address back.
    Released(Ipv4Addr),
    /// A client found its address in use.
    Declined(Ipv4Addr),
    /// A probe found somebody using an address that was to be offered.
    InUse {
        /// The address.
        ip: Ipv4Addr,
        /// Who says that it has it; none: it answered from behind a router.
        by: Option<[u8; 6]>,
    },
}

impl Note {
    /// The address it is about.
    pub const fn ip(self) -> Ipv4Addr {
        match self {
            Self::Allocated(ip) | Self::Released(ip) | Self::Declined(ip) | Self::InUse { ip, .. } => ip,
        }
    }
}

impl Outcome {
    fn new(network: NetworkId) -> Self {
        Self {
            network,
            granted: None,
            write: None,
            kernel: None,
            reply: None,
            probe: None,
            unprobed: false,
            take_back: None,
            note: None,
        }
    }
}

impl Engine {
    /// An engine for the configuration; `places` has one entry for each of its networks.
    pub fn new(config: &Config, places: &[Place], generation: u32, templates: Templates) -> Self {
        let served = config
            .networks
            .iter()
            .zip(places)
            .map(|(network, place)| Served::new(network, *place, generation))
            .collect();
        let probes = Probes::default();
        Self { served, templates, generation, horizon: config.leases.horizon, probes }
    }

    /// The networks, in the order of their ids.
    pub fn served(&self) -> &[Served] {
        &self.served
    }

    /// The templates in the kernel's map.
    pub fn templates(&mut self) -> &mut Templates {
        &mut self.templates
    }

    /// What the kernel has to know of a wire; none: no network is on it.
    pub fn server(&self, wire: Wire) -> Option<Server> {
        let on_wire = || self.served.iter().filter(|served| served.place.wire == wire);
        let first = on_wire().next()?;
        let checks_source = on_wire().all(|served| served.config.check_source);
        Some(Server {
            generation: self.generation,
            flags: if checks_source { ServerFlags::CHECK_SOURCE } else { 0 },
            address: first.place.server.octets(),
            mac: first.place.mac,
            ..Server::default()
        })
    }

    /// Answers a request that came in by `wire`.
    pub fn handle<'a>(
        &mut self,
        table: &mut Table,
        request: &Request,
        wire: Wire,
        turn: impl Into<Turn<'a>>,
    ) -> Result<Outcome, Ignored> {
        let turn = turn.into();
        let candidates = self.candidates(request, wire)?;
        let mut outcome = match request.facts.kind {
            MessageType::DISCOVER => self.discover(table, request, &candidates, turn),
            MessageType::REQUEST => self.request(table, request, &candidates, turn),
            MessageType::DECLINE => self.decline(table, request, &candidates, turn.now),
            MessageType::RELEASE => self.release(table, request, &candidates),
            MessageType::INFORM => self.inform(request, &candidates),
            _ if request.bootp => self.bootp(table, request, &candidates, turn),
            _ => Err(Ignored::MessageType),
        }?;
        self.place_template(&mut outcome);
        self.note_probe(&mut outcome, request, wire, turn.now);
        Ok(outcome)
    }

    /// The kernel renewed a lease: notes it, and says what to write so that it can go on alone.
    pub fn renewed(&self, table: &mut Table, event: &Event, now: Moment) -> Option<Write> {
        let (ip, expires) = (Ipv4Addr::from(event.ip), Moment(event.expires));
        if !table.renewed(ip, event.key.mac, now, expires, AnsweredBy::Kernel) {
            return None;
        }
        let served = self.served_of(table, ip)?;
        let lease = table.get(ip)?;
        let span = expires.since(now);
        self.must_write(lease, span, now)
            .then(|| Write { ip, until: self.horizon(served, span, now).max(lease.expires) })
    }

    /// Leases whose time has come: each has to be taken back from the kernel first.
    pub fn due(&self, table: &mut Table, now: Moment) -> Vec<TakeBack> {
        let due = table.due(now);
        let take_back =
            |ip: Ipv4Addr| Some(TakeBack::of(table.get(ip)?, self.served_of(table, ip)?, Ending::Expired));
        due.into_iter().filter_map(take_back).collect()
    }

    /// The kernel has let go of the address, and all that it did before is known: frees it, unless
    /// the client was answered in the meantime. True: it is free now.
    pub fn taken_back(&self, table: &mut Table, take_back: TakeBack, now: Moment) -> bool {
        let Some(lease) = table.get(take_back.ip) else { return false };
        let was_answered = take_back.seen.is_some_and(|seen| seen != (lease.state, lease.expires));
        if was_answered || !lease.state.occupies() && take_back.into != Ending::LetGo {
            return false;
        }
        match take_back.into {
            Ending::Released => table.release(take_back.ip, now),
            Ending::Expired => table.expire(take_back.ip, now),
            Ending::LetGo => table.let_go(take_back.ip, now),
        }
    }

    /// The entry in the kernel that the lease of an address has, if it has one.
    pub fn key_of(&self, table: &Table, ip: Ipv4Addr) -> Option<LeaseKey> {
        Some(self.served_of(table, ip)?.key(table.get(ip)?.mac))
    }

    /// The network at work for an address.
    fn served_of(&self, table: &Table, ip: Ipv4Addr) -> Option<&Served> {
        self.served.get(usize::from(table.network_of(ip)?.0))
    }

    /// Whether a lease given for `span` from now needs a (later) horizon on disk: always before it
    /// is promised past the present one, and soon enough that the kernel can go on alone for half
    /// of the time it may.
    fn must_write(&self, lease: &Lease, span: Duration, now: Moment) -> bool {
        if lease.durable_until == Moment::FOREVER {
            return false;
        }
        let ahead = span.saturating_mul(self.horizon).checked_div(2).unwrap_or(span);
        lease.durable_until < lease.expires || lease.durable_until.since(now) < ahead
    }

    /// The horizon of a lease given for `span` from now.
    fn horizon(&self, served: &Served, span: Duration, now: Moment) -> Moment {
        now.after(served.config.offer_hold.saturating_add(span.saturating_mul(self.horizon)))
    }
}

/// A lease time as a duration; without an end: longer than any clock runs.
fn span(seconds: u32) -> Duration {
    if seconds == xdhcpd_common::times::INFINITE {
        Duration::MAX
    } else {
        Duration::from_secs(seconds.into())
    }
}
