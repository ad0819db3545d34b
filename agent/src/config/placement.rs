//! Where addresses may stand in a network: in its subnet, and out of each other's way.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::nearest::nearest;
use super::network::Ranged;
use super::problems::Report;
use super::reservations::Reserved;
use super::value::Placed;
use super::{Class, addresses};

/// All of a network that has a place in its subnet.
pub(super) struct Plan {
    /// Option 3.
    pub(super) gateway: Option<Placed<Ipv4Addr>>,
    /// The server's own address.
    pub(super) self_ip: Option<Placed<Ipv4Net>>,
    /// Dynamic ranges.
    pub(super) ranges: Vec<Ranged>,
    /// What is left out of them.
    pub(super) exclude: Vec<Placed<RangeInclusive<Ipv4Addr>>>,
    /// Fixed addresses.
    pub(super) reservations: Vec<Reserved>,
    /// The classes that ranges may name.
    pub(super) classes: Vec<Class>,
}

impl Plan {
    /// The gateway, its place forgotten.
    pub(super) fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway.as_ref().map(|gateway| gateway.value)
    }

    /// How many addresses the ranges have.
    pub(super) fn pool(&self) -> u64 {
        let counts = self.ranges.iter().map(|range| addresses::count(&range.pool.value.range));
        counts.fold(0, u64::saturating_add)
    }

    fn excluded(&self, ip: Ipv4Addr) -> bool {
        self.exclude.iter().any(|exclude| exclude.value.contains(&ip))
    }

    /// The range that would hand `ip` out.
    fn range_giving(&self, ip: Ipv4Addr) -> Option<&RangeInclusive<Ipv4Addr>> {
        let given = self.ranges.iter().map(|range| &range.pool.value.range).find(|range| range.contains(&ip));
        given.filter(|_| !self.excluded(ip))
    }
}

/// Checks everything that can be checked; without a subnet, what does not need one.
pub(super) fn check(subnet: Option<Ipv4Net>, plan: &Plan, report: &mut Report) {
    check_ranges(subnet, plan, report);
    if let Some(subnet) = subnet {
        for exclude in &plan.exclude {
            if let Some(outside) = first_outside(subnet, &exclude.value) {
                report.add(&exclude.path, lies_outside(outside, subnet));
            }
        }
    }
    if let Some(gateway) = &plan.gateway {
        check_own_address("the gateway", gateway.value, &gateway.path, subnet, plan, report);
    }
    if let Some(self_ip) = &plan.self_ip {
        check_self_ip(self_ip, subnet, plan, report);
    }
    check_reservations(subnet, plan, report);
    check_clients_are_apart(plan, report);
}

fn check_ranges(subnet: Option<Ipv4Net>, plan: &Plan, report: &mut Report) {
    for (at, range) in plan.ranges.iter().enumerate() {
        let (path, pool) = (&range.pool.path, &range.pool.value);
        if let Some(subnet) = subnet {
            if let Some(outside) = first_outside(subnet, &pool.range) {
                report.add(path, lies_outside(outside, subnet));
            } else {
                for end in [pool.range.start(), pool.range.end()] {
                    if let Some(what) = role_in(subnet, *end) {
                        report.add(path, format!("{end} is {what} of {subnet}; no client can have it"));
                    }
                }
            }
        }
        for earlier in plan.ranges.iter().take(at).map(|earlier| &earlier.pool.value.range) {
            if earlier.start() <= pool.range.end() && pool.range.start() <= earlier.end() {
                let overlap =
                    format!("{} overlaps {}", addresses::shown(&pool.range), addresses::shown(earlier));
                report.add(path, overlap);
            }
        }
        check_class_exists(range, &plan.classes, report);
    }
}

