//! Row 53: addresses fixed for a client.

use super::*;
use crate::lease::State;

const FIVE: &str = "reservations: [{mac: \"02:00:00:00:00:05\", ip: 10.9.0.5, hostName: five, \
                    options: {dns: [10.9.0.54]}, boot: {file: five.efi}}]";

#[test]
fn c53_a_client_is_known_by_its_mac_with_name_and_options_of_its_own() {
    let mut lab = Lab::new(&rack(&[FIVE, "options: {dns: [10.9.0.53]}"]));
    let got = lab.offer(discover(5));
    assert_eq!(got.yiaddr, ip(5));
    assert_eq!(got.option(12), Some(b"five".to_vec()));
    assert_eq!(got.option(6), Some(vec![10, 9, 0, 54]));
    assert_eq!(got.message[108..117], *b"five.efi\0");
    assert_eq!(lab.ack(selecting(5, ip(5))).options[1..], got.options[1..]);
    assert_eq!(lab.entry(mac(5)).map(|entry| entry.ip), Some([10, 9, 0, 5]));
}

#[test]
fn c53_a_client_is_known_by_client_id_circuit_id_and_remote_id() {
    let reservations = "reservations: [{clientId: \"0102\", ip: 10.9.0.5}, \
                        {circuitId: \"0909\", ip: 10.9.0.6}, {remoteId: \"0707\", ip: 10.9.0.7}]";
    let mut lab = Lab::new(&rack(&[reservations, "relays: [10.9.0.9]"]));
    let through = |builder, info: &[u8]| relayed(builder, [10, 9, 0, 9], info);
    assert_eq!(lab.offer(discover(1).option(61, &[1, 2])).yiaddr, ip(5));
    assert_eq!(lab.offer(through(discover(2), &[1, 2, 9, 9])).yiaddr, ip(6));
    assert_eq!(lab.offer(through(discover(3), &[2, 2, 7, 7])).yiaddr, ip(7));
    assert_eq!(lab.offer(through(discover(4), &[1, 2, 7, 7])).yiaddr, ip(100));
}

#[test]
fn c53_where_client_ids_are_reserved_the_kernel_looks_at_them() {
    let mut lab = Lab::new(&rack(&["reservations: [{clientId: \"0102\", ip: 10.9.0.5}]"]));
    let address = bound(&mut lab, 1);
    assert!(lab.kernel(&discover(1).option(61, &[1, 2])).is_none());
    assert_eq!(lab.offer(discover(1).option(61, &[1, 2])).yiaddr, ip(5));
    assert_ne!(address, ip(5));
}

#[test]
fn c53_a_reserved_address_in_a_range_is_nobody_elses() {
    let reservation = "reservations: [{mac: \"02:00:00:00:00:05\", ip: 10.9.0.100}]";
    let mut lab = Lab::new(&rack(&[reservation]));
    assert_eq!(lab.offer(discover(1).option(50, &[10, 9, 0, 100])).yiaddr, ip(101));
    assert_eq!(lab.offer(discover(5)).yiaddr, ip(100));
}

#[test]
fn c53_a_reserved_client_is_known_before_it_had_its_address() {
    let mut lab = Lab::new(&rack(&[FIVE]));
    assert_eq!(lab.ack(init_reboot(5, ip(5))).yiaddr, ip(5));
    let mut lab = Lab::new(&rack(&[FIVE]));
    assert_eq!(lab.ack(renewing(5, ip(5))).yiaddr, ip(5));
    lab.nak(init_reboot(5, ip(101)));
}

#[test]
fn c53_a_new_reservation_of_an_address_in_use_waits_for_its_holder() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.reconfigure(&rack(&["reservations: [{mac: \"02:00:00:00:00:05\", ip: 10.9.0.100}]"]));
    let meanwhile = lab.offer(discover(5)).yiaddr;
    assert_ne!(meanwhile, address);
    lab.ack(selecting(5, meanwhile));
    assert!(lab.entry(mac(5)).is_none(), "the kernel would not see when its own can be had");
    lab.nak(renewing(1, address));
    assert_eq!(lab.lease(address).state, State::Bound, "it may not have heard that");
    assert_eq!(lab.ack(renewing(5, meanwhile)).yiaddr, meanwhile);
    let other = lab.offer(discover(1)).yiaddr;
    lab.ack(selecting(1, other));
    assert!(lab.take_back().contains(&address));
    lab.nak(renewing(5, meanwhile));
    assert_eq!(lab.offer(discover(5)).yiaddr, address);
}

#[test]
fn reserved_only_means_silence_for_strangers() {
    let mut lab = Lab::new(&rack(&[FIVE, "reservedOnly: true"]));
    assert_eq!(lab.ignored(discover(1)), Ignored::NotReserved);
    assert_eq!(lab.offer(discover(5)).yiaddr, ip(5));
}

#[test]
fn c45_a_client_whose_own_address_is_in_use_gets_another_meanwhile() {
    let mut lab = Lab::new(&rack(&[FIVE, "declineHold: 1h"]));
    assert_eq!(bound(&mut lab, 5), ip(5));
    lab.silence(decline(5, ip(5)));
    let meanwhile = bound(&mut lab, 5);
    assert_eq!(meanwhile, ip(100));
    assert_eq!(lab.ack(renewing(5, meanwhile)).yiaddr, meanwhile);
    lab.wait(3600);
    lab.take_back();
    assert_eq!(lab.offer(discover(5)).yiaddr, ip(5));
}
