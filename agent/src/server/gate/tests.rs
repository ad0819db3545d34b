//! The gate from outside: frames in, requests or reasons out.

use proptest::prelude::*;

use super::*;
use crate::server::builder::{Builder, MAC, XID};

const DISCOVER: u8 = MessageType::DISCOVER;

/// Offsets in an untagged frame without IP options.
mod at {
    pub const IP: usize = 14;
    pub const UDP: usize = 34;
}

fn verify(frame: &[u8]) -> Result<Request, Ignored> {
    gate(frame, UdpChecksum::Verify)
}

/// What the gate says of a good message with one byte changed, under right checksums.
fn with_byte(offset: usize, byte: u8) -> Result<Request, Ignored> {
    let builder = Builder::new(DISCOVER);
    let mut message = builder.message();
    message[offset] = byte;
    verify(&builder.frame_around(&message))
}

fn reason(result: Result<Request, Ignored>) -> Ignored {
    result.expect_err("the frame was taken")
}

/// Makes the IP header's checksum right again.
fn mend_ip(frame: &mut [u8]) {
    frame[at::IP + 10..at::IP + 12].fill(0);
    let checksum = layers::sum(&frame[at::IP..at::UDP]).bytes();
    frame[at::IP + 10..at::IP + 12].copy_from_slice(&checksum);
}

#[test]
fn a_discover_is_understood() {
    let frame = Builder { flags: [0x80, 1], ..Builder::new(DISCOVER) }
        .option(50, &[10, 9, 0, 7])
        .option(51, &[0, 0, 1, 44])
        .option(54, &[10, 9, 0, 1])
        .frame();
    let request = verify(&frame).unwrap();
    assert_eq!(request.facts.kind, DISCOVER);
    assert!(request.facts.broadcast);
    assert!(request.facts.from_client);
    assert_eq!(request.facts.mac, MAC);
    assert_eq!(request.facts.destination, [255; 4]);
    assert_eq!(request.facts.requested, [10, 9, 0, 7]);
    assert_eq!(request.facts.lease_time, 300);
    assert_eq!(request.facts.server, [10, 9, 0, 1]);
    assert_eq!(request.xid, XID);
    assert_eq!(request.flags, [0x80, 1]);
    assert_eq!(request.chaddr[..6], MAC);
    assert_eq!((request.htype, request.hlen, request.source_port), (1, 6, 68));
    assert!(!request.bootp);
}

#[test]
fn c48_a_message_without_option_53_is_bootp() {
    let request = verify(&Builder::with_options(&[255]).frame()).unwrap();
    assert!(request.bootp);
    assert_eq!(request.facts.kind, 0);
}

#[test]
fn a_relayed_request_keeps_its_relay() {
    let builder = Builder {
        giaddr: [10, 8, 0, 1],
        source: [10, 8, 0, 1],
        destination: [10, 9, 0, 1],
        source_mac: [2, 0, 0, 0, 9, 9],
        ports: (67, 67),
        ..Builder::new(DISCOVER)
    };
    let request = verify(&builder.option(82, &[1, 2, 7, 7]).frame()).unwrap();
    assert_eq!(request.facts.giaddr, [10, 8, 0, 1]);
    assert_eq!(request.facts.source, [10, 8, 0, 1]);
    assert!(!request.facts.from_client);
    assert_eq!(request.source_mac, [2, 0, 0, 0, 9, 9]);
    assert_eq!(request.source_port, 67);
    assert_eq!(request.relay_suboption(1), Some(&[7, 7][..]));
}

#[test]
fn g01_up_to_two_vlan_tags_are_kept_for_the_reply() {
    let tags = [[0x88, 0xa8, 0x60, 100], [0x81, 0x00, 0x00, 7], [0x81, 0x00, 0x00, 8]];
    let with =
        |count: usize| verify(&Builder { tags: tags[..count].to_vec(), ..Builder::new(DISCOVER) }.frame());
    assert_eq!(with(0).unwrap().vlan, [0, 0]);
    assert_eq!(with(1).unwrap().vlan, [100, 0], "priority bits are no part of the id");
    let double = with(2).unwrap();
    assert_eq!(double.vlan, [100, 7]);
    assert_eq!(double.tags, tags[..2]);
    assert_eq!(reason(with(3)), Ignored::Ethernet);
}

