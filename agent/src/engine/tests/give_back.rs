//! Rows 45 to 47: DECLINE, RELEASE, INFORM.

use super::*;
use crate::engine::{Ending, TakeBack};
use crate::lease::State;

#[test]
fn c45_a_declined_address_is_out_of_use_for_a_while() {
    let mut lab = Lab::new(&rack(&["ranges: [10.9.0.100-10.9.0.100]", "declineHold: 1h"]));
    let address = bound(&mut lab, 1);
    lab.silence(decline(1, address));
    assert_eq!(lab.lease(address).state, State::Declined);
    assert!(lab.entry(mac(1)).is_none());
    for client in [1, 2] {
        assert_eq!(lab.ignored(discover(client)), Ignored::NoFreeAddress);
    }
    lab.nak(selecting(1, address));
    assert_eq!(lab.ignored(init_reboot(1, address)), Ignored::UnknownClient);
    assert_eq!(lab.lease(address).durable_until, lab.lease(address).expires);
    lab.wait(3600);
    assert!(lab.take_back().contains(&address));
    assert_eq!(lab.offer(discover(2)).yiaddr, address);
}

#[test]
fn c45_a_decline_of_anybody_else_or_of_another_server_is_ignored() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ignored(decline(2, address)), Ignored::NotTheClients);
    let to_another = message(1, MessageType::DECLINE).option(50, &address.octets());
    assert_eq!(lab.ignored(to_another.clone().option(54, &[10, 9, 0, 77])), Ignored::OtherServer);
    assert_eq!(lab.ignored(to_another), Ignored::OtherServer);
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn c46_a_released_address_is_free_but_kept_for_its_client() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.silence(release(1, address));
    assert!(lab.entry(mac(1)).is_none(), "the kernel answers no more");
    assert!(lab.table.get(address).unwrap().state.occupies(), "not free before it is taken back");
    assert!(lab.take_back().contains(&address));
    assert_eq!(lab.lease(address).state, State::Released);
    assert_ne!(lab.offer(discover(2)).yiaddr, address);
    assert_eq!(lab.offer(discover(1)).yiaddr, address);
}

#[test]
fn c46_a_release_of_anybody_else_or_to_another_server_is_ignored() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ignored(release(2, address)), Ignored::NotTheClients);
    assert_eq!(lab.ignored(release(1, ip(103))), Ignored::NotTheClients);
    let to_another = unicast(message(1, MessageType::RELEASE).option(54, &[10, 9, 0, 77]), address);
    assert_eq!(lab.ignored(to_another), Ignored::OtherServer);
    assert!(lab.take_back().is_empty());
}

#[test]
fn c46_a_release_to_our_address_names_us_without_option_54() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    let bare = unicast(message(1, MessageType::RELEASE), address);
    let broadcast = Builder { destination: [255; 4], destination_mac: [0xff; 6], ..bare.clone() };
    assert_eq!(lab.ignored(broadcast), Ignored::OtherServer);
    lab.silence(bare);
    assert!(lab.take_back().contains(&address));
}

#[test]
fn c46_a_client_that_comes_back_while_its_address_is_taken_back_keeps_it() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.silence(release(1, address));
    assert_eq!(lab.ack(init_reboot(1, address)).yiaddr, address);
    assert!(lab.take_back().is_empty());
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn c46_a_renewal_that_the_kernel_gave_after_the_release_stands() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.wait(10);
    // The kernel answers before the agent's suspension reaches it.
    let entry = *lab.entry(mac(1)).unwrap();
    lab.silence(release(1, address));
    let key = lab.engine.key_of(&lab.table, address).unwrap();
    lab.entries.insert(key, entry);
    assert!(lab.kernel(&init_reboot(1, address)).is_some());
    assert!(lab.take_back().is_empty());
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn an_operator_frees_an_address_whatever_its_client_does() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    let key = lab.engine.key_of(&lab.table, address).unwrap();
    let forced = TakeBack { ip: address, key, into: Ending::Released, seen: None };
    lab.wait(10);
    lab.ack(renewing(1, address));
    assert!(lab.engine.taken_back(&mut lab.table, forced, lab.now));
}

#[test]
fn c47_inform_is_answered_with_options_and_no_lease() {
    let mut lab = Lab::new(&rack(&["options: {dns: [10.9.0.53]}"]));
    let got = lab.ack(unicast(message(1, MessageType::INFORM).option(55, &WANTS), ip(9)));
    assert_eq!(got.decoded.ciaddr(), ip(9));
    assert_eq!(got.option(6), Some(vec![10, 9, 0, 53]));
    assert!(![51, 58, 59].iter().any(|code| got.codes().contains(code)));
    assert_eq!(got.frame[30..34], [10, 9, 0, 9]);
    assert_eq!(lab.table.leases().count(), 0);
    assert!(lab.writes.is_empty() && lab.entries.is_empty());
}

#[test]
fn c47_inform_through_a_relay_is_answered_at_ciaddr() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let inform = Builder { ciaddr: [10, 9, 0, 77], ..message(1, MessageType::INFORM) };
    let got = lab.ack(relayed(inform, [10, 9, 0, 9], &[1, 1, 5]));
    assert_eq!((&got.frame[30..34], &got.frame[36..38]), (&[10, 9, 0, 77][..], &[0, 68][..]));
    assert_eq!(got.frame[..6], RELAY_MAC);
    assert_eq!(got.option(82), None);
}

#[test]
fn c47_inform_of_no_address_of_ours_is_ignored() {
    let mut lab = Lab::new(&rack(&[]));
    assert_eq!(lab.ignored(message(1, MessageType::INFORM)), Ignored::RequestForm);
    let foreign = unicast(message(1, MessageType::INFORM), Ipv4Addr::new(10, 7, 0, 1));
    assert_eq!(lab.ignored(foreign), Ignored::NotServed);
}
