//! A network as it is served: its configuration, the address we have on it, and who is reserved
//! what.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use xdhcpd_common::maps::{LeaseKey, Template, Wire};
use xdhcpd_common::times::{self, Times};

use crate::config::{ClientMatch, Identity, Network, Reservation};
use crate::lease::{ClientKey, Lease};

use super::permit::Promise;
use super::{classes, templates};
use crate::engine::request::Request;

/// Where a network is on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The interface and VLAN its requests come in by.
    pub wire: Wire,
    /// The interface's MAC.
    pub mac: [u8; 6],
    /// Our address there: option 54.
    pub server: Ipv4Addr,
    /// Whether that address lies in the subnet: if not, relays alone reach it.
    pub on_link: bool,
}

/// A network and its place.
#[derive(Debug)]
pub struct Served {
    /// What the operator wants.
    pub config: Network,
    /// Where it is.
    pub place: Place,
    /// The terms of its leases, without options.
    pub terms: Template,
    /// What else than the MAC tells this network's clients apart is in the client-id: the kernel
    /// answers only who sends the one its entry was made for.
    pub by_client_id: bool,
    /// Whether the kernel can tell when a client is in other classes than before.
    pub classes_are_kernels: bool,
    by_client: HashMap<ClientMatch, usize>,
    by_address: HashMap<Ipv4Addr, usize>,
}

impl Served {
    /// Prepares a network to be served.
    pub fn new(config: &Network, place: Place, generation: u32) -> Self {
        let numbered = || config.reservations.iter().enumerate();
        let reserves_by_id =
            || config.reservations.iter().any(|entry| matches!(entry.client, ClientMatch::ClientId(_)));
        Self {
            by_client_id: config.identity == Identity::ClientId
                || reserves_by_id()
                || classes::ask_for_client_id(&config.classes),
            classes_are_kernels: classes::are_kernels(&config.classes),
            by_client: numbered().map(|(at, reservation)| (reservation.client.clone(), at)).collect(),
            by_address: numbered().map(|(at, reservation)| (reservation.ip, at)).collect(),
            terms: templates::terms(config, place.server.octets(), generation),
            config: config.clone(),
            place,
        }
    }

    /// The client's reservation: by MAC, by client-id, then by where it is plugged in (row 53).
    /// What a relay says counts only if it is `trusted`.
    pub fn reservation(&self, request: &Request, trusted: bool) -> Option<&Reservation> {
        if self.by_client.is_empty() {
            return None;
        }
        let relay = |code: u8| request.relay_suboption(code).filter(|_| trusted).map(<[u8]>::to_vec);
        let matches = [
            Some(ClientMatch::Mac(request.facts.mac)),
            request.client_id().map(|id| ClientMatch::ClientId(id.to_vec())),
            relay(1).map(ClientMatch::CircuitId),
            relay(2).map(ClientMatch::RemoteId),
        ];
        let at = matches.into_iter().flatten().find_map(|client| self.by_client.get(&client))?;
        self.config.reservations.get(*at)
    }

    /// Whether the address is kept for one client.
    pub fn is_reserved(&self, ip: Ipv4Addr) -> bool {
        self.by_address.contains_key(&ip)
    }

    /// Who the request is from, as this network tells clients apart (row 49).
    pub fn client(&self, request: &Request) -> ClientKey {
        match (self.config.identity, request.client_id()) {
            (Identity::ClientId, Some(id)) => ClientKey::Id(id.into()),
            _ => ClientKey::Mac(request.facts.mac),
        }
    }

    /// Whether the lease is (or was) this client's.
    pub fn is_of(&self, lease: &Lease, client: &ClientKey) -> bool {
        match client {
            ClientKey::Mac(mac) => {
                lease.mac == *mac && (self.config.identity == Identity::Mac || lease.client_id.is_none())
            }
            ClientKey::Id(id) => lease.client_id.as_deref() == Some(id),
        }
    }

    /// The entry in the kernel that a lease of this network has, if it has one.
    pub fn key(&self, mac: [u8; 6]) -> LeaseKey {
        LeaseKey { wire: self.place.wire, mac, zero: [0; 2] }
    }

    /// Options 51, 58 and 59 for this request; a lease without an end for BOOTP, whose clients never
    /// renew (RFC 1534 §2).
    pub fn times(&self, request: &Request, promise: Promise) -> Times {
        if request.bootp {
            return Times { lease: times::INFINITE, timers: None };
        }
        let limited = promise.limited(&self.terms);
        let terms = limited.as_ref().unwrap_or(&self.terms);
        times::times(request.facts.lease_time, request.facts.mac, terms)
    }
}