#[test]
fn g01_frames_to_and_from_groups_are_ignored() {
    let multicast = [1, 0, 0x5e, 0, 0, 1];
    let to = Builder { destination_mac: multicast, ..Builder::new(DISCOVER) };
    assert_eq!(reason(verify(&to.frame())), Ignored::Destination);
    let from = Builder { source_mac: multicast, ..Builder::new(DISCOVER) };
    assert_eq!(reason(verify(&from.frame())), Ignored::Source);
    for source in [[127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        let from = Builder { source, ..Builder::new(DISCOVER) };
        assert_eq!(reason(verify(&from.frame())), Ignored::Source, "{source:?}");
    }
}

#[test]
fn g02_ip_options_are_stepped_over() {
    let builder = Builder { ip_options: vec![1, 1, 1, 0], ..Builder::new(DISCOVER) };
    assert_eq!(verify(&builder.frame()).unwrap().facts.kind, DISCOVER);
}

#[test]
fn g02_an_ip_header_that_is_none_is_ignored() {
    for (first, expected) in [(0x65, Ignored::IpHeader), (0x44, Ignored::IpHeader), (0x40, Ignored::IpHeader)]
    {
        let mut frame = Builder::new(DISCOVER).frame();
        frame[at::IP] = first;
        mend_ip(&mut frame);
        assert_eq!(reason(verify(&frame)), expected, "{first:#x}");
    }
}

#[test]
fn g02_fragments_are_ignored() {
    for fragment in [[0x20, 0], [0, 1], [0x1f, 0xff]] {
        let mut frame = Builder::new(DISCOVER).frame();
        frame[at::IP + 6..at::IP + 8].copy_from_slice(&fragment);
        mend_ip(&mut frame);
        assert_eq!(reason(verify(&frame)), Ignored::Fragment);
    }
    let mut frame = Builder::new(DISCOVER).frame();
    frame[at::IP + 6] = 0x40;
    mend_ip(&mut frame);
    assert!(verify(&frame).is_ok(), "don't fragment is no fragment");
}

#[test]
fn g04_what_is_not_for_port_67_is_ignored() {
    let other = Builder { ports: (68, 68), ..Builder::new(DISCOVER) };
    assert_eq!(reason(verify(&other.frame())), Ignored::NotDhcp);
    let mut tcp = Builder::new(DISCOVER).frame();
    tcp[at::IP + 9] = 6;
    mend_ip(&mut tcp);
    assert_eq!(reason(verify(&tcp)), Ignored::NotDhcp);
}

#[test]
fn g05_a_udp_length_too_small_too_large_or_wrapped_is_ignored() {
    let good = Builder::new(DISCOVER).frame();
    let length = u16::try_from(good.len() - at::UDP).unwrap();
    for wrong in [0, 7, 8, length - 1, length + 1, 0xffff] {
        let mut frame = good.clone();
        frame[at::UDP + 4..at::UDP + 6].copy_from_slice(&wrong.to_be_bytes());
        assert_eq!(reason(gate(&frame, UdpChecksum::Trusted)), Ignored::Lengths, "{wrong}");
    }
}

#[test]
fn g05_an_ip_length_over_the_frame_or_under_its_headers_is_ignored() {
    for wrong in [0_u16, 19, 27, 0xffff] {
        let mut frame = Builder::new(DISCOVER).frame();
        frame[at::IP + 2..at::IP + 4].copy_from_slice(&wrong.to_be_bytes());
        mend_ip(&mut frame);
        assert_eq!(reason(verify(&frame)), Ignored::Lengths, "{wrong}");
    }
}

#[test]
fn g05_ethernet_padding_is_cut_off() {
    let mut frame = Builder::new(DISCOVER).frame();
    frame.extend([0xaa; 17]);
    assert_eq!(verify(&frame), verify(&Builder::new(DISCOVER).frame()));
    assert!(verify(&frame).is_ok());
}

#[test]
fn g05_a_message_under_240_bytes_is_ignored() {
    let builder = Builder::new(DISCOVER);
    assert_eq!(reason(verify(&builder.frame_around(&builder.message()[..239]))), Ignored::Lengths);
    assert_eq!(reason(verify(&builder.frame_around(&[]))), Ignored::Lengths);
    assert_eq!(reason(verify(&builder.frame_around(&builder.message()[..240]))), Ignored::Options);
}

#[test]
fn c06_a_request_under_300_bytes_is_taken() {
    assert_eq!(Builder::new(DISCOVER).message().len(), 244);
    assert!(verify(&Builder::new(DISCOVER).frame()).is_ok());
    assert!(verify(&Builder { least: 548, ..Builder::new(DISCOVER) }.frame()).is_ok());
}

#[test]
fn g06_wrong_checksums_are_ignored() {
    let mut ip = Builder::new(DISCOVER).frame();
    ip[at::IP + 10] ^= 1;
    assert_eq!(reason(verify(&ip)), Ignored::Checksum);

    for least in [0, 245] {
        let mut udp = Builder { least, ..Builder::new(DISCOVER) }.frame();
        udp[at::UDP + 7] ^= 1;
        assert_eq!(reason(verify(&udp)), Ignored::Checksum);
        assert!(gate(&udp, UdpChecksum::Trusted).is_ok(), "a checksum that was never made");
        udp[at::UDP + 6..at::UDP + 8].fill(0);
        assert!(verify(&udp).is_ok(), "no checksum");
    }
}

#[test]
fn g07_the_fixed_part_is_checked() {
    for (offset, byte, expected) in [
        (0, 2, Ignored::Op),
        (0, 0, Ignored::Op),
        (1, 32, Ignored::Htype),
        (1, 0, Ignored::Htype),
        (3, 17, Ignored::Hops),
        (28, 3, Ignored::Chaddr),
        (236, 98, Ignored::Cookie),
        (239, 0, Ignored::Cookie),
    ] {
        assert_eq!(reason(with_byte(offset, byte)), expected, "byte {offset} is {byte}");
    }
    assert!(with_byte(3, 16).is_ok());
    let nobody = Builder { mac: [0; 6], ..Builder::new(DISCOVER) };
    assert_eq!(reason(verify(&nobody.frame())), Ignored::Chaddr);
}

#[test]
fn g07_every_hlen_but_6_is_ignored() {
    for hlen in 0..=255 {
        let taken = with_byte(2, hlen);
        if hlen == 6 {
            assert!(taken.is_ok());
        } else {
            assert_eq!(reason(taken), Ignored::Hlen);
        }
    }
}

#[test]
fn g09_only_types_that_clients_send_are_taken() {
    for kind in 0..=255 {
        let taken = verify(&Builder::new(kind).frame());
        match kind {
            1 | 3 | 4 | 7 | 8 => assert_eq!(taken.unwrap().facts.kind, kind),
            _ => assert_eq!(reason(taken), Ignored::MessageType, "{kind}"),
        }
    }
}

#[test]
fn g09_option_53_of_length_2_and_50_of_length_3_are_ignored() {
    assert_eq!(reason(verify(&Builder::with_options(&[53, 2, 1, 1, 255]).frame())), Ignored::OptionLength);
    let request = Builder::new(3).option(50, &[10, 9, 0]).option(54, &[10, 9, 0, 1]);
    assert_eq!(reason(verify(&request.frame())), Ignored::OptionLength);
    let twice = Builder::new(3).option(50, &[10, 9, 0, 1]).option(50, &[10, 9, 0, 1]);
    assert_eq!(reason(verify(&twice.frame())), Ignored::DuplicateOption);
}

#[test]
fn c50_client_ids_of_0_1_and_255_bytes_are_survived() {
    for (length, sent) in [(0, false), (1, false), (2, true), (255, true), (600, true)] {
        let request = verify(&Builder::new(DISCOVER).option(61, &vec![9; length]).frame()).unwrap();
        let id = request.client_id().map(<[u8]>::len);
        assert_eq!(id, sent.then_some(length), "{length} bytes");
    }
}

#[test]
fn c46_a_client_id_that_looks_like_a_request_stays_a_client_id() {
    let release = Builder::new(MessageType::RELEASE).option(61, &[53, 1, 3, 50, 4, 10, 9, 0, 5, 255]);
    let request = verify(&release.frame()).unwrap();
    assert_eq!(request.facts.kind, MessageType::RELEASE);
    assert_eq!(request.facts.requested, [0; 4]);
    assert_eq!(request.client_id(), Some(&[53, 1, 3, 50, 4, 10, 9, 0, 5, 255][..]));
}

#[test]
fn c54_the_type_may_stand_in_file() {
    let mut builder = Builder::with_options(&[52, 1, 1, 255]);
    builder.file[..4].copy_from_slice(&[53, 1, 1, 255]);
    assert_eq!(verify(&builder.frame()).unwrap().facts.kind, DISCOVER);
}

#[test]
fn a_bad_host_name_does_not_fail_the_request() {
    for name in [&b""[..], &[b'a'; 255], b"\xff\xfe", b"a\"; }\nlease"] {
        let request = verify(&Builder::new(DISCOVER).option(12, name).frame()).unwrap();
        assert_eq!(request.host_name(), None);
    }
}

#[test]
fn every_truncation_of_a_good_frame_is_ignored() {
    let frame = Builder { tags: vec![[0x81, 0, 0, 5]], ..Builder::new(DISCOVER) }
        .option(61, &[1, 2, 3, 4])
        .option(82, &[1, 2, 3, 4])
        .frame();
    assert!(verify(&frame).is_ok());
    for length in 0..frame.len() {
        let reason = reason(verify(&frame[..length]));
        assert!(matches!(reason, Ignored::Ethernet | Ignored::Lengths), "{length}: {reason:?}");
    }
}

#[test]
fn every_truncation_of_the_message_is_ignored() {
    let builder = Builder::new(DISCOVER).option(61, &[1, 2, 3, 4]).option(55, &[1, 3, 6]);
    let message = builder.message();
    for length in 0..message.len() {
        let reason = reason(verify(&builder.frame_around(&message[..length])));
        let expected = if length < 240 { Ignored::Lengths } else { Ignored::Options };
        assert_eq!(reason, expected, "{length}");
    }
}

#[test]
fn the_names_of_reasons_are_distinct() {
    let names: std::collections::BTreeSet<_> = Ignored::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Ignored::ALL.len());
}

