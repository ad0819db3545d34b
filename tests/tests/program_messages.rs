//! Checklist rows 1 to 14 and 45 to 60, as far as they are the kernel's: what every reply looks like,
//! where it goes, and what it repeats.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::frame::{bootp, ethernet};
use xdhcpd_common::maps::{EventKind, LeaseFlags, LeaseState, ServerFlags, TemplateFlags, Wire};
use xdhcpd_common::{fingerprint, maps::LeaseKey};
use xdhcpd_tests::frames::*;
use xdhcpd_tests::scene::*;

#[test]
fn c01_a_reply_repeats_what_identifies_the_request() {
    let Some(mut scene) = Scene::set() else { return };
    let frame = discover().with(|frame| {
        frame.chaddr[6..].fill(0xab);
        frame.flags = 0x8000;
        frame.xid = 0xdead_beef;
        frame.secs = 9;
    });
    // `answer` checks op, htype, hlen, hops, xid, secs, flags, giaddr and all of chaddr.
    let reply = scene.answer(&frame);
    assert_eq!(reply.source, OURS);
}

#[test]
fn c02_ciaddr_is_the_requests_own_in_an_ack() {
    let Some(mut scene) = Scene::set() else { return };
    assert_eq!(scene.answer(&discover()).field(bootp::CIADDR, 4), [0; 4]);
    assert_eq!(scene.answer(&renewing()).field(bootp::CIADDR, 4), ADDRESS);
}

#[test]
fn c03_yiaddr_is_the_leases_address() {
    let Some(mut scene) = Scene::set() else { return };
    assert_eq!(scene.answer(&discover()).field(bootp::YIADDR, 4), ADDRESS);
    assert_eq!(scene.answer(&selecting()).field(bootp::YIADDR, 4), ADDRESS);
}

#[test]
fn c04_siaddr_sname_and_file_are_the_templates() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&discover().with(|frame| frame.names = vec![0x55; 192]));
    assert_eq!(reply.field(bootp::SIADDR, 4), NEXT_SERVER);
    let terms = template();
    assert_eq!(reply.field(bootp::SNAME, 64), terms.server_name);
    assert_eq!(reply.field(bootp::SNAME + 64, 128), terms.file);
}

#[test]
fn c05_reserved_bits_of_flags_change_nothing() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&discover().with(|frame| frame.flags = 0x7fff));
    assert_eq!(reply.to, ADDRESS);
    let reply = scene.answer(&discover().with(|frame| frame.flags = 0xffff));
    assert_eq!(reply.to, BROADCAST);
}

#[test]
fn c06_short_and_long_requests_get_replies_of_300_bytes() {
    let Some(mut scene) = Scene::set() else { return };
    for least in [0, 250, 299, 300, 301, 302, 320, 400, 500, 548, 576, 1000, 1400] {
        let reply = scene.answer(&discover().with(|frame| frame.least_payload = least));
        assert_eq!(reply.message.len(), 300, "to a request of {least}");
    }
}

#[test]
fn c07_a_reply_over_576_bytes_is_left_to_the_agent() {
    let mut long = Vec::new();
    while long.len() < 240 {
        long.extend([12, 10]);
        long.extend([b'x'; 10]);
    }
    let Some(mut scene) = Scene::set_with(server(), template_with(&long), lease()) else { return };
    // 240 + 15 + 12 + 240 + END = 508, so that 40 more fit: an option 61 of 38.
    let reply = scene.answer(&discover().option(61, &[7; 38]));
    assert_eq!(reply.message.len(), 548);
    scene.passes_built(&discover().option(61, &[7; 39]), Counter::ReplyLength);
}

#[test]
fn c08_options_are_in_order_and_each_is_there_once() {
    let Some(mut scene) = Scene::set_with(server(), template(), relay_info_lease(&[1, 2, 3])) else { return };
    let frame =
        discover().option(82, &[1, 2, 3]).option(61, &[1, 2, 3, 4, 5, 6, 7]).relayed(RELAY_ADDRESS, SERVER);
    assert_eq!(scene.answer(&frame).codes(), [53, 54, 51, 58, 59, 1, 3, 6, 61, 82]);
}

fn relay_info_lease(value: &[u8]) -> xdhcpd_common::maps::Lease {
    let mut lease = relayed_lease();
    lease.relay_info = fingerprint::add(fingerprint::NONE, 82, value);
    lease
}

#[test]
fn c09_checksums_are_right_whatever_is_echoed() {
    for options in [OPTIONS, &OPTIONS[..12], &OPTIONS[..6], &[12, 1, b'x'], &[]] {
        let Some(mut scene) = Scene::set_with(server(), template_with(options), lease()) else { return };
        for length in 2..=64_u8 {
            let id: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37) ^ 0xa5).collect();
            // `Reply::read` judges the checksums.
            assert_eq!(scene.answer(&selecting().option(61, &id)).option(61), Some(&id[..]));
        }
    }
}