fn check_class_exists(range: &Ranged, classes: &[Class], report: &mut Report) {
    let Some(wanted) = &range.pool.value.class else { return };
    let names = || classes.iter().map(|class| class.name.as_str());
    if names().any(|name| name == wanted) {
        return;
    }
    let message = match nearest(wanted, names()) {
        Some(near) => format!("there is no class {wanted}; did you mean `{near}`?"),
        None => format!("there is no class {wanted} in this network"),
    };
    report.add(&range.class_path, message);
}

/// An address that a machine other than a client has: in the subnet, and never handed out.
fn check_own_address(
    whose: &str,
    ip: Ipv4Addr,
    path: &str,
    subnet: Option<Ipv4Net>,
    plan: &Plan,
    report: &mut Report,
) {
    if let Some(subnet) = subnet {
        if !subnet.contains(&ip) {
            report.add(path, lies_outside(ip, subnet));
            return;
        }
        if let Some(what) = role_in(subnet, ip) {
            report.add(path, format!("{ip} is {what} of {subnet}; no host can have it"));
            return;
        }
    }
    if let Some(range) = plan.range_giving(ip) {
        let range = addresses::shown(range);
        report.add(
            path,
            format!("{whose} {ip} lies inside the range {range}; end the range before it, or exclude it"),
        );
    }
}

fn check_self_ip(self_ip: &Placed<Ipv4Net>, subnet: Option<Ipv4Net>, plan: &Plan, report: &mut Report) {
    let (ip, path) = (self_ip.value.addr(), &self_ip.path);
    if let Some(subnet) = subnet
        && subnet.contains(&ip)
        && self_ip.value.prefix_len() != subnet.prefix_len()
    {
        let wanted = format!("{ip}/{}", subnet.prefix_len());
        report.add(path, format!("must have the subnet's mask: {wanted}, not {}", self_ip.value));
    }
    // It may be the gateway's: then the server is the router.
    check_own_address("selfIP", ip, path, subnet, plan, report);
}

fn check_reservations(subnet: Option<Ipv4Net>, plan: &Plan, report: &mut Report) {
    let self_ip = plan.self_ip.as_ref().map(|self_ip| self_ip.value.addr());
    for Reserved { ip: Placed { path, value: ip }, .. } in &plan.reservations {
        if let Some(subnet) = subnet {
            if !subnet.contains(ip) {
                report.add(path, lies_outside(*ip, subnet));
                continue;
            }
            if let Some(what) = role_in(subnet, *ip) {
                report.add(path, format!("{ip} is {what} of {subnet}; no client can have it"));
            }
        }
        if plan.gateway() == Some(*ip) {
            report.add(path, format!("{ip} is the gateway's address"));
        }
        if self_ip == Some(*ip) {
            report.add(path, format!("{ip} is the server's own address (selfIP)"));
        }
        if plan.excluded(*ip) {
            report.add(path, format!("{ip} is excluded; what is excluded is never handed out"));
        }
    }
}

/// One client has one address, and one address one client.
fn check_clients_are_apart(plan: &Plan, report: &mut Report) {
    let mut clients = HashMap::new();
    let mut ips = HashSet::new();
    for reserved in &plan.reservations {
        if let Some(first) = clients.insert(&reserved.client.value, reserved.ip.value) {
            report.add(&reserved.client.path, format!("this client has a reservation already, of {first}"));
        }
        if !ips.insert(reserved.ip.value) {
            report.add(&reserved.ip.path, format!("{} is reserved already", reserved.ip.value));
        }
    }
}

fn first_outside(subnet: Ipv4Net, range: &RangeInclusive<Ipv4Addr>) -> Option<Ipv4Addr> {
    [*range.start(), *range.end()].into_iter().find(|end| !subnet.contains(end))
}

fn lies_outside(ip: Ipv4Addr, subnet: Ipv4Net) -> String {
    format!("{ip} lies outside {subnet}")
}

/// What an address is that stands for no host.
fn role_in(subnet: Ipv4Net, ip: Ipv4Addr) -> Option<&'static str> {
    if ip == subnet.network() {
        Some("the network address")
    } else if ip == subnet.broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}