/// Calls all that can be asked of a request.
fn ask_everything(request: &Request) {
    let _ = (request.client_id(), request.relay_info(), request.host_name(), request.parameter_list());
    let _ = (request.vendor_class(), request.user_class(), request.architectures(), request.max_message());
    let _ = (request.machine_id(), request.subnet_selection(), request.options.iter().count());
    for code in 0..=255 {
        let _ = request.relay_suboption(code);
    }
}

/// What the gate makes of a frame, without the shared gate's help.
fn leniently(frame: &[u8]) -> Option<Facts> {
    let datagram = layers::open(frame, UdpChecksum::Trusted).ok()?;
    let message = Message::read(datagram.payload).ok()?;
    let options = RequestOptions::read(message.options, message.file, message.sname).ok()?;
    let kind = message_type(&options).ok()?;
    Some(lenient_facts(&datagram, &message, &options, kind.unwrap_or_default()))
}

#[test]
fn what_another_implementation_writes_is_read() {
    use dhcproto::v4::{DhcpOption, Message as Written, MessageType as Type, OptionCode};
    use dhcproto::{Encodable, Encoder};

    let mut written = Written::default();
    written.set_xid(0xdead_beef).set_chaddr(&MAC).set_ciaddr([10, 9, 0, 5]);
    let options = written.opts_mut();
    options.insert(DhcpOption::MessageType(Type::Request));
    options.insert(DhcpOption::ClientIdentifier(vec![7; 300]));
    options.insert(DhcpOption::Hostname("node-1".into()));
    options.insert(DhcpOption::MaxMessageSize(1400));
    options.insert(DhcpOption::ParameterRequestList(vec![OptionCode::SubnetMask, OptionCode::Router]));
    let mut message = Vec::new();
    written.encode(&mut Encoder::new(&mut message)).unwrap();

    let request = verify(&Builder::new(DISCOVER).frame_around(&message)).unwrap();
    assert_eq!(request.facts.kind, MessageType::REQUEST);
    assert_eq!(request.xid, XID);
    assert_eq!(request.facts.ciaddr, [10, 9, 0, 5]);
    assert_eq!(request.client_id(), Some(&[7; 300][..]));
    assert_eq!(request.host_name().as_deref(), Some("node-1"));
    assert_eq!(request.max_message(), 1400);
    assert_eq!(request.parameter_list(), [1, 3]);
}

