//! Addresses that hosts have without DHCP.

use super::lab::config;
use super::*;
use crate::config::Config;

/// One address for clients, and one that a host has; `more` is said too.
fn with_a_host(more: &[&str]) -> Config {
    let ours = ["ranges: [10.9.0.100-10.9.0.101]"];
    let mut config = config(&rack(&[&ours, more].concat()));
    config.networks[0].static_hosts.insert(Ipv4Addr::new(10, 9, 0, 100));
    config
}

#[test]
fn c21_the_address_of_a_host_is_given_to_no_client_whatever_it_asks_for() {
    let mut lab = Lab::new(&rack(&[]));
    lab.serve(&with_a_host(&[]));
    let wanting = discover(1).option(50, &[10, 9, 0, 100]);
    assert_eq!(lab.offer(wanting).yiaddr, Ipv4Addr::new(10, 9, 0, 101));
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
    let counts = lab.table.counts(crate::lease::NetworkId(0));
    assert_eq!((counts.total, counts.remaining), (1, 0));
}

#[test]
fn c35_a_client_that_has_the_address_of_a_host_goes_on_having_it_and_gets_it_again() {
    let mut lab = Lab::new(&rack(&["ranges: [10.9.0.100-10.9.0.101]"]));
    let address = bound(&mut lab, 1);
    assert_eq!(address, Ipv4Addr::new(10, 9, 0, 100));
    lab.serve(&with_a_host(&[]));
    assert_eq!(lab.ack(renewing(1, address)).yiaddr, address);
    lab.silence(release(1, address));
    lab.take_back();
    assert_eq!(bound(&mut lab, 2), Ipv4Addr::new(10, 9, 0, 101));
    assert_eq!(lab.ignored(discover(3)), Ignored::NoFreeAddress, "although it was given back");
    assert_eq!(bound(&mut lab, 1), address);
}

#[test]
fn c53_a_reservation_gives_the_address_of_a_host_to_its_client() {
    let mut lab = Lab::new(&rack(&[]));
    lab.serve(&with_a_host(&["reservations: [{mac: \"02:00:00:00:00:03\", ip: 10.9.0.100}]"]));
    assert_eq!(bound(&mut lab, 3), Ipv4Addr::new(10, 9, 0, 100));
}
