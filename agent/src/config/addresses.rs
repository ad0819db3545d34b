//! Addresses to the letter: IPv4 addresses, subnets, ranges, and MACs.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::problems::quoted;
use super::scalars::{byte, text};
use super::value::expected;

/// The largest subnet: 16 million addresses, the size of a whole private network (10.0.0.0/8).
const SHORTEST_PREFIX: u8 = 8;
/// The smallest subnet in which a server and a client have an address each.
const LONGEST_PREFIX: u8 = 30;

/// Any IPv4 address, in four decimal numbers without leading zeros.
pub(super) fn address(value: &Value) -> Result<Ipv4Addr, String> {
    text(value)?.parse().map_err(|_| expected("an IPv4 address such as 10.9.0.1", value))
}

/// An address that one host can have.
pub(super) fn host(value: &Value) -> Result<Ipv4Addr, String> {
    let address = address(value)?;
    let shared = [
        (address.is_unspecified(), "no address"),
        (address.is_broadcast(), "the broadcast address"),
        (address.is_multicast(), "a multicast address"),
    ];
    match shared.into_iter().find(|(is, _)| *is) {
        Some((_, what)) => Err(format!("{address} is {what}; expected the address of one host")),
        None => Ok(address),
    }
}

/// An address with the length of its prefix; its host bits may be set.
pub(super) fn interface_address(value: &Value) -> Result<Ipv4Net, String> {
    let complaint = || expected("an address and prefix length such as 10.9.0.2/24", value);
    let (address, length) = text(value)?.split_once('/').ok_or_else(complaint)?;
    let digits = length.bytes().all(|b| b.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    let address = address.parse().map_err(|_| complaint())?;
    let length = length.parse().ok().filter(|_| digits).ok_or_else(complaint)?;
    Ipv4Net::new(address, length).map_err(|_| complaint())
}

/// A prefix: an address whose host bits are zero.
pub(super) fn prefix(value: &Value) -> Result<Ipv4Net, String> {
    let net = interface_address(value)?;
    if net == net.trunc() {
        Ok(net)
    } else {
        Err(format!("the host's bits must be zero: {}, not {net}", net.trunc()))
    }
}

/// A subnet mask: ones, then zeros.
pub(super) fn mask(value: &Value) -> Result<Ipv4Addr, String> {
    let mask = text(value)?.parse().ok();
    let is_mask = |mask: &Ipv4Addr| ipnet::ipv4_mask_to_prefix(*mask).is_ok_and(|length| length > 0);
    mask.filter(is_mask).ok_or_else(|| expected("a subnet mask such as 255.255.255.0", value))
}

/// A prefix that a network can be.
pub(super) fn subnet(value: &Value) -> Result<Ipv4Net, String> {
    let net = prefix(value)?;
    let reason = match net.prefix_len() {
        31 => "a /31 has no room for a server beside the two ends of its link",
        32 => "a /32 has one address: none is left for a client",
        length if length < SHORTEST_PREFIX => "it is larger than a /8",
        _ if net.network().is_loopback() => "loopback addresses never reach a wire",
        _ if net.network().octets().starts_with(&[0]) => "addresses in 0.0.0.0/8 belong to no host",
        _ if net.network().is_multicast() => "multicast addresses belong to no host",
        _ => return Ok(net),
    };
    Err(format!(
        "{net} cannot be served: {reason}; expected a subnet such as 10.9.0.0/24, from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}"
    ))
}

/// A relay's address, or a prefix that relays are in.
pub(super) fn relays(value: &Value) -> Result<Ipv4Net, String> {
    if !text(value)?.contains('/') {
        return host(value).map(Ipv4Net::from);
    }
    let net = prefix(value)?;
    if net.prefix_len() < SHORTEST_PREFIX {
        return Err(format!("{net} would trust too many; at least a /{SHORTEST_PREFIX} is expected"));
    }
    Ok(net)
}

/// First to last address, both included.
pub(super) fn range(value: &Value) -> Result<RangeInclusive<Ipv4Addr>, String> {
    let text = text(value)?;
    let ends = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last): (Ipv4Addr, Ipv4Addr) =
        ends.ok_or_else(|| expected("a range such as 10.9.0.100-10.9.0.200", value))?;
    if first > last {
        return Err(format!("the range {} ends before it starts", quoted(text)));
    }
    Ok(first..=last)
}

/// A range, or one address alone.
pub(super) fn range_or_address(value: &Value) -> Result<RangeInclusive<Ipv4Addr>, String> {
    if text(value)?.contains('-') {
        return range(value);
    }
    let address: Ipv4Addr = text(value)?.parse().map_err(|_| {
        expected("an address such as 10.9.0.150, or a range such as 10.9.0.150-10.9.0.160", value)
    })?;
    Ok(address..=address)
}

/// A range as the file writes it.
pub(super) fn shown(range: &RangeInclusive<Ipv4Addr>) -> String {
    format!("{}-{}", range.start(), range.end())
}

/// How many addresses a range has.
pub(super) fn count(range: &RangeInclusive<Ipv4Addr>) -> u64 {
    let (first, last) = (u64::from(range.start().to_bits()), u64::from(range.end().to_bits()));
    last.saturating_sub(first).saturating_add(1)
}

