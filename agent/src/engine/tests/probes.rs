//! Row 24: a new address is probed before it is offered.

use xdhcpd_common::maps::Wire;

use super::lab::WIRE;
use super::*;
use crate::engine::probes::{ASKED, Ask, MOST, ProbeCounts, WITHIN};
use crate::engine::reply::ReplyKind;
use crate::engine::{Note, Outcome};
use crate::lease::State;

const STRANGER: [u8; 6] = [2, 0, 0, 0, 7, 7];

fn probing(lines: &[&str]) -> Lab {
    Lab::new(&rack(&[lines, &["probe: true"]].concat()))
}

/// The address that an outcome asks for on the link; it says nothing to anybody else.
fn asked(outcome: &Outcome) -> Option<Ipv4Addr> {
    let probe = outcome.probe.as_ref()?;
    assert!(outcome.reply.is_none() && outcome.write.is_none() && outcome.kernel.is_none());
    if let Ask::Arp(frame) = &probe.ask {
        assert_eq!(frame[frame.len() - 4..], probe.ip.octets());
    }
    Some(probe.ip)
}

fn offered(outcome: &Outcome) -> Option<Ipv4Addr> {
    let reply = outcome.reply.as_ref().filter(|reply| reply.kind == ReplyKind::Offer)?;
    Some(Got::of(&reply.frame, reply.kind).yiaddr)
}

/// The time passes in which an answer to a probe would have come; what follows.
fn nobody_answers(lab: &mut Lab) -> Vec<Outcome> {
    lab.now = lab.now.after(WITHIN);
    lab.probed().into_iter().map(Result::unwrap).collect()
}

/// All probes that are out find nobody; the addresses that are offered then.
fn nobody_is_there(lab: &mut Lab) -> Vec<Ipv4Addr> {
    let mut offers = Vec::new();
    while lab.engine.is_probing() {
        offers.extend(nobody_answers(lab).iter().filter_map(offered));
    }
    offers
}

#[test]
fn c24_a_new_address_is_offered_once_nobody_answered_for_it() {
    let mut lab = probing(&[]);
    assert_eq!(asked(&lab.send(&discover(1)).unwrap()), Some(ip(100)));
    for _ in 1..ASKED {
        assert!(lab.probed().is_empty(), "before its time");
        let [again] = &nobody_answers(&mut lab)[..] else { panic!("one question") };
        assert_eq!(asked(again), Some(ip(100)));
    }
    assert!(lab.writes.is_empty() && lab.entry(mac(1)).is_none(), "nothing is promised yet");
    let [last] = &nobody_answers(&mut lab)[..] else { panic!("one answer") };
    assert_eq!((offered(last), last.note), (Some(ip(100)), Some(Note::Allocated(ip(100)))));
    assert!(!lab.engine.is_probing() && lab.engine.next_probe().is_none());
    assert_eq!(lab.ack(selecting(1, ip(100))).yiaddr, ip(100));
}

#[test]
fn c24_a_probe_that_comes_late_is_still_given_its_time() {
    let mut lab = probing(&[]);
    lab.send(&discover(1)).unwrap();
    lab.wait(10);
    assert_eq!(lab.probed().iter().flatten().filter_map(asked).collect::<Vec<_>>(), [ip(100)]);
    assert!(lab.probed().is_empty(), "the second question has its time too");
}

