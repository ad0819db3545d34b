//! What the engine asks of a request before it looks at what it says (G3, G8), and of a lease before the
//! kernel may answer from it (G10, G11).

use super::*;
use crate::lease::State;

#[test]
fn g03_the_ip_destination_is_broadcast_ours_or_the_subnets_broadcast() {
    let mut lab = Lab::new(&rack(&[]));
    for destination in [[255; 4], SERVER, [10, 9, 0, 255]] {
        assert_eq!(lab.offer(Builder { destination, ..discover(1) }).yiaddr, ip(100));
    }
    for destination in [[10, 9, 0, 3], [10, 9, 1, 255], [224, 0, 0, 1]] {
        assert_eq!(lab.ignored(Builder { destination, ..discover(1) }), Ignored::ForeignDestination);
    }
}

#[test]
fn g03_a_relay_is_a_neighbour_or_listed() {
    let mut lab = Lab::new(&rack(&["relays: [10.8.0.0/24]"]));
    let source_of = |giaddr, source| Builder { source, ..relayed(discover(1), giaddr, &[]) };
    // A neighbour has both addresses here; of one that is listed one is enough, for it may speak
    // to us from another of its interfaces than the client's.
    for (giaddr, source) in [([10, 9, 0, 9], [10, 9, 0, 9]), ([10, 9, 0, 9], [10, 8, 0, 9])] {
        assert_eq!(lab.offer(source_of(giaddr, source)).yiaddr, ip(100), "{giaddr:?} from {source:?}");
    }
    for (giaddr, source) in [([10, 7, 0, 1], [10, 7, 0, 1]), ([10, 9, 0, 9], [10, 7, 0, 1])] {
        assert_eq!(lab.ignored(source_of(giaddr, source)), Ignored::UnknownRelay);
    }
}

#[test]
fn g08_a_frame_from_another_than_chaddr_is_ignored_by_default() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    let forged = |builder| Builder { source_mac: mac(9), ..builder };
    for request in [discover(1), selecting(1, address), rebinding(1, address), decline(1, address)] {
        assert_eq!(lab.ignored(forged(request)), Ignored::ForeignSource);
    }
    assert_eq!(lab.lease(address).state, State::Bound);
    let mut lab = Lab::new(&rack(&["checkSource: false"]));
    assert_eq!(lab.offer(forged(discover(1))).yiaddr, ip(100));
    // A relay's frames never come from chaddr.
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    assert_eq!(lab.offer(relayed(discover(1), [10, 9, 0, 9], &[])).yiaddr, ip(100));
}

#[test]
fn g10_the_kernel_gets_an_entry_of_this_configuration_and_wire_for_a_bound_lease_alone() {
    let mut lab = Lab::new(&rack(&[]));
    let address = lab.offer(discover(1)).yiaddr;
    assert!(lab.kernel(&init_reboot(1, address)).is_none(), "only offered");
    lab.ack(selecting(1, address));
    let entry = *lab.entry(mac(1)).expect("an entry");
    assert_eq!((entry.generation, entry.ip), (1, address.octets()));
    assert!(lab.kernel(&init_reboot(1, address)).is_some());
    // What the kernel leaves to it, the agent answers as ever, and gives the entry its new generation.
    lab.reconfigure(&rack(&["options: {dns: [10.9.0.53]}"]));
    assert!(lab.kernel(&init_reboot(1, address)).is_none(), "of the configuration before");
    assert_eq!(lab.ack(init_reboot(1, address)).option(6), Some(vec![10, 9, 0, 53]));
    assert_eq!(lab.entry(mac(1)).map(|entry| entry.generation), Some(2));
    lab.silence(decline(1, address));
    assert!(lab.entry(mac(1)).is_none(), "suspended");
}

#[test]
fn g11_a_lease_that_has_run_out_is_the_agents_to_renew() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    lab.wait(3599);
    assert!(lab.kernel(&renewing(1, address)).is_some());
    lab.wait(3600);
    assert!(lab.kernel(&renewing(1, address)).is_none());
    assert_eq!(lab.ack(renewing(1, address)).yiaddr, address, "nobody else has it");
    assert!(lab.kernel(&renewing(1, address)).is_some());
}