/// A hardware address: six pairs of hex digits with colons; of one host, and not zero.
pub(super) fn mac(value: &Value) -> Result<[u8; 6], String> {
    let mac = value
        .as_str()
        .and_then(six_pairs)
        .ok_or_else(|| expected("a MAC address such as 02:00:00:00:00:01", value))?;
    match mac {
        [0, 0, 0, 0, 0, 0] => Err("the MAC address is zero; no client has it".to_owned()),
        // The lowest bit of the first byte marks a group (IEEE 802).
        [first, ..] if first & 1 == 1 => {
            Err(format!("{} is a group's address; no client has it", quoted(text(value)?)))
        }
        _ => Ok(mac),
    }
}

fn six_pairs(text: &str) -> Option<[u8; 6]> {
    let pair = |part: &str| match part.chars().collect::<Vec<_>>().as_slice() {
        [high, low] => byte(*high, *low),
        _ => None,
    };
    let bytes: Vec<u8> = text.split(':').map(pair).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_read_to_the_letter() {
        assert_eq!(address(&json!("10.9.0.1")), Ok(Ipv4Addr::new(10, 9, 0, 1)));
        for wrong in
            ["", "10.9.0", "10.9.0.01", "10.9.0.256", "10.9.0.1 ", "0x0a.9.0.1", "::1", "10.9.0.1/24"]
        {
            assert!(address(&json!(wrong)).is_err(), "{wrong}");
        }
        for wrong in ["0.0.0.0", "255.255.255.255", "224.0.0.1"] {
            assert!(host(&json!(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_has_no_host_bits() {
        assert_eq!(prefix(&json!("10.9.0.0/24")), Ok("10.9.0.0/24".parse().unwrap()));
        assert_eq!(
            prefix(&json!("10.9.0.5/24")),
            Err("the host's bits must be zero: 10.9.0.0/24, not 10.9.0.5/24".to_owned())
        );
        for wrong in
            ["10.9.0.0", "10.9.0.0/", "10.9.0.0/33", "10.9.0.0/024", "10.9.0.0/+24", "10.9.0.0/255.0.0.0"]
        {
            assert!(prefix(&json!(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(prefix(&json!("0.0.0.0/0")), Ok("0.0.0.0/0".parse().unwrap()));
    }

    #[test]
    fn a_subnet_can_be_served() {
        for good in ["10.0.0.0/8", "192.168.1.0/30", "169.254.0.0/16"] {
            assert!(subnet(&json!(good)).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0/0",
            "10.0.0.0/7",
            "10.0.0.0/31",
            "10.0.0.1/32",
            "127.0.0.0/8",
            "224.0.0.0/24",
            "0.1.0.0/16",
        ] {
            let message = subnet(&json!(bad)).unwrap_err();
            assert!(message.contains("10.0.0.0/7 ") || message.contains("cannot be served"), "{message}");
        }
    }

    #[test]
    fn ranges_run_forward() {
        let wanted = Ipv4Addr::new(10, 9, 0, 1)..=Ipv4Addr::new(10, 9, 0, 9);
        assert_eq!(range(&json!("10.9.0.1-10.9.0.9")), Ok(wanted.clone()));
        assert_eq!(shown(&wanted), "10.9.0.1-10.9.0.9");
        assert_eq!(
            range(&json!("10.9.0.9-10.9.0.1")),
            Err("the range `10.9.0.9-10.9.0.1` ends before it starts".to_owned())
        );
        for wrong in
            ["10.9.0.1", "10.9.0.1-", "10.9.0.1 - 10.9.0.9", "10.9.0.1-9", "10.9.0.1-10.9.0.9-10.9.0.10"]
        {
            assert!(range(&json!(wrong)).is_err(), "{wrong}");
        }
        assert!(range_or_address(&json!("10.9.0.1")).is_ok());
        assert!(range_or_address(&json!("10.9.0.1-10.9.0.2")).is_ok());
        assert!(range_or_address(&json!("x")).is_err());
    }

    #[test]
    fn macs_are_six_pairs_of_one_host() {
        assert_eq!(mac(&json!("02:00:00:00:00:aB")), Ok([2, 0, 0, 0, 0, 0xab]));
        assert_eq!(mac(&json!("52:54:00:11:22:33")), Ok([0x52, 0x54, 0, 0x11, 0x22, 0x33]));
        let wrong = [
            "",
            "02-00-00-00-00-01",
            "2:0:0:0:0:1",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "020000000001",
            "02:00:00:00:00:0g",
            "02:00:00:00:00:+1",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
        ];
        for wrong in wrong {
            assert!(mac(&json!(wrong)).is_err(), "{wrong}");
        }
        assert!(mac(&json!(20_000_000_001_u64)).is_err());
    }

    #[test]
    fn relays_are_addresses_or_prefixes() {
        assert_eq!(relays(&json!("10.8.0.1")), Ok("10.8.0.1/32".parse().unwrap()));
        assert_eq!(relays(&json!("10.8.0.0/16")), Ok("10.8.0.0/16".parse().unwrap()));
        for wrong in ["0.0.0.0", "0.0.0.0/0", "10.8.0.1/16"] {
            assert!(relays(&json!(wrong)).is_err(), "{wrong}");
        }
    }
}