#[test]
fn c24_an_address_in_use_is_quarantined_and_the_next_one_is_offered() {
    let mut lab = probing(&["declineHold: 1h"]);
    lab.send(&discover(1)).unwrap();
    let outcomes = lab.claimed(WIRE, ip(100), STRANGER);
    let [Ok(quarantine), Ok(next)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(quarantine.note, Some(Note::InUse { ip: ip(100), by: Some(STRANGER) }));
    assert_eq!(asked(next), Some(ip(101)));
    assert_eq!(nobody_is_there(&mut lab), [ip(101)]);

    let lease = lab.lease(ip(100)).clone();
    assert!(lease.state == State::Declined && lease.is_nobodys(), "{lease:?}");
    assert!(lab.writes.iter().any(|write| write.ip == ip(100) && write.until == lease.expires));
    assert_eq!(lab.engine.probe_counts(), ProbeCounts { free: 1, in_use: 1, left_out: 0 });
    lab.wait(3601);
    lab.take_back();
    assert_eq!(lab.lease(ip(100)).state, State::Expired, "the quarantine ends");
}

#[test]
fn c24_the_only_address_in_use_leaves_none() {
    let mut lab = probing(&["ranges: [10.9.0.100-10.9.0.100]"]);
    lab.send(&discover(1)).unwrap();
    let outcomes = lab.claimed(WIRE, ip(100), STRANGER);
    assert!(matches!(outcomes[..], [Ok(_), Err(Ignored::NoFreeAddress)]), "{outcomes:?}");
    assert!(!lab.engine.is_probing());
}

#[test]
fn c24_only_somebody_else_on_the_wire_who_says_it_has_the_address_counts() {
    let mut lab = probing(&[]);
    lab.send(&discover(1)).unwrap();
    let other_wire = Wire { vlan: [5, 0], ..WIRE };
    assert!(lab.claimed(WIRE, ip(100), mac(1)).is_empty(), "the client itself");
    assert!(lab.claimed(other_wire, ip(100), STRANGER).is_empty(), "another VLAN");
    assert!(lab.claimed(WIRE, Ipv4Addr::UNSPECIFIED, STRANGER).is_empty(), "another's probe");
    assert!(lab.claimed(WIRE, ip(101), STRANGER).is_empty(), "another address");
    assert!(lab.echoed(ip(100)).is_empty(), "nobody pinged");
    assert_eq!(nobody_is_there(&mut lab), [ip(100)]);
    assert!(lab.claimed(WIRE, ip(100), STRANGER).is_empty(), "after the offer the client finds out itself");
}

#[test]
fn c24_a_discover_sent_again_starts_no_second_probe_and_gets_the_answer() {
    let mut lab = probing(&[]);
    lab.send(&discover(1)).unwrap();
    let due = lab.engine.next_probe();
    let again = Builder { flags: [0x80, 0], ..discover(1) };
    let outcome = lab.send(&again).unwrap();
    assert!(outcome.probe.is_none() && outcome.reply.is_none());
    assert_eq!(lab.engine.next_probe(), due);
    nobody_answers(&mut lab);
    let [last] = &nobody_answers(&mut lab)[..] else { panic!("one answer") };
    let reply = last.reply.as_ref().unwrap();
    assert_eq!(Got::of(&reply.frame, reply.kind).message[10..12], [0x80, 0], "the newer one is answered");
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(100), "and one after that at once");
}

#[test]
fn c24_a_clients_own_address_is_never_probed() {
    let mut lab = probing(&["reservations: [{mac: \"02:00:00:00:00:02\", ip: 10.9.0.5}]"]);
    for (client, address) in [(1, ip(100)), (2, ip(5))] {
        assert_eq!(asked(&lab.send(&discover(client)).unwrap()), Some(address), "new to the client");
        assert_eq!(nobody_is_there(&mut lab), [address]);
        lab.ack(selecting(client, address));
        assert_eq!(lab.offer(discover(client)).yiaddr, address, "its present one");
        lab.silence(release(client, address));
        lab.take_back();
        assert_eq!(lab.offer(discover(client)).yiaddr, address, "its last one");
    }
}

#[test]
fn c24_other_clients_are_answered_while_one_waits() {
    let mut lab = probing(&[]);
    lab.send(&discover(1)).unwrap();
    nobody_is_there(&mut lab);
    lab.ack(selecting(1, ip(100)));
    assert_eq!(asked(&lab.send(&discover(2)).unwrap()), Some(ip(101)));
    assert_eq!(asked(&lab.send(&discover(3)).unwrap()), Some(ip(102)), "row 28: not what another waits for");
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(100));
    assert_eq!(nobody_is_there(&mut lab), [ip(101), ip(102)]);
}

#[test]
fn c24_an_address_asked_for_is_probed_as_well() {
    let mut lab = probing(&[]);
    let wants = |client| discover(client).option(50, &[10, 9, 0, 103]);
    assert_eq!(asked(&lab.send(&wants(1)).unwrap()), Some(ip(103)));
    assert_eq!(asked(&lab.send(&wants(2)).unwrap()), Some(ip(100)), "it is not free any more");
}

