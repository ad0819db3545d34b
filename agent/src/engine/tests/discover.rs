//! Rows 21 to 28: which address is offered.

use super::*;
use crate::lease::State;

#[test]
fn c21_never_used_addresses_come_in_order_then_the_one_free_for_longest() {
    let mut lab = Lab::new(&rack(&["ranges: [10.9.0.100-10.9.0.101]"]));
    assert_eq!(bound(&mut lab, 1), ip(100));
    assert_eq!(bound(&mut lab, 2), ip(101));
    for client in [2, 1] {
        lab.wait(1);
        let address = if client == 1 { ip(100) } else { ip(101) };
        lab.silence(release(client, address));
        assert!(lab.take_back().contains(&address));
    }
    assert_eq!(lab.offer(discover(3)).yiaddr, ip(101));
    assert_eq!(lab.offer(discover(4)).yiaddr, ip(100));
}

#[test]
fn c21_the_present_binding_comes_before_what_is_asked_for() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.offer(discover(1).option(50, &[10, 9, 0, 103])).yiaddr, address);
}

#[test]
fn c21_the_last_binding_comes_before_what_is_asked_for() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.wait(2 * 86_400);
    assert!(lab.take_back().contains(&address));
    assert_eq!(lab.lease(address).state, State::Expired);
    assert_eq!(lab.offer(discover(1).option(50, &[10, 9, 0, 103])).yiaddr, address);
}

#[test]
fn c21_an_address_that_is_asked_for_is_given_if_it_is_free_and_ours() {
    let mut lab = Lab::new(&rack(&["exclude: [10.9.0.102]"]));
    assert_eq!(lab.offer(discover(1).option(50, &[10, 9, 0, 103])).yiaddr, ip(103));
    for (client, wanted) in [(2, [10, 9, 0, 103]), (3, [10, 9, 0, 102]), (4, [10, 7, 0, 1])] {
        assert_ne!(lab.offer(discover(client).option(50, &wanted)).yiaddr, Ipv4Addr::from(wanted));
        lab.silence(selecting_from(client, ip(100), [10, 9, 0, 77]));
        lab.take_back();
    }
}

#[test]
fn c21_our_own_address_is_never_given() {
    // The interface has it, the configuration says nothing of it.
    let yaml = rack(&["ranges: [10.9.0.2-10.9.0.3]"]).replace("  selfIP: 10.9.0.2/24\n", "");
    let mut lab = Lab::new(&yaml);
    let own = [10, 9, 0, 2];
    assert_eq!(lab.offer(discover(1).option(50, &own)).yiaddr, ip(3));
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
}

#[test]
fn c21_the_second_network_of_a_wire_serves_when_the_first_is_full() {
    let mut lab = Lab::new(&shared_wire());
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(100));
    let second = Ipv4Addr::new(10, 9, 1, 100);
    assert_eq!(lab.offer(discover(2)).yiaddr, second);
    assert_eq!(lab.ack(selecting_from(2, second, [10, 9, 1, 2])).yiaddr, second);
    lab.silence(selecting_from(1, ip(100), [10, 9, 0, 77]));
    lab.take_back();
    assert_eq!(lab.offer(discover(2)).yiaddr, second, "a binding there comes before a place here");
}

#[test]
fn c22_an_offer_carries_the_time_the_server_and_the_mask() {
    let got = Lab::new(&rack(&[])).offer(discover(1));
    assert_eq!(got.number(51), Some(3600));
    assert_eq!(got.option(53), Some(vec![2]));
    assert_eq!(got.option(54), Some(SERVER.to_vec()));
    assert_eq!(got.option(1), Some(vec![255, 255, 255, 0]));
    assert!(![50, 55, 57].iter().any(|code| got.codes().contains(code)));
}

#[test]
fn c23_the_time_asked_for_is_clamped() {
    let mut lab = Lab::new(&rack(&[]));
    for (asked, given) in [(7200_u32, 7200), (5, 60), (u32::MAX, 86_400)] {
        assert_eq!(lab.offer(discover(1).option(51, &asked.to_be_bytes())).number(51), Some(given));
    }
}

#[test]
fn c25_an_offer_is_held_for_a_while_then_free() {
    let mut lab = Lab::new(&rack(&["ranges: [10.9.0.100-10.9.0.100]", "offerHold: 30s"]));
    lab.offer(discover(1));
    lab.wait(29);
    assert!(lab.take_back().is_empty());
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
    lab.wait(1);
    assert!(lab.take_back().contains(&ip(100)));
    assert_eq!(lab.offer(discover(2)).yiaddr, ip(100));
}

#[test]
fn c27_an_empty_pool_is_silent_with_a_reason() {
    let mut lab = Lab::new(&rack(&["ranges: [10.9.0.100-10.9.0.100]"]));
    bound(&mut lab, 1);
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
}

#[test]
fn c28_two_discovers_at_one_moment_never_get_one_address() {
    let mut lab = Lab::new(&rack(&[]));
    let mut given: Vec<_> = (1..=4).map(|client| lab.offer(discover(client)).yiaddr).collect();
    given.dedup();
    assert_eq!(given.len(), 4);
    assert_eq!(lab.offer(discover(2)).yiaddr, ip(101), "a client that asks twice gets the same");
}

#[test]
fn ranges_of_a_class_are_for_its_members() {
    let classes = "classes: [{name: pxe, match: {vendorClass: PXEClient}}]";
    let ranges = "ranges: [{range: 10.9.0.50-10.9.0.50, class: pxe}, 10.9.0.100-10.9.0.100]";
    let mut lab = Lab::new(&rack(&[ranges, classes]));
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(100));
    assert_eq!(lab.ignored(discover(2)), Ignored::NoFreeAddress);
    let rom = |builder: Builder| builder.option(60, b"PXEClient:Arch:00000");
    assert_eq!(lab.offer(rom(discover(2))).yiaddr, ip(50));
    assert_eq!(lab.ack(rom(selecting(2, ip(50)))).yiaddr, ip(50));
    // Who says nothing of itself keeps what it has; who says that it is something else does not.
    lab.ack(unicast(bare_request(2), ip(50)));
    lab.nak(renewing(2, ip(50)));
}
