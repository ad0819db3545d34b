//! Rows 1 to 14: how a reply looks, and where it goes.

use super::*;
use crate::engine::reply::ReplyKind;

fn ethernet_destination(got: &Got) -> [u8; 6] {
    got.frame[..6].try_into().unwrap()
}

fn ip_destination(got: &Got) -> [u8; 4] {
    got.frame[30..34].try_into().unwrap()
}

fn ports(got: &Got) -> [u8; 4] {
    got.frame[34..38].try_into().unwrap()
}

#[test]
fn c01_the_fixed_part_is_copied_from_the_request() {
    let mut lab = Lab::new(&rack(&[]));
    let request = Builder { flags: [0x92, 0x34], ..discover(1) };
    let sent = request.message();
    let got = lab.offer(request);
    assert_eq!(got.message[..4], [2, 1, 6, 0]);
    assert_eq!(got.message[4..8], sent[4..8], "xid");
    assert_eq!(got.message[8..10], [0, 0], "secs");
    assert_eq!(got.message[10..12], [0x92, 0x34], "flags with their reserved bits");
    assert_eq!(got.message[24..44], sent[24..44], "giaddr and all of chaddr");
}

#[test]
fn c02_ciaddr_is_the_requests_in_an_ack_alone() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    assert_eq!(lab.ack(renewing(1, address)).decoded.ciaddr(), address);
    assert!(lab.ack(selecting(1, address)).decoded.ciaddr().is_unspecified());
    assert!(lab.offer(discover(1)).decoded.ciaddr().is_unspecified());
    assert!(lab.nak(init_reboot(1, ip(103))).decoded.ciaddr().is_unspecified());
}

#[test]
fn c03_yiaddr_is_zero_in_a_nak_and_in_the_ack_to_inform() {
    let mut lab = Lab::new(&rack(&[]));
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(100));
    assert!(lab.nak(selecting(1, ip(103))).yiaddr.is_unspecified());
    assert!(lab.ack(unicast(message(1, MessageType::INFORM), ip(9))).yiaddr.is_unspecified());
}

#[test]
fn c04_siaddr_sname_and_file_are_empty_unless_configured() {
    let got = Lab::new(&rack(&[])).offer(discover(1));
    assert!(got.message[20..24].iter().chain(&got.message[44..236]).all(|byte| *byte == 0));
    let boot = "boot: {nextServer: 10.9.0.7, file: undionly.kpxe, serverName: boot}";
    let got = Lab::new(&rack(&[boot])).offer(discover(1));
    assert_eq!(got.message[20..24], [10, 9, 0, 7]);
    assert_eq!(got.message[44..49], *b"boot\0");
    assert_eq!(got.message[108..122], *b"undionly.kpxe\0");
}

#[test]
fn c05_reserved_bits_of_flags_change_nothing() {
    let mut lab = Lab::new(&rack(&[]));
    let plain = lab.offer(discover(1));
    let got = lab.offer(Builder { flags: [0x7f, 0xff], ..discover(1) });
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), (got.yiaddr.octets(), mac(1)));
    assert_eq!(got.options, plain.options);
    let got = lab.offer(Builder { flags: [0xff, 0xff], ..discover(1) });
    assert_eq!((ip_destination(&got), &got.message[10..12]), ([255; 4], &[0xff, 0xff][..]));
}

#[test]
fn c06_a_reply_has_300_bytes_at_least() {
    let mut lab = Lab::new(&rack(&[]));
    assert_eq!(lab.offer(bare_discover(1)).message.len(), 300);
    assert_eq!(lab.nak(selecting(1, ip(103))).message.len(), 300);
}

#[test]
fn c08_the_leading_options_and_82_have_their_places() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let request = discover(1).option(61, &[1, 2, 3]);
    let got = lab.offer(relayed(request, [10, 9, 0, 9], &[1, 1, 5]));
    assert_eq!(got.codes(), [53, 54, 51, 58, 59, 1, 3, 61, 82]);
    let nak = lab.nak(relayed(selecting(1, ip(103)).option(61, &[1, 2, 3]), [10, 9, 0, 9], &[1, 1, 5]));
    assert_eq!(nak.codes(), [53, 54, 61, 82]);
}

#[test]
fn c08_a_long_option_is_split_and_none_comes_twice() {
    let hex = "ab".repeat(300);
    let options = format!("options: {{custom: [{{code: 224, hex: \"{hex}\"}}]}}");
    let mut lab = Lab::new(&rack(&[&options]));
    let got = lab.offer(discover(1).option(57, &[5, 220]));
    let lengths: Vec<_> = got.options.iter().filter(|(code, _)| *code == 224).map(|(_, v)| v.len()).collect();
    assert_eq!(lengths, [255, 45]);
    assert_eq!(got.option(224), Some(vec![0xab; 300]));
    let mut others: Vec<u8> = got.codes().into_iter().filter(|code| *code != 224).collect();
    let count = others.len();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), count);
}

