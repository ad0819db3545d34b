//! What an operator should hear of the wire: in words, and once a minute at most for each network.

use std::net::Ipv4Addr;

use xdhcpd_common::maps::{Event, Wire};

use crate::engine::Engine;
use crate::engine::ignored::Ignored;
use crate::engine::request::Request;
use crate::notices::{Notice, What};

use super::mac_text;
use super::quiet::Quiet;

/// What to say of a request that got no answer; none: nothing, or not again.
pub fn of_ignored(
    quiet: &mut Quiet,
    engine: &Engine,
    wire: Wire,
    reason: Ignored,
    request: &Request,
) -> Option<Notice> {
    let client = mac_text(request.facts.mac);
    match reason {
        Ignored::NoFreeAddress => {
            let networks = names(engine, wire);
            let is_new = quiet.may_say("no free address", &networks);
            let text = || format!("no free address for {client} on {networks}: the pool is empty");
            is_new.then(|| Notice { what: What::NoFreeAddress, text: text() })
        }
        Ignored::UnknownRelay => {
            let relay = Ipv4Addr::from(request.facts.giaddr);
            let is_new = quiet.may_say("unknown relay", "");
            let text = || format!("ignored {client} through relay {relay}: it is in no network's `relays`");
            is_new.then(|| Notice { what: What::UnknownRelay, text: text() })
        }
        _ => None,
    }
}

/// What to say of another DHCP server on our wire; none: not again.
pub fn of_other_server(quiet: &mut Quiet, network: &str, event: &Event) -> Option<Notice> {
    let (ip, mac) = (Ipv4Addr::from(event.ip), mac_text(event.key.mac));
    let is_new = quiet.may_say("other server", network);
    let text = || format!("another DHCP server answers on network {network}: {ip} ({mac})");
    is_new.then(|| Notice { what: What::OtherServer, text: text() })
}

/// What to say of an address that its client found in use.
pub fn of_declined(ip: Ipv4Addr, mac: [u8; 6]) -> Notice {
    let text = format!("{} declined {ip}: somebody else uses it", mac_text(mac));
    Notice { what: What::AddressDeclined, text }
}

/// The networks of a wire, as they are called.
fn names(engine: &Engine, wire: Wire) -> String {
    let of_wire = engine.served().iter().filter(|served| served.place.wire == wire);
    of_wire.map(|served| served.config.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;
    use crate::engine::served::Place;
    use crate::engine::templates::Templates;
    use crate::server::builder::Builder;
    use crate::server::gate::{UdpChecksum, gate};

    fn engine() -> Engine {
        let network = |name: &str, subnet: &str| {
            format!(
                "{{name: {name}, interface: eth1, subnet: 10.9.{subnet}.0/24, ranges: [10.9.{subnet}.5-10.9.{subnet}.5]}}"
            )
        };
        let yaml = format!("networks: [{}, {}]", network("a", "0"), network("b", "1"));
        let config = parse_yaml(&yaml).unwrap();
        let place = |interface| {
            let wire = Wire { interface, vlan: [0; 2] };
            Place { wire, mac: [2; 6], server: Ipv4Addr::new(10, 9, 0, 2), on_link: true }
        };
        Engine::new(&config, &[place(7), place(8)], 1, Templates::new(8))
    }

    #[test]
    fn c27_an_empty_pool_is_said_once_a_minute_for_each_network() {
        let (engine, mut quiet) = (engine(), Quiet::default());
        let request = gate(&Builder::new(1).frame(), UdpChecksum::Verify).unwrap();
        let mut said = |interface| {
            let wire = Wire { interface, vlan: [0; 2] };
            of_ignored(&mut quiet, &engine, wire, Ignored::NoFreeAddress, &request)
        };
        let first = said(7).expect("it is said");
        assert_eq!(first.text, "no free address for 02:00:00:00:00:01 on a: the pool is empty");
        assert_eq!(said(7), None);
        assert!(said(8).is_some_and(|notice| notice.text.contains(" on b:")));
    }

    #[test]
    fn c58_another_server_is_said_once_a_minute_with_its_addresses() {
        let mut quiet = Quiet::default();
        let mut event = Event { ip: [10, 9, 0, 66], ..Event::default() };
        event.key.mac = [2, 0, 0, 0, 0, 0x66];
        let said = of_other_server(&mut quiet, "a", &event);
        assert_eq!(
            said.as_ref().map(|notice| notice.text.as_str()),
            Some("another DHCP server answers on network a: 10.9.0.66 (02:00:00:00:00:66)")
        );
        assert_eq!(of_other_server(&mut quiet, "a", &event), None);
        assert!(of_other_server(&mut quiet, "b", &event).is_some());
    }
}
