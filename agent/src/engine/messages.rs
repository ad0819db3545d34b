//! The messages, one function each: what RFC 2131 §4.3 asks of a server (checklist rows 21 to 38, and 47).
//! What clients give up is in [`super::give_back`].

use std::net::Ipv4Addr;

use xdhcpd_common::decision::{self, BROADCAST, Destination, Link};
use xdhcpd_common::facts::NONE;

use crate::lease::{Lease, State, Table};

use super::candidates::Candidates;
use super::choice::Client;
use super::ignored::Ignored;
use super::permit::Turn;
use super::probes::Need;
use super::render::Rendered;
use super::reply::{self, Content, ReplyKind};
use super::{Ending, Engine, Outcome, TakeBack};
use crate::engine::request::Request;

impl Engine {
    pub(super) fn discover(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        if candidates.routed || request.facts.ciaddr != NONE {
            return Err(Ignored::RequestForm);
        }
        let clients = self.clients(request, candidates);
        let (at, ip, promise) = Self::choose(table, request, &clients, turn)?;
        let client = clients.get(at).ok_or(Ignored::NotServed)?;
        let need = self.needs_probe(table, client, ip);
        if need == Need::Probe {
            return Ok(Self::hold(table, request, client, ip, turn.now));
        }
        let grant = self.offer(table, request, client, ip, promise, turn.now);
        let outcome = self.answer(request, candidates, &grant, turn.now);
        Ok(Outcome { unprobed: need == Need::TooMany, ..outcome })
    }

    pub(super) fn request(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        let facts = &request.facts;
        let clients = self.clients(request, candidates);
        match (facts.ciaddr != NONE, facts.requested != NONE, facts.server != NONE) {
            (false, true, true) => self.selecting(table, request, candidates, &clients, turn),
            (false, true, false) => self.init_reboot(table, request, candidates, &clients, turn),
            (true, false, false) => self.renewing(table, request, candidates, &clients, turn),
            // Row 38.
            _ => Err(Ignored::RequestForm),
        }
    }

