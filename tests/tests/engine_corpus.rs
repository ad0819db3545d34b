//! What has broken other servers, put to the agent: gate, engine, table and lease file. The frames are
//! the corpus's, which fuzzing goes on from; here is what each must come to.

use std::fs;
use std::net::Ipv4Addr;

use xdhcpd::engine::Outcome;
use xdhcpd::engine::ignored::Ignored;
use xdhcpd::lease::{Lease, State};
use xdhcpd_tests::breakers::{self, HOSTILE};
use xdhcpd_tests::corpus;
use xdhcpd_tests::frames::{CLIENT, Reply};
use xdhcpd_tests::fuzzed::{self, SlowPath};
use xdhcpd_tests::scene::ADDRESS;

/// What a server with one client makes of each frame of a row.
fn each(row: &str, check: impl Fn(&str, Result<Outcome, Ignored>, &SlowPath)) {
    for (name, frame) in corpus::files("frames", row) {
        let mut server = SlowPath::with_client();
        let taken = server.take(&frame);
        check(&name, taken, &server);
        server.restart();
    }
}

/// Each frame of a row is ignored for this reason.
fn all_ignored(row: &str, reason: Ignored) {
    each(row, |name, taken, _| assert_eq!(taken.expect_err(name), reason, "{name}"));
}

/// The lease that a frame of a row got its client, and the reply.
fn served(name: &str, taken: Result<Outcome, Ignored>, server: &SlowPath) -> (Lease, Reply) {
    let reply = taken.unwrap_or_else(|reason| panic!("{name}: {reason}")).reply;
    let lease = server.table.get(ADDRESS.into()).expect("the client's lease").clone();
    assert_eq!(lease.mac, CLIENT, "{name}");
    (lease, Reply::read(&reply.unwrap_or_else(|| panic!("{name}: no reply")).frame))
}

#[test]
fn the_corpus_holds_the_frames_that_have_broken_servers() {
    let folder = corpus::folder("frames");
    for (name, frame) in breakers::frames() {
        let path = folder.join(&name);
        if std::env::var_os("XDHCPD_WRITE_CORPUS").is_some() {
            fs::write(&path, &frame).expect("the corpus can be written");
        }
        let kept = fs::read(&path).unwrap_or_default();
        assert!(kept == frame, "{name} is not as it is built; XDHCPD_WRITE_CORPUS=1 writes it");
    }
}

/// Puts each file of a folder through what fuzzing puts bytes through.
fn replay(kind: &str, function: impl Fn(&[u8])) {
    for (name, bytes) in corpus::files(kind, "") {
        println!("{kind}/{name}");
        function(&bytes);
    }
}

#[test]
fn no_file_of_the_corpus_breaks_a_promise() {
    replay("frames", fuzzed::frame);
    replay("options", fuzzed::options);
    replay("journal", fuzzed::journal);
    replay("config", fuzzed::configuration);
}

#[test]
fn b01_any_hlen_but_6_is_ignored() {
    all_ignored("b01", Ignored::Hlen);
}

#[test]
fn b02_a_wrong_cookie_is_ignored() {
    all_ignored("b02", Ignored::Cookie);
}

#[test]
fn b03_who_asks_for_108_where_no_subnet_is_served_is_ignored() {
    each("b03", |name, taken, _| {
        let reason = taken.expect_err(name);
        assert!(matches!(reason, Ignored::UnknownRelay | Ignored::NotServed), "{name}: {reason}");
    });
}

#[test]
fn b04_a_bad_host_name_is_dropped_and_its_client_served() {
    each("b04", |name, taken, server| assert_eq!(served(name, taken, server).0.host_name, None, "{name}"));
}

#[test]
fn b05_a_bad_fqdn_is_dropped_and_its_client_served() {
    each("b05", |name, taken, server| assert_eq!(served(name, taken, server).0.host_name, None, "{name}"));
}

