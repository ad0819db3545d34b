//! The table's rules one by one.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod changes;
mod ends;
mod kept;
mod model;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::{AnsweredBy, ClientKey, Counts, Lease, NetworkId, State, Synced, Table};
use crate::clock::Moment;
use crate::config::{
    Boot, ClientMatch, Config, FastPath, Identity, LeaseTimes, Leases, Limits, Loader, Log, Network, Options,
    PoolRange, Reservation,
};

const NETWORK: NetworkId = NetworkId(0);

fn config(networks: Vec<Network>) -> Config {
    Config {
        name: "default".into(),
        networks,
        fast_path: FastPath::default(),
        leases: Leases { dir: PathBuf::from("/var/lib/dhcp"), horizon: 4 },
        loader: Loader {
            min_interval: Duration::ZERO,
            window: Duration::ZERO,
            max_failures: 3,
            cpu: None,
            memory: None,
        },
        limits: Limits { client_per_second: 20, interface_per_second: 20_000 },
        http: None,
        log: Log { level: tracing::Level::INFO, json: false },
        replace_node_addresses: false,
    }
}

fn network(subnet: &str, ranges: &[(&str, Option<&str>)]) -> Network {
    let range = |(text, class): &(&str, Option<&str>)| {
        let (first, last) = text.split_once('-').unwrap();
        PoolRange { range: ip(first)..=ip(last), class: class.map(str::to_owned) }
    };
    Network {
        name: subnet.into(),
        interface: "eth1".into(),
        vlans: Vec::new(),
        subnet: subnet.parse().unwrap(),
        ranges: ranges.iter().map(range).collect(),
        exclude: Vec::new(),
        gateway: None,
        static_hosts: std::collections::BTreeSet::new(),
        self_ip: None,
        times: LeaseTimes { default: 60, min: 60, max: 60, renew: None, rebind: None },
        authoritative: false,
        identity: Identity::Mac,
        reserved_only: false,
        keep_addresses: false,
        bootp: false,
        always_broadcast: false,
        probe: false,
        offer_hold: Duration::from_mins(1),
        decline_hold: Duration::from_hours(24),
        check_source: true,
        relays: Vec::new(),
        options: Options::default(),
        boot: Boot::default(),
        reservations: Vec::new(),
        classes: Vec::new(),
    }
}

fn reservation(address: &str) -> Reservation {
    Reservation {
        client: ClientMatch::Mac(mac(200)),
        ip: ip(address),
        host_name: None,
        options: Options::default(),
        boot: Boot::default(),
    }
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

fn lease(address: &str, client: u8, state: State, starts: u64, expires: u64) -> Lease {
    Lease {
        ip: ip(address),
        mac: mac(client),
        client_id: None,
        host_name: None,
        state,
        starts: Moment(starts),
        expires: Moment(expires),
        durable_until: Moment::NEVER,
        answered_by: AnsweredBy::Agent,
        taken: state != State::Offered,
    }
}

fn next(table: &Table) -> Option<Ipv4Addr> {
    table.next_free(NETWORK, |_| false, |_| false)
}

fn known_at(table: &Table, client: u8) -> Option<Ipv4Addr> {
    table.of_client(NETWORK, &ClientKey::Mac(mac(client))).map(|lease| lease.ip)
}

#[test]
fn c21_never_used_addresses_come_in_order_then_the_one_free_for_longest() {
    let ranges = [("10.0.0.8-10.0.0.9", None), ("10.0.0.3-10.0.0.3", None)];
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &ranges)]));
    for (client, expected) in [(1, "10.0.0.8"), (2, "10.0.0.9"), (3, "10.0.0.3")] {
        assert_eq!(next(&table), Some(ip(expected)));
        table.put(lease(expected, client, State::Bound, 1, 100));
    }
    assert_eq!(next(&table), None);
    table.expire(ip("10.0.0.9"), Moment(20));
    table.release(ip("10.0.0.3"), Moment(10));
    assert_eq!(next(&table), Some(ip("10.0.0.3")));
    assert_eq!(table.next_free(NETWORK, |_| false, |it| it == ip("10.0.0.3")), Some(ip("10.0.0.9")));
}