#[test]
fn c10_a_relayed_reply_goes_to_giaddr_through_the_sender() {
    let Some(mut scene) = Scene::set_with(server(), template(), relayed_lease()) else { return };
    let reply = scene.answer(&discover().relayed(RELAY_ADDRESS, SERVER));
    assert_eq!((reply.to, reply.ports, reply.destination), (RELAY_ADDRESS, (67, 67), RELAY));
    assert_eq!(reply.from, SERVER);
}

#[test]
fn c11_a_reply_to_ciaddr_is_unicast() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&renewing());
    assert_eq!((reply.to, reply.ports, reply.destination), (ADDRESS, (67, 68), CLIENT));
}

#[test]
fn c12_the_broadcast_flag_and_always_broadcast_are_heeded() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&discover().with(|frame| frame.flags = 0x8000));
    assert_eq!((reply.to, reply.destination, reply.ports), (BROADCAST, EVERYBODY, (67, 68)));
    let reply = scene.answer(&discover());
    assert_eq!((reply.to, reply.destination), (ADDRESS, CLIENT));
    let mut terms = template();
    terms.flags = TemplateFlags::ALWAYS_BROADCAST;
    scene.0.set_template(0, terms);
    let reply = scene.answer(&discover());
    assert_eq!((reply.to, reply.destination), (BROADCAST, EVERYBODY));
}

#[test]
fn c14_source_address_and_option_54_are_ours() {
    let Some(mut scene) = Scene::set() else { return };
    let reply = scene.answer(&discover());
    assert_eq!((reply.from, reply.option(54)), (SERVER, Some(&SERVER[..])));
}

#[test]
fn c45_a_decline_by_its_holder_suspends_the_entry_and_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let decline = FrameBuilder::message(4).option(54, &SERVER).option(50, &ADDRESS);
    let elsewhere = FrameBuilder::message(4).option(54, &SERVER).option(50, &[10, 9, 0, 101]);
    scene.passes_built(&elsewhere, Counter::OtherAddress);
    assert_eq!(scene.0.lease(key()).expect("there").state, LeaseState::BOUND);
    scene.passes_built(&decline, Counter::GivenBack);
    assert_eq!(scene.0.lease(key()).expect("there").state, LeaseState::SUSPENDED);
    let events = scene.0.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind, events[0].ip, events[0].key), (EventKind::SUSPENDED, ADDRESS, key()));
    scene.passes_built(&discover(), Counter::Suspended);
}

#[test]
fn c46_a_release_by_its_holder_suspends_the_entry_and_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let release = FrameBuilder::message(7).option(54, &SERVER).unicast(ADDRESS, SERVER);
    let unnamed = FrameBuilder::message(7).unicast(ADDRESS, SERVER);
    scene.passes_built(&unnamed, Counter::OtherAddress);
    scene.passes_built(&release, Counter::GivenBack);
    assert_eq!(scene.0.lease(key()).expect("there").state, LeaseState::SUSPENDED);
    scene.passes_built(&renewing(), Counter::Suspended);
}

#[test]
fn c49_the_client_id_is_compared_only_where_it_is_the_identity() {
    let Some(mut scene) = Scene::set() else { return };
    scene.answer(&discover().option(61, b"firmware"));
    scene.answer(&discover().option(61, b"the system"));
    let mut by_id = lease();
    by_id.flags = LeaseFlags::BY_CLIENT_ID;
    by_id.client_id = fingerprint::add(fingerprint::NONE, 61, b"firmware");
    scene.0.set_lease(key(), by_id);
    scene.answer(&discover().option(61, b"firmware"));
    scene.passes_built(&discover().option(61, b"firmwarE"), Counter::OtherClientId);
    scene.passes_built(&discover(), Counter::OtherClientId);
}

#[test]
fn c50_the_client_id_is_returned_up_to_64_bytes_and_only_when_sent() {
    let Some(mut scene) = Scene::set() else { return };
    assert_eq!(scene.answer(&discover()).option(61), None);
    for length in [2, 7, 8, 9, 63, 64] {
        let id = vec![0xc3; length];
        assert_eq!(scene.answer(&discover().option(61, &id)).option(61), Some(&id[..]));
    }
    for length in [0, 1, 65, 255] {
        scene.passes_built(&discover().option(61, &vec![1; length]), Counter::EchoLength);
    }
}

#[test]
fn c51_relay_information_is_echoed_last_up_to_128_bytes() {
    for length in [2, 8, 31, 64, 127, 128] {
        let value: Vec<u8> = (0..length).collect();
        let Some(mut scene) = Scene::set_with(server(), template(), relay_info_lease(&value)) else { return };
        let reply = scene.answer(&discover().option(82, &value).relayed(RELAY_ADDRESS, SERVER));
        assert_eq!(reply.options.last(), Some(&(82, value)));
    }
    let Some(mut scene) = Scene::set_with(server(), template(), relayed_lease()) else { return };
    let relayed = discover().relayed(RELAY_ADDRESS, SERVER);
    scene.passes_built(&relayed.clone().option(82, &[1; 129]), Counter::EchoLength);
    scene.passes_built(&relayed.option(82, &[1, 2]), Counter::OtherRelay);
    scene.passes_built(&discover().option(82, &[1, 2]), Counter::RareOption);
}

