//! What both sides must say, beside saying the same.

use xdhcpd_common::facts::MessageType;
use xdhcpd_tests::frames::Reply;
use xdhcpd_tests::program::Program;
use xdhcpd_tests::random::Random;

use crate::CLIENTS;
use crate::both::Both;

/// Both sides; none where the program cannot be loaded.
fn both() -> Option<Both> {
    Some(Both::new(Program::load()?, &mut Random::new(0x5eed_0002)))
}

/// What both say to a client's REQUEST in SELECTING, with an option 51 if it asks for a time.
fn ack(both: &mut Both, network: usize, number: u8, time: Option<u32>) -> Reply {
    let at = network * usize::from(CLIENTS) + usize::from(number);
    let client = &both.clients[at];
    let frame = client.selecting();
    let frame = match time {
        Some(time) => frame.option(51, &time.to_be_bytes()),
        None => frame,
    };
    let frame = client.sent(frame);
    let reply = both.send(at, &frame, &format!("client {number} of network {network}"));
    let reply = reply.unwrap_or_else(|| panic!("the kernel leaves client {number} of network {network}"));
    assert_eq!(reply.option(53), Some(&[MessageType::ACK][..]));
    reply
}

/// Lets the kernel renew for as long as it likes.
fn far_horizons(both: &mut Both) {
    for client in &mut both.clients {
        client.entry.horizon = u64::MAX;
    }
}

#[test]
fn c39_times_and_their_jitter_are_the_same_on_both_sides() {
    let Some(mut both) = both() else { return };
    far_horizons(&mut both);
    let mut renewals = std::collections::BTreeSet::new();
    for network in [0, 1, 3] {
        for number in 0..CLIENTS {
            for time in [None, Some(1), Some(601), Some(3_600), Some(86_399), Some(u32::MAX - 1)] {
                let reply = ack(&mut both, network, number, time);
                let (lease, t1, t2) = (reply.seconds(51), reply.seconds(58), reply.seconds(59));
                assert!(0 < t1 && t1 < t2 && t2 < lease, "{t1} < {t2} < {lease}");
                if (network, time) == (0, None) {
                    renewals.insert(t1);
                }
                if network == 1 {
                    assert_eq!((t1, t2), (1_200, 2_400), "as configured");
                }
            }
        }
    }
    assert!(renewals.len() > usize::from(CLIENTS / 2), "clients renew at times of their own: {renewals:?}");
    for number in 0..CLIENTS {
        let reply = ack(&mut both, 2, number, Some(60));
        assert_eq!(reply.seconds(51), u32::MAX);
        assert!(reply.option(58).is_none() && reply.option(59).is_none());
    }
}

#[test]
fn c53_a_reserved_client_gets_its_name_options_and_boot_file_from_the_kernel_too() {
    let Some(mut both) = both() else { return };
    far_horizons(&mut both);
    let by_mac = ack(&mut both, 0, 1, None);
    assert_eq!(by_mac.message[16..20], [10, 9, 0, 41]);
    for (code, value) in
        [(12, &b"one"[..]), (6, &[10, 9, 0, 41]), (3, &[10, 9, 0, 4]), (43, &[6, 1, 8]), (224, &[10, 11])]
    {
        assert_eq!(by_mac.option(code), Some(value), "option {code}");
    }
    assert_eq!(by_mac.message[108..116], *b"one.efi\0");
    let by_port = ack(&mut both, 0, 6, None);
    assert_eq!(by_port.message[16..20], [10, 9, 0, 43]);
    assert_eq!((by_port.option(12), by_port.option(42)), (Some(&b"port-3"[..]), Some(&[10, 9, 0, 43][..])));
    let by_id = ack(&mut both, 1, 5, None);
    assert_eq!(by_id.message[16..20], [10, 10, 0, 45]);
    assert_eq!(
        (by_id.option(12), by_id.option(26)),
        (Some(&b"by-id"[..]), Some(&9_000_u16.to_be_bytes()[..]))
    );
    let other = ack(&mut both, 0, 4, None);
    assert_eq!((other.option(12), other.option(224)), (None, None), "nobody else does");
}

#[test]
fn c57_a_class_member_gets_its_boot_file_from_the_kernel_too() {
    let Some(mut both) = both() else { return };
    far_horizons(&mut both);
    let file = |reply: &Reply| {
        String::from_utf8(reply.message[108..236].to_vec()).expect("text").trim_end_matches('\0').to_owned()
    };
    for (number, wanted) in [
        (4, "undionly.kpxe"),
        (5, "ipxe.efi"),
        (7, "http://10.9.0.3/boot.efi"),
        (8, "http://10.9.0.3/boot.ipxe"),
    ] {
        let reply = ack(&mut both, 0, number, None);
        assert_eq!(file(&reply), wanted, "client {number}");
        assert_eq!(reply.option(60).is_some(), number == 7, "option 60 to client {number}");
    }
}
