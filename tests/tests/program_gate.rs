//! The kernel's gate, G1 to G9 and G12, and what has broken other servers: each goes up byte for byte
//! unchanged and is counted by its reason, or is dropped where the checklist says so.

use xdhcpd_common::counters::Counter;
use xdhcpd_common::frame::{bootp, ethernet, ip, udp};
use xdhcpd_common::maps::{Lease, Server, ServerFlags};
use xdhcpd_tests::frames::*;
use xdhcpd_tests::program::{DROP, PASS, TX};
use xdhcpd_tests::scene::*;

/// Where the IP header of a frame without tags starts.
const START: usize = ethernet::LENGTH;

/// A frame with one byte changed after it was built; the IP checksum is made right again.
fn patched(at: usize, byte: u8) -> Vec<u8> {
    let mut frame = discover().build();
    frame[at] = byte;
    if (START..START + 20).contains(&at) && at != START {
        fix_ip_checksum(&mut frame, START);
    }
    frame
}

#[test]
fn g01_other_frames_and_other_stations_are_not_ours() {
    let Some(mut scene) = Scene::set() else { return };
    for kind in [[0x08, 0x06], [0x86, 0xdd], [0, 60]] {
        let mut frame = discover().build();
        frame[12..14].copy_from_slice(&kind);
        scene.passes(&frame, Counter::NotDhcp);
    }
    scene.passes_built(&discover().vlan(1).vlan(2).vlan(3), Counter::NotDhcp);
    scene.passes_built(&discover().with(|frame| frame.destination = RELAY), Counter::ForeignDestination);
    scene.answer(&discover().with(|frame| frame.destination = OURS));
}

#[test]
fn g01_a_wire_that_is_not_served_is_left_alone() {
    let Some(mut scene) = Scene::set() else { return };
    scene.passes_built(&discover().vlan(7), Counter::NotServed);
}

#[test]
fn g01_a_frame_from_a_group_goes_up() {
    let Some(mut scene) = Scene::set_with(server(), template(), relayed_lease()) else { return };
    let relayed = discover().relayed(RELAY_ADDRESS, SERVER);
    scene.passes_built(&relayed.with(|frame| frame.source[0] |= 1), Counter::ForeignNetwork);
}

#[test]
fn g02_ip_options_fragments_and_versions_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    scene.passes(&patched(START, 0x65), Counter::IpHeader);
    scene.passes(&patched(START + ip::FRAGMENT, 0x20), Counter::IpHeader);
    scene.passes(&patched(START + ip::FRAGMENT, 0x80), Counter::IpHeader);
    scene.passes(&patched(START + ip::FRAGMENT + 1, 1), Counter::NotDhcp);
    scene.passes(&patched(START + ip::PROTOCOL, 6), Counter::NotDhcp);
    let outcome = scene.0.run(&patched(START + ip::FRAGMENT, 0x40));
    assert_eq!(outcome.action, TX, "don't fragment is no fragment");
}

#[test]
fn g02_ihl_6_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let mut frame = discover().build();
    frame.splice(START + 20..START + 20, [1, 1, 1, 0]);
    frame[START] = 0x46;
    let total = u16::try_from(frame.len() - START).expect("short");
    frame[START + 2..START + 4].copy_from_slice(&total.to_be_bytes());
    fix_ip_checksum(&mut frame, START);
    scene.passes(&frame, Counter::IpHeader);
}

#[test]
fn g03_addresses_that_are_not_ours_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    scene.passes_built(&discover().with(|frame| frame.to = [10, 9, 0, 9]), Counter::ForeignDestination);
    scene.passes_built(&discover().with(|frame| frame.from = [10, 8, 0, 9]), Counter::ForeignNetwork);
    for to in [SERVER, [10, 9, 0, 255], BROADCAST] {
        scene.answer(&discover().with(|frame| frame.to = to));
    }
    scene.0.set_lease(key(), relayed_lease());
    scene.answer(&discover().relayed(RELAY_ADDRESS, SERVER));
    let forged = discover().relayed(RELAY_ADDRESS, SERVER).with(|frame| frame.from = [10, 8, 0, 2]);
    scene.passes_built(&forged, Counter::ForeignNetwork);
    scene.passes_built(&discover().relayed([10, 8, 0, 2], SERVER), Counter::OtherRelay);
}

