//! What of an earlier run is gone on with, decision by decision.

use super::*;
use crate::config::parse_yaml;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const NOW: Now = Now { moment: Moment(1_000), wall: 0 };

fn config(more: &str) -> Config {
    let network = "name: a, interface: eth0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]";
    parse_yaml(&format!("networks: [{{{network}{more}}}]")).unwrap()
}

fn server(config: u64, generation: u32) -> Server {
    Server { config, generation, ..Server::default() }
}

fn key(mac: [u8; 6]) -> LeaseKey {
    LeaseKey { mac, ..LeaseKey::default() }
}

fn entry(ip: Ipv4Addr, state: u8, expires: u64) -> maps::Lease {
    maps::Lease { ip: ip.octets(), state, expires, generation: 3, ..maps::Lease::default() }
}

/// A table in which the client has IP until 2 000, and that is on disk until 9 000.
fn table(state: State) -> Table {
    let mut table = Table::new(&config(""));
    let lease = Lease {
        ip: IP,
        mac: MAC,
        client_id: None,
        host_name: None,
        state,
        starts: Moment(500),
        expires: Moment(2_000),
        durable_until: Moment::NEVER,
        answered_by: AnsweredBy::Agent,
        taken: state == State::Bound,
    };
    table.put(lease.clone());
    let synced = crate::lease::Synced::pretend(&[(&lease, Moment(9_000))]);
    table.mark_durable(&synced);
    table
}

fn reconciled(state: State, entries: &[(LeaseKey, maps::Lease)]) -> Lease {
    let mut table = table(state);
    reconcile(&mut table, entries, NOW);
    table.get(IP).cloned().unwrap()
}

#[test]
fn the_generation_stays_where_every_wire_has_the_same_configuration() {
    assert_eq!(generation(&[server(7, 3), server(7, 3)], 3, 7), (3, true));
}

#[test]
fn another_configuration_is_the_next_generation() {
    assert_eq!(generation(&[server(8, 3)], 3, 7), (4, false));
}

#[test]
fn a_publication_that_was_cut_short_is_not_gone_on_with() {
    assert_eq!(generation(&[server(7, 4), server(8, 3)], 3, 7), (5, false));
    assert_eq!(generation(&[server(7, 4), server(7, 3)], 4, 7), (5, false));
}

#[test]
fn no_generation_is_used_again_that_an_entry_still_has() {
    assert_eq!(generation(&[], 0, 7), (1, false));
    assert_eq!(generation(&[], 6, 7), (7, false), "the wires are gone, entries are not");
    assert_eq!(generation(&[server(7, 3)], 6, 7), (7, false));
}

#[test]
fn what_decides_over_replies_makes_another_fingerprint_and_nothing_else_does() {
    let plain = fingerprint(&config(""), &[]);
    assert_eq!(fingerprint(&config(""), &[]), plain);
    assert_ne!(fingerprint(&config(", leaseTime: 2h"), &[]), plain);
    let mut other = config("");
    other.leases.horizon += 1;
    assert_ne!(fingerprint(&other, &[]), plain);
    let mut other = config("");
    other.http = None;
    assert_eq!(fingerprint(&other, &[]), plain);
}

#[test]
fn a_renewal_that_the_kernel_answered_is_taken_over() {
    let renewed = maps::Lease { answered: 1, ..entry(IP, LeaseState::BOUND, 5_000) };
    let lease = reconciled(State::Bound, &[(key(MAC), renewed)]);
    assert_eq!((lease.state, lease.expires, lease.starts), (State::Bound, Moment(5_000), Moment(500)));
    assert_eq!(lease.answered_by, AnsweredBy::Kernel);
    assert_eq!(lease.durable_until, Moment(9_000), "what is on disk is as it was");
}

#[test]
fn an_offer_that_the_kernel_acked_is_bound() {
    let lease = reconciled(State::Offered, &[(key(MAC), entry(IP, LeaseState::BOUND, 5_000))]);
    assert_eq!((lease.state, lease.expires), (State::Bound, Moment(5_000)));
    let lease = reconciled(State::Offered, &[(key(MAC), entry(IP, LeaseState::OFFERED, 2_000))]);
    assert_eq!((lease.state, lease.expires), (State::Offered, Moment(2_000)));
}

#[test]
fn an_entry_ends_no_lease_that_the_agent_promised_for_longer() {
    let lease = reconciled(State::Bound, &[(key(MAC), entry(IP, LeaseState::BOUND, 1_500))]);
    assert_eq!((lease.state, lease.expires), (State::Bound, Moment(2_000)));
}

#[test]
fn a_lease_that_the_map_does_not_vouch_for_runs_up_to_its_horizon() {
    for entries in [vec![], vec![(key(MAC), entry(IP, LeaseState::SUSPENDED, 1_500))]] {
        for state in [State::Bound, State::Offered] {
            let lease = reconciled(state, &entries);
            assert_eq!((lease.state, lease.expires), (State::Bound, Moment(9_000)), "{entries:?}");
        }
    }
}

#[test]
fn a_quarantine_stays_one_whatever_the_map_says() {
    let lease = reconciled(State::Declined, &[(key(MAC), entry(IP, LeaseState::BOUND, 5_000))]);
    assert_eq!((lease.state, lease.expires), (State::Declined, Moment(2_000)));
}

#[test]
fn an_entry_that_ran_out_while_nobody_looked_is_due_at_once() {
    let mut table = table(State::Bound);
    let late = Now { moment: Moment(3_000), wall: 0 };
    reconcile(&mut table, &[(key(MAC), entry(IP, LeaseState::BOUND, 2_500))], late);
    assert_eq!(table.due(late.moment), [IP]);
}

#[test]
fn entries_of_other_clients_wires_and_free_addresses_are_orphans() {
    let (other, there) = ([2, 0, 0, 0, 0, 9], key(MAC));
    let moved = LeaseKey { wire: maps::Wire { interface: 5, vlan: [0; 2] }, ..there };
    let found = |state, key, ip| {
        orphans(&table(state), &[(key, entry(ip, LeaseState::BOUND, 2_000))], |_| Some(there))
    };
    assert_eq!(found(State::Bound, there, IP), HashSet::new());
    for key in [key(other), moved] {
        assert_eq!(found(State::Bound, key, IP), HashSet::from([key]));
    }
    assert_eq!(found(State::Released, there, IP), HashSet::from([there]));
    assert_eq!(found(State::Bound, there, Ipv4Addr::new(10, 9, 0, 101)), HashSet::from([there]));
}

#[test]
fn only_entries_that_may_answer_hold_a_template() {
    let slot = |generation, template| {
        (LeaseKey::default(), maps::Lease { generation, template, ..maps::Lease::default() })
    };
    assert_eq!(slots(&[slot(3, 1), slot(2, 5), slot(3, 1)], 3), HashSet::from([1]));
}
