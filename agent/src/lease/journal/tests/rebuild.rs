//! Leases known from elsewhere, where the file knows nothing.

use super::bad_disk::Failure;
use super::*;
use crate::config::{Config, parse_yaml};
use crate::lease::{ClientKey, Found, NetworkId, Table, rebuild};

fn config(more: &str) -> Config {
    let network =
        "name: a, interface: eth0, subnet: 10.0.0.0/24, ranges: [10.0.0.10-10.0.0.19], leaseTime: 60s";
    parse_yaml(&format!("networks: [{{{network}{more}}}]")).unwrap()
}

fn found(host: u8, client: u8, active: bool) -> Found {
    Found { ip: Ipv4Addr::new(10, 0, 0, host), mac: [2, 0, 0, 0, 0, client], active }
}

/// The table of an agent that starts on a disk with what is found, and what another one reads later.
fn started(config: &Config, disk: &BadDisk, all: &[Found]) -> (Table, Table) {
    let (mut journal, mut loaded) = open(disk);
    rebuild(config, &mut journal, &mut loaded, all, NOW).unwrap();
    // What was not fsynced is gone.
    let again = open(&disk.crash(|_| 0, true)).1;
    (Table::load(config, loaded), Table::load(config, again))
}

#[test]
fn an_empty_disk_learns_who_had_which_address_before_anything_is_given() {
    let config = config("");
    let all = [found(10, 1, true), found(11, 2, false), found(5, 3, true)];
    let (table, again) = started(&config, &BadDisk::default(), &all);
    for table in [&table, &again] {
        let lease = |host: u8| table.get(Ipv4Addr::new(10, 0, 0, host)).unwrap();
        // The hold of an offer, and four lease times.
        let latest = Moment(NOW.moment.0 + (60 + 4 * 60) * SECOND);
        for host in [10, 5] {
            let bound = lease(host);
            assert_eq!((bound.state, bound.expires, bound.durable_until), (State::Bound, latest, latest));
        }
        assert_eq!(lease(11).state, State::Expired);
        let client = ClientKey::Mac([2, 0, 0, 0, 0, 2]);
        assert_eq!(table.of_client(NetworkId(0), &client).map(|lease| lease.ip), Some(all[1].ip));
        let next = table.next_free(NetworkId(0), |_| false, |_| false);
        assert_eq!(next, Some(Ipv4Addr::new(10, 0, 0, 12)), "never-used ones first");
    }
}

#[test]
fn a_lease_without_an_end_has_none_after_it_was_found() {
    let (table, again) =
        started(&config(", maxLeaseTime: infinite"), &BadDisk::default(), &[found(10, 1, true)]);
    for table in [table, again] {
        let lease = table.get(Ipv4Addr::new(10, 0, 0, 10)).unwrap();
        assert_eq!((lease.expires, lease.durable_until), (Moment::FOREVER, Moment::FOREVER));
    }
}

#[test]
fn what_the_file_knows_it_knows_better() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _synced = append(&mut journal, &bound(10)).unwrap();
    let (table, _) = started(&config(""), &disk, &[found(10, 77, true)]);
    assert_eq!(table.get(bound(10).ip), Some(&bound(10)));
}

#[test]
fn what_is_nobodys_or_nowhere_is_left_out_and_of_two_the_active_one_counts() {
    let (mut journal, mut loaded) = open(&BadDisk::default());
    let nobody = Found { mac: [0; 6], ..found(12, 0, true) };
    let group = Found { mac: [1, 0, 0x5e, 0, 0, 1], ..found(13, 0, true) };
    let elsewhere = Found { ip: Ipv4Addr::new(10, 7, 0, 1), ..found(1, 1, true) };
    let all = [found(10, 1, false), nobody, group, elsewhere, found(10, 2, true)];
    assert_eq!(rebuild(&config(""), &mut journal, &mut loaded, &all, NOW).unwrap(), 1);
    assert_eq!(loaded.leases()[0].mac, [2, 0, 0, 0, 0, 2]);
}

#[test]
fn one_client_with_two_addresses_has_both_and_is_known_at_one() {
    let (table, _) = started(&config(""), &BadDisk::default(), &[found(10, 1, true), found(11, 1, true)]);
    assert_eq!(table.counts(NetworkId(0)).used, 2);
    let client = ClientKey::Mac([2, 0, 0, 0, 0, 1]);
    assert_eq!(table.all_of_client(NetworkId(0), &client).count(), 2);
    assert!(table.of_client(NetworkId(0), &client).is_some());
}

#[test]
fn an_ended_lease_that_was_found_keeps_its_address_where_addresses_are_kept() {
    let (table, again) =
        started(&config(", keepAddresses: true"), &BadDisk::default(), &[found(10, 1, false)]);
    assert!(table.is_kept(found(10, 1, false).ip) && again.is_kept(found(10, 1, false).ip));
}

#[test]
fn what_cannot_be_written_is_not_served() {
    let disk = BadDisk::default();
    let (mut journal, mut loaded) = open(&disk);
    disk.fail(Failure::Sync);
    let rebuilt = rebuild(&config(""), &mut journal, &mut loaded, &[found(10, 1, true)], NOW);
    assert!(rebuilt.is_err());
    assert!(loaded.leases().is_empty());
}