#[test]
fn g04_ports_are_68_to_67_or_a_relays() {
    let Some(mut scene) = Scene::set() else { return };
    for port in [66, 68, 69, 6700] {
        scene.passes_built(&discover().with(|frame| frame.to_port = port), Counter::NotDhcp);
    }
    for port in [0, 67, 69, 1068] {
        scene.passes_built(&discover().with(|frame| frame.from_port = port), Counter::NotDhcp);
    }
    scene.0.set_lease(key(), relayed_lease());
    scene.answer(&discover().relayed(RELAY_ADDRESS, SERVER));
    scene.answer(&discover().relayed(RELAY_ADDRESS, SERVER).with(|frame| frame.from_port = 68));
}

#[test]
fn g05_lengths_that_disagree_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    for (at, reason) in [(ip::TOTAL, Counter::Length), (udp::TOTAL, Counter::Length)] {
        let right = u16::from_be_bytes([discover().build()[START + at], discover().build()[START + at + 1]]);
        for wrong in [0, 1, 7, 8, 20, right - 1, right + 1, 0x7fff, 0xffff] {
            let mut frame = discover().build();
            frame[START + at..START + at + 2].copy_from_slice(&wrong.to_be_bytes());
            fix_ip_checksum(&mut frame, START);
            scene.passes(&frame, reason);
        }
    }
    let mut longer = discover().build();
    longer.push(0);
    scene.passes(&longer, Counter::Length);
}

#[test]
fn g05_less_than_240_bytes_of_bootp_go_up() {
    let Some(mut scene) = Scene::set() else { return };
    let short = discover().without_options().with(|frame| {
        (frame.end, frame.least_payload) = (false, 0);
        frame.names.truncate(191);
    });
    scene.passes_built(&short, Counter::Length);
}

#[test]
fn g06_a_wrong_ip_checksum_goes_up() {
    let Some(mut scene) = Scene::set() else { return };
    let mut frame = discover().build();
    frame[START + 10] ^= 1;
    scene.passes(&frame, Counter::Checksum);
}

#[test]
fn g06_the_udp_checksum_is_checked_where_the_switch_says_so() {
    let Some(mut scene) = Scene::set() else { return };
    let wrong = |least| {
        let mut frame = discover().with(|frame| frame.least_payload = least).build();
        let last = frame.len() - 1;
        frame[last] ^= 1;
        frame
    };
    assert_eq!(scene.0.run(&wrong(300)).action, TX, "not checked by default");
    scene.0.serve(wire(), Server { flags: ServerFlags::CHECK_UDP, ..server() });
    for least in [260, 300, 301, 302, 303, 307, 548, 1400] {
        scene.passes(&wrong(least), Counter::Checksum);
        scene.answer(&discover().with(|frame| frame.least_payload = least));
    }
    scene.answer(&discover().with(|frame| frame.udp_checksum = false));
}

#[test]
fn g07_op_htype_hlen_hops_cookie_and_chaddr_are_checked() {
    let Some(mut scene) = Scene::set() else { return };
    let reason = Counter::Bootp;
    for op in [0, 2, 255] {
        scene.passes(&patched(START + bootp::OP, op), reason);
    }
    for htype in [0, 6, 32, 255] {
        scene.passes(&patched(START + bootp::HTYPE, htype), reason);
    }
    for hlen in (0..=255).filter(|hlen| *hlen != 6) {
        scene.passes(&patched(START + bootp::HLEN, hlen), reason);
    }
    scene.passes(&patched(START + bootp::HOPS, 17), reason);
    assert_eq!(scene.0.run(&patched(START + bootp::HOPS, 16)).action, TX);
    for at in 0..4 {
        scene.passes(&patched(START + bootp::COOKIE + at, 0), reason);
    }
    scene.passes_built(&discover().with(|frame| frame.chaddr = [0; 16]), reason);
    scene.passes_built(&discover().with(|frame| frame.chaddr[0] = 3), reason);
}