#[test]
fn b06_client_ids_of_0_and_1_bytes_are_none_and_one_of_255_comes_back() {
    each("b06", |name, taken, server| {
        let (lease, reply) = served(name, taken, server);
        let id = name.ends_with("255").then(|| vec![1; 255]);
        assert_eq!(reply.option(61), id.as_deref(), "{name}");
        assert_eq!(lease.client_id.as_deref(), id.as_deref(), "{name}");
    });
}

#[test]
fn b07_udp_lengths_that_lie_are_ignored() {
    all_ignored("b07", Ignored::Lengths);
}

#[test]
fn b08_options_cut_at_each_byte_are_ignored() {
    all_ignored("b08", Ignored::Options);
}

#[test]
fn b09_option_53_of_length_2_is_ignored() {
    all_ignored("b09", Ignored::OptionLength);
}

#[test]
fn b10_option_50_of_length_3_does_not_shift_what_follows() {
    all_ignored("b10", Ignored::OptionLength);
}

#[test]
fn b11_a_release_stays_one_whatever_its_client_id_looks_like() {
    each("b11", |name, taken, _| {
        let outcome = taken.unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert!(outcome.reply.is_none(), "{name}");
        assert_eq!(outcome.take_back.map(|back| back.ip), Some(ADDRESS.into()), "{name}");
    });
}

#[test]
fn b12_overload_that_points_at_itself_is_ignored() {
    all_ignored("b12", Ignored::Overload);
}

#[test]
fn b13_ip_options_are_stepped_over() {
    each("b13", |name, taken, server| drop(served(name, taken, server)));
}

#[test]
fn b14_fragments_are_ignored() {
    all_ignored("b14", Ignored::Fragment);
}

#[test]
fn b15_htype_32_is_ignored() {
    all_ignored("b15", Ignored::Htype);
}

#[test]
fn b16_no_text_of_a_clients_makes_the_lease_file_unreadable() {
    for (at, text) in HOSTILE.iter().enumerate() {
        let mut server = SlowPath::with_client();
        for (name, frame) in corpus::files("frames", &format!("b16-text-{at}")) {
            let (lease, reply) = served(&name, server.take(&frame), &server);
            assert_eq!((lease.client_id.as_deref(), reply.option(61)), (Some(*text), Some(*text)), "{name}");
            assert_eq!(lease.host_name, None, "{name}");
        }
        let read = server.restart();
        assert_eq!(read.len(), 1, "{text:?}");
        assert_eq!((read[0].ip, read[0].state), (ADDRESS.into(), State::Bound));
        assert_eq!(read[0].client_id.as_deref(), Some(*text));
    }
}

#[test]
fn b17_thousands_of_strange_relays_leave_nothing_behind() {
    each("b17", |name, taken, _| {
        let reason = taken.expect_err(name);
        assert!(matches!(reason, Ignored::UnknownRelay | Ignored::Source), "{name}: {reason}");
    });
    let mut server = SlowPath::with_client();
    for relay in 0..5_000_u32 {
        let relay = Ipv4Addr::from_bits(0xc600_0000 + relay * 7919);
        let taken = server.take(&breakers::from_relay(relay.octets()));
        assert_eq!(taken.expect_err("ignored"), Ignored::UnknownRelay, "{relay}");
    }
    assert_eq!(server.table.leases().count(), 1);
}

#[test]
fn b18_a_client_that_declines_every_address_costs_its_own_alone() {
    each("b18", |name, taken, server| {
        assert_eq!(taken.expect_err(name), Ignored::NotTheClients, "{name}");
        assert_eq!(server.table.get(ADDRESS.into()).map(|lease| lease.state), Some(State::Bound));
    });
    let mut server = SlowPath::with_client();
    for last in 0..=255 {
        let _ignored = server.take(&breakers::decline([10, 9, 0, last]));
    }
    let declined: Vec<_> = server.table.leases().filter(|lease| lease.state == State::Declined).collect();
    assert_eq!(declined.iter().map(|lease| lease.ip).collect::<Vec<_>>(), [Ipv4Addr::from(ADDRESS)]);
}
