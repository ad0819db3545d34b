//! The engine from outside: frames in, frames and effects out, on a virtual clock.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod arbitrary;
mod bootp;
mod classes;
mod discover;
mod gate;
mod give_back;
mod horizon;
mod identity;
mod keep;
mod kernel;
mod lab;
mod messages;
mod options;
mod permits;
mod probes;
mod relays;
mod request;
mod reservations;
mod static_hosts;

use std::net::Ipv4Addr;

use xdhcpd_common::facts::MessageType;

use super::ignored::Ignored;
use crate::server::builder::Builder;

use self::lab::{Got, Lab, SERVER_MAC};

const SERVER: [u8; 4] = [10, 9, 0, 2];
const RELAY: [u8; 4] = [10, 8, 0, 1];
const RELAY_MAC: [u8; 6] = [2, 0, 0, 8, 0, 1];

/// What a client of these tests asks for.
const WANTS: [u8; 4] = [1, 3, 6, 15];

/// One network with four addresses, and more lines of its configuration.
fn rack(lines: &[&str]) -> String {
    let mut yaml = String::from(
        "networks:
- name: rack1
  interface: eth1
  subnet: 10.9.0.0/24
  gateway: 10.9.0.1
  selfIP: 10.9.0.2/24
",
    );
    for (key, default) in [
        ("ranges", "ranges: [10.9.0.100-10.9.0.103]"),
        ("leaseTime", "leaseTime: 1h"),
        ("minLeaseTime", "minLeaseTime: 1m"),
        ("maxLeaseTime", "maxLeaseTime: 1d"),
    ] {
        if !lines.iter().any(|line| line.starts_with(key)) {
            yaml.extend(["  ", default, "\n"]);
        }
    }
    for line in lines {
        yaml.extend(["  ", line, "\n"]);
    }
    yaml
}

/// Two networks on one wire: the first with one address, the second with two.
fn shared_wire() -> String {
    let mut yaml = rack(&["ranges: [10.9.0.100-10.9.0.100]"]);
    yaml.push_str(
        "- name: rack2
  interface: eth1
  subnet: 10.9.1.0/24
  selfIP: 10.9.1.2/24
  ranges: [10.9.1.100-10.9.1.101]
  leaseTime: 1h
",
    );
    yaml
}

fn mac(client: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, client]
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, last)
}

fn message(client: u8, kind: u8) -> Builder {
    Builder { mac: mac(client), source_mac: mac(client), ..Builder::new(kind) }
}

fn bare_discover(client: u8) -> Builder {
    message(client, MessageType::DISCOVER)
}

fn discover(client: u8) -> Builder {
    bare_discover(client).option(55, &WANTS)
}

fn bare_request(client: u8) -> Builder {
    message(client, MessageType::REQUEST)
}

fn selecting_from(client: u8, address: Ipv4Addr, server: [u8; 4]) -> Builder {
    bare_request(client).option(50, &address.octets()).option(54, &server).option(55, &WANTS)
}

fn selecting(client: u8, address: Ipv4Addr) -> Builder {
    selecting_from(client, address, SERVER)
}

fn init_reboot(client: u8, address: Ipv4Addr) -> Builder {
    bare_request(client).option(50, &address.octets()).option(55, &WANTS)
}

/// From an address that the client has, to ours.
fn unicast(builder: Builder, address: Ipv4Addr) -> Builder {
    Builder {
        ciaddr: address.octets(),
        source: address.octets(),
        destination: SERVER,
        destination_mac: SERVER_MAC,
        ..builder
    }
}

fn renewing(client: u8, address: Ipv4Addr) -> Builder {
    unicast(bare_request(client).option(55, &WANTS), address)
}

fn rebinding(client: u8, address: Ipv4Addr) -> Builder {
    Builder { destination: [255; 4], destination_mac: [0xff; 6], ..renewing(client, address) }
}

fn release(client: u8, address: Ipv4Addr) -> Builder {
    unicast(message(client, MessageType::RELEASE).option(54, &SERVER), address)
}

fn decline(client: u8, address: Ipv4Addr) -> Builder {
    message(client, MessageType::DECLINE).option(50, &address.octets()).option(54, &SERVER)
}

/// The message as the relay hands it on, with its option 82.
fn relayed(builder: Builder, giaddr: [u8; 4], info: &[u8]) -> Builder {
    let builder = if info.is_empty() { builder } else { builder.option(82, info) };
    Builder {
        giaddr,
        source: giaddr,
        source_mac: RELAY_MAC,
        destination: SERVER,
        destination_mac: SERVER_MAC,
        ports: (67, 67),
        ..builder
    }
}

/// A client that has its address: offered, requested, on disk.
fn bound(lab: &mut Lab, client: u8) -> Ipv4Addr {
    let address = lab.offer(discover(client)).yiaddr;
    assert_eq!(lab.ack(selecting(client, address)).yiaddr, address);
    address
}
