//! Networks in which an address once leased stays its client's.

use super::*;
use crate::clock::Now;
use crate::lease::Journal;

/// Hosts 5 and 6, in a network that keeps addresses.
fn keeping(keeps: bool) -> Config {
    let mut net = network("10.0.0.0/24", &[("10.0.0.5-10.0.0.6", None)]);
    net.keep_addresses = keeps;
    config(vec![net])
}

#[test]
fn an_address_once_leased_is_given_to_nobody_else_whether_it_was_released_or_ran_out() {
    let mut table = Table::new(&keeping(true));
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    table.put(lease("10.0.0.6", 2, State::Bound, 1, 100));
    table.release(ip("10.0.0.5"), Moment(10));
    table.expire(ip("10.0.0.6"), Moment(20));
    assert_eq!(next(&table), None);
    assert!(table.is_kept(ip("10.0.0.5")) && table.is_kept(ip("10.0.0.6")));
    assert_eq!((known_at(&table, 1), known_at(&table, 2)), (Some(ip("10.0.0.5")), Some(ip("10.0.0.6"))));
    assert_eq!(table.counts(NETWORK), Counts { total: 2, used: 0, declined: 0, kept: 2, remaining: 0 });
}

#[test]
fn what_is_let_go_is_anybodys_and_remembers_nobody() {
    let mut table = Table::new(&keeping(true));
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    table.put(lease("10.0.0.6", 2, State::Bound, 1, 100));
    table.release(ip("10.0.0.5"), Moment(10));
    for address in ["10.0.0.5", "10.0.0.6"] {
        assert!(table.let_go(ip(address), Moment(30)), "whether the lease has ended or not");
        assert!(!table.is_kept(ip(address)));
    }
    assert_eq!((next(&table), known_at(&table, 1)), (Some(ip("10.0.0.5")), None));
    assert_eq!(table.counts(NETWORK).remaining, 2);
}

#[test]
fn an_offer_that_nobody_took_keeps_nothing_and_one_of_a_kept_address_takes_nothing_away() {
    let mut table = Table::new(&keeping(true));
    table.put(lease("10.0.0.5", 1, State::Offered, 1, 10));
    table.expire(ip("10.0.0.5"), Moment(10));
    assert!(!table.is_kept(ip("10.0.0.5")));
    table.put(lease("10.0.0.6", 2, State::Bound, 1, 10));
    table.expire(ip("10.0.0.6"), Moment(10));
    table.put(lease("10.0.0.6", 2, State::Offered, 11, 20));
    table.release(ip("10.0.0.6"), Moment(12));
    assert!(table.is_kept(ip("10.0.0.6")), "it was its own before");
    table.put(lease("10.0.0.5", 3, State::Offered, 20, 30));
    assert!(table.renewed(ip("10.0.0.5"), mac(3), Moment(21), Moment(60), AnsweredBy::Kernel));
    table.expire(ip("10.0.0.5"), Moment(60));
    assert!(table.is_kept(ip("10.0.0.5")), "the kernel let it be taken");
}

#[test]
fn after_a_quarantine_an_address_is_nobodys_here_too() {
    let mut table = Table::new(&keeping(true));
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    table.decline(ip("10.0.0.5"), Moment(5), Moment(50));
    table.expire(ip("10.0.0.5"), Moment(50));
    assert!(!table.is_kept(ip("10.0.0.5")));
    assert_eq!(table.counts(NETWORK).remaining, 2);
}

#[test]
fn the_setting_can_be_changed_both_ways_under_way() {
    let mut table = Table::new(&keeping(false));
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    table.put(lease("10.0.0.6", 2, State::Bound, 1, 100));
    table.release(ip("10.0.0.5"), Moment(10));
    assert_eq!(next(&table), Some(ip("10.0.0.5")));
    table.reconfigure(&keeping(true));
    assert_eq!((next(&table), table.counts(NETWORK).kept), (None, 1));
    table.reconfigure(&keeping(false));
    assert_eq!((next(&table), table.counts(NETWORK).kept), (Some(ip("10.0.0.5")), 0));
}

#[test]
fn what_is_kept_and_what_was_let_go_survive_restarts_and_compactions() {
    let folder = tempfile::tempdir().unwrap();
    let now = Now::read();
    let begin = || {
        let (journal, loaded) = Journal::open(folder.path(), "keeping", now).unwrap();
        (journal, Table::load(&keeping(true), loaded))
    };
    let (mut journal, mut table) = begin();
    table.put(lease("10.0.0.5", 1, State::Bound, 1, 100));
    table.put(lease("10.0.0.6", 2, State::Offered, 1, 100));
    table.release(ip("10.0.0.5"), Moment(20));
    table.expire(ip("10.0.0.6"), Moment(20));
    let all: Vec<(&Lease, Moment)> = table.leases().map(|lease| (lease, Moment(20))).collect();
    let _synced = journal.append(&all, now).unwrap();
    for _ in ["appended", "compacted"] {
        drop(journal);
        (journal, table) = begin();
        assert!(table.is_kept(ip("10.0.0.5")) && !table.is_kept(ip("10.0.0.6")));
        journal.compact(table.all_leases(), now).unwrap();
    }
    assert!(table.let_go(ip("10.0.0.5"), Moment(30)));
    let _synced = journal.append(&[(table.get(ip("10.0.0.5")).unwrap(), Moment(30))], now).unwrap();
    drop(journal);
    let (_journal, table) = begin();
    assert!(!table.is_kept(ip("10.0.0.5")));
    assert_eq!(table.counts(NETWORK).remaining, 2);
}
