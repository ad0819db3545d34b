//! Where the configured networks are on this machine: interface, MAC and our address on each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use xdhcpd_common::maps::Wire;

use crate::config::host::{self, InterfaceFacts};
use crate::config::{Config, Network, Problem};
use crate::engine::served::Place;

use super::own_address;

/// The place of every network, in their order.
pub fn places(config: &Config) -> Result<Vec<Place>, Problem> {
    let problem = |path: String, fault: &dyn Display| Problem { path, message: fault.to_string() };
    let found = host::interfaces().map_err(|fault| problem(String::new(), &fault))?;
    let own = own_address::wanted(config);
    let place = |(at, network): (usize, &Network)| {
        place(network, &found, &own).map_err(|fault| problem(format!("networks[{at}].interface"), &fault))
    };
    config.networks.iter().enumerate().map(place).collect()
}

/// What became of the places of networks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Where they are now. One that is nowhere keeps the place it had, for when its interface comes back.
    pub places: Vec<Place>,
    /// What is wrong with a network, by what it is about.
    pub troubles: BTreeMap<String, String>,
    /// Interfaces, by index, that are not there any more under the name by which they were served.
    pub strayed: BTreeSet<u32>,
    /// Interfaces that are up and have no carrier.
    pub silent: BTreeSet<String>,
}

/// Where the networks are now, that were at `before`.
pub fn follow(config: &Config, before: &[Place]) -> Followed {
    match host::interfaces() {
        Ok(found) => follow_in(&found, config, before),
        Err(fault) => Followed {
            places: before.to_vec(),
            troubles: BTreeMap::from([(
                "interfaces".to_owned(),
                format!("the machine's interfaces cannot be listed: {fault}"),
            )]),
            ..Followed::default()
        },
    }
}

fn follow_in(found: &BTreeMap<String, InterfaceFacts>, config: &Config, before: &[Place]) -> Followed {
    let own = own_address::wanted(config);
    let mut followed = Followed::default();
    for (network, before) in config.networks.iter().zip(before) {
        let name = &network.interface;
        let facts = found.get(name);
        let is_same = facts.is_some_and(|facts| facts.index == before.wire.interface);
        if !is_same {
            followed.strayed.insert(before.wire.interface);
        }
        if facts.is_some_and(|facts| facts.up && !facts.running) {
            followed.silent.insert(name.clone());
        }
        let place = place(network, found, &own).unwrap_or_else(|fault| {
            let outcome = if is_same && matches!(fault, Nowhere::NoAddress(_)) {
                // Clients ask by broadcast, too, and by the kernel's map they are answered still.
                format!("it answers as {} still, where renewals by unicast find nobody", before.server)
            } else {
                "nothing is served there until it is back".to_owned()
            };
            followed.troubles.insert(format!("network {}", network.name), format!("{fault}; {outcome}"));
            *before
        });
        followed.places.push(place);
    }
    followed
}

/// Why a network has no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Nowhere {
    #[error("interface {0} is gone")]
    Gone(String),
    #[error("interface {0} is down")]
    Down(String),
    #[error("interface {0} has no Ethernet address")]
    NoMac(String),
    #[error("interface {0} has no IPv4 address to answer from: give it one, or set selfIP")]
    NoAddress(String),
}

fn place(
    network: &Network,
    found: &BTreeMap<String, InterfaceFacts>,
    own: &BTreeMap<&str, Vec<Ipv4Net>>,
) -> Result<Place, Nowhere> {
    let name = &network.interface;
    let facts = found.get(name).ok_or_else(|| Nowhere::Gone(name.clone()))?;
    if !facts.up {
        return Err(Nowhere::Down(name.clone()));
    }
    // Where there are some of our own, the interface has these, whatever others it has.
    let addresses = own.get(name.as_str()).unwrap_or(&facts.addresses);
    let mac = facts.mac.ok_or_else(|| Nowhere::NoMac(name.clone()))?;
    let server = server_address(network, addresses).ok_or_else(|| Nowhere::NoAddress(name.clone()))?;
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

    /// A machine whose only interface has this name and these addresses.
    fn machine(name: &str, up: bool, addresses: &[&str]) -> BTreeMap<String, InterfaceFacts> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let facts = InterfaceFacts { index: 7, mac: Some([2, 0, 0, 0, 0, 1]), up, running: up, addresses };
        BTreeMap::from([(name.to_owned(), facts)])
    }

    /// Where the network is on a machine whose eth0 has these addresses.
    fn found(more: &str, up: bool, addresses: &[&str]) -> Result<Place, Nowhere> {
        place(&config(more).networks[0], &machine("eth0", up, addresses), &BTreeMap::new())
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

    /// What became of a network on eth0, 10.9.0.2, which has the number 7, when the machine is like this.
    fn followed(machine: &BTreeMap<String, InterfaceFacts>) -> Followed {
        let before = [found("", true, &["10.9.0.2/24"]).unwrap()];
        follow_in(machine, &config(""), &before)
    }

    #[test]
    fn a_network_that_is_nowhere_keeps_its_place_and_is_named() {
        let gone = "interface eth0 is gone; nothing is served there until it is back";
        let down = "interface eth0 is down; nothing is served there until it is back";
        let bare = "interface eth0 has no IPv4 address to answer from: give it one, or set selfIP; it answers \
                    as 10.9.0.2 still, where renewals by unicast find nobody";
        for (machine, trouble, strays) in [
            (machine("eth1", true, &["10.9.0.2/24"]), gone, true),
            (machine("eth0", false, &["10.9.0.2/24"]), down, false),
            (machine("eth0", true, &["10.8.0.2/24"]), bare, false),
        ] {
            let followed = followed(&machine);
            assert_eq!(followed.places, [found("", true, &["10.9.0.2/24"]).unwrap()]);
            assert_eq!(followed.troubles, BTreeMap::from([("network a".to_owned(), trouble.to_owned())]));
            assert_eq!(!followed.strayed.is_empty(), strays, "{trouble}");
        }
    }

    #[test]
    fn an_interface_made_anew_is_another_and_serves_nothing_before_it_can() {
        let mut anew = machine("eth0", true, &[]);
        anew.get_mut("eth0").unwrap().index = 9;
        let seen = followed(&anew);
        assert_eq!(seen.strayed, BTreeSet::from([7]));
        assert!(
            seen.troubles["network a"].ends_with("; nothing is served there until it is back"),
            "{seen:?}"
        );
        anew.get_mut("eth0").unwrap().addresses.push("10.9.0.2/24".parse().unwrap());
        assert_eq!(followed(&anew).places[0].wire.interface, 9);
    }

    #[test]
    fn an_interface_without_a_carrier_keeps_its_place() {
        let mut unplugged = machine("eth0", true, &["10.9.0.2/24"]);
        unplugged.get_mut("eth0").unwrap().running = false;
        let seen = followed(&unplugged);
        assert_eq!(seen.silent, BTreeSet::from(["eth0".to_owned()]));
        assert_eq!((seen.troubles, seen.strayed), Default::default());
    }
}
