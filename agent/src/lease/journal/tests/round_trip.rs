//! What is written is read back, whatever clients say; what cannot be read harms nothing.

use proptest::prelude::*;

use super::*;
use crate::lease::journal::format;
use crate::lease::journal::load::{self, OnDisk};

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        8 => (1..u64::from(u32::MAX)).prop_map(|seconds| Moment(seconds * SECOND + 5)),
        1 => Just(Moment::FOREVER),
        1 => any::<u64>().prop_map(Moment),
    ]
}

prop_compose! {
    fn lease()(
        host in any::<u32>(),
        mac in any::<[u8; 6]>(),
        client_id in prop::option::of(prop::collection::vec(any::<u8>(), 0..256)),
        host_name in prop::option::of(any::<String>()),
        state in prop::sample::select(&State::ALL[..]),
        (starts, expires, until) in (moment(), moment(), moment()),
        taken in any::<bool>(),
    ) -> Lease {
        let mut lease = Lease {
            ip: Ipv4Addr::from_bits(host),
            mac,
            client_id: client_id.map(|id| id.as_slice().into()),
            host_name: host_name.map(Into::into),
            state,
            starts,
            expires,
            durable_until: until,
            answered_by: AnsweredBy::Agent,
            taken,
        };
        lease.durable_until = format::horizon(&lease, until);
        lease
    }
}

fn written(leases: &[Lease]) -> String {
    let mut text = String::from(format::HEADER);
    for lease in leases {
        format::entry(&mut text, lease, lease.durable_until, NOW, boot().as_ref());
    }
    text
}

fn in_parts(bytes: &[u8], parts: usize) -> load::Read {
    load::read_in_parts(bytes, parts, NOW, boot().as_ref(), OnDisk::All)
}

proptest! {
    #[test]
    fn every_lease_is_read_back_on_the_same_boot(leases in prop::collection::vec(lease(), 0..8)) {
        let text = written(&leases);
        prop_assert!(text.is_ascii());
        let read = load::read(text.as_bytes(), NOW, boot().as_ref(), OnDisk::All);
        prop_assert_eq!((read.damage.len(), read.torn), (0, None));
        prop_assert_eq!(by_ip(&read.leases), by_ip(&leases));
    }

    #[test]
    fn bytes_of_any_kind_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = load::read(&bytes, NOW, boot().as_ref(), OnDisk::All);
    }

    #[test]
    fn words_in_any_order_are_read_without_a_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "\nlease ", "10.0.0.1 ", "{\n", "}\n", ";", "starts ", "ends ", "6 2026/11/21 12:00:00", "never", "epoch ",
            "-99999999999999999999", "9223372036854775807", "binding state ", "active", "uid ", "\"a\\", "\"", "\\x",
            "01:ff", "set ", "xdhcpd-boot = ", "xdhcpd-ends = ", "\"3f0d1c5e8a774c3b 1 2 3\"", "hardware ethernet ", "#",
            "on expiry ", "\0",
        ]), 0..60)
    ) {
        let text = words.concat();
        prop_assert_eq!(in_parts(text.as_bytes(), 4), in_parts(text.as_bytes(), 1));
    }

    #[test]
    fn a_file_says_in_parts_what_it_says_whole(
        leases in prop::collection::vec((0..4u32, lease()), 0..16),
        harm in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"\0\n\"};l#x"[..])), 0..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        parts in 2..8usize,
    ) {
        let leases: Vec<Lease> =
            leases.into_iter().map(|(ip, lease)| Lease { ip: Ipv4Addr::from_bits(ip), ..lease }).collect();
        let mut bytes = written(&leases).into_bytes();
        for (at, byte) in harm {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert_eq!(in_parts(&bytes, parts), in_parts(&bytes, 1));
    }

    #[test]
    fn one_wrong_byte_costs_at_most_the_entry_it_is_in(
        leases in prop::collection::vec(lease(), 3..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut leases = leases;
        for (host, lease) in (1..).zip(&mut leases) {
            lease.ip = Ipv4Addr::new(10, 0, 0, host);
        }
        let mut bytes = written(&leases).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let read = load::read(&bytes, NOW, boot().as_ref(), OnDisk::All);
        let found = by_ip(&read.leases);
        let intact = leases.iter().filter(|lease| found.get(&lease.ip) == Some(lease)).count();
        // The byte between two entries belongs to both: without it they are on one line.
        prop_assert!(intact >= 1 , "{} of 3", intact);
        if bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"lease ")).count() == 3 {
            prop_assert!(intact >= 2, "{} of 3", intact);
        }
    }
}
