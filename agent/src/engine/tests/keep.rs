//! Networks with `keepAddresses`.

use super::*;
use crate::engine::{Ending, TakeBack};

/// Two addresses, each for the first client that takes it.
fn keeping(lines: &[&str]) -> Lab {
    let ours = ["ranges: [10.9.0.100-10.9.0.101]", "keepAddresses: true"];
    Lab::new(&rack(&[&ours, lines].concat()))
}

/// What an operator's release comes to.
fn let_go(lab: &mut Lab, address: Ipv4Addr) {
    let key = lab.engine.key_of(&lab.table, address).unwrap();
    lab.leaving.insert(address, TakeBack { ip: address, key, into: Ending::LetGo, seen: None });
    assert!(lab.take_back().contains(&address));
}

#[test]
fn c46_an_address_once_leased_is_no_other_clients_however_its_lease_ended() {
    let mut lab = keeping(&[]);
    let (released, expired) = (bound(&mut lab, 1), bound(&mut lab, 2));
    lab.silence(release(1, released));
    lab.take_back();
    lab.wait(86_400);
    lab.take_back();
    assert_eq!(lab.ignored(discover(3)), Ignored::NoFreeAddress);
    let wanting = discover(3).option(50, &released.octets());
    assert_eq!(lab.ignored(wanting), Ignored::NoFreeAddress, "although it asks for one");
    assert_eq!(lab.ignored(init_reboot(3, expired)), Ignored::UnknownClient);
    assert_eq!(bound(&mut lab, 1), released);
    assert_eq!(lab.ack(init_reboot(2, expired)).yiaddr, expired);
}

#[test]
fn c25_an_offer_that_nobody_took_is_free_again_here_too() {
    let mut lab = keeping(&["offerHold: 60s"]);
    for client in [1, 2] {
        lab.offer(discover(client));
    }
    assert_eq!(lab.ignored(discover(3)), Ignored::NoFreeAddress);
    lab.wait(60);
    assert_eq!(lab.take_back().len(), 2);
    lab.offer(discover(3));
}

#[test]
fn what_the_operator_lets_go_is_anybodys() {
    let mut lab = keeping(&[]);
    let (first, second) = (bound(&mut lab, 1), bound(&mut lab, 2));
    lab.silence(release(1, first));
    lab.take_back();
    let_go(&mut lab, first);
    let_go(&mut lab, second);
    assert_eq!(bound(&mut lab, 3), first);
    assert_eq!(bound(&mut lab, 1), second, "whoever comes first");
}

#[test]
fn c21_a_reservation_takes_an_address_from_who_had_it() {
    let mut lab = keeping(&[]);
    let first = bound(&mut lab, 1);
    lab.silence(release(1, first));
    lab.take_back();
    let ranges = "ranges: [10.9.0.100-10.9.0.101]";
    let reserved = "reservations: [{mac: \"02:00:00:00:00:03\", ip: 10.9.0.100}]";
    lab.reconfigure(&rack(&[ranges, "keepAddresses: true", reserved]));
    assert_eq!(bound(&mut lab, 3), first);
}
