//! Files of other writers, other boots, and damaged ones; the real file system.

use super::*;
use crate::lease::journal::{JournalError, Note, What};

/// The wall time of a moment, in seconds since 1970.
fn wall(moment: Moment) -> Option<i64> {
    NOW.wall_seconds(moment)
}

/// Written by dhcpd 4.4.3-P1 itself: addresses once each, in its own order.
const BY_DHCPD: &[u8] = include_bytes!("data/dhcpd-4.4.3-P1.leases");
/// What that dhcpd had read then, as one of a failover pair: older forms of dates and ids among it.
const EVERY_STATEMENT: &[u8] = include_bytes!("data/every-statement.leases");
/// Written by the same dhcpd for IPv6.
const FOR_IPV6: &[u8] = include_bytes!("data/dhcpd-4.4.3-P1.leases6");

#[test]
fn a_file_that_dhcpd_wrote_says_what_the_one_it_had_read_said() {
    let read = |bytes| {
        let (_, loaded) = open(&BadDisk::with(&path(), bytes));
        assert_eq!(loaded.notes, []);
        by_ip(loaded.leases())
    };
    assert_eq!(read(BY_DHCPD), read(EVERY_STATEMENT));
}

#[test]
fn what_dhcpd_declared_survives_our_compaction() {
    let disk = BadDisk::with(&path(), BY_DHCPD);
    let (mut journal, loaded) = open(&disk);
    journal.compact(loaded.leases(), NOW).unwrap();
    assert_eq!(journal.length(), disk.bytes(&path()).len() as u64);
    let text = String::from_utf8(disk.bytes(&path())).unwrap();
    for kept in [
        "authoring-byte-order little",
        "server-duid \"",
        "failover peer \"rack\"",
        "host dynamic-one",
        "group dynamic-group",
    ] {
        let before = String::from_utf8_lossy(BY_DHCPD).matches(kept).count();
        assert!(before > 0);
        assert_eq!(text.matches(kept).count(), before, "{kept} in {text}");
    }
    let (_, again) = open(&disk);
    assert_eq!((again.notes.len(), by_ip(again.leases())), (0, by_ip(loaded.leases())));
}

#[test]
fn a_file_of_dhcpds_is_taken_over() {
    let (_, loaded) = open(&BadDisk::with(&path(), EVERY_STATEMENT));
    let leases = by_ip(loaded.leases());
    let get = |host: u8| &leases[&Ipv4Addr::new(10, 9, 0, host)];
    assert_eq!(leases.len(), 14);
    // 2026/11/21 18:00:00, in the last of its two entries.
    let active = get(100);
    assert_eq!((active.state, wall(active.expires)), (State::Bound, Some(1_795_284_000)));
    assert_eq!(active.durable_until, active.expires);
    assert_eq!(active.mac, [2, 0, 0, 0, 0, 5]);
    assert_eq!(active.client_id.as_deref(), Some(&b"\x01\x02\x00\x00\x00\x00\x05"[..]));
    assert_eq!(active.host_name.as_deref(), Some("five"));
    assert_eq!(get(101).state, State::Expired);
    assert_eq!(get(101).client_id.as_deref(), Some(&b"\x01\"q\\;}"[..]));
    assert_eq!((get(102).state, get(102).mac), (State::Declined, [0; 6]));
    assert_eq!((get(103).state, get(103).expires), (State::Bound, Moment::FOREVER));
    assert_eq!((get(104).state, wall(get(104).expires)), (State::Bound, Some(1_795_284_000)));
    assert_eq!(get(104).client_id.as_deref(), Some(&[1, 2, 0xa][..]));
    let ended = [(105, State::Released), (106, State::Expired), (107, State::Expired), (108, State::Expired)];
    assert_eq!(ended.map(|(host, _)| get(host).state), ended.map(|(_, state)| state));
    // Of a token ring, and of InfiniBand, whose address dhcpd leaves out: nobody whom we could know, but
    // it is somebody's.
    for (host, has_id) in [(109, false), (110, true)] {
        let lease = get(host);
        assert_eq!((lease.state, wall(lease.expires)), (State::Bound, Some(1_795_284_000)));
        assert_eq!((lease.mac, lease.client_id.is_some()), ([0; 6], has_id));
    }
    assert_eq!((get(111).state, get(111).expires), (State::Bound, Moment::FOREVER));
    assert_eq!(get(112).state, State::Expired, "never used, and without a time");
    assert_eq!((get(113).state, get(113).mac), (State::Bound, [2, 0, 0, 0, 0, 0x10]));
    assert_eq!(get(113).host_name.as_deref(), Some("lease 10.9.0.1 {};#"));
}