#[test]
fn the_kernel_s_facts_are_taken_where_it_takes_the_frame() {
    let plain = Builder::new(DISCOVER).option(55, &[1, 3]).option(61, &[1, 2, 3]).frame();
    assert_eq!(shared_facts(&plain), Some(verify(&plain).unwrap().facts));
    assert_eq!(shared_facts(&plain), leniently(&plain));
    let padded = [&plain[..], &[0; 9]].concat();
    assert_eq!(shared_facts(&padded), None);
    assert_eq!(verify(&padded), verify(&plain), "with nothing but padding between them");
}

#[test]
fn a_relay_s_information_and_a_client_id_have_fingerprints() {
    let of = |code, value: &[u8]| fingerprint::add(fingerprint::NONE, code, value);
    let builder = Builder::new(DISCOVER).option(61, &[7; 100]).option(82, &[1, 1, 9]);
    let facts = verify(&builder.frame()).unwrap().facts;
    assert_eq!(facts.client_id, of(61, &[7; 100]));
    assert_eq!(facts.relay_info, fingerprint::NONE, "no relay, no relay information");
    let relayed = Builder { giaddr: [10, 8, 0, 1], ..builder };
    assert_eq!(verify(&relayed.frame()).unwrap().facts.relay_info, of(82, &[1, 1, 9]));
    let short = Builder::new(DISCOVER).option(61, &[7]);
    assert_eq!(verify(&short.frame()).unwrap().facts.client_id, fingerprint::NONE);
}