#[test]
fn c09_checksums_are_right_whatever_the_length_and_never_zero() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    for length in 2..=255_u8 {
        let id: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37) ^ 0xa5).collect();
        // `Got::of` judges the checksums of IP and UDP.
        let got = lab.offer(discover(1).option(61, &id));
        assert_ne!(got.frame[40..42], [0, 0], "a checksum of zero says that there is none");
        let nak = lab.nak(relayed(selecting(1, ip(103)).option(61, &id), [10, 9, 0, 9], &[1, 1, length]));
        assert_ne!(nak.frame[40..42], [0, 0]);
    }
}

#[test]
fn c09_a_sum_that_comes_to_zero_is_sent_as_ones() {
    // The client-id's last two bytes run through all values: one of them makes the sum zero.
    let mut lab = Lab::new(&rack(&[]));
    let with_id = |word: u16| discover(1).option(61, &[&[0], &word.to_be_bytes()[..]].concat());
    let sum = |got: &Got| u16::from_be_bytes([got.frame[40], got.frame[41]]);
    let start = sum(&lab.offer(with_id(0)));
    // One more in the data is one less in its complement.
    let got = lab.offer(with_id(start));
    assert_eq!(sum(&got), 0xffff);
}

#[test]
fn c10_a_relayed_reply_goes_to_giaddr_port_67_by_whoever_sent_the_frame() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let got = lab.offer(relayed(discover(1), [10, 9, 0, 9], &[]));
    assert_eq!(ip_destination(&got), [10, 9, 0, 9]);
    assert_eq!(ports(&got), [0, 67, 0, 67]);
    assert_eq!(ethernet_destination(&got), RELAY_MAC);
}

#[test]
fn c11_a_renewing_client_is_answered_at_ciaddr() {
    let mut lab = Lab::new(&rack(&["alwaysBroadcast: true"]));
    let address = bound(&mut lab, 1);
    for request in [renewing(1, address), rebinding(1, address)] {
        let got = lab.ack(Builder { flags: [0x80, 0], ..request });
        assert_eq!(ip_destination(&got), address.octets());
        assert_eq!(ports(&got), [0, 67, 0, 68]);
        assert_eq!(ethernet_destination(&got), mac(1));
    }
}

#[test]
fn c11_a_client_behind_a_router_is_answered_through_it() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let address = bound(&mut lab, 1);
    let got = lab.ack(Builder { source_mac: RELAY_MAC, ..renewing(1, address) });
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), (address.octets(), RELAY_MAC));
    assert!(lab.entry(mac(1)).is_none(), "the kernel would answer past the router");
}

#[test]
fn c11_where_sources_are_not_checked_a_neighbours_mac_may_differ() {
    let mut lab = Lab::new(&rack(&["checkSource: false"]));
    let address = bound(&mut lab, 1);
    let renewal = Builder { source_mac: RELAY_MAC, ..renewing(1, address) };
    let kernels = lab.kernel(&renewal).expect("the kernel answers");
    let got = lab.ack(renewal);
    assert_eq!((ethernet_destination(&got), got.frame), (mac(1), kernels));
    // Who is no neighbour came through a router all the same.
    let far = rack(&["checkSource: false", "relays: [10.9.0.9]"]).replace("rack1", "far");
    let mut lab = Lab::new(&far);
    let address = lab.offer(relayed(discover(1), [10, 9, 0, 9], &[])).yiaddr;
    lab.ack(relayed(selecting(1, address), [10, 9, 0, 9], &[]));
    let got = lab.ack(Builder { source_mac: RELAY_MAC, ..renewing(1, address) });
    assert_eq!(ethernet_destination(&got), RELAY_MAC);
}

#[test]
fn c12_broadcast_is_for_those_that_ask_for_it() {
    let mut lab = Lab::new(&rack(&[]));
    let got = lab.offer(discover(1));
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), (got.yiaddr.octets(), mac(1)));
    let got = lab.offer(Builder { flags: [0x80, 0], ..discover(1) });
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), ([255; 4], [0xff; 6]));
    let got = Lab::new(&rack(&["alwaysBroadcast: true"])).offer(discover(1));
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), ([255; 4], [0xff; 6]));
}

