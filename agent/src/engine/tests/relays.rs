//! Rows 51 and 52: relays, and what is believed of them.

use super::*;

fn far() -> String {
    "networks:
- name: far
  interface: eth1
  subnet: 10.8.0.0/24
  ranges: [10.8.0.100-10.8.0.101]
  leaseTime: 1h
  relays: [10.8.0.1]
- name: far2
  interface: eth1
  subnet: 10.8.1.0/24
  ranges: [10.8.1.100-10.8.1.101]
  leaseTime: 1h
  relays: [10.8.0.1]
"
    .to_owned()
}

#[test]
fn c51_option_82_comes_back_whole_to_a_listed_relay() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let long = [&[1, 198][..], &[3; 198]].concat();
    for info in [&[1, 2, 9, 9, 2, 1, 7][..], &long, &[1, 9, 9]] {
        let got = lab.offer(relayed(discover(1), [10, 9, 0, 9], info));
        assert_eq!(got.options.last(), Some(&(82, info.to_vec())));
    }
}

#[test]
fn c51_an_unlisted_relay_of_our_own_link_is_served_but_not_believed() {
    let mut lab = Lab::new(&rack(&["reservations: [{circuitId: \"0909\", ip: 10.9.0.5}]"]));
    let got = lab.offer(relayed(discover(1), [10, 9, 0, 9], &[1, 2, 9, 9]));
    assert_eq!((got.yiaddr, got.option(82)), (ip(100), None));
    assert_eq!(lab.nak(relayed(selecting(1, ip(9)), [10, 9, 0, 9], &[1, 2, 9, 9])).option(82), None);
    assert!(lab.entry(mac(1)).is_none(), "the kernel would echo it");
}

#[test]
fn c51_an_unlisted_relay_from_elsewhere_is_not_served() {
    let mut lab = Lab::new(&rack(&["relays: [10.8.0.1]"]));
    assert_eq!(lab.ignored(relayed(discover(1), [10, 7, 0, 1], &[])), Ignored::UnknownRelay);
}

#[test]
fn c51_option_82_without_a_relay_is_no_relays() {
    let mut lab = Lab::new(&rack(&["reservations: [{circuitId: \"0909\", ip: 10.9.0.5}]"]));
    let got = lab.offer(discover(1).option(82, &[1, 2, 9, 9]));
    assert_eq!((got.yiaddr, got.option(82)), (ip(100), None));
}

#[test]
fn a_network_behind_relays_is_found_by_giaddr() {
    let mut lab = Lab::new(&far());
    assert_eq!(lab.ignored(discover(1)), Ignored::NotServed);
    let address = Ipv4Addr::new(10, 8, 0, 100);
    let got = lab.offer(relayed(discover(1), RELAY, &[]));
    assert_eq!((got.yiaddr, got.option(54)), (address, Some(SERVER.to_vec())));
    lab.ack(relayed(selecting(1, address), RELAY, &[]));
    let renewal = Builder { source_mac: RELAY_MAC, ..renewing(1, address) };
    assert_eq!(lab.ack(renewal).yiaddr, address);
}

#[test]
fn c52_sub_option_5_chooses_the_subnet() {
    let mut lab = Lab::new(&far());
    let got = lab.offer(relayed(discover(1), RELAY, &[5, 4, 10, 8, 1, 0]));
    assert_eq!(got.yiaddr, Ipv4Addr::new(10, 8, 1, 100));
    assert_eq!(got.frame[30..34], RELAY, "the reply goes to giaddr all the same");
    let nowhere = relayed(discover(2), RELAY, &[5, 4, 10, 7, 0, 0]);
    assert_eq!(lab.ignored(nowhere), Ignored::UnknownRelay);
    let unlisted = relayed(discover(1), [10, 9, 0, 9], &[5, 4, 10, 7, 0, 0]);
    assert_eq!(Lab::new(&rack(&[])).offer(unlisted).yiaddr, ip(100));
}

#[test]
fn c52_a_relay_on_one_networks_own_link_speaks_for_clients_of_the_other_that_lists_it() {
    let networks = far().replace("relays: [10.8.0.1]", "relays: [10.9.0.9]").replace("networks:\n", "");
    let mut lab = Lab::new(&format!("{}{networks}", rack(&[])));
    let relay = [10, 9, 0, 9];
    let got = lab.offer(relayed(discover(1), relay, &[5, 4, 10, 8, 1, 0]));
    assert_eq!(got.yiaddr, Ipv4Addr::new(10, 8, 1, 100));
    assert_eq!(lab.offer(relayed(discover(2), relay, &[1, 1, 7])).yiaddr, ip(100), "it names no other");
    let nowhere = relayed(discover(3), relay, &[5, 4, 10, 7, 0, 0]);
    assert_eq!(lab.ignored(nowhere), Ignored::UnknownRelay);
}

#[test]
fn c52_option_118_chooses_the_subnet_and_comes_back() {
    let mut lab = Lab::new(&far());
    let got = lab.offer(relayed(discover(1).option(118, &[10, 8, 1, 0]), RELAY, &[]));
    assert_eq!(got.yiaddr, Ipv4Addr::new(10, 8, 1, 100));
    assert_eq!(got.option(118), Some(vec![10, 8, 1, 0]));
    let mut lab = Lab::new(&shared_wire());
    let got = lab.offer(discover(1).option(118, &[10, 9, 1, 0]));
    assert_eq!(got.yiaddr, Ipv4Addr::new(10, 9, 1, 100));
    assert_eq!(lab.ignored(discover(2).option(118, &[10, 7, 1, 0])), Ignored::NotServed);
}

#[test]
fn c52_sub_option_11_is_the_servers_name() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let relay = [10, 9, 0, 9];
    let info = [11, 4, 10, 9, 0, 9];
    let through = |builder| relayed(builder, relay, &info);
    let got = lab.offer(through(discover(1)));
    assert_eq!(got.option(54), Some(relay.to_vec()));
    assert_eq!(got.frame[26..30], SERVER, "the frame comes from us");
    let got = lab.ack(through(selecting_from(1, got.yiaddr, relay)));
    assert_eq!(got.option(54), Some(relay.to_vec()));
    assert!(lab.entry(mac(1)).is_none(), "the kernel knows only our own name");
    assert_eq!(lab.ignored(through(selecting(1, got.yiaddr))), Ignored::OtherServer);
    let release = Builder { ciaddr: got.yiaddr.octets(), ..message(1, MessageType::RELEASE) };
    lab.silence(through(release.option(54, &relay)));
    assert!(lab.take_back().contains(&got.yiaddr));
    // Nobody else may rename us.
    let untrusted = relayed(discover(2), [10, 9, 0, 8], &[11, 4, 10, 9, 0, 8]);
    assert_eq!(lab.offer(untrusted).option(54), Some(SERVER.to_vec()));
}

#[test]
fn c52_sub_option_19_is_answered_at_the_relays_port() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let through =
        |builder, info: &[u8]| Builder { ports: (4011, 67), ..relayed(builder, [10, 9, 0, 9], info) };
    let port = |got: &Got| [got.frame[36], got.frame[37]];
    let got = lab.offer(through(discover(1), &[19, 0]));
    assert_eq!(port(&got), 4011_u16.to_be_bytes());
    assert!(lab.entry(mac(1)).is_none());
    assert_eq!(port(&lab.nak(through(selecting(1, ip(103)), &[19, 0]))), 4011_u16.to_be_bytes());
    assert_eq!(port(&lab.offer(through(discover(1), &[1, 1, 5]))), [0, 67], "unasked, it is 67");
}