    /// Rows 29 to 31.
    fn selecting(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        clients: &[Client<'_>],
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        let server = Ipv4Addr::from(request.facts.server);
        let wanted = Ipv4Addr::from(request.facts.requested);
        if !clients.iter().any(|client| candidates.identifier(client.served) == server) {
            return self.not_chosen(table, clients);
        }
        match holder(table, clients, wanted) {
            Some(client) => self.grant_or_refuse(table, request, candidates, clients, client, wanted, turn),
            None => Self::refuse(request, candidates, clients, wanted, turn),
        }
    }

    /// Rows 32 to 34.
    fn init_reboot(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        clients: &[Client<'_>],
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        let wanted = Ipv4Addr::from(request.facts.requested);
        if let Some(client) = holder(table, clients, wanted) {
            return self.grant_or_refuse(table, request, candidates, clients, client, wanted, turn);
        }
        if clients.iter().any(|client| client.is_known(table) || client.served.config.authoritative) {
            return Self::refuse(request, candidates, clients, wanted, turn);
        }
        Err(Ignored::UnknownClient)
    }

    /// Rows 35 to 37: unicast (renewing) and broadcast (rebinding) alike.
    fn renewing(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        clients: &[Client<'_>],
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        let ciaddr = Ipv4Addr::from(request.facts.ciaddr);
        if let Some(client) = holder(table, clients, ciaddr) {
            return self.grant_or_refuse(table, request, candidates, clients, client, ciaddr, turn);
        }
        if clients.iter().any(|client| client.served.config.authoritative) {
            return Self::refuse(request, candidates, clients, ciaddr, turn);
        }
        Err(Ignored::NotTheClients)
    }

    /// The configuration may have given the address to somebody else since.
    #[expect(clippy::too_many_arguments, reason = "what the three states above have in common")]
    fn grant_or_refuse(
        &self,
        table: &mut Table,
        request: &Request,
        candidates: &Candidates,
        clients: &[Client<'_>],
        client: &Client<'_>,
        ip: Ipv4Addr,
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        if !client.may_have(table, ip) {
            return Self::refuse(request, candidates, std::slice::from_ref(client), ip, turn);
        }
        let promise = client.promise(turn, ip).map_err(|_| Ignored::NotClaimed)?;
        // Who binds one address has left the other that it had here.
        let left = clients.iter().find_map(|client| client.other(table, ip));
        let grant = self.bind(table, request, client, ip, promise, turn.now);
        Ok(Outcome { take_back: left, ..self.answer(request, candidates, &grant, turn.now) })
    }

    /// The client chose another server: what we offered is free at once (row 30).
    fn not_chosen(&self, table: &mut Table, clients: &[Client<'_>]) -> Result<Outcome, Ignored> {
        for client in clients {
            let Some(lease) = table.of_client(client.id, &client.key) else { continue };
            if lease.state == State::Offered {
                // Nobody was told of it, neither the client nor the disk.
                if self.probes.is_out(lease.ip) {
                    table.forget(lease.ip);
                    return Ok(Outcome::new(client.id));
                }
                let take_back = TakeBack::of(lease, client.served, Ending::Released);
                return Ok(Outcome { take_back: Some(take_back), ..Outcome::new(client.id) });
            }
        }
        Err(Ignored::OtherServer)
    }

    /// A NAK (row 13): broadcast, or to the relay. Only a client behind a router gets it at the
    /// address that it renews: a broadcast would not reach it.
    fn refuse(
        request: &Request,
        candidates: &Candidates,
        clients: &[Client<'_>],
        ip: Ipv4Addr,
        turn: Turn<'_>,
    ) -> Result<Outcome, Ignored> {
        if !clients.iter().all(|client| turn.permits.may_refuse(ip, &client.key)) {
            return Err(Ignored::NotClaimed);
        }
        let facts = &request.facts;
        let is_named = |client: &&Client<'_>| candidates.identifier(client.served).octets() == facts.server;
        let client = clients.iter().find(is_named).or(clients.first()).ok_or(Ignored::NotServed)?;
        let to = if facts.is_relayed() {
            candidates.way_back(decision::destination(facts, NONE, false))
        } else if candidates.routed {
            Destination { ip: facts.ciaddr, port: 68, link: Link::Sender }
        } else {
            Destination { ip: BROADCAST, port: 68, link: Link::Broadcast }
        };
        let content = Content {
            kind: ReplyKind::Nak,
            server: client.served.place.server,
            identifier: candidates.identifier(client.served),
            mac: client.served.place.mac,
            ciaddr: NONE,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            times: None,
            rendered: None,
            echo_relay_info: candidates.trusted,
            to,
        };
        Ok(Outcome { reply: Some(reply::encode(request, &content)), ..Outcome::new(client.id) })
    }

    /// Row 47: options for a client that has its address from elsewhere; no lease is made.
    pub(super) fn inform(&self, request: &Request, candidates: &Candidates) -> Result<Outcome, Ignored> {
        let ciaddr = Ipv4Addr::from(request.facts.ciaddr);
        if request.facts.ciaddr == NONE {
            return Err(Ignored::RequestForm);
        }
        let clients = self.clients(request, candidates);
        let client = clients
            .iter()
            .find(|client| client.served.config.subnet.contains(&ciaddr))
            .ok_or(Ignored::NotServed)?;
        let rendered = client.rendered(request);
        // Straight to the client, also past its relay (RFC 2131 §4.3.5), which then has no use for
        // its option 82.
        let link = if request.facts.is_relayed() || candidates.routed { Link::Sender } else { Link::Client };
        let to = Destination { ip: request.facts.ciaddr, port: 68, link };
        let content = Content {
            kind: ReplyKind::Ack,
            server: client.served.place.server,
            identifier: candidates.identifier(client.served),
            mac: client.served.place.mac,
            ciaddr: request.facts.ciaddr,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            times: None,
            rendered: Some(&rendered),
            echo_relay_info: false,
            to,
        };
        Ok(Outcome { reply: Some(reply::encode(request, &content)), ..Outcome::new(client.id) })
    }
}

/// The client on the network where this address is its own.
pub(super) fn holder<'a, 'b>(
    table: &Table,
    clients: &'b [Client<'a>],
    ip: Ipv4Addr,
) -> Option<&'b Client<'a>> {
    clients.iter().find(|client| client.holds(table, ip))
}

impl Client<'_> {
    /// What this network says to this client.
    pub(super) fn rendered(&self, request: &Request) -> Rendered {
        Rendered::new(&self.served.config, &self.classes, self.reservation, request)
    }

    /// Another address than `ip` that the client has on this network.
    pub(super) fn other(&self, table: &Table, ip: Ipv4Addr) -> Option<TakeBack> {
        let is_other =
            |lease: &&Lease| lease.ip != ip && matches!(lease.state, State::Offered | State::Bound);
        let lease = table.all_of_client(self.id, &self.key).find(is_other)?;
        Some(TakeBack::of(lease, self.served, Ending::Released))
    }
}
