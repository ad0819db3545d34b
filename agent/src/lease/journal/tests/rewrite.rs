//! A new file is written in parts while the old one is appended to.

use super::bad_disk::Failure;
use super::*;

/// A journal with so many leases, and these.
fn with(disk: &BadDisk, count: u8) -> (Journal<BadDisk>, BTreeMap<Ipv4Addr, Lease>) {
    let (mut journal, _) = open(disk);
    journal.part = 1;
    let leases: Vec<Lease> = (1..=count).map(bound).collect();
    for lease in &leases {
        let _ = append(&mut journal, lease).unwrap();
    }
    (journal, by_ip(&leases))
}

/// The same lease, bound again a little later.
fn again(lease: &Lease) -> Lease {
    Lease { starts: Moment(lease.starts.0 + SECOND), ..lease.clone() }
}

fn step(journal: &mut Journal<BadDisk>, table: &BTreeMap<Ipv4Addr, Lease>) -> bool {
    journal.rewrite(|address| after(table, address), NOW).unwrap()
}

#[test]
fn the_new_file_has_what_was_appended_to_the_old_one_meanwhile() {
    let disk = BadDisk::default();
    let (mut journal, mut table) = with(&disk, 9);
    for _ in 0..4 {
        assert!(!step(&mut journal, &table) && journal.is_rewriting());
    }
    // One that was written already, one that was not, and one that is new.
    for host in [2, 8, 0] {
        let lease = again(&bound(host));
        let _ = append(&mut journal, &lease).unwrap();
        let (_, loaded) = open(&disk.crash(|_| 0, true));
        assert!(loaded.leases().contains(&lease), "it is promised, whatever becomes of the new file");
        table.insert(lease.ip, lease);
    }
    while !step(&mut journal, &table) {}
    assert!(!journal.is_rewriting());
    let last = again(&bound(5));
    let _ = append(&mut journal, &last).unwrap();
    table.insert(last.ip, last);
    let left = disk.crash(|_| 0, false);
    let (_, loaded) = open(&left);
    assert_eq!(by_ip(loaded.leases()), table);
    assert_eq!(left.names(), [path()]);
    assert_eq!(journal.length(), left.bytes(&path()).len() as u64);
}

#[test]
fn an_append_that_fails_is_not_in_the_new_file() {
    let disk = BadDisk::default();
    let (mut journal, table) = with(&disk, 4);
    assert!(!step(&mut journal, &table));
    disk.fail(Failure::Full(50));
    assert!(append(&mut journal, &again(&bound(1))).is_err());
    while !step(&mut journal, &table) {}
    let (_, loaded) = open(&disk.crash(|_| 0, false));
    assert_eq!(by_ip(loaded.leases()), table);
}

#[test]
fn a_new_file_that_lacks_what_the_old_one_has_never_takes_its_place() {
    let disk = BadDisk::default();
    let (mut journal, table) = with(&disk, 4);
    assert!(!step(&mut journal, &table));
    disk.fail(Failure::FullSoon);
    let lease = again(&bound(1));
    let _ = append(&mut journal, &lease).unwrap();
    assert!(!journal.is_rewriting() && !journal.is_broken());
    assert_eq!(disk.names(), [path()]);
    let (_, loaded) = open(&disk.crash(|_| 0, false));
    assert!(loaded.leases().contains(&lease));
}

#[test]
fn a_new_file_that_fails_half_way_leaves_the_old_one_as_it_was() {
    for failure in [Failure::Full(10), Failure::Sync] {
        let disk = BadDisk::default();
        let (mut journal, table) = with(&disk, 4);
        assert!(!step(&mut journal, &table));
        disk.fail(failure);
        assert!(journal.rewrite(|address| after(&table, address), NOW).is_err());
        assert!(!journal.is_rewriting() && !journal.is_broken());
        assert_eq!(disk.names(), [path()]);
        let _ = append(&mut journal, &bound(9)).unwrap();
        while !step(&mut journal, &table) {}
        let (_, loaded) = open(&disk.crash(|_| 0, false));
        assert_eq!(by_ip(loaded.leases()), table, "the next one begins from the start");
    }
}

#[test]
fn an_old_file_that_breaks_meanwhile_is_replaced_in_one_go() {
    let disk = BadDisk::default();
    let (mut journal, mut table) = with(&disk, 4);
    assert!(!step(&mut journal, &table));
    disk.fail(Failure::Sync);
    let lease = again(&bound(1));
    assert!(append(&mut journal, &lease).is_err());
    assert!(journal.is_broken() && !journal.is_rewriting(), "no part is written in vain");
    table.insert(lease.ip, lease);
    journal.compact(table.values(), NOW).unwrap();
    assert!(!journal.is_broken() && !journal.is_rewriting());
    let (_, loaded) = open(&disk.crash(|_| 0, false));
    assert_eq!(by_ip(loaded.leases()), table);
    assert_eq!(disk.names(), [path()]);
}
