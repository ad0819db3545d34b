//! What a crash, a full disk or a failing one leaves.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::bad_disk::{BadDisk, Failure};
use super::*;
use crate::lease::journal::{JournalError, Note};

#[test]
fn a_file_cut_at_any_byte_has_every_entry_before_the_cut() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let mut ends = vec![0];
    for host in 1..=4 {
        let mut lease = bound(host);
        lease.host_name = Some("name; with } and \" in {it".into());
        lease.client_id = Some([1, b'"', b'\\', b'\n', 0, 255].into());
        let _ = append(&mut journal, &lease).unwrap();
        ends.push(usize::try_from(journal.length()).unwrap());
    }
    let bytes = disk.bytes(&path());
    for cut in 0..=bytes.len() {
        let disk = BadDisk::with(&path(), &bytes[..cut]);
        let (mut journal, loaded) = open(&disk);
        // The last byte of an entry is its newline, which nobody needs.
        let whole = ends.iter().skip(1).filter(|end| **end <= cut + 1).count();
        assert_eq!(loaded.leases().len(), whole, "cut at {cut}");
        assert!(loaded.notes.iter().all(|note| matches!(note, Note::Torn { .. })), "{:?}", loaded.notes);
        let _ = append(&mut journal, &bound(9)).unwrap();
        let (_, again) = open(&disk);
        assert_eq!((again.leases().len(), again.notes.len()), (whole + 1, 0), "cut at {cut}");
    }
}

#[test]
fn zeros_that_a_power_cut_left_at_the_end_are_a_torn_entry() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    let dated = "lease 10.0.0.2 {\n  starts 6 2026/11/21 12:0";
    for before in ["", "# half a com", "lease 10.0.0.2 {\n  starts 6 20", dated] {
        let mut bytes = disk.bytes(&path());
        bytes.extend_from_slice(before.as_bytes());
        bytes.extend([0; 500]);
        let (_, loaded) = open(&BadDisk::with(&path(), &bytes));
        assert_eq!(loaded.leases().len(), 1);
        assert!(matches!(loaded.notes[..], [Note::Torn { .. }]), "{:?}", loaded.notes);
    }
}

#[test]
fn a_batch_is_one_sync() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let before = disk.syncs();
    let leases: Vec<Lease> = (1..=50).map(bound).collect();
    let batch: Vec<(&Lease, Moment)> = leases.iter().map(|lease| (lease, lease.durable_until)).collect();
    let synced = journal.append(&batch, NOW).unwrap();
    assert_eq!((disk.syncs() - before, synced.promises().len()), (1, 50));
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was_and_the_journal_usable() {
    for room in [0, 1, 17, 150] {
        let disk = BadDisk::default();
        let (mut journal, _) = open(&disk);
        let _ = append(&mut journal, &bound(1)).unwrap();
        let before = disk.bytes(&path());
        disk.fail(Failure::Full(room));
        assert!(matches!(append(&mut journal, &bound(2)), Err(JournalError::Write { .. })));
        assert_eq!(disk.bytes(&path()), before);
        let _ = append(&mut journal, &bound(3)).unwrap();
        let (_, loaded) = open(&disk.crash(|_| 0, false));
        assert_eq!(by_ip(loaded.leases()), by_ip(&[bound(1), bound(3)]));
    }
}

#[test]
fn a_file_that_cannot_be_cut_back_is_replaced_before_anything_is_promised() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    disk.fail(Failure::FullForGood(30));
    assert!(matches!(append(&mut journal, &bound(2)), Err(JournalError::Write { .. })));
    assert!(journal.wants_compaction() && journal.is_broken());
    assert!(matches!(append(&mut journal, &bound(2)), Err(JournalError::CompactFirst(_))));
    journal.compact(&[bound(1)], NOW).unwrap();
    let _ = append(&mut journal, &bound(2)).unwrap();
    let (_, loaded) = open(&disk.crash(|_| 0, false));
    assert_eq!(by_ip(loaded.leases()), by_ip(&[bound(1), bound(2)]));
}