proptest! {
    #[test]
    fn the_kernel_and_the_agent_find_the_same_facts(
        options in prop::collection::vec(
            (
                prop::sample::select(vec![50_u8, 51, 54, 55, 57, 60, 61, 77, 93, 12, 82, 0]),
                prop::collection::vec(any::<u8>(), 0..40),
            ),
            0..6,
        ),
        flags: [u8; 2], ciaddr: [u8; 4], source: [u8; 4], mac in prop::sample::select(vec![MAC, [2; 6]]),
        giaddr in prop::sample::select(vec![[0_u8; 4], [10, 8, 0, 1]]),
    ) {
        let mut builder = Builder { source, flags, ciaddr, giaddr, mac, ..Builder::new(3) };
        for (code, value) in &options {
            // A good length more often than not, so that the kernel takes the frame.
            let length = match code { 50 | 51 | 54 => 4, 57 => 2, _ => value.len() };
            builder = builder.option(*code, &[&value[..], &[1; 4]].concat()[..length]);
        }
        let frame = builder.frame();
        if let (Some(shared), Some(lenient)) = (shared_facts(&frame), leniently(&frame)) {
            prop_assert_eq!(shared, lenient);
        }
    }

    #[test]
    fn no_bytes_panic(frame in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = gate(&frame, UdpChecksum::Trusted);
    }

    #[test]
    fn no_payload_panics(options in prop::collection::vec(any::<u8>(), 0..700), giaddr: [u8; 4]) {
        let builder = Builder { giaddr, ..Builder::with_options(&options) };
        if let Ok(request) = verify(&builder.frame()) {
            ask_everything(&request);
        }
    }

    #[test]
    fn no_spoilt_frame_panics(
        spoils in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        tagged: bool,
    ) {
        let tags = if tagged { vec![[0x81, 0, 0, 5]] } else { Vec::new() };
        let mut frame = Builder { tags, giaddr: [10, 8, 0, 1], ..Builder::new(DISCOVER) }
            .option(81, b"\x04\0\0\x04node\0")
            .option(82, &[1, 2, 3, 4])
            .frame();
        for (place, byte) in spoils {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        if let Ok(request) = gate(&frame, UdpChecksum::Trusted) {
            ask_everything(&request);
        }
    }

    #[test]
    fn what_a_client_sends_comes_out(
        flags: [u8; 2], ciaddr: [u8; 4], giaddr: [u8; 4], kind in prop::sample::select(vec![1_u8, 3, 4, 7, 8]),
        requested: [u8; 4], id in prop::collection::vec(any::<u8>(), 2..400),
        list in prop::collection::vec(any::<u8>(), 1..40), vid in 1..4095_u16, least in 0..600_usize,
    ) {
        let [v0, v1] = vid.to_be_bytes();
        let builder = Builder {
            flags, ciaddr, giaddr, least, tags: vec![[0x81, 0, v0, v1]], ..Builder::new(kind)
        };
        let builder = builder.option(50, &requested).option(61, &id).option(55, &list);
        let request = verify(&builder.frame()).unwrap();
        prop_assert_eq!(request.flags, flags);
        prop_assert_eq!(request.facts.broadcast, flags[0] >= 0x80);
        prop_assert_eq!(request.facts.ciaddr, ciaddr);
        prop_assert_eq!(request.facts.giaddr, giaddr);
        prop_assert_eq!(request.facts.kind, kind);
        prop_assert_eq!(request.facts.requested, requested);
        prop_assert_eq!(request.client_id(), Some(&id[..]));
        prop_assert_eq!(request.parameter_list(), &list[..]);
        prop_assert_eq!(request.vlan, [vid, 0]);
    }
}
