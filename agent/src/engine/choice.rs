//! Which address a client is offered (checklist row 21): its reservation, its present binding, its
//! last one, the one it asks for, then one from the pool.

use std::net::Ipv4Addr;

use xdhcpd_common::facts::NONE;
use xdhcpd_common::maps::Wire;

use crate::config::{Class, Reservation};
use crate::lease::{ClientKey, Lease, NetworkId, State, Table};

use super::candidates::Candidates;
use super::classes;
use super::permit::{Promise, Refused, Turn};
use super::probes::Probes;
use super::served::Served;
use super::{Engine, ignored::Ignored};
use crate::engine::request::Request;

/// A client on one network, and what it is entitled to there.
pub struct Client<'a> {
    /// The network.
    pub id: NetworkId,
    /// The network.
    pub served: &'a Served,
    /// Who it is there.
    pub key: ClientKey,
    /// Its classes there.
    pub classes: Vec<&'a Class>,
    /// Its reservation there, with its address.
    pub reservation: Option<&'a Reservation>,
    /// It sent nothing that classes or options could depend on.
    pub says_nothing: bool,
    /// Addresses that nobody was told of yet.
    pub probes: &'a Probes,
}

impl Client<'_> {
    /// Whether the client may have this address here: its own reservation, or one of the pool that
    /// nobody has reserved.
    pub fn may_have(&self, table: &Table, ip: Ipv4Addr) -> bool {
        match self.reservation {
            Some(reservation) if reservation.ip == ip => true,
            // Who has a reservation moves to it as soon as it can be had.
            Some(reservation) if self.can_take(table, reservation.ip) => false,
            _ => self.is_in_pool(table, ip),
        }
    }

    /// Whether the address is this client's on this network: it has it, it had it last and has
    /// nothing else now, or it is reserved for it. (Whether it may go on having it is
    /// [`Self::may_have`]'s to say.)
    pub fn holds(&self, table: &Table, ip: Ipv4Addr) -> bool {
        if self.reservation.is_some_and(|reservation| reservation.ip == ip) {
            return self.can_take(table, ip);
        }
        let Some(lease) = table.get(ip) else { return false };
        let is_its = table.network_of(ip) == Some(self.id) && self.served.is_of(lease, &self.key);
        // What is held for a probe was not offered.
        if lease.state == State::Offered && self.probes.is_out(ip) {
            return false;
        }
        let is_last = || table.of_client(self.id, &self.key).is_some_and(|known| known.ip == ip);
        is_its && lease.state != State::Declined && (lease.state.occupies() || is_last())
    }

    /// Whether anything is known of the client on this network.
    pub fn is_known(&self, table: &Table) -> bool {
        self.reservation.is_some() || table.of_client(self.id, &self.key).is_some()
    }

    fn is_in_pool(&self, table: &Table, ip: Ipv4Addr) -> bool {
        // A client that says nothing of itself is what it was when it got the address: the kernel
        // takes it so too.
        let stays = self.says_nothing
            && table
                .get(ip)
                .is_some_and(|lease| lease.state.occupies() && self.served.is_of(lease, &self.key));
        !self.served.config.reserved_only
            && !self.served.is_reserved(ip)
            && table.is_dynamic(self.id, ip, |class| stays || self.is_member(class))
    }

    fn is_member(&self, class: &str) -> bool {
        self.classes.iter().any(|mine| mine.name == class)
    }

    /// Whether the address is free, or this client's already; never our own. One that is kept for
    /// another client, or that a host has without DHCP, is not free, unless the operator has reserved
    /// it for this client.
    pub fn can_take(&self, table: &Table, ip: Ipv4Addr) -> bool {
        let is_reserved = self.reservation.is_some_and(|reservation| reservation.ip == ip);
        let is_anothers = || table.is_kept(ip) || self.served.config.static_hosts.contains(&ip);
        let is_free = !table.get(ip).is_some_and(|lease| lease.state.occupies());
        let is_its = |lease: &Lease| self.served.is_of(lease, &self.key) && lease.state != State::Declined;
        ip != self.served.place.server
            && (is_free && (is_reserved || !is_anothers()) || table.get(ip).is_some_and(is_its))
    }

    fn reserved(&self, table: &Table) -> Option<Ipv4Addr> {
        self.reservation.map(|reservation| reservation.ip).filter(|ip| self.can_take(table, *ip))
    }

    /// The address it has (`occupies`), or had last.
    fn bound(&self, table: &Table, occupies: bool) -> Option<Ipv4Addr> {
        let lease = table.of_client(self.id, &self.key)?;
        (lease.state.occupies() == occupies
            && self.can_take(table, lease.ip)
            && self.may_have(table, lease.ip))
        .then_some(lease.ip)
    }

    fn requested(&self, table: &Table, request: &Request) -> Option<Ipv4Addr> {
        let wanted = Ipv4Addr::from(request.facts.requested);
        (request.facts.requested != NONE && self.can_take(table, wanted) && self.is_in_pool(table, wanted))
            .then_some(wanted)
    }

    fn next_free(&self, table: &Table, turn: Turn<'_>) -> Option<Ipv4Addr> {
        if self.served.config.reserved_only {
            return None;
        }
        let is_held_back = |ip| ip == self.served.place.server || !turn.permits.is_free(ip);
        table.next_free(self.id, |class| self.is_member(class), is_held_back)
    }

    /// Whether the address may be promised to this client now, and how.
    pub fn promise(&self, turn: Turn<'_>, ip: Ipv4Addr) -> Result<Promise, Refused> {
        turn.permits.promise(ip, &self.key)
    }
}

