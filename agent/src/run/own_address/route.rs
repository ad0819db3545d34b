//! The host's default routes: an interface that carries one keeps its addresses.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;

use crate::netlink::{self, attribute, u16_at, u32_at};

/// `RTM_NEWROUTE`.
const NEW: u16 = 24;
/// `RTM_GETROUTE`.
const GET: u16 = 26;
/// Length of `struct rtmsg`.
const HEADER: usize = 12;
/// `AF_INET`.
const IPV4: u8 = 2;
/// `RTN_UNICAST`: a route that leads somewhere.
const UNICAST: u8 = 1;
/// `RTA_OIF`.
const INTERFACE: u16 = 4;
/// `RTA_GATEWAY`.
const GATEWAY: u16 = 5;
/// `RTA_MULTIPATH`: several hops, each a `struct rtnexthop` and attributes.
const HOPS: u16 = 9;
/// Length of `struct rtnexthop`.
const HOP_HEADER: usize = 8;

/// A default route through an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultRoute {
    gateway: Option<Ipv4Addr>,
}

impl fmt::Display for DefaultRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gateway {
            Some(gateway) => write!(f, "default via {gateway}"),
            None => f.write_str("default, with no gateway"),
        }
    }
}

/// A default route of any table through this interface; none: there is none.
pub(super) fn default_through(index: u32) -> io::Result<Option<DefaultRoute>> {
    let mut question = [0; HEADER];
    if let Some(family) = question.first_mut() {
        *family = IPV4;
    }
    Ok(netlink::list(GET, &question, NEW, |body| read(body, index))?.into_iter().next())
}

/// Reads a route; none: it is no default route, or leads elsewhere.
fn read(body: &[u8], index: u32) -> Option<DefaultRoute> {
    let (header, attributes) = body.split_at_checked(HEADER)?;
    let is_default = header.first() == Some(&IPV4) && header.get(1) == Some(&0);
    if !is_default || header.get(7) != Some(&UNICAST) {
        return None;
    }
    if attribute(attributes, INTERFACE).and_then(|value| u32_at(value, 0)) == Some(index) {
        return Some(through(attributes));
    }
    let mut hops = attribute(attributes, HOPS)?;
    while let Some(length) = u16_at(hops, 0).map(usize::from) {
        let hop = hops.get(HOP_HEADER..length)?;
        if u32_at(hops, 4) == Some(index) {
            return Some(through(hop));
        }
        hops = hops.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn through(attributes: &[u8]) -> DefaultRoute {
    let gateway = attribute(attributes, GATEWAY).and_then(<[u8]>::first_chunk::<4>);
    DefaultRoute { gateway: gateway.copied().map(Ipv4Addr::from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::with_header;

    fn route(prefix: u8, kind: u8, attributes: &[u8]) -> Vec<u8> {
        [&[IPV4, prefix, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0], attributes].concat()
    }

    fn hop(index: u32) -> Vec<u8> {
        [with_header(INTERFACE, index.to_ne_bytes()), with_header(GATEWAY, [10, 0, 0, 1])].concat()
    }

    #[test]
    fn a_default_route_is_the_one_with_no_prefix_through_the_interface() {
        let found = read(&route(0, UNICAST, &hop(7)), 7).unwrap();
        assert_eq!(found.to_string(), "default via 10.0.0.1");
        assert_eq!(read(&route(0, UNICAST, &hop(7)), 8), None);
        assert_eq!(read(&route(24, UNICAST, &hop(7)), 7), None);
        assert_eq!(read(&route(0, 7, &hop(7)), 7), None, "`unreachable default` leads nowhere");
    }

    #[test]
    fn each_hop_of_a_default_route_counts() {
        let gateway = with_header(GATEWAY, [10, 0, 0, 2]);
        let one =
            |index: u32| [&16_u16.to_ne_bytes(), [0, 0].as_slice(), &index.to_ne_bytes(), &gateway].concat();
        let hops = [one(7), one(8)].concat();
        let attributes = [&36_u16.to_ne_bytes(), HOPS.to_ne_bytes().as_slice(), &hops].concat();
        let body = route(0, UNICAST, &attributes);
        assert_eq!(read(&body, 8).unwrap().to_string(), "default via 10.0.0.2");
        assert_eq!(read(&body, 9), None);
        for end in 0..body.len() {
            let _any = read(&body[..end], 8);
        }
    }
}