#[test]
fn g08_a_source_that_is_not_chaddr_is_dropped_by_policy() {
    let strict = Server { flags: ServerFlags::CHECK_SOURCE, ..server() };
    let Some(mut scene) = Scene::set_with(strict, template(), lease()) else { return };
    scene.answer(&discover());
    assert_eq!(scene.run(&discover().with(|frame| frame.source = RELAY)).action, DROP);
    assert_eq!(scene.0.count(Counter::ForeignSource), 1);
    scene.0.set_lease(key(), relayed_lease());
    scene.answer(&discover().relayed(RELAY_ADDRESS, SERVER));
}

#[test]
fn g09_options_are_walked_to_end() {
    let Some(mut scene) = Scene::set() else { return };
    let bad: &[(&str, &[u8])] = &[
        ("53 of length 2", &[53, 2, 1, 1]),
        ("53 of length 0", &[53, 0]),
        ("a second 53", &[53, 1, 1, 53, 1, 1]),
        ("50 of length 3, then a good 54", &[53, 1, 1, 50, 3, 10, 9, 0, 54, 4, 10, 9, 0, 2]),
        ("50 of length 0", &[53, 1, 1, 50, 0]),
        ("a second 50", &[53, 1, 1, 50, 4, 1, 2, 3, 4, 50, 4, 1, 2, 3, 4]),
        ("51 of length 5", &[53, 1, 1, 51, 5, 0, 0, 0, 1, 1]),
        ("a second 51", &[53, 1, 1, 51, 4, 0, 0, 0, 1, 51, 4, 0, 0, 0, 1]),
        ("54 of length 8", &[53, 1, 1, 54, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("a second 54", &[53, 1, 1, 54, 4, 1, 2, 3, 4, 54, 4, 1, 2, 3, 4]),
        ("55 of length 0", &[53, 1, 1, 55, 0]),
        ("a second 55", &[53, 1, 1, 55, 1, 1, 55, 1, 3]),
        ("57 of length 1", &[53, 1, 1, 57, 1, 1]),
        ("a second 57", &[53, 1, 1, 57, 2, 5, 5, 57, 2, 5, 5]),
        ("a second 61", &[53, 1, 1, 61, 2, 1, 1, 61, 2, 1, 1]),
    ];
    for (what, options) in bad {
        println!("{what}");
        scene.passes_built(&discover().without_options().raw_options(options), Counter::Options);
    }
    let two = discover().relayed(RELAY_ADDRESS, SERVER).option(82, &[1, 1]).option(82, &[1, 1]);
    scene.passes_built(&two, Counter::Options);
    let endless = discover().with(|frame| (frame.end, frame.least_payload) = (false, 0));
    scene.passes_built(&endless, Counter::Options);
    scene.passes_built(&endless.clone().raw_options(&[12]), Counter::Options);
    scene.passes_built(&endless.clone().raw_options(&[12, 1]), Counter::Options);
    scene.passes_built(&endless.raw_options(&[61, 200, 1, 2, 3]), Counter::Options);
    scene.passes_built(&discover().without_options(), Counter::MessageType);
    scene.passes_built(&discover().without_options().option(53, &[8]), Counter::MessageType);
    scene.passes_built(&discover().without_options().option(53, &[0]), Counter::MessageType);
    scene.passes_built(&discover().without_options().option(53, &[99]), Counter::MessageType);
}

#[test]
fn g09_48_options_are_walked_and_no_more() {
    let Some(mut scene) = Scene::set() else { return };
    scene.answer(&discover().raw_options(&[0; 47]));
    scene.passes_built(&discover().raw_options(&[0; 48]), Counter::ManyOptions);
    let many = |count| (0..count).fold(discover(), |frame, _| frame.option(12, b"x"));
    scene.answer(&many(47));
    scene.passes_built(&many(48), Counter::ManyOptions);
}

#[test]
fn g12_what_goes_up_has_a_budget_for_each_client_and_for_the_wire() {
    let limited = Server { client_per_second: 3, wire_per_second: 5, ..server() };
    let Some(mut scene) = Scene::set_with(limited, template(), lease()) else { return };
    let from = |last: u8| {
        discover().with(move |frame| {
            frame.chaddr[5] = last;
            frame.source[5] = last;
        })
    };
    let actions: Vec<u32> = (0..4).map(|_| scene.run(&from(1)).action).collect();
    assert_eq!(actions, [PASS, PASS, PASS, DROP]);
    assert_eq!(scene.0.count(Counter::ClientBudget), 1);
    let actions: Vec<u32> = (0..3).map(|_| scene.run(&from(2)).action).collect();
    assert_eq!(actions, [PASS, PASS, DROP]);
    assert_eq!(scene.0.count(Counter::WireBudget), 1);
    // Answers are free, and so is what is no DHCP.
    for _ in 0..10 {
        scene.answer(&discover());
        scene.passes_built(&from(1).with(|frame| frame.to_port = 53), Counter::NotDhcp);
    }
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(scene.run(&from(1)).action, PASS, "filled again");
}

#[test]
fn every_truncation_of_a_good_frame_goes_up_unchanged() {
    let Some(mut scene) = Scene::set() else { return };
    let whole = selecting().option(61, b"client").option(55, &[1, 3, 6]).vlan(0).build();
    for length in ethernet::LENGTH..whole.len() {
        let outcome = scene.0.run(&whole[..length]);
        assert_eq!(outcome.action, PASS, "cut to {length}");
        assert_eq!(outcome.frame, &whole[..length]);
    }
}

#[test]
fn options_cut_at_each_byte_are_answered_or_go_up_unchanged() {
    let Some(mut scene) = Scene::set() else { return };
    scene.0.set_lease(key(), Lease { ..lease() });
    let options = selecting().option(61, b"client").option(12, b"host").options;
    for length in 0..options.len() {
        for end in [false, true] {
            let frame = discover().without_options().raw_options(&options[..length]).with(|frame| {
                (frame.end, frame.least_payload) = (end, 0);
            });
            let outcome = scene.run(&frame);
            if outcome.action == TX {
                assert!(end, "answered without END");
                Reply::read(&outcome.frame);
            } else {
                assert_eq!((outcome.action, &outcome.frame), (PASS, &frame.build()));
            }
        }
    }
}

#[test]
fn what_has_broken_other_servers_does_not_break_us() {
    let Some(mut scene) = Scene::set() else { return };
    for name in [&b""[..], &[b'x'; 255], b"\xff\xfe\x00", b"a\"; } lease 1.2.3.4 {"] {
        scene.answer(&discover().option(12, name));
    }
    scene.answer(&discover().option(81, &[[0; 3].as_slice(), &[70], &[b'a'; 70]].concat()));
    scene.passes_built(&discover().option(55, &[108]), Counter::OtherParameters);
    // A RELEASE whose client-id looks like a REQUEST.
    let release = FrameBuilder::message(7).option(61, &[53, 1, 3]).unicast(ADDRESS, SERVER);
    scene.passes_built(&release.option(54, &SERVER), Counter::GivenBack);
    scene.0.set_lease(key(), lease());
    scene.passes_built(&discover().option(52, &[3]), Counter::RareOption);
    for byte in 0..=255_u8 {
        scene.passes_built(&discover().relayed([10, byte, 1, 1], SERVER), Counter::OtherRelay);
    }
}
