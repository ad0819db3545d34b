//! Where the configured networks are on this machine: interface, MAC and our address on each.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use xdhcpd_common::maps::Wire;

use crate::config::host::{self, InterfaceFacts};
use crate::config::{Config, Network, Problem};
use crate::engine::served::Place;

use super::own_address;

/// The place of every network, in their order.
pub fn places(config: &Config) -> Result<Vec<Place>, Problem> {
    let problem = |path: String, fault: &dyn Display| Problem { path, message: format!("{fault:#}") };
    let found = host::interfaces().map_err(|fault| problem(String::new(), &fault))?;
    let own = own_address::wanted(config);
    let place = |(at, network): (usize, &Network)| {
        place(network, &found, &own).map_err(|fault| problem(format!("networks[{at}].interface"), &fault))
    };
    config.networks.iter().enumerate().map(place).collect()
}

/// Where the networks are now, that were at `before`, and why some are nowhere: those keep the place
/// they had, for when their interface comes back.
pub fn follow(config: &Config, before: &[Place]) -> (Vec<Place>, Vec<String>) {
    let found = match host::interfaces() {
        Ok(found) => found,
        Err(fault) => return (before.to_vec(), vec![format!("the interfaces cannot be listed: {fault}")]),
    };
    let own = own_address::wanted(config);
    let mut problems = Vec::new();
    let mut now_at = |(network, before): (&Network, &Place)| {
        place(network, &found, &own).unwrap_or_else(|fault| {
            problems.push(format!("network {}: {fault:#}", network.name));
            *before
        })
    };
    let places = config.networks.iter().zip(before).map(&mut now_at).collect();
    (places, problems)
}

fn place(
    network: &Network,
    found: &BTreeMap<String, InterfaceFacts>,
    own: &BTreeMap<&str, Vec<Ipv4Net>>,
) -> Result<Place> {
    let name = &network.interface;
    let facts = found.get(name).with_context(|| format!("interface {name} is gone"))?;
    if !facts.up {
        bail!("interface {name} is down");
    }
    // Where there are some of our own, the interface has these and no others before long.
    let addresses = own.get(name.as_str()).unwrap_or(&facts.addresses);
    let mac = facts.mac.with_context(|| format!("interface {name} has no Ethernet address"))?;
    let server = server_address(network, addresses).with_context(|| {
        format!("interface {name} has no IPv4 address to answer from: give it one, or set selfIP")
    })?;
    let wire = Wire { interface: facts.index, vlan: vlan(network) };
    Ok(Place { wire, mac, server, on_link: network.subnet.contains(&server) })
}

/// selfIP, else the interface's address in the subnet, else (behind relays) its first one.
fn server_address(network: &Network, addresses: &[Ipv4Net]) -> Option<Ipv4Addr> {
    let mut addresses = addresses.iter().map(Ipv4Net::addr);
    let own = network.self_ip.map(|own| own.addr());
    let is_behind_relays = !network.relays.is_empty();
    own.or_else(|| addresses.clone().find(|address| network.subnet.contains(address)))
        .or_else(|| addresses.next().filter(|_| is_behind_relays))
}

/// The tags as the maps have them: outermost first, 0 for none.
fn vlan(network: &Network) -> [u16; 2] {
    let mut tags = network.vlans.iter().copied();
    [tags.next().unwrap_or(0), tags.next().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    fn config(more: &str) -> Config {
        let network = "name: a, interface: eth0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]";
        parse_yaml(&format!("networks: [{{{network}{more}}}]")).unwrap()
    }

    /// Where the network is on a machine whose eth0 is up, with these addresses.
    fn found(more: &str, up: bool, addresses: &[&str]) -> Result<Place> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let facts = InterfaceFacts { index: 7, mac: Some([2, 0, 0, 0, 0, 1]), up, running: up, addresses };
        place(&config(more).networks[0], &BTreeMap::from([("eth0".to_owned(), facts)]), &BTreeMap::new())
    }

    fn server(more: &str, addresses: &[&str]) -> Option<(String, bool)> {
        let place = found(more, true, addresses).ok()?;
        Some((place.server.to_string(), place.on_link))
    }

    #[test]
    fn the_address_in_the_subnet_is_ours_whatever_others_there_are() {
        assert_eq!(server("", &["10.8.0.2/24", "10.9.0.2/24"]), Some(("10.9.0.2".into(), true)));
        assert_eq!(server(", selfIP: 10.9.0.3/24", &["10.9.0.2/24"]), Some(("10.9.0.3".into(), true)));
    }

    #[test]
    fn another_address_answers_only_relays() {
        assert_eq!(server("", &["10.8.0.2/24"]), None);
        assert_eq!(server(", relays: [10.8.0.1]", &["10.8.0.2/24"]), Some(("10.8.0.2".into(), false)));
    }

    #[test]
    fn an_interface_that_is_down_serves_nobody() {
        let fault = found("", false, &["10.9.0.2/24"]).unwrap_err();
        assert_eq!(fault.to_string(), "interface eth0 is down");
    }

    #[test]
    fn a_network_whose_interface_is_gone_keeps_its_place_and_is_named() {
        let mut config = config("");
        config.networks[0].interface = "no-such-one".into();
        let before = [found("", true, &["10.9.0.2/24"]).unwrap()];
        let (places, problems) = follow(&config, &before);
        assert_eq!(places, before);
        assert_eq!(problems, ["network a: interface no-such-one is gone"]);
    }
}
