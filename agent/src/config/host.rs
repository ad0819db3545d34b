//! What the machine says about its interfaces, and what of a configuration that breaks.
//!
//! One file asks the machine. It asks with `getifaddrs`, which answers for the calling thread's network
//! namespace; `/sys/class/net` would answer for the one that was mounted.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::net::Ipv4Addr;
use std::ptr;

use ipnet::Ipv4Net;

use super::problems::Problem;
use super::{Config, Network};

/// What is known about an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// The kernel's number for it.
    pub index: u32,
    /// Its hardware address; none where it has another kind than Ethernet's six bytes.
    pub mac: Option<[u8; 6]>,
    /// Whether it has been set up (which says nothing about a carrier).
    pub up: bool,
    /// Whether frames can pass: it is up, and has a carrier where it needs one.
    pub running: bool,
    /// Its IPv4 addresses with their masks, in the kernel's order.
    pub addresses: Vec<Ipv4Net>,
}

/// The interface of this name; none where there is none (or the machine would not say: [`interfaces`]
/// tells the two apart).
pub fn interface(name: &str) -> Option<InterfaceFacts> {
    interfaces().ok()?.remove(name)
}

/// All interfaces of this network namespace, by name.
pub fn interfaces() -> io::Result<BTreeMap<String, InterfaceFacts>> {
    let list = AddressList::ask()?;
    let mut found = BTreeMap::new();
    let mut addresses: Vec<(String, Ipv4Net)> = Vec::new();
    for entry in list.iter() {
        match entry.address {
            // Every interface has one of these, whatever else it has.
            Address::Link { index, mac } => {
                let Entry { up, running, .. } = entry;
                found.insert(entry.name, InterfaceFacts { index, mac, up, running, addresses: Vec::new() });
            }
            Address::Ipv4(address) => addresses.push((entry.name, address)),
            Address::Other => {}
        }
    }
    for (label, address) in addresses {
        // An IPv4 address goes by its label, which is the name or the name, a colon and more.
        let name = label.split(':').next().unwrap_or_default();
        if let Some(facts) = found.get_mut(name) {
            facts.addresses.push(address);
        }
    }
    Ok(found)
}

/// What of the configuration this machine cannot do, with places as [`super::parse_value`] gives them.
pub fn check_host(config: &Config) -> Vec<Problem> {
    match interfaces() {
        Ok(found) => check_against(config, &found),
        Err(error) => {
            let message = format!("the machine's interfaces cannot be listed: {error}");
            vec![Problem { path: String::new(), message }]
        }
    }
}

fn check_against(config: &Config, found: &BTreeMap<String, InterfaceFacts>) -> Vec<Problem> {
    let complaint = |(at, network): (usize, &Network)| {
        let message = complaint_about(network, found)?;
        Some(Problem { path: format!("networks[{at}].interface"), message })
    };
    config.networks.iter().enumerate().filter_map(complaint).collect()
}

fn complaint_about(network: &Network, found: &BTreeMap<String, InterfaceFacts>) -> Option<String> {
    let name = &network.interface;
    let Some(facts) = found.get(name) else {
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        return Some(format!("{name} does not exist; there are: {}", names.join(", ")));
    };
    if !facts.up {
        return Some(format!("{name} is down; set it up first (ip link set {name} up)"));
    }
    let inside = facts.addresses.iter().any(|address| network.subnet.contains(&address.addr()));
    if network.self_ip.is_some() || inside {
        return None;
    }
    let subnet = network.subnet;
    if facts.addresses.is_empty() {
        return Some(format!("{name} has no IPv4 address; give it one in {subnet}, or set selfIP"));
    }
    if network.relays.is_empty() {
        let has: Vec<String> = facts.addresses.iter().map(ToString::to_string).collect();
        return Some(format!(
            "{name} has no address in {subnet} (it has {}); set selfIP, or relays if all of its clients are behind them",
            has.join(", ")
        ));
    }
    None
}

/// One entry of the kernel's list.
struct Entry {
    name: String,
    up: bool,
    running: bool,
    address: Address,
}

enum Address {
    Link { index: u32, mac: Option<[u8; 6]> },
    Ipv4(Ipv4Net),
    Other,
}

/// The list that `getifaddrs` allocates, until it is dropped.
struct AddressList(*mut libc::ifaddrs);