#[test]
fn after_a_failed_sync_nothing_is_promised_before_a_new_file_is_there() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    disk.fail(Failure::Sync);
    assert!(matches!(append(&mut journal, &bound(2)), Err(JournalError::Sync { .. })));
    // A second sync of these pages would succeed and mean nothing.
    assert!(matches!(append(&mut journal, &bound(3)), Err(JournalError::CompactFirst(_))));
    let (_, reopened) = open(&disk);
    assert_eq!(by_ip(reopened.leases()), by_ip(&[bound(1)]), "what is only in memory is not read back");
    journal.compact(&[bound(1), bound(2)], NOW).unwrap();
    let _ = append(&mut journal, &bound(3)).unwrap();
    let (_, loaded) = open(&disk.crash(|_| 0, false));
    assert_eq!(by_ip(loaded.leases()), by_ip(&[bound(1), bound(2), bound(3)]));
}

#[test]
fn a_start_on_a_disk_that_takes_no_writes_knows_its_leases_and_promises_nothing_new() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    drop(journal);
    for torn in ["", "lease 10.0.0.2 {"] {
        let bytes = [&disk.bytes(&path())[..], torn.as_bytes()].concat();
        let disk = BadDisk::with(&path(), &bytes);
        disk.fail(Failure::Open);
        let (mut journal, loaded) = open(&disk);
        assert!(matches!(loaded.fault, Some(JournalError::Write { .. })), "{:?}", loaded.fault);
        assert_eq!(loaded.leases(), [bound(1)], "durable up to their horizon, as they were");
        assert!(matches!(append(&mut journal, &bound(3)), Err(JournalError::CompactFirst(_))));
        assert_eq!(disk.bytes(&path()), bytes);
        // The disk is back.
        journal.compact(loaded.leases(), NOW).unwrap();
        let _ = append(&mut journal, &bound(3)).unwrap();
        let (_, loaded) = open(&disk.crash(|_| 0, false));
        assert_eq!(by_ip(loaded.leases()), by_ip(&[bound(1), bound(3)]));
    }
}

#[test]
fn a_start_whose_sync_fails_believes_what_earlier_boots_wrote_and_keeps_the_rest_back() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    let reopen = |boot| {
        disk.fail(Failure::Sync);
        let (journal, loaded) = Journal::open_on(disk.clone(), path(), boot, NOW).unwrap();
        assert!(matches!(loaded.fault, Some(JournalError::Sync { .. })), "{:?}", loaded.fault);
        assert!(journal.is_broken());
        loaded.leases()[0].clone()
    };
    let doubtful = reopen(boot());
    let horizon = bound(1).durable_until;
    assert_eq!((doubtful.durable_until, doubtful.expires), (Moment::NEVER, horizon));
    assert_eq!(reopen(None).durable_until, Moment::NEVER, "it does not know which boot this is");
    let next_boot = reopen(BootId::of("00000000-0000-0000-0000-000000000000"));
    assert_eq!(next_boot.durable_until, horizon);
}

#[test]
fn a_start_on_a_full_disk_goes_on_with_the_file_that_is_there() {
    let disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let _ = append(&mut journal, &bound(1)).unwrap();
    drop(journal);
    disk.fail(Failure::Full(20));
    let (mut journal, loaded) = open(&disk);
    assert_eq!((loaded.leases().len(), loaded.fault.is_none()), (1, true));
    assert!(matches!(append(&mut journal, &bound(2)), Err(JournalError::Write { .. })));
    let _ = append(&mut journal, &bound(3)).unwrap();
    let (_, loaded) = open(&disk.crash(|_| 0, false));
    assert_eq!(by_ip(loaded.leases()), by_ip(&[bound(1), bound(3)]));
}