#[test]
fn c52_and_c54_options_that_only_the_agent_knows_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    for (code, value) in [(52, &[1][..]), (97, &[0; 17]), (118, &[10, 9, 0, 0])] {
        scene.passes_built(&discover().option(code, value), Counter::RareOption);
    }
}

#[test]
fn c58_another_server_is_counted_and_told_of_but_let_through() {
    let Some(mut scene) = Scene::set() else { return };
    let offer = FrameBuilder::message(2).with(|frame| {
        (frame.from_port, frame.to_port, frame.kind[0]) = (67, 68, 2);
        (frame.source, frame.from) = (RELAY, [10, 9, 0, 66]);
    });
    for _ in 0..3 {
        scene.passes_built(&offer, Counter::NotDhcp);
    }
    assert_eq!(scene.0.count(Counter::OtherServerMessages), 3);
    let events = scene.0.events();
    assert_eq!(events.len(), 1, "one of a server in a second");
    assert_eq!((events[0].kind, events[0].key.mac), (EventKind::OTHER_SERVER, RELAY));
    assert_eq!((events[0].ip, events[0].messages), ([10, 9, 0, 66], 1));
    scene.passes_built(&offer.clone().with(|frame| frame.source = CLIENT), Counter::NotDhcp);
    assert_eq!(scene.0.events()[0].key.mac, CLIENT, "one that answers much hides no other");
    std::thread::sleep(std::time::Duration::from_millis(1050));
    scene.passes_built(&offer, Counter::NotDhcp);
    assert_eq!(scene.0.events()[0].messages, 3, "with those that came meanwhile");
    scene.passes_built(&offer.with(|frame| frame.source = OURS), Counter::NotDhcp);
    assert_eq!(scene.0.count(Counter::OtherServerMessages), 5, "ours do not count");
}

#[test]
fn c58_servers_without_end_are_told_of_so_often_and_no_more() {
    let Some(mut scene) = Scene::set() else { return };
    for number in 0..100 {
        let offer = FrameBuilder::message(2).with(|frame| {
            (frame.from_port, frame.to_port, frame.kind[0]) = (67, 68, 2);
            (frame.source, frame.from) = ([2, 3, 0, 0, 0, number], [10, 9, 0, 66]);
        });
        scene.passes_built(&offer, Counter::NotDhcp);
    }
    let told = scene.0.events().len();
    assert!((16..50).contains(&told), "{told} events");
}

#[test]
fn c60_entries_and_templates_of_another_configuration_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    let mut old = template();
    old.generation -= 1;
    scene.0.set_template(0, old);
    scene.passes_built(&discover(), Counter::Stale);
    scene.0.set_template(0, template());
    let mut next = server();
    next.generation += 1;
    scene.0.serve(wire(), next);
    scene.passes_built(&discover(), Counter::Stale);
}

#[test]
fn vlan_tags_are_part_of_the_wire_and_come_back_as_they_were() {
    let Some(mut scene) = Scene::set() else { return };
    for ids in [vec![5_u16], vec![5, 6]] {
        let mut tagged = discover();
        for id in &ids {
            tagged = tagged.vlan(*id);
        }
        scene.passes_built(&tagged, Counter::NotServed);
        let wire = Wire { vlan: [ids[0], ids.get(1).copied().unwrap_or(0)], ..wire() };
        scene.0.serve(wire, server());
        scene.passes_built(&tagged, Counter::NoLease);
        scene.0.set_lease(LeaseKey { wire, ..key() }, lease());
        // Priority bits are kept, and are no part of the id; the outer tag may be 802.1ad's.
        let tagged = tagged.with(|frame| frame.tags[0] = (ethernet::SERVICE_VLAN, 0xe000 | ids[0]));
        scene.answer(&tagged);
        scene.answer(&tagged.with(|frame| frame.least_payload = 0));
    }
}

#[test]
fn a_wrong_source_is_dropped_or_passed_by_policy() {
    let mut strict = server();
    strict.flags = ServerFlags::CHECK_SOURCE;
    let Some(mut scene) = Scene::set_with(strict, template(), lease()) else { return };
    let forged = discover().with(|frame| frame.source = RELAY);
    let outcome = scene.run(&forged);
    assert_eq!(outcome.action, xdhcpd_tests::program::DROP, "g08");
    assert_eq!(scene.0.count(Counter::ForeignSource), 1);
    let routed = renewing().with(|frame| frame.source = RELAY);
    scene.passes_built(&routed, Counter::ForeignNetwork);
    scene.0.serve(wire(), server());
    scene.answer(&forged);
}
