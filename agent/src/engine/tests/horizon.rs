//! Promise 1 and row 59: what is written, when, and what the kernel may do with it.

use super::*;
use crate::clock::Moment;
use crate::lease::State;

#[test]
fn an_offer_is_written_far_enough_for_the_ack_that_follows() {
    let mut lab = Lab::new(&rack(&[]));
    let address = lab.offer(discover(1)).yiaddr;
    assert_eq!(lab.writes.len(), 1);
    assert_eq!(lab.writes[0].until.since(lab.now).as_secs(), 60 + 4 * 3600);
    lab.wait(59);
    lab.ack(selecting(1, address));
    assert_eq!(lab.writes.len(), 1, "one write a lease");
}

#[test]
fn c29_the_kernel_binds_what_it_offers() {
    let mut lab = Lab::new(&rack(&[]));
    let address = lab.offer(discover(1)).yiaddr;
    lab.wait(59);
    assert!(lab.kernel(&selecting(1, address)).is_some());
    assert_eq!(lab.lease(address).state, State::Bound);
    assert_eq!(lab.lease(address).expires.since(lab.now).as_secs(), 3600);
}

#[test]
fn renewals_are_written_once_in_a_while() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    for _ in 0..20 {
        lab.wait(1800);
        lab.ack(renewing(1, address));
    }
    assert!((4..=6).contains(&lab.writes.len()), "{} writes", lab.writes.len());
}

#[test]
fn c35_the_kernel_renews_on_as_long_as_its_events_are_heard() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    for round in 0..20 {
        lab.wait(1800);
        assert!(lab.kernel(&renewing(1, address)).is_some(), "round {round}");
    }
    assert!((4..=6).contains(&lab.writes.len()), "{} writes", lab.writes.len());
}

#[test]
fn c35_past_the_horizon_the_kernel_leaves_it_to_the_agent() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.disk_fails = true;
    let renewals = (0..20).take_while(|_| {
        lab.wait(1800);
        lab.kernel(&renewing(1, address)).is_some()
    });
    assert_eq!(renewals.count(), 6, "to the horizon, and no further");
    lab.disk_fails = false;
    assert_eq!(lab.ack(renewing(1, address)).yiaddr, address);
    lab.wait(1800);
    assert!(lab.kernel(&renewing(1, address)).is_some());
}

#[test]
fn a_lease_without_an_end_is_written_once() {
    let mut lab = Lab::new(&rack(&["leaseTime: infinite", "maxLeaseTime: infinite"]));
    let address = bound(&mut lab, 1);
    lab.ack(renewing(1, address));
    assert!(lab.kernel(&renewing(1, address)).is_some());
    assert_eq!(lab.writes.len(), 1);
    assert_eq!(lab.lease(address).durable_until, Moment::FOREVER);
    assert_eq!(lab.entry(mac(1)).map(|entry| entry.horizon), Some(u64::MAX));
}

#[test]
fn a_lease_of_a_second_is_served() {
    let mut lab = Lab::new(&rack(&["leaseTime: 1s", "minLeaseTime: 1s", "maxLeaseTime: 1s"]));
    let got = lab.offer(discover(1));
    assert_eq!((got.number(51), got.option(58), got.option(59)), (Some(1), None, None));
    lab.ack(selecting(1, got.yiaddr));
    lab.ack(renewing(1, got.yiaddr));
    lab.wait(1);
    assert!(lab.take_back().contains(&got.yiaddr));
}

#[test]
fn after_a_failed_write_the_next_message_tries_again() {
    let mut lab = Lab::new(&rack(&[]));
    lab.disk_fails = true;
    lab.silence(discover(1));
    assert!(lab.entries.is_empty(), "the kernel knows nothing of it");
    lab.silence(selecting(1, ip(100)));
    lab.disk_fails = false;
    assert_eq!(lab.ack(selecting(1, ip(100))).yiaddr, ip(100));
    assert_eq!(lab.writes.len(), 1);
}

#[test]
fn c59_an_expired_address_is_not_free_if_the_kernel_renewed_it() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.wait(3600);
    let due = lab.engine.due(&mut lab.table, lab.now);
    assert_eq!(due.len(), 1);
    // The event of a renewal a moment before was still on its way.
    let renewed = lab.now.after(std::time::Duration::from_secs(3599));
    assert!(lab.table.renewed(address, mac(1), lab.now, renewed, crate::lease::AnsweredBy::Kernel));
    assert!(!lab.engine.taken_back(&mut lab.table, due[0], lab.now));
    assert_eq!(lab.lease(address).state, State::Bound);
}