#[test]
fn nothing_that_is_taken_otherwise_is_given_dynamically() {
    let mut net = network("10.0.0.0/29", &[("10.0.0.0-10.0.0.7", None)]);
    net.gateway = Some(ip("10.0.0.1"));
    net.self_ip = Some("10.0.0.2/29".parse().unwrap());
    net.exclude = vec![ip("10.0.0.3")..=ip("10.0.0.4")];
    net.reservations = vec![reservation("10.0.0.5")];
    let mut table = Table::new(&config(vec![net]));
    let dynamic = |table: &Table| -> Vec<Ipv4Addr> {
        (0..8)
            .map(|n| Ipv4Addr::new(10, 0, 0, n))
            .filter(|it| table.is_dynamic(NETWORK, *it, |_| true))
            .collect()
    };
    assert_eq!(dynamic(&table), [ip("10.0.0.6")]);
    assert_eq!(next(&table), Some(ip("10.0.0.6")));
    assert_eq!(table.counts(NETWORK), Counts { total: 2, used: 0, declined: 0, kept: 0, remaining: 2 });
    table.put(lease("10.0.0.6", 1, State::Declined, 1, 100));
    table.put(lease("10.0.0.5", 2, State::Bound, 1, 100));
    // Out of the pool, so it takes nothing away from it.
    table.put(lease("10.0.0.4", 3, State::Bound, 1, 100));
    assert_eq!(next(&table), None);
    assert_eq!(table.counts(NETWORK), Counts { total: 2, used: 1, declined: 1, kept: 0, remaining: 0 });
    assert_eq!(table.in_state(NETWORK, State::Bound), 2);
}

#[test]
fn the_edges_of_a_31_are_addresses_like_others() {
    let table = Table::new(&config(vec![network("10.0.0.0/31", &[("10.0.0.0-10.0.0.1", None)])]));
    assert_eq!(table.counts(NETWORK).total, 2);
    assert_eq!(next(&table), Some(ip("10.0.0.0")));
}

#[test]
fn a_range_of_a_class_is_for_its_members_alone() {
    let ranges = [("10.0.0.8-10.0.0.8", Some("uefi")), ("10.0.0.9-10.0.0.9", None)];
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &ranges)]));
    let member = |class: &str| class == "uefi";
    assert_eq!(next(&table), Some(ip("10.0.0.9")));
    assert_eq!(table.next_free(NETWORK, member, |_| false), Some(ip("10.0.0.8")));
    assert!(!table.is_dynamic(NETWORK, ip("10.0.0.8"), |_| false));
    assert!(table.is_dynamic(NETWORK, ip("10.0.0.8"), member));
    table.put(lease("10.0.0.8", 1, State::Released, 1, 1));
    table.put(lease("10.0.0.9", 2, State::Released, 2, 2));
    assert_eq!(next(&table), Some(ip("10.0.0.9")));
    assert_eq!(table.next_free(NETWORK, member, |_| false), Some(ip("10.0.0.8")));
}

#[test]
fn an_address_in_two_ranges_belongs_to_the_first() {
    let ranges = [("10.0.0.8-10.0.0.9", Some("uefi")), ("10.0.0.9-10.0.0.10", None)];
    let table = Table::new(&config(vec![network("10.0.0.0/24", &ranges)]));
    assert_eq!(table.counts(NETWORK).total, 3);
    assert_eq!(next(&table), Some(ip("10.0.0.10")));
}

#[test]
fn a_client_is_known_by_what_it_has_then_by_what_it_had_last() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &[("10.0.0.1-10.0.0.99", None)])]));
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    table.put(lease("10.0.0.6", 1, State::Offered, 2, 100));
    assert_eq!(known_at(&table, 1), Some(ip("10.0.0.6")));
    table.forget(ip("10.0.0.6"));
    assert_eq!(known_at(&table, 1), Some(ip("10.0.0.5")));
    table.release(ip("10.0.0.5"), Moment(9));
    assert_eq!(known_at(&table, 1), Some(ip("10.0.0.5")));
    table.put(lease("10.0.0.7", 1, State::Bound, 10, 100));
    table.forget(ip("10.0.0.7"));
    assert_eq!(known_at(&table, 1), None, "the memory went when the client got another address");
    assert_eq!(table.get(ip("10.0.0.5")).unwrap().state, State::Released);
}

