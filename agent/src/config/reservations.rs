//! Reservations: who, and which address.

use std::net::Ipv4Addr;

use super::problems::Report;
use super::value::{Mapping, Node, Placed};
use super::{ClientMatch, Reservation, addresses, options, scalars};

/// More fixed clients than this no single subnet of a sane size has.
pub(super) const MAX_RESERVATIONS: usize = 65_536;
/// What one part of an option can hold.
const MAX_IDENTITY: usize = 255;

const KEYS: [&str; 8] = ["mac", "clientId", "circuitId", "remoteId", "ip", "hostName", "options", "boot"];
const CLIENT_KEYS: [&str; 4] = ["mac", "clientId", "circuitId", "remoteId"];

/// A reservation and the places that later checks complain about.
#[derive(Debug, Clone)]
pub(super) struct Reserved {
    /// Whose it is, and where that stands.
    pub(super) client: Placed<ClientMatch>,
    /// Its address, and where that stands.
    pub(super) ip: Placed<Ipv4Addr>,
    /// The reservation itself.
    pub(super) reservation: Reservation,
}

/// Reads a network's `reservations`.
pub(super) fn read_reservations(
    network: &Mapping<'_>,
    gateway: Option<Ipv4Addr>,
    report: &mut Report,
) -> Vec<Reserved> {
    let nodes = network.items("reservations", MAX_RESERVATIONS, report);
    nodes.iter().filter_map(|node| read_reservation(node, gateway, report)).collect()
}

fn read_reservation(node: &Node<'_>, gateway: Option<Ipv4Addr>, report: &mut Report) -> Option<Reserved> {
    let mapping = node.mapping(&KEYS, report)?;
    let client = read_client(&mapping, report);
    let ip = mapping.required("ip", report).and_then(|ip| ip.place(report, addresses::host));
    let host_name = mapping.read("hostName", report, scalars::domain_name);
    let options = options::read_options(&mapping, gateway, report);
    let boot = options::read_boot(&mapping, report);
    let (client, ip) = client.zip(ip)?;
    let reservation = Reservation { client: client.value.clone(), ip: ip.value, host_name, options, boot };
    Some(Reserved { client, ip, reservation })
}

fn read_client(mapping: &Mapping<'_>, report: &mut Report) -> Option<Placed<ClientMatch>> {
    let key = mapping.exactly_one(&CLIENT_KEYS, report)?;
    let node = mapping.get(key)?;
    // A client-id has a type and at least one byte more (RFC 2132 §9.14).
    let least = if key == "clientId" { 2 } else { 1 };
    let identity = scalars::hex(least..=MAX_IDENTITY);
    node.place(report, |value| match key {
        "mac" => addresses::mac(value).map(ClientMatch::Mac),
        "clientId" => identity(value).map(ClientMatch::ClientId),
        "circuitId" => identity(value).map(ClientMatch::CircuitId),
        _ => identity(value).map(ClientMatch::RemoteId),
    })
}