#[test]
fn a_file_for_ipv6_has_no_lease_of_ours_and_is_kept() {
    let disk = BadDisk::with(&path(), FOR_IPV6);
    let (mut journal, loaded) = open(&disk);
    assert_eq!((loaded.leases().len(), &loaded.notes[..]), (0, &[][..]));
    journal.compact(&[bound(1)], NOW).unwrap();
    let text = String::from_utf8(disk.bytes(&path())).unwrap();
    assert!(text.contains("iaaddr 2001:db8::150 {") && text.contains("lease 10.0.0.1 {"), "{text}");
}

/// Our entry, and what dhcpd 4.4.3-P1 wrote when it went on with it, a minute later: it repeats `set`
/// statements, whatever they are. It is read then.
fn taken_over_by_dhcpd(says: &str) -> Lease {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    let ours = String::from_utf8(disk.bytes(&path())).unwrap();
    let repeated: Vec<&str> = ours.lines().filter(|line| line.contains("xdhcpd-")).collect();
    assert_eq!(repeated.len(), 4, "{ours}");
    let repeated = repeated.join("\n");
    let theirs =
        format!("lease 10.0.0.1 {{\n{says}\n  hardware ethernet 02:00:00:00:00:01;\n{repeated}\n}}\n");
    let disk = BadDisk::with(&path(), (ours + &theirs).as_bytes());
    let a_minute = 60 * SECOND;
    let later = Now { moment: Moment(NOW.moment.0 + a_minute), wall: NOW.wall + i128::from(a_minute) };
    let (_, loaded) = Journal::open_on(disk, path(), boot(), later).unwrap();
    assert_eq!((loaded.notes.len(), loaded.leases().len()), (0, 1));
    loaded.leases()[0].clone()
}

#[test]
fn what_dhcpd_repeats_of_ours_says_nothing_of_what_it_promised() {
    let renewed = taken_over_by_dhcpd(
        "  starts 6 2026/11/21 12:01:00;\n  ends 0 2026/11/22 12:01:00;\n  cltt 6 2026/11/21 12:01:00;\n  binding state active;",
    );
    let until = NOW.moment_of(1_795_262_400 + 60 + 86_400);
    assert_eq!((renewed.state, renewed.expires, renewed.durable_until), (State::Bound, until, until));
    let at_once = taken_over_by_dhcpd(
        "  starts 6 2026/11/21 12:00:00;\n  ends 0 2026/11/22 12:01:00;\n  cltt 6 2026/11/21 12:00:00;\n  binding state active;",
    );
    assert_eq!((at_once.expires, at_once.durable_until), (until, until), "within the same second");
    // It leaves `cltt` as it was where the client did not ask for more.
    let same =
        "  starts 6 2026/11/21 12:00:00;\n  cltt 6 2026/11/21 12:00:00;\n  ends 6 2026/11/21 12:01:00;\n";
    for (binding, state) in
        [("free", State::Expired), ("released", State::Released), ("abandoned", State::Declined)]
    {
        let ended = taken_over_by_dhcpd(&format!("{same}  binding state {binding};"));
        assert_eq!((ended.state, ended.expires), (state, NOW.moment_of(1_795_262_460)), "{binding}");
    }
}

#[test]
fn what_has_begun_is_never_dated_later() {
    let disk = BadDisk::default();
    let half_past = Now { wall: NOW.wall + i128::from(SECOND / 2), ..NOW };
    let (mut journal, _) = open(&disk);
    let _ = journal.append(&[(&bound(1), bound(1).expires)], half_past).unwrap();
    let text = String::from_utf8(disk.bytes(&path())).unwrap();
    assert!(text.contains("starts 6 2026/11/21 12:00:00;") && text.contains("cltt 6 2026/11/21 12:00:00;"));
    assert!(text.contains("ends 6 2026/11/21 12:01:01;"), "an end is not dated before its time: {text}");
}

#[test]
fn dhcpd_loads_what_we_write() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let Some(dhcpd) = folders.map(|folder| folder.join("dhcpd")).find(|it| it.exists()) else {
        println!("SKIPPED: dhcpd is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), "ours", NOW).unwrap();
    for (host, state) in (100..).zip(State::ALL) {
        let mut lease = Lease { ip: Ipv4Addr::new(10, 9, 0, host), state, ..bound(host) };
        lease.client_id = Some((0..=254).collect::<Vec<u8>>().as_slice().into());
        lease.host_name = Some("\"}; ö {".into());
        lease.expires = if host == 101 { Moment::FOREVER } else { lease.expires };
        let _ = journal.append(&[(&lease, lease.expires)], NOW).unwrap();
    }
    let config = folder.path().join("dhcpd.conf");
    std::fs::write(&config, "subnet 10.9.0.0 netmask 255.255.255.0 { range 10.9.0.100 10.9.0.200; }\n")
        .unwrap();
    let mut check = std::process::Command::new(dhcpd);
    let output = check.arg("-T").arg("-cf").arg(&config).arg("-lf").arg(journal.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("line ") && said.contains("Wrote 5 leases"), "{said}");
}

#[test]
fn c61_a_stepped_clock_moves_no_lease_on_the_same_boot() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    let stepped = Now { wall: NOW.wall + i128::from(SECOND) * 86_400 * 365, ..NOW };
    let (_, loaded) = Journal::open_on(disk, path(), boot(), stepped).unwrap();
    assert_eq!(loaded.leases(), [bound(1)]);
}