#[test]
fn an_address_that_goes_to_another_client_is_forgotten_by_the_first() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &[("10.0.0.1-10.0.0.99", None)])]));
    table.put(lease("10.0.0.5", 1, State::Expired, 1, 1));
    table.put(lease("10.0.0.5", 2, State::Offered, 2, 9));
    assert_eq!((known_at(&table, 1), known_at(&table, 2)), (None, Some(ip("10.0.0.5"))));
}

#[test]
fn c49_the_network_says_whether_the_client_id_counts() {
    let mut by_id = network("10.0.1.0/24", &[("10.0.1.1-10.0.1.99", None)]);
    by_id.identity = Identity::ClientId;
    let by_mac = network("10.0.0.0/24", &[("10.0.0.1-10.0.0.99", None)]);
    let mut table = Table::new(&config(vec![by_mac, by_id]));
    for address in ["10.0.0.5", "10.0.1.5"] {
        let mut lease = lease(address, 1, State::Bound, 1, 100);
        lease.client_id = Some([1, 2, 3].into());
        table.put(lease);
    }
    table.put(lease("10.0.1.6", 1, State::Bound, 1, 100));
    let find = |network: u16, id: Option<&[u8]>| {
        let key = table.client_key(NetworkId(network), mac(1), id);
        table.of_client(NetworkId(network), &key).map(|lease| lease.ip)
    };
    assert_eq!(find(0, Some(&[9])), Some(ip("10.0.0.5")));
    assert_eq!(find(1, Some(&[1, 2, 3])), Some(ip("10.0.1.5")));
    assert_eq!(find(1, Some(&[9])), None);
    assert_eq!(find(1, None), Some(ip("10.0.1.6")));
}

#[test]
fn an_address_after_its_quarantine_is_nobodys() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &[("10.0.0.5-10.0.0.5", None)])]));
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    assert!(table.decline(ip("10.0.0.5"), Moment(5), Moment(50)));
    assert_eq!((known_at(&table, 1), next(&table)), (None, None));
    assert_eq!(table.due(Moment(50)), [ip("10.0.0.5")]);
    table.expire(ip("10.0.0.5"), Moment(50));
    assert_eq!((known_at(&table, 1), next(&table)), (None, Some(ip("10.0.0.5"))));
}

#[test]
fn a_renewal_by_the_kernel_binds_an_offer_and_revives_what_ran_out_meanwhile() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &[("10.0.0.5-10.0.0.9", None)])]));
    let address = ip("10.0.0.5");
    let renewed = |table: &mut Table, client, until| {
        table.renewed(address, mac(client), Moment(10), Moment(until), AnsweredBy::Kernel)
    };
    table.put(lease("10.0.0.5", 1, State::Offered, 1, 20));
    assert!(renewed(&mut table, 1, 90));
    let bound = table.get(address).unwrap();
    assert_eq!(
        (bound.state, bound.expires, bound.answered_by),
        (State::Bound, Moment(90), AnsweredBy::Kernel)
    );
    assert!(!renewed(&mut table, 2, 99), "another client's event");
    assert!(renewed(&mut table, 1, 80), "an older event");
    assert!(table.due(Moment(89)).is_empty());
    assert_eq!(table.next_due(), Some(Moment(90)));
    assert_eq!(table.due(Moment(90)), [address]);
    table.expire(address, Moment(91));
    assert!(renewed(&mut table, 1, 120));
    table.release(address, Moment(100));
    assert!(!renewed(&mut table, 1, 130), "the kernel had suspended it before");
    assert!(table.due(Moment(130)).is_empty());
    assert_eq!(table.next_due(), None);
}

#[test]
fn only_what_the_disk_says_of_this_client_makes_a_lease_durable() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/24", &[("10.0.0.5-10.0.0.9", None)])]));
    let mut claimed = lease("10.0.0.5", 1, State::Bound, 1, 100);
    claimed.durable_until = Moment(400);
    table.put(claimed.clone());
    let until = |table: &Table| table.get(ip("10.0.0.5")).unwrap().durable_until;
    assert_eq!(until(&table), Moment::NEVER, "put makes nothing durable");
    let synced = Synced::pretend(&[(&claimed, Moment(400))]);
    table.mark_durable(&synced);
    assert_eq!(until(&table), Moment(400));
    table.put(lease("10.0.0.5", 1, State::Bound, 2, 200));
    assert_eq!(until(&table), Moment(400), "the same client keeps what it has on disk");
    table.put(lease("10.0.0.5", 2, State::Offered, 3, 200));
    assert_eq!(until(&table), Moment::NEVER);
    table.mark_durable(&synced);
    assert_eq!(until(&table), Moment::NEVER, "the append was for the former client");
}