#[test]
fn c13_a_nak_is_broadcast() {
    let got = Lab::new(&rack(&[])).nak(selecting(1, ip(103)));
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), ([255; 4], [0xff; 6]));
    assert_eq!(ports(&got), [0, 67, 0, 68]);
    assert_eq!(got.message[10..12], [0, 0]);
}

#[test]
fn c13_a_nak_through_a_relay_has_the_broadcast_flag() {
    let mut lab = Lab::new(&rack(&["relays: [10.9.0.9]"]));
    let got = lab.nak(relayed(selecting(1, ip(103)), [10, 9, 0, 9], &[]));
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), ([10, 9, 0, 9], RELAY_MAC));
    assert_eq!(ports(&got), [0, 67, 0, 67]);
    assert_eq!(got.message[10..12], [0x80, 0]);
}

#[test]
fn c13_a_nak_through_a_router_reaches_the_client() {
    let mut lab = Lab::new(&rack(&["authoritative: true"]));
    let got = lab.nak(Builder { source_mac: RELAY_MAC, ..renewing(1, ip(103)) });
    assert_eq!((ip_destination(&got), ethernet_destination(&got)), ([10, 9, 0, 103], RELAY_MAC));
}

#[test]
fn c14_source_and_option_54_are_ours_on_that_network() {
    let mut lab = Lab::new(&shared_wire());
    assert_eq!(lab.offer(discover(1)).yiaddr, ip(100));
    let got = lab.offer(discover(2));
    assert_eq!(got.yiaddr, Ipv4Addr::new(10, 9, 1, 100));
    assert_eq!(got.option(54), Some(vec![10, 9, 1, 2]));
    assert_eq!(got.frame[26..30], [10, 9, 1, 2]);
    assert_eq!(got.option(1), Some(vec![255, 255, 255, 0]));
    assert_eq!(lab.nak(selecting_from(2, ip(100), [10, 9, 1, 2])).option(54), Some(vec![10, 9, 1, 2]));
}

#[test]
fn the_requests_vlan_tags_are_the_replys() {
    let mut lab = Lab::new(&rack(&[]));
    let got = lab.offer(Builder { tags: vec![[0x81, 0, 0x60, 5]], ..discover(1) });
    assert_eq!(got.frame[12..18], [0x81, 0, 0x60, 5, 8, 0]);
    assert_eq!(got.kind, ReplyKind::Offer);
}

#[test]
fn what_is_not_for_us_is_ignored() {
    let mut lab = Lab::new(&rack(&[]));
    let elsewhere = Builder { destination_mac: [2; 6], ..discover(1) };
    assert_eq!(lab.ignored(elsewhere), Ignored::ForeignDestination);
    let elsewhere = Builder { destination: [10, 9, 0, 3], ..discover(1) };
    assert_eq!(lab.ignored(elsewhere), Ignored::ForeignDestination);
    assert_eq!(lab.ignored(Builder { source_mac: mac(9), ..discover(1) }), Ignored::ForeignSource);
    let subnet_broadcast = Builder { destination: [10, 9, 0, 255], ..discover(1) };
    assert_eq!(lab.offer(subnet_broadcast).yiaddr, ip(100));
}

#[test]
fn the_kernel_and_the_agent_answer_in_the_same_bytes() {
    let boot = "boot: {nextServer: 10.9.0.7, file: undionly.kpxe, serverName: boot}";
    let options = "options: {dns: [10.9.0.53], domainName: example.org}";
    let mut lab = Lab::new(&rack(&[boot, options, "relays: [10.9.0.9]"]));
    let plain: fn(Builder) -> Builder = |builder| builder;
    let forms: [fn(Builder) -> Builder; 5] = [
        plain,
        |builder| builder.option(61, &[1, 2, 3]).option(57, &[5, 220]),
        |builder| builder.option(61, &[9; 64]).option(51, &[0, 0, 0, 99]),
        |builder| Builder { flags: [0x80, 7], ..builder },
        |builder| {
            relayed(builder.option(61, &[5; 33]), [10, 9, 0, 9], &[[1, 126].as_slice(), &[3; 126]].concat())
        },
    ];
    for (client, form) in (1..).zip(&forms[..4]).chain([(4, &forms[4])]) {
        let address = lab.offer(form(discover(client))).yiaddr;
        for request in [discover(client), selecting(client, address), init_reboot(client, address)] {
            let kernels = lab.kernel(&form(request.clone())).expect("the kernel answers");
            let agents = lab.got(&form(request)).expect("the agent answers");
            assert_eq!(kernels, agents.frame);
        }
    }
    let address = lab.offer(discover(1)).yiaddr;
    let kernels = lab.kernel(&renewing(1, address)).expect("the kernel answers");
    assert_eq!(kernels, lab.ack(renewing(1, address)).frame);
}