/// A lease that had a minute to run, and four up to its horizon, as the next boot reads it: ten seconds
/// after that began, by a clock that is this many seconds on.
fn after_a_reboot(lease: &Lease, on: i64) -> (Now, Lease) {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, lease).unwrap();
    let later = Now { moment: Moment(10 * SECOND), wall: NOW.wall + i128::from(on) * i128::from(SECOND) };
    let other = BootId::of("ffffffff-ffff-ffff-ffff-ffffffffffff");
    let (_, loaded) = Journal::open_on(disk, path(), other, later).unwrap();
    (later, loaded.leases()[0].clone())
}

#[test]
fn after_a_reboot_an_address_is_kept_whatever_the_clock_says() {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    // A second over: entries are in whole ones.
    for (on, durable, kept) in [
        (20, 220, 241),
        (-HOUR, 241, 241),
        (-50 * 365 * DAY, 241, 241),
        (HOUR, 0, 241),
        (DAY - 10, 0, 241),
        (DAY + 200, 0, 40),
        (2 * DAY, 0, 0),
    ] {
        let (later, lease) = after_a_reboot(&bound(1), on);
        let rest = |moment: Moment| moment.since(later.moment).as_secs();
        assert_eq!((rest(lease.durable_until), rest(lease.expires)), (durable, kept), "{on} seconds on");
        assert!(lease.starts <= later.moment, "{on} seconds on");
    }
}

#[test]
fn nothing_has_been_free_since_a_time_to_come() {
    let mut lease = Lease { state: State::Released, ..bound(1) };
    lease.expires = NOW.moment;
    for on in [-3600, 20, 3600] {
        let (later, lease) = after_a_reboot(&lease, on);
        assert!(lease.expires <= later.moment && !lease.state.occupies(), "{on} seconds on: {lease:?}");
    }
}

#[test]
fn another_writers_entry_ends_when_it_says_and_lasts_no_longer_than_it_had_to_run() {
    let entry = |moment: Moment| {
        format!(
            "lease 10.0.0.1 {{\n  ends epoch {};\n  cltt epoch {};\n  binding state active;\n}}\n",
            wall(moment).unwrap() + 60,
            wall(moment).unwrap(),
        )
    };
    for (at, rest) in [(3580, 40), (3539, 0), (7200, 61)] {
        let written = Moment(at * SECOND);
        let (_, loaded) = open(&BadDisk::with(&path(), entry(written).as_bytes()));
        let lease = &loaded.leases()[0];
        assert_eq!(lease.expires.since(NOW.moment).as_secs(), rest, "written at {at}");
    }
}

#[test]
fn addresses_free_since_before_the_boot_keep_their_order() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    for (host, ago) in [(1, 20), (2, 40), (3, 30)] {
        let mut lease = Lease { state: State::Released, ..bound(host) };
        lease.expires = Moment(NOW.moment.0 - ago * SECOND);
        let _ = append(&mut journal, &lease).unwrap();
    }
    let later = Now { moment: Moment(SECOND), ..NOW };
    let (_, loaded) = Journal::open_on(disk, path(), None, later).unwrap();
    let leases = by_ip(loaded.leases());
    let free_since = |host| leases[&bound(host).ip].expires;
    assert!(free_since(2) < free_since(3) && free_since(3) < free_since(1), "{leases:?}");
}