/// How an address is looked for.
type Step = fn(&Client<'_>, &Table, &Request, Turn<'_>) -> Option<Ipv4Addr>;

/// The order of row 21; on a shared wire each step is tried on all networks before the next.
const STEPS: [Step; 5] = [
    |client, table, _, _| client.reserved(table),
    |client, table, _, _| client.bound(table, true),
    |client, table, _, _| client.bound(table, false),
    |client, table, request, _| client.requested(table, request),
    |client, table, _, turn| client.next_free(table, turn),
];

impl Engine {
    /// The request's client on each of the candidate networks.
    pub(super) fn clients<'a>(&'a self, request: &Request, candidates: &Candidates) -> Vec<Client<'a>> {
        let client = |at: &usize| {
            let served = self.served.get(*at)?;
            Some(Client {
                id: NetworkId(u16::try_from(*at).ok()?),
                served,
                key: served.client(request),
                classes: classes::matching(&served.config.classes, request, candidates.trusted),
                reservation: served.reservation(request, candidates.trusted),
                says_nothing: request.facts.ask == 0,
                probes: &self.probes,
            })
        };
        candidates.networks.iter().filter_map(client).collect()
    }

    /// The addresses that the client of a request has, or had last, by the table.
    pub fn addresses_of(&self, table: &Table, request: &Request, wire: Wire) -> Vec<(Ipv4Addr, ClientKey)> {
        let Ok(candidates) = self.candidates(request, wire) else { return Vec::new() };
        let clients = self.clients(request, &candidates);
        let known = clients.into_iter().filter_map(|client| {
            let ip = table.of_client(client.id, &client.key)?.ip;
            Some((ip, client.key))
        });
        known.collect()
    }

    /// The address to offer, the place of its network in `clients`, and how it may be promised.
    pub(super) fn choose(
        table: &Table,
        request: &Request,
        clients: &[Client<'_>],
        turn: Turn<'_>,
    ) -> Result<(usize, Ipv4Addr, Promise), Ignored> {
        for step in STEPS {
            for (at, client) in clients.iter().enumerate() {
                let Some(ip) = step(client, table, request, turn) else { continue };
                match client.promise(turn, ip) {
                    Ok(promise) => return Ok((at, ip, promise)),
                    // Rather the same address a little later than another.
                    Err(Refused::NotNow) => return Err(Ignored::NotClaimed),
                    Err(Refused::NotIts) => {}
                }
            }
        }
        let has_no_place =
            |client: &Client<'_>| client.served.config.reserved_only && client.reservation.is_none();
        if clients.iter().all(has_no_place) {
            return Err(Ignored::NotReserved);
        }
        Err(Ignored::NoFreeAddress)
    }
}