#[test]
fn c24_what_is_being_probed_is_not_the_clients_yet() {
    let mut lab = probing(&[]);
    lab.send(&discover(1)).unwrap();
    lab.nak(selecting(1, ip(100)));
    lab.nak(init_reboot(1, ip(100)));
    lab.silence(renewing(1, ip(100)));
    assert_eq!(nobody_is_there(&mut lab), [ip(100)]);
}

#[test]
fn c24_who_chooses_another_server_frees_the_address_at_once() {
    let mut lab = probing(&["ranges: [10.9.0.100-10.9.0.100]"]);
    lab.send(&discover(1)).unwrap();
    lab.silence(selecting_from(1, ip(9), [10, 9, 0, 77]));
    assert!(lab.table.get(ip(100)).is_none(), "as if it had never been used");
    assert_eq!(asked(&lab.send(&discover(2)).unwrap()), Some(ip(100)), "a probe of its own");
    assert_eq!(nobody_is_there(&mut lab), [ip(100)]);
    assert_eq!(lab.lease(ip(100)).mac, mac(2));
}

#[test]
fn c24_a_new_configuration_forgets_what_is_being_probed() {
    let mut lab = probing(&[]);
    bound_after_probe(&mut lab, 1);
    lab.send(&discover(2)).unwrap();
    lab.engine.forget_probes(&mut lab.table);
    assert!(lab.table.get(ip(101)).is_none() && !lab.engine.is_probing());
    assert_eq!(lab.lease(ip(100)).state, State::Bound);
}

fn bound_after_probe(lab: &mut Lab, client: u8) {
    lab.send(&discover(client)).unwrap();
    let [address] = nobody_is_there(lab)[..] else { panic!("one offer") };
    lab.ack(selecting(client, address));
}

#[test]
fn c24_without_probes_a_new_address_is_offered_at_once() {
    assert_eq!(Lab::new(&rack(&["probe: false"])).offer(discover(1)).yiaddr, ip(100));
}

#[test]
fn c24_behind_a_relay_an_echo_asks_and_its_answer_counts() {
    let far = "networks:
- {name: far, interface: eth1, subnet: 10.8.0.0/24, ranges: [10.8.0.100-10.8.0.101], relays: [10.8.0.1],
   leaseTime: 1h, probe: true}
";
    let mut lab = Lab::new(far);
    let [first, second] = [Ipv4Addr::new(10, 8, 0, 100), Ipv4Addr::new(10, 8, 0, 101)];
    let outcome = lab.send(&relayed(discover(1), RELAY, &[])).unwrap();
    assert_eq!((asked(&outcome), &outcome.probe.unwrap().ask), (Some(first), &Ask::Echo));
    assert!(lab.claimed(WIRE, first, STRANGER).is_empty(), "an ARP message of our link says nothing of it");
    assert!(lab.echoed(second).is_empty(), "nobody asked that one");
    let outcomes = lab.echoed(first);
    let [Ok(quarantine), Ok(next)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(quarantine.note, Some(Note::InUse { ip: first, by: None }));
    assert_eq!(asked(next), Some(second));
    assert_eq!(nobody_is_there(&mut lab), [second]);
}

#[test]
fn c24_too_many_probes_at_one_time_are_left_out_and_counted() {
    let mut lab = Lab::new(
        "networks:
- {name: hall, interface: eth1, subnet: 10.9.0.0/16, selfIP: 10.9.0.2/16, ranges: [10.9.1.0-10.9.100.255],
   leaseTime: 1h, probe: true}
",
    );
    let client = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let mac = [2, 0, 0, 1, high, low];
        Builder { mac, source_mac: mac, ..discover(1) }
    };
    let most = u16::try_from(MOST).unwrap();
    for number in 0..most {
        assert!(asked(&lab.send(&client(number)).unwrap()).is_some());
    }
    assert_eq!(lab.offer(client(most)).yiaddr, Ipv4Addr::new(10, 9, 17, 0));
    assert_eq!(lab.engine.probe_counts().left_out, 1);
    assert_eq!(nobody_is_there(&mut lab).len(), MOST);
    assert_eq!(lab.engine.probe_counts().free, u64::from(most));
}
