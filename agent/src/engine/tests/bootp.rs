//! Row 48: BOOTP (RFC 951, RFC 1534).

use super::*;
use crate::clock::Moment;
use crate::engine::reply::ReplyKind;
use crate::lease::State;

const FIVE: &str = "reservations: [{mac: \"02:00:00:00:00:05\", ip: 10.9.0.5, hostName: five}]";
const BOOT: &str = "boot: {nextServer: 10.9.0.7, file: vmunix}";

/// A BOOTREQUEST with these options and BOOTP's 64 bytes of vendor field.
fn bootrequest(client: u8, options: &[u8]) -> Builder {
    Builder { mac: mac(client), source_mac: mac(client), least: 300, ..Builder::with_options(options) }
}

fn served(lines: &[&str]) -> Lab {
    Lab::new(&rack(&[&[FIVE, BOOT, "bootp: true"], lines].concat()))
}

fn reply(lab: &mut Lab, request: &Builder) -> Got {
    let got = lab.got(request).expect("no reply");
    assert_eq!(got.kind, ReplyKind::Bootp);
    got
}

#[test]
fn c48_bootp_is_ignored_where_no_network_says_otherwise() {
    for lines in [&[][..], &[FIVE], &[FIVE, "bootp: false"]] {
        let mut lab = Lab::new(&rack(lines));
        assert_eq!(lab.ignored(bootrequest(5, &[12, 1, b'a', 255])), Ignored::MessageType);
    }
}

#[test]
fn c48_bootp_is_answered_from_a_reservation() {
    let mut lab = served(&["options: {dns: [10.9.0.53], domainName: example.org}"]);
    let got = reply(&mut lab, &bootrequest(5, &[12, 1, b'a', 255]));
    assert_eq!((got.yiaddr, &got.message[20..24]), (ip(5), &[10, 9, 0, 7][..]));
    assert_eq!(got.message[108..115], *b"vmunix\0");
    assert_eq!(got.option(12), Some(b"five".to_vec()));
    assert_eq!(got.option(6), Some(vec![10, 9, 0, 53]));
    assert_eq!(got.codes()[..2], [1, 3], "the mask before the router");
    assert!(got.codes().iter().all(|code| !(50..=61).contains(code)), "{:?}", got.codes());
    assert_eq!(got.frame[30..34], [10, 9, 0, 5]);
    assert_eq!(got.message.len(), 300);
}

#[test]
fn c48_bootp_without_a_vendor_field_is_answered_too() {
    let mut lab = served(&[]);
    let mut message = bootrequest(5, &[255]).message();
    message[236..].fill(0);
    let frame = bootrequest(5, &[255]).frame_around(&message);
    let outcome = lab.send_frame(&frame).expect("is served");
    assert_eq!(outcome.reply.expect("a reply").kind, ReplyKind::Bootp);
}

#[test]
fn c48_bootp_has_its_address_for_ever_and_is_written_once() {
    let mut lab = served(&[]);
    reply(&mut lab, &bootrequest(5, &[255]));
    let lease = lab.lease(ip(5));
    assert_eq!((lease.state, lease.expires), (State::Bound, Moment::FOREVER));
    assert_eq!(lease.durable_until, Moment::FOREVER);
    lab.wait(100_000_000);
    assert!(lab.take_back().is_empty());
    reply(&mut lab, &bootrequest(5, &[255]));
    assert_eq!(lab.writes.len(), 1);
    assert!(lab.entry(mac(5)).is_none(), "the kernel knows nothing of BOOTP");
}

#[test]
fn c48_the_system_that_a_bootp_client_loads_gets_the_same_address_by_dhcp() {
    let mut lab = served(&[]);
    reply(&mut lab, &bootrequest(5, &[255]));
    assert_eq!(bound(&mut lab, 5), ip(5));
    assert_eq!(lab.lease(ip(5)).durable_until, Moment::FOREVER, "what is on disk is no less");
    assert!(lab.kernel(&renewing(5, ip(5))).is_some());
    reply(&mut lab, &bootrequest(5, &[255]));
    assert_eq!(lab.lease(ip(5)).expires, Moment::FOREVER);
}

#[test]
fn c48_who_has_no_reservation_gets_no_address_by_bootp() {
    let mut lab = served(&[]);
    assert_eq!(lab.ignored(bootrequest(1, &[255])), Ignored::NotReserved);
    assert_eq!(lab.table.leases().count(), 0);
    let elsewhere = Builder { ciaddr: [10, 9, 0, 6], ..bootrequest(5, &[255]) };
    assert_eq!(lab.ignored(elsewhere), Ignored::NotTheClients);
}

#[test]
fn c48_bootp_through_a_relay_gets_its_option_82_back() {
    let mut lab = served(&["relays: [10.9.0.9]"]);
    let got = reply(&mut lab, &relayed(bootrequest(5, &[255]), [10, 9, 0, 9], &[1, 1, 5]));
    assert_eq!(got.options.last(), Some(&(82, vec![1, 1, 5])));
    assert_eq!((&got.frame[30..34], &got.frame[36..38]), (&[10, 9, 0, 9][..], &[0, 67][..]));
}

#[test]
fn c48_what_does_not_fit_bootps_vendor_field_is_left_out_whole() {
    let mut lab =
        served(&["options: {custom: [{code: 224, hex: \"0102030405060708090a0b0c0d0e0f101112\"}, \
                            {code: 225, hex: \"0102030405060708090a0b0c0d0e0f10\"}]}"]);
    let got = reply(&mut lab, &bootrequest(5, &[255]));
    assert_eq!(got.message.len(), 300);
    assert_eq!((got.option(224).is_some(), got.option(225)), (true, None));
    assert_eq!(got.option(52), None);
}