#[test]
fn leases_outside_of_every_network_come_back_with_it() {
    let both = config(vec![
        network("10.0.0.0/24", &[("10.0.0.1-10.0.0.9", None)]),
        network("10.0.1.0/24", &[("10.0.1.1-10.0.1.9", None)]),
    ]);
    let mut table = Table::new(&both);
    table.put(lease("10.0.1.1", 1, State::Bound, 1, 100));
    table.reconfigure(&config(vec![network("10.0.0.0/24", &[("10.0.0.1-10.0.0.9", None)])]));
    assert_eq!((table.get(ip("10.0.1.1")), table.aside(), table.next_due()), (None, 1, None));
    assert_eq!(table.all_leases().count(), 1);
    assert!(!table.is_free(ip("10.0.1.1")));
    table.reconfigure(&both);
    assert_eq!(table.aside(), 0);
    assert_eq!(table.get(ip("10.0.1.1")).unwrap().mac, mac(1));
    assert_eq!(table.next_free(NetworkId(1), |_| false, |_| false), Some(ip("10.0.1.2")));
    assert_eq!(table.next_due(), Some(Moment(100)));
}

#[test]
fn an_eight_costs_what_its_leases_cost() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/8", &[("10.0.0.0-10.255.255.255", None)])]));
    assert_eq!(table.counts(NETWORK).total, (1 << 24) - 2);
    for n in 0..2_000u32 {
        let address = next(&table).unwrap();
        assert_eq!(address.to_bits(), 0x0a00_0001 + n);
        table.put(Lease { ip: address, ..lease("10.0.0.0", 1, State::Declined, 1, 9) });
    }
}

#[test]
fn what_is_due_is_named_in_bounded_parts() {
    let mut table = Table::new(&config(vec![network("10.0.0.0/16", &[("10.0.0.1-10.0.255.0", None)])]));
    for n in 1..=3_000u32 {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
        table.put(Lease {
            ip: address,
            mac: [2, 0, n.to_be_bytes()[0], n.to_be_bytes()[1], n.to_be_bytes()[2], n.to_be_bytes()[3]],
            ..lease("10.0.0.0", 1, State::Bound, 1, 9)
        });
    }
    let mut ended = 0;
    loop {
        let due = table.due(Moment(9));
        assert!(due.len() <= super::MAX_DUE);
        if due.is_empty() {
            break;
        }
        ended += due.len();
        for ip in due {
            assert!(table.expire(ip, Moment(9)));
        }
    }
    assert_eq!(ended, 3_000);
}

#[test]
fn leases_come_in_the_order_of_their_addresses_from_any_address_on() {
    let mut table = Table::new(&config(vec![
        network("10.9.0.0/24", &[("10.9.0.100-10.9.0.200", None)]),
        network("10.8.0.0/24", &[("10.8.0.100-10.8.0.200", None)]),
    ]));
    for (address, client) in [("10.9.0.120", 1), ("10.9.0.101", 2), ("10.8.0.150", 3), ("10.9.0.110", 4)] {
        table.put(lease(address, client, State::Bound, 1, 2));
    }
    table.forget(ip("10.9.0.110"));
    let found = |after: Option<&str>, network: Option<u16>| -> Vec<String> {
        let leases = table.leases_after(after.map(ip), network.map(NetworkId));
        leases.map(|lease| lease.ip.to_string()).collect()
    };
    assert_eq!(found(None, None), ["10.8.0.150", "10.9.0.101", "10.9.0.120"]);
    assert_eq!(found(Some("10.8.0.150"), None), ["10.9.0.101", "10.9.0.120"]);
    assert_eq!(found(Some("10.9.0.119"), None), ["10.9.0.120"]);
    assert_eq!(found(None, Some(1)), ["10.8.0.150"]);
    assert_eq!(found(Some("10.9.0.101"), Some(0)), ["10.9.0.120"]);
    for (after, network) in [
        (Some("10.9.0.120"), None),
        (Some("10.9.0.0"), Some(1)),
        (None, Some(2)),
        (Some("255.255.255.255"), None),
    ] {
        assert!(found(after, network).is_empty(), "{after:?} {network:?}");
    }
}