impl AddressList {
    fn ask() -> io::Result<Self> {
        let mut first = ptr::null_mut();
        // SAFETY: `first` is a valid place for the pointer that the call writes.
        if unsafe { libc::getifaddrs(&raw mut first) } == 0 {
            Ok(Self(first))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let mut next = self.0;
        std::iter::from_fn(move || {
            // SAFETY: `next` is null or an element of the list, which lives as long as `self`.
            let element = unsafe { next.as_ref() }?;
            next = element.ifa_next;
            Some(Entry::of(element))
        })
    }
}

impl Drop for AddressList {
    fn drop(&mut self) {
        // SAFETY: the list came from `getifaddrs` and nothing that was read out of it borrows from it.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

impl Entry {
    fn of(element: &libc::ifaddrs) -> Self {
        // SAFETY: an element's name is a string that ends in zero and lives as long as the list.
        let name = unsafe { CStr::from_ptr(element.ifa_name) }.to_string_lossy().into_owned();
        // These are among the lowest of the flags; the C type's sign means nothing here.
        let has = |flag: libc::c_int| element.ifa_flags & flag.cast_unsigned() != 0;
        let (up, running) = (has(libc::IFF_UP), has(libc::IFF_RUNNING));
        Self { name, up, running, address: Address::of(element) }
    }
}

impl Address {
    fn of(element: &libc::ifaddrs) -> Self {
        // SAFETY: an address is null or a socket address, of which the family always is there.
        let Some(family) = (unsafe { element.ifa_addr.as_ref() }).map(|address| address.sa_family) else {
            return Self::Other;
        };
        match i32::from(family) {
            libc::AF_PACKET => {
                // SAFETY: a socket address of this family has this layout; alignment is not relied on.
                let link = unsafe { element.ifa_addr.cast::<libc::sockaddr_ll>().read_unaligned() };
                let mac = link.sll_addr.first_chunk().copied().filter(|_| link.sll_halen == 6);
                Self::Link { index: link.sll_ifindex.cast_unsigned(), mac }
            }
            libc::AF_INET => {
                // SAFETY: this one's family has just been looked at.
                let address = unsafe { ipv4(element.ifa_addr) };
                let mask = if element.ifa_netmask.is_null() {
                    Ipv4Addr::BROADCAST
                } else {
                    // SAFETY: the mask of an IPv4 address has the address's own layout.
                    unsafe { ipv4(element.ifa_netmask) }
                };
                Ipv4Net::with_netmask(address, mask).map_or(Self::Other, Self::Ipv4)
            }
            _ => Self::Other,
        }
    }
}

/// The address in a socket address.
///
/// # Safety
/// `address` points to a whole `sockaddr_in`.
unsafe fn ipv4(address: *const libc::sockaddr) -> Ipv4Addr {
    // SAFETY: by this function's own condition; alignment is not relied on.
    let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
    Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;

    #[test]
    fn the_loopback_interface_is_what_it_always_is() {
        let lo = interface("lo").expect("every namespace has one");
        assert_eq!((lo.index, lo.mac), (1, Some([0; 6])));
        if lo.up {
            assert!(lo.addresses.contains(&"127.0.0.1/8".parse().unwrap()), "{:?}", lo.addresses);
        }
        assert_eq!(interface("no-such-one"), None);
    }

    fn complaints(network: &str, found: &[(&str, bool, &[&str])]) -> Vec<String> {
        let common = "name: a, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]";
        let config = parse_yaml(&format!("networks: [{{{common}, {network}}}]")).unwrap();
        let found = found.iter().map(|(name, up, addresses)| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            (
                (*name).to_owned(),
                InterfaceFacts { index: 7, mac: Some([2, 0, 0, 0, 0, 1]), up: *up, running: *up, addresses },
            )
        });
        check_against(&config, &found.collect()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_interface_that_is_missing_or_down_is_named() {
        assert_eq!(
            complaints("interface: eth9", &[("eth0", true, &[]), ("lo", true, &[])]),
            ["networks[0].interface: eth9 does not exist; there are: eth0, lo"]
        );
        assert_eq!(
            complaints("interface: eth0", &[("eth0", false, &["10.9.0.2/24"])]),
            ["networks[0].interface: eth0 is down; set it up first (ip link set eth0 up)"]
        );
    }

    #[test]
    fn a_network_needs_an_address_a_self_ip_or_relays() {
        let elsewhere: &[(&str, bool, &[&str])] = &[("eth0", true, &["10.8.0.2/24"])];
        assert_eq!(
            complaints("interface: eth0", elsewhere),
            ["networks[0].interface: eth0 has no address in 10.9.0.0/24 (it has 10.8.0.2/24); \
              set selfIP, or relays if all of its clients are behind them"]
        );
        assert!(complaints("interface: eth0, relays: [10.8.0.1]", elsewhere).is_empty());
        assert!(complaints("interface: eth0, selfIP: 10.9.0.2/24", elsewhere).is_empty());
        assert!(complaints("interface: eth0", &[("eth0", true, &["10.8.0.2/24", "10.9.0.2/24"])]).is_empty());
        assert_eq!(
            complaints("interface: eth0, relays: [10.8.0.1]", &[("eth0", true, &[])]),
            ["networks[0].interface: eth0 has no IPv4 address; give it one in 10.9.0.0/24, or set selfIP"]
        );
    }
}