#[test]
fn a_damaged_entry_is_kept_aside_and_its_address_out_of_use() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    for host in [1, 2, 3] {
        let _ = append(&mut journal, &bound(host)).unwrap();
    }
    let text = String::from_utf8(disk.bytes(&path())).unwrap();
    let second = text.find("lease 10.0.0.2").unwrap();
    let fault = second + text[second..].find("binding state active").unwrap();
    let damaged = format!("{}binding state acti\u{7}e{}", &text[..fault], &text[fault + 20..]);
    let disk = BadDisk::with(&path(), damaged.as_bytes());
    let (_, loaded) = open(&disk);
    let kept = PathBuf::from("/leases/default-dhcpd.leases.damaged-1");
    let line = text[..fault].lines().count();
    let [Note::Damaged { line: named, ip: Some(ip), kept: at, .. }] = &loaded.notes[..] else {
        panic!("{:?}", loaded.notes);
    };
    assert_eq!((*named, *ip, at), (line, bound(2).ip, &kept));
    let aside = String::from_utf8(disk.bytes(&kept)).unwrap();
    assert!(aside.contains("lease 10.0.0.2") && !aside.contains("lease 10.0.0.3"), "{aside}");
    let leases = by_ip(loaded.leases());
    assert_eq!((&leases[&bound(1).ip], &leases[&bound(3).ip]), (&bound(1), &bound(3)));
    assert_eq!(leases[&bound(2).ip].state, State::Declined);
    // The next start finds nothing to complain of, and still keeps the address back.
    let (_, again) = open(&disk);
    assert_eq!((again.notes.len(), by_ip(again.leases())[&bound(2).ip].state), (0, State::Declined));
}

#[test]
fn an_entry_that_has_lost_its_brace_does_not_swallow_the_next() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    for host in [1, 2] {
        let _ = append(&mut journal, &bound(host)).unwrap();
    }
    let text = String::from_utf8(disk.bytes(&path())).unwrap().replacen("}\n", "\n", 1);
    let (_, loaded) = open(&BadDisk::with(&path(), text.as_bytes()));
    let leases = by_ip(loaded.leases());
    assert_eq!((leases[&bound(1).ip].state, &leases[&bound(2).ip]), (State::Declined, &bound(2)));
    // Found at once: not by reading on to the end of the file, for each such entry again.
    assert!(matches!(loaded.notes[..], [Note::Damaged { what: What::Unclosed, .. }]), "{:?}", loaded.notes);
}

#[test]
fn a_horizon_is_never_before_the_clients_own_end_nor_beyond_a_release() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let released = Lease { state: State::Released, expires: NOW.moment, ..bound(2) };
    let batch = [(&bound(1), NOW.moment), (&released, Moment::FOREVER)];
    let synced = journal.append(&batch, NOW).unwrap();
    let horizons: Vec<Moment> = synced.promises().iter().map(|promise| promise.until).collect();
    assert_eq!(horizons, [bound(1).expires, NOW.moment]);
    let (_, loaded) = open(&disk);
    assert!(loaded.leases().iter().all(|lease| lease.durable_until == lease.expires));
}

#[test]
fn a_later_entry_heals_an_address_with_a_damaged_one() {
    let text =
        "lease 10.0.0.1 {\n  ends soon;\n}\nlease 10.0.0.1 {\n  ends never;\n  binding state active;\n}\n";
    let (_, loaded) = open(&BadDisk::with(&path(), text.as_bytes()));
    assert_eq!((loaded.leases().len(), loaded.leases()[0].state), (1, State::Bound));
}

#[test]
fn a_file_full_of_damage_is_reported_in_bounded_parts() {
    let text = "lease 10.0.0.1 {\n  ends soon;\n}\n".repeat(Note::MAX_DAMAGED + 7);
    let (_, loaded) = open(&BadDisk::with(&path(), text.as_bytes()));
    assert_eq!(loaded.notes.len(), Note::MAX_DAMAGED + 1);
    assert!(matches!(loaded.notes.last(), Some(Note::MoreDamaged { count: 7, .. })));
}

#[test]
fn a_journal_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("made/for/it");
    let (journal, _) = Journal::open(&inside, "default", NOW).unwrap();
    assert!(matches!(Journal::open(&inside, "default", NOW), Err(JournalError::Locked(_))));
    assert!(Journal::open(&inside, "other", NOW).is_ok());
    assert_eq!(journal.path(), inside.join("default-dhcpd.leases"));
    drop(journal);
    assert!(Journal::open(&inside, "default", NOW).is_ok());
}

#[test]
fn a_compacted_file_has_each_lease_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), "default", NOW).unwrap();
    let leases: Vec<Lease> = (1..=20).map(bound).collect();
    let batch: Vec<(&Lease, Moment)> = leases.iter().map(|lease| (lease, lease.durable_until)).collect();
    while !journal.wants_compaction() {
        let _ = journal.append(&batch, NOW).unwrap();
    }
    assert!(journal.length() > 1 << 20);
    journal.compact(&leases, NOW).unwrap();
    assert!(journal.length() < 20_000 && !journal.wants_compaction());
    let _ = journal.append(&batch[..1], NOW).unwrap();
    drop(journal);
    let (journal, loaded) = Journal::open(folder.path(), "default", NOW).unwrap();
    assert_eq!((loaded.entries, by_ip(loaded.leases())), (21, by_ip(&leases)));
    assert_eq!(std::fs::metadata(journal.path()).unwrap().len(), journal.length());
}