#[test]
fn a_compaction_that_fails_at_any_step_loses_nothing() {
    for failure in [Failure::Open, Failure::Full(10), Failure::Sync, Failure::Rename, Failure::Folder] {
        let disk = BadDisk::default();
        let (mut journal, _) = open(&disk);
        let _ = append(&mut journal, &bound(1)).unwrap();
        disk.fail(failure);
        let error = journal.compact(&[bound(1)], NOW).unwrap_err();
        assert!(matches!(error, JournalError::Compact { .. }), "{error}");
        // Which of the two files the name means is unknown from the rename on.
        assert_eq!(journal.is_broken(), matches!(failure, Failure::Rename | Failure::Folder));
        if !journal.is_broken() {
            let _ = append(&mut journal, &bound(2)).unwrap();
        }
        for names_made_it in [false, true] {
            let (_, loaded) = open(&disk.crash(|_| 0, names_made_it));
            assert!(loaded.leases().contains(&bound(1)), "{failure:?}");
            assert_eq!(loaded.leases().len(), if journal.is_broken() { 1 } else { 2 }, "{failure:?}");
        }
        journal.compact(&[bound(1), bound(2)], NOW).unwrap();
        let _ = append(&mut journal, &bound(3)).unwrap();
        assert_eq!(disk.names(), [path()]);
    }
}

/// Appends, compacts, fails and crashes at random; whatever was promised last for an address
/// is there after each crash, or something newer that was tried since.
fn schedule(seed: u64) {
    let mut random = Random(seed);
    let mut disk = BadDisk::default();
    let (mut journal, _) = open(&disk);
    let mut table: BTreeMap<Ipv4Addr, Lease> = BTreeMap::new();
    // By address: what is promised, and what was tried after that.
    let mut acceptable: BTreeMap<Ipv4Addr, Vec<Lease>> = BTreeMap::new();
    let mut promised: BTreeMap<Ipv4Addr, Lease> = BTreeMap::new();
    for step in 0..60 {
        journal.part = 700;
        if random.below(4) == 0 {
            let room = usize::try_from(random.below(400)).unwrap();
            let failures = [
                Failure::Full(room),
                Failure::FullSoon,
                Failure::FullForGood(room),
                Failure::Sync,
                Failure::Rename,
                Failure::Folder,
            ];
            disk.fail(failures[usize::try_from(random.below(6)).unwrap()]);
        }
        match random.below(10) {
            8 | 9 if !journal.is_broken() => {
                // Its entries are the table's: of what was promised, or of what was tried after that.
                let _ = journal.rewrite(|address| after(&table, address), NOW);
            }
            0 => {
                // A failure leaves the old file or the new one; the table's leases are in both or tried.
                if journal.compact(table.values(), NOW).is_ok() {
                    promised.clone_from(&table);
                }
                for (ip, lease) in &table {
                    acceptable.entry(*ip).or_default().push(lease.clone());
                }
            }
            1 => {
                let kept = random.below(500);
                disk = disk.crash(|_| usize::try_from(kept).unwrap(), random.below(2) == 0);
                let (opened, loaded) = open(&disk);
                let found = by_ip(loaded.leases());
                for ip in promised.keys() {
                    let lease =
                        found.get(ip).unwrap_or_else(|| panic!("seed {seed} step {step}: {ip} is lost"));
                    assert!(
                        acceptable[ip].contains(lease),
                        "seed {seed} step {step}: {ip} is older: {lease:?}"
                    );
                }
                journal = opened;
                acceptable = found.iter().map(|(ip, lease)| (*ip, vec![lease.clone()])).collect();
                promised.clone_from(&found);
                table = found;
            }
            _ => {
                let host = u8::try_from(1 + random.below(6)).unwrap();
                let mut lease = bound(host);
                lease.starts = Moment(NOW.moment.0 + step);
                table.insert(lease.ip, lease.clone());
                acceptable.entry(lease.ip).or_default().push(lease.clone());
                if append(&mut journal, &lease).is_ok() {
                    acceptable.insert(lease.ip, vec![lease.clone()]);
                    promised.insert(lease.ip, lease);
                } else if journal.is_broken() && journal.compact(table.values(), NOW).is_ok() {
                    promised.clone_from(&table);
                    acceptable = table.iter().map(|(ip, lease)| (*ip, vec![lease.clone()])).collect();
                }
            }
        }
    }
}

#[test]
fn whatever_was_promised_is_there_after_any_crash() {
    for seed in 0..400 {
        schedule(seed);
    }
}
