//! Rows 29 to 41: the four states of RFC 2131 §4.3.2.

use super::*;
use crate::lease::State;

#[test]
fn c29_selecting_ours_is_acked() {
    let mut lab = Lab::new(&rack(&[]));
    let address = lab.offer(discover(1)).yiaddr;
    assert_eq!(lab.lease(address).state, State::Offered);
    assert_eq!(lab.ack(selecting(1, address)).yiaddr, address);
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn c30_selecting_anothers_frees_our_offer_at_once() {
    let mut lab = Lab::new(&rack(&["ranges: [10.9.0.100-10.9.0.100]"]));
    lab.offer(discover(1));
    lab.silence(selecting_from(1, ip(7), [10, 9, 0, 77]));
    assert!(lab.take_back().contains(&ip(100)));
    assert_eq!(lab.offer(discover(2)).yiaddr, ip(100));
}

#[test]
fn c30_an_offer_that_the_kernel_saw_taken_meanwhile_stays() {
    let mut lab = Lab::new(&rack(&["leaseTime: 60s", "minLeaseTime: 1s", "offerHold: 60s"]));
    let address = lab.offer(discover(1)).yiaddr;
    lab.silence(selecting_from(1, address, [10, 9, 0, 77]));
    assert!(lab.kernel(&selecting(1, address)).is_some());
    assert!(lab.take_back().is_empty());
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn c30_a_binding_stays_when_its_client_asks_another_server() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ignored(selecting_from(1, ip(7), [10, 9, 0, 77])), Ignored::OtherServer);
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn c31_selecting_what_was_not_offered_is_refused() {
    let mut lab = Lab::new(&rack(&[]));
    let former = bound(&mut lab, 1);
    lab.nak(selecting(2, former));
    lab.nak(selecting(3, ip(103)));
    // Even if it is what the client had before.
    lab.silence(release(1, former));
    lab.take_back();
    lab.reconfigure(&rack(&["reservations: [{mac: \"02:00:00:00:00:01\", ip: 10.9.0.5}]"]));
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(5));
    lab.nak(selecting(1, former));
}

#[test]
fn c32_init_reboot_with_the_right_address_is_acked() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ack(init_reboot(1, address)).yiaddr, address);
}

#[test]
fn c32_a_lease_that_ran_out_but_is_free_is_acked() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.wait(2 * 86_400);
    lab.take_back();
    assert_eq!(lab.ack(init_reboot(1, address)).yiaddr, address);
    assert_eq!(lab.lease(address).state, State::Bound);
}

#[test]
fn c33_init_reboot_with_the_wrong_address_is_refused() {
    let mut lab = Lab::new(&rack(&[]));
    bound(&mut lab, 1);
    lab.nak(init_reboot(1, ip(103)));
    lab.nak(init_reboot(1, Ipv4Addr::new(192, 168, 1, 5)));
    let others = bound(&mut lab, 2);
    lab.nak(init_reboot(1, others));
}

#[test]
fn c33_what_a_client_had_before_it_moved_is_the_wrong_address() {
    let mut lab = Lab::new(&rack(&[]));
    let former = bound(&mut lab, 1);
    lab.reconfigure(&rack(&["ranges: [10.9.0.200-10.9.0.201]"]));
    assert_eq!(bound(&mut lab, 1), ip(200));
    assert!(lab.take_back().contains(&former));
    lab.reconfigure(&rack(&["ranges: [10.9.0.100-10.9.0.201]"]));
    lab.nak(init_reboot(1, former));
    lab.nak(selecting(1, former));
    assert_eq!(lab.ack(init_reboot(1, ip(200))).yiaddr, ip(200));
}

#[test]
fn c34_init_reboot_of_a_stranger_is_silent_unless_authoritative() {
    let mut lab = Lab::new(&rack(&[]));
    assert_eq!(lab.ignored(init_reboot(1, ip(100))), Ignored::UnknownClient);
    Lab::new(&rack(&["authoritative: true"])).nak(init_reboot(1, ip(100)));
}

