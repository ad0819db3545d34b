//! One network: its keys read, its parts brought together, then checked for their places.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::classes::read_classes;
use super::placement::{self, Plan};
use super::problems::Report;
use super::reservations::read_reservations;
use super::times::read_times;
use super::value::{Mapping, Node, Placed};
use super::{Identity, Network, PoolRange, addresses, durations, options, scalars};

/// A frame carries at most two tags that the XDP program reads.
const MAX_VLANS: usize = 2;
/// 0 means no VLAN and 4095 is reserved (IEEE 802.1Q).
const VLAN_IDS: RangeInclusive<u16> = 1..=4094;
/// Ranges are looked through for each new client.
const MAX_RANGES: usize = 64;
/// The same goes for what is left out of them.
const MAX_EXCLUDES: usize = 256;
/// They are looked through for each relayed message.
const MAX_RELAYS: usize = 256;
/// An offer that is held for longer than a day is a lease.
const OFFER_HOLD: RangeInclusive<u64> = 1..=86_400;
/// One minute.
const DEFAULT_OFFER_HOLD: u64 = 60;
/// Up to a year.
const DECLINE_HOLD: RangeInclusive<u64> = 1..=31_536_000;
/// One day.
const DEFAULT_DECLINE_HOLD: u64 = 86_400;

#[rustfmt::skip]
const KEYS: [&str; 28] = [
    "name", "interface", "vlans", "subnet", "ranges", "exclude", "gateway", "selfIP",
    "leaseTime", "minLeaseTime", "maxLeaseTime", "renewTime", "rebindTime",
    "authoritative", "identity", "reservedOnly", "keepAddresses", "bootp", "alwaysBroadcast", "probe",
    "offerHold", "declineHold", "checkSource", "relays", "options", "boot", "reservations", "classes",
];

/// A network as far as it could be read, with what the checks across networks need.
pub(super) struct Draft {
    /// Its name.
    pub(super) name: Option<Placed<String>>,
    /// Its subnet.
    pub(super) subnet: Option<Placed<Ipv4Net>>,
    /// How many addresses its ranges have.
    pub(super) pool: u64,
    /// The network, where all that it cannot be without was there.
    pub(super) network: Option<Network>,
}

/// Reads one entry of `networks`.
pub(super) fn read_network(node: &Node<'_>, report: &mut Report) -> Option<Draft> {
    let mapping = node.mapping(&KEYS, report)?;
    let name = mapping.required("name", report).and_then(|node| node.place(report, scalars::network_name));
    let interface =
        mapping.required("interface", report).and_then(|node| node.read(report, scalars::interface));
    let subnet = mapping.required("subnet", report).and_then(|node| node.place(report, addresses::subnet));
    let vlans = mapping.values("vlans", MAX_VLANS, report, scalars::integer(VLAN_IDS));
    let plan = read_plan(&mapping, report);
    let policy = read_policy(&mapping, report);
    let times = read_times(&mapping, report);
    let relays = mapping.values("relays", MAX_RELAYS, report, addresses::relays);
    let options = options::read_options(&mapping, plan.gateway(), report);
    let boot = options::read_boot(&mapping, report);

    placement::check(subnet.as_ref().map(|subnet| subnet.value), &plan, report);
    check_gives_addresses(&mapping, policy.reserved_only, report);
    let pool = plan.pool();
    let network =
        name.as_ref().zip(interface).zip(subnet.as_ref()).map(|((name, interface), subnet)| Network {
            name: name.value.clone(),
            interface,
            vlans,
            subnet: subnet.value,
            gateway: plan.gateway(),
            self_ip: plan.self_ip.as_ref().map(|self_ip| self_ip.value),
            ranges: plan.ranges.into_iter().map(|range| range.pool.value).collect(),
            exclude: plan.exclude.into_iter().map(|exclude| exclude.value).collect(),
            static_hosts: BTreeSet::new(),
            times,
            authoritative: policy.authoritative,
            identity: policy.identity,
            reserved_only: policy.reserved_only,
            keep_addresses: policy.keep_addresses,
            bootp: policy.bootp,
            always_broadcast: policy.always_broadcast,
            probe: policy.probe,
            offer_hold: policy.offer_hold,
            decline_hold: policy.decline_hold,
            check_source: policy.check_source,
            relays,
            options,
            boot,
            reservations: plan.reservations.into_iter().map(|reserved| reserved.reservation).collect(),
            classes: plan.classes,
        });
    Some(Draft { name, subnet, pool, network })
}

