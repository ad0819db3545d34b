//! Which networks a request can be about: by the wire it came in by, and by its relay.

use std::net::Ipv4Addr;

use xdhcpd_common::decision::{self, BROADCAST, Destination, Link};
use xdhcpd_common::facts::NONE;
use xdhcpd_common::maps::Wire;

use super::Engine;
use super::ignored::Ignored;
use super::served::Served;
use crate::engine::request::Request;

/// Sub-option 5 of option 82: the subnet the client is on (RFC 3527).
const LINK_SELECTION: u8 = 5;
/// Sub-option 11: the relay's own address, which clients shall take for the server's (RFC 5107).
const SERVER_OVERRIDE: u8 = 11;
/// Sub-option 19: the relay wants its replies at the port it sent from (RFC 8357).
const SOURCE_PORT: u8 = 19;

/// The networks a request can be about, in their order; never empty.
#[derive(Debug)]
pub struct Candidates {
    /// Indexes into the engine's networks.
    pub networks: Vec<usize>,
    /// It came by a relay that is listed: what it says of the client counts (row 51).
    pub trusted: bool,
    /// It came through a router, unrelayed: a client on another link renews, and the answer goes
    /// back the same way.
    pub routed: bool,
    /// What clients are told is the server's address, where a listed relay wants it to be its own.
    pub identifier: Option<Ipv4Addr>,
    /// The port that a listed relay wants its replies at, where that is not 67.
    pub relay_port: Option<u16>,
}

impl Candidates {
    /// Our name towards a client on this network: option 54.
    pub fn identifier(&self, served: &Served) -> Ipv4Addr {
        self.identifier.unwrap_or(served.place.server)
    }

    /// Where a reply goes that would go to `to` if there were no router on the way, and no relay with
    /// a port of its own.
    pub fn way_back(&self, mut to: Destination) -> Destination {
        if self.routed {
            to.link = Link::Sender;
        }
        to.port = self.relay_port.unwrap_or(to.port);
        to
    }
}

impl Engine {
    pub(super) fn candidates(&self, request: &Request, wire: Wire) -> Result<Candidates, Ignored> {
        let on_wire: Vec<usize> = self
            .served
            .iter()
            .enumerate()
            .filter(|(_, served)| served.place.wire == wire)
            .map(|(at, _)| at)
            .collect();
        let first = on_wire.first().and_then(|at| self.served.get(*at)).ok_or(Ignored::NotServed)?;
        if request.destination_mac != [0xff; 6] && request.destination_mac != first.place.mac {
            return Err(Ignored::ForeignDestination);
        }
        if !on_wire.iter().filter_map(|at| self.served.get(*at)).any(|served| is_for(served, request)) {
            return Err(Ignored::ForeignDestination);
        }
        if request.facts.is_relayed() {
            self.relayed(request, on_wire)
        } else {
            self.direct(request, on_wire, wire)
        }
    }

    fn relayed(&self, request: &Request, on_wire: Vec<usize>) -> Result<Candidates, Ignored> {
        let giaddr = Ipv4Addr::from(request.facts.giaddr);
        let source = Ipv4Addr::from(request.facts.source);
        let is_listed = |served: &Served| {
            let lists = |address: Ipv4Addr| served.config.relays.iter().any(|relay| relay.contains(&address));
            lists(giaddr) || lists(source)
        };
        // A relay on a network's own link is as good as any client there; one from elsewhere has to
        // be listed.
        let is_neighbour = |served: &Served| {
            served.place.on_link
                && served.config.subnet.contains(&giaddr)
                && served.config.subnet.contains(&source)
        };
        // Whom one network lists is believed on all of them: a relay on one's own link may speak for
        // another's clients, which that one must not take for its own.
        let is_believed = on_wire.iter().filter_map(|at| self.served.get(*at)).any(is_listed);
        let wanted = if is_believed { selected_subnet(request) } else { None }.unwrap_or(giaddr);
        let mut trusted = false;
        let mut networks = Vec::new();
        for at in on_wire {
            let Some(served) = self.served.get(at) else { continue };
            let listed = is_listed(served);
            if (listed || is_neighbour(served)) && served.config.subnet.contains(&wanted) {
                trusted |= listed;
                networks.push(at);
            }
        }
        if networks.is_empty() {
            return Err(Ignored::UnknownRelay);
        }
        let listed = |code| request.relay_suboption(code).filter(|_| trusted);
        Ok(Candidates {
            networks,
            trusted,
            routed: false,
            identifier: listed(SERVER_OVERRIDE).and_then(address).filter(|address| !address.is_unspecified()),
            relay_port: listed(SOURCE_PORT).map(|_| request.source_port),
        })
    }

    fn direct(&self, request: &Request, on_wire: Vec<usize>, wire: Wire) -> Result<Candidates, Ignored> {
        let facts = &request.facts;
        let ciaddr = Ipv4Addr::from(facts.ciaddr);
        let server = self.server(wire).ok_or(Ignored::NotServed)?;
        let foreign_source = decision::foreign_source(facts, &server).is_some();
        let on_link = |served: &Served| served.place.on_link && served.config.subnet.contains(&ciaddr);
        let is_neighbour = || on_wire.iter().filter_map(|at| self.served.get(*at)).any(on_link);
        // From the address that it renews, by another MAC than its own: a router brought it. Where
        // sources are not checked, such a frame counts as a neighbour's if it can be one: so does the
        // kernel take it.
        let routed = !facts.from_client
            && facts.ciaddr != NONE
            && facts.ciaddr == facts.source
            && facts.destination != BROADCAST
            && (foreign_source || !is_neighbour());
        if foreign_source && !routed {
            return Err(Ignored::ForeignSource);
        }
        // A client on a shared wire may choose among the networks there, not beyond them (RFC 3011).
        let chosen = request.subnet_selection().map(Ipv4Addr::from);
        let is_candidate = |served: &Served| {
            if routed {
                return served.config.subnet.contains(&ciaddr);
            }
            served.place.on_link && chosen.is_none_or(|subnet| served.config.subnet.contains(&subnet))
        };
        let networks: Vec<usize> =
            on_wire.into_iter().filter(|at| self.served.get(*at).is_some_and(is_candidate)).collect();
        if networks.is_empty() {
            return Err(Ignored::NotServed);
        }
        Ok(Candidates { networks, trusted: false, routed, identifier: None, relay_port: None })
    }
}

/// Whether the IP destination is ours: broadcast, our address, or the subnet's broadcast (G3).
fn is_for(served: &Served, request: &Request) -> bool {
    let destination = request.facts.destination;
    destination == BROADCAST
        || destination == served.place.server.octets()
        || destination == served.config.subnet.broadcast().octets()
}

/// The subnet that a listed relay names for its client, or the client itself through it (row 52).
fn selected_subnet(request: &Request) -> Option<Ipv4Addr> {
    let by_relay = request.relay_suboption(LINK_SELECTION).and_then(address);
    by_relay.or_else(|| request.subnet_selection().map(Ipv4Addr::from))
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}