#[test]
fn c35_renewing_gives_the_full_time() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.wait(1800);
    let got = lab.ack(renewing(1, address));
    assert_eq!(got.number(51), Some(3600));
    assert_eq!(lab.lease(address).expires.since(lab.now).as_secs(), 3600);
}

#[test]
fn c36_rebinding_is_acked_if_ours() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ack(rebinding(1, address)).yiaddr, address);
    assert_eq!(lab.ignored(rebinding(2, Ipv4Addr::new(10, 7, 0, 1))), Ignored::NotTheClients);
}

#[test]
fn c37_renewing_anothers_address_is_silent_unless_authoritative() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ignored(renewing(2, address)), Ignored::NotTheClients);
    let mut lab = Lab::new(&rack(&["authoritative: true"]));
    let address = bound(&mut lab, 1);
    lab.nak(renewing(2, address));
    lab.nak(rebinding(2, address));
    assert_eq!(lab.lease(address).mac, mac(1));
}

#[test]
fn c38_a_request_in_none_of_the_states_is_ignored() {
    let mut lab = Lab::new(&rack(&["authoritative: true"]));
    let address = bound(&mut lab, 1);
    for request in [
        renewing(1, address).option(50, &address.octets()),
        renewing(1, address).option(54, &SERVER),
        bare_request(1),
        bare_request(1).option(54, &SERVER),
    ] {
        assert_eq!(lab.ignored(request), Ignored::RequestForm);
    }
}

#[test]
fn c39_the_timers_are_in_order_and_the_same_each_time() {
    let mut lab = Lab::new(&rack(&[]));
    for client in 1..=4 {
        let got = lab.offer(discover(client));
        let (t1, t2) = (got.number(58).unwrap(), got.number(59).unwrap());
        assert!(t1 < t2 && t2 < 3600, "{t1} {t2}");
        assert!((1600..=1800).contains(&t1) && (3000..=3150).contains(&t2), "{t1} {t2}");
        let got = lab.ack(selecting(client, got.yiaddr));
        assert_eq!((got.number(58), got.number(59)), (Some(t1), Some(t2)));
    }
}

#[test]
fn c39_a_lease_without_an_end_has_no_timers() {
    let mut lab = Lab::new(&rack(&["leaseTime: infinite", "maxLeaseTime: infinite"]));
    let address = bound(&mut lab, 1);
    let got = lab.ack(renewing(1, address));
    assert_eq!(got.number(51), Some(u32::MAX));
    assert_eq!((got.option(58), got.option(59)), (None, None));
    lab.wait(4_000_000_000);
    assert!(lab.take_back().is_empty());
}

#[test]
fn c40_c41_the_ack_says_what_the_offer_said() {
    let boot = "boot: {nextServer: 10.9.0.7, file: undionly.kpxe}";
    let mut lab = Lab::new(&rack(&[boot, "options: {dns: [10.9.0.53], mtu: 1500}"]));
    let offer = lab.offer(discover(1));
    let ack = lab.ack(selecting(1, offer.yiaddr));
    assert_eq!(offer.options[1..], ack.options[1..]);
    assert_eq!(offer.message[12..236], ack.message[12..236]);
}

#[test]
fn who_binds_one_address_has_left_the_other() {
    let mut lab = Lab::new(&rack(&[]));
    let former = bound(&mut lab, 1);
    lab.reconfigure(&rack(&["reservations: [{mac: \"02:00:00:00:00:01\", ip: 10.9.0.5}]"]));
    lab.offer(discover(1));
    assert!(lab.take_back().is_empty(), "an offer alone moves nobody");
    lab.ack(selecting(1, ip(5)));
    assert!(lab.take_back().contains(&former));
    assert_eq!(lab.entry(mac(1)).map(|entry| entry.ip), Some([10, 9, 0, 5]));
}

#[test]
fn c60_a_range_that_moved_away_takes_its_clients_along() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.reconfigure(&rack(&["ranges: [10.9.0.200-10.9.0.201]"]));
    assert!(lab.kernel(&renewing(1, address)).is_none(), "the entry is of an older generation");
    lab.nak(renewing(1, address));
    assert_eq!(lab.lease(address).state, State::Bound, "the client may not have heard it");
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(200));
}