fn read_plan(mapping: &Mapping<'_>, report: &mut Report) -> Plan {
    let gateway = mapping.get("gateway").and_then(|node| node.place(report, addresses::host));
    let default_route = gateway.as_ref().map(|gateway| gateway.value);
    let ranges = mapping.items("ranges", MAX_RANGES, report);
    Plan {
        gateway,
        self_ip: mapping.get("selfIP").and_then(|node| node.place(report, addresses::interface_address)),
        ranges: ranges.iter().filter_map(|node| read_range(node, report)).collect(),
        exclude: mapping.list("exclude", MAX_EXCLUDES, report, addresses::range_or_address),
        classes: read_classes(mapping, default_route, report),
        reservations: read_reservations(mapping, default_route, report),
    }
}

/// A range and the places that later checks complain about.
pub(super) struct Ranged {
    /// The range, where its text stands.
    pub(super) pool: Placed<PoolRange>,
    /// Where its class stands.
    pub(super) class_path: String,
}

/// A range is a text, or a mapping where it is for one class.
fn read_range(node: &Node<'_>, report: &mut Report) -> Option<Ranged> {
    if !node.value.is_object() {
        let range = node.place(report, addresses::range)?;
        let pool = PoolRange { range: range.value, class: None };
        return Some(Ranged { pool: Placed { path: range.path, value: pool }, class_path: String::new() });
    }
    let mapping = node.mapping(&["range", "class"], report)?;
    let class = mapping.get("class").and_then(|class| class.place(report, scalars::name));
    let range = mapping.required("range", report)?.place(report, addresses::range)?;
    let (class, class_path) = class.map(|class| (class.value, class.path)).unzip();
    let pool = PoolRange { range: range.value, class };
    Some(Ranged {
        pool: Placed { path: range.path, value: pool },
        class_path: class_path.unwrap_or_default(),
    })
}

/// How a network treats its clients.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the file, free of the others")]
struct Policy {
    authoritative: bool,
    identity: Identity,
    reserved_only: bool,
    keep_addresses: bool,
    bootp: bool,
    always_broadcast: bool,
    probe: bool,
    offer_hold: Duration,
    decline_hold: Duration,
    check_source: bool,
}

fn read_policy(mapping: &Mapping<'_>, report: &mut Report) -> Policy {
    let mut truth = |key, default| mapping.read(key, report, scalars::boolean).unwrap_or(default);
    let (authoritative, reserved_only) = (truth("authoritative", false), truth("reservedOnly", false));
    let (always_broadcast, probe) = (truth("alwaysBroadcast", false), truth("probe", true));
    let (keep_addresses, bootp) = (truth("keepAddresses", false), truth("bootp", false));
    let check_source = truth("checkSource", true);
    let identities = [("mac", Identity::Mac), ("client-id", Identity::ClientId)];
    let mut hold = |key, bounds: &RangeInclusive<u64>, default| {
        let given = mapping.read(key, report, durations::duration(bounds.clone()));
        given.unwrap_or(Duration::from_secs(default))
    };
    Policy {
        authoritative,
        reserved_only,
        keep_addresses,
        bootp,
        always_broadcast,
        probe,
        check_source,
        offer_hold: hold("offerHold", &OFFER_HOLD, DEFAULT_OFFER_HOLD),
        decline_hold: hold("declineHold", &DECLINE_HOLD, DEFAULT_DECLINE_HOLD),
        identity: mapping.read("identity", report, scalars::choice(&identities)).unwrap_or_default(),
    }
}

/// A network that can never give an address is a mistake, unless it says that it wants no strangers (then
/// its reservations may come later).
fn check_gives_addresses(mapping: &Mapping<'_>, reserved_only: bool, report: &mut Report) {
    // What is there but wrong has been reported already.
    let says =
        |key| mapping.get(key).is_some_and(|node| node.value.as_array().is_none_or(|list| !list.is_empty()));
    if !reserved_only && !says("ranges") && !says("reservations") {
        let message = "can never give an address: it needs ranges or reservations, or `reservedOnly: true`";
        report.add(&mapping.path, message);
    }
}
