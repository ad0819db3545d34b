//! Going over to other maps, larger ones or of another layout: without a gap, without a loss, and
//! whatever comes in between.

use std::fs;
use std::path::PathBuf;

use xdhcpd::config::{FastPathMode, KernelLog};
use xdhcpd::fastpath::FastPath;
use xdhcpd_common::counters::Counter;
use xdhcpd_common::maps::{Lease, LeaseKey, LeaseState};
use xdhcpd_tests::former::{self, EARLIER};
use xdhcpd_tests::wait::{SOON, until_true};

use super::scene::*;

/// Entries that there are in the small map.
const ENTRIES: u32 = 300;
/// Addresses that it has room for, and those that it has not.
const FEW: u32 = 100;
const MANY: u32 = 3_000;
/// What may take the place of another in a move, and the map that says that there is one.
const MAPS: [&str; 8] = ["LEASES", "TEMPLATES", "SERVERS", "EPOCH", "EVENTS", "COUNTERS", "LIMITS", "LAYOUT"];

/// Why maps are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Growth,
    Upgrade,
}

impl Why {
    /// Leaves what is found at the start: a small map with entries, and its program attached.
    fn begin(self, scene: &Scene) -> Both {
        let mut small = scene.start_for(FEW, FastPathMode::Auto);
        for n in 0..ENTRIES {
            small.put_lease(key(n), &lease(n)).unwrap();
        }
        if self == Self::Upgrade {
            former::take_over(&scene.pins(), EARLIER).unwrap();
        }
        small
    }

    /// The pins that a move for this reason exchanges.
    fn exchanged(self) -> &'static [&'static str] {
        if self == Self::Growth { &MAPS[..1] } else { &MAPS }
    }

    /// The pins that it keeps until it has ended.
    fn kept(self) -> &'static [&'static str] {
        if self == Self::Growth { &["LEASES"] } else { &["LEASES", "COUNTERS", "LAYOUT"] }
    }
}

fn pin(scene: &Scene, name: &str, what: &str) -> PathBuf {
    scene.pins().join(format!("{name}{what}"))
}

/// The pins of a move that is not over.
fn pins_of_a_move(scene: &Scene) -> Vec<String> {
    let names = fs::read_dir(scene.pins()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.ends_with("_old") || name.ends_with("_new")).collect()
}

fn attach(scene: &Scene) -> xdhcpd::fastpath::Program {
    load(&scene.agent, KernelLog::Off, &[("server", FastPathMode::Auto)]).unwrap()
}

fn sorted(maps: &FastPath) -> Vec<(LeaseKey, Lease)> {
    let mut leases = maps.leases().unwrap();
    leases.sort_by_key(|(key, _)| *key);
    leases
}

#[test]
fn maps_are_exchanged_under_a_program_that_goes_on_and_its_last_changes_are_carried_over() {
    for why in [Why::Growth, Why::Upgrade] {
        Scene::play("move", |scene| {
            let small = why.begin(scene);
            assert_eq!(small.lease_capacity(), 1024);
            assert!(why == Why::Upgrade || frames_are_counted(|| small.counters().unwrap()));
            let before = scene.link();

            let mut large = FastPath::open(&scene.agent, MANY).unwrap();
            assert!(large.is_moving(), "{why:?}");
            assert_eq!(large.lease_capacity(), if why == Why::Growth { 8192 } else { 65_536 });
            assert_eq!(scene.link()["prog_id"], before["prog_id"], "the old program goes on");
            assert_eq!(sorted(&large), (0..ENTRIES).map(|n| (key(n), lease(n))).collect::<Vec<_>>());

            // What the old program may do before it is exchanged.
            let renewed = Lease { expires: 2_000, answered: 40, ..lease(1) };
            let given_back = Lease { state: LeaseState::SUSPENDED, ..lease(2) };
            let mut old = OldLeases::open(scene);
            old.put(key(1), &renewed);
            old.put(key(2), &given_back);
            // And what the new one does, once it is there.
            let program = attach(scene);
            let later = Lease { expires: 3_000, answered: 50, ..lease(3) };
            old.put(key(3), &Lease { expires: 2_500, answered: 45, ..lease(3) });
            large.put_lease(key(3), &later).unwrap();
            large.end_move().unwrap();

            let expected = (0..ENTRIES).map(|n| match n {
                1 => (key(n), renewed),
                2 => (key(n), given_back),
                3 => (key(n), later),
                n => (key(n), lease(n)),
            });
            assert_eq!(sorted(&large), expected.collect::<Vec<_>>(), "{why:?}");
            assert_eq!(pins_of_a_move(scene), [""; 0]);
            let after = scene.link();
            assert_eq!(after["id"], before["id"], "{why:?}: the link stays, so there is no gap");
            assert_ne!(after["prog_id"], before["prog_id"]);
            assert!(frames_are_counted(|| large.counters().unwrap()));
            drop((small, program));
            assert_eq!(scene.start_for(FEW, FastPathMode::Auto).lease_capacity(), large.lease_capacity());
        });
    }
}

#[test]
fn counters_go_on_from_one_layout_to_the_next_and_the_one_after() {
    Scene::play("counts", |scene| {
        let mut seen = 0;
        for version in 0..3 {
            let mut maps = FastPath::open(&scene.agent, FEW).unwrap();
            let begun = passed(&maps.counters().unwrap());
            assert!(begun >= seen, "{begun} after {seen}");
            if version > 0 {
                // The old program is still there, and counts.
                let old = pin(scene, "COUNTERS", "_old");
                until_true("a frame that the old program counts", SOON, || {
                    send_frame();
                    Ok(former::not_dhcp(&old)? > seen)
                })
                .unwrap();
                seen = former::not_dhcp(&old).unwrap();
            }
            let program = attach(scene);
            maps.end_move().unwrap();
            let carried = passed(&maps.counters().unwrap());
            assert!(carried >= seen, "{carried} after {seen}");
            assert!(frames_are_counted(|| maps.counters().unwrap()));
            drop((maps, program));
            seen = xdhcpd::fastpath::Pinned::open(&scene.agent)
                .unwrap()
                .unwrap()
                .counters()
                .unwrap()
                .get(Counter::NotDhcp);
            assert!(seen > carried);
            former::take_over(&scene.pins(), EARLIER).unwrap();
        }
    });
}

#[test]
fn killed_between_any_two_steps_of_a_move_the_next_start_has_every_entry() {
    for why in [Why::Growth, Why::Upgrade] {
        // So many of the new pins are in their places already; none: the move is not even sure yet.
        let moments = (0..=why.exchanged().len()).map(Some);
        for renamed in std::iter::once(None).chain(moments) {
            Scene::play("killed", |scene| {
                drop(why.begin(scene));
                let before = scene.link();
                // The pins as they are when all is renamed, then back to the moment.
                let kept: Vec<_> = why
                    .exchanged()
                    .iter()
                    .map(|name| {
                        let backup = pin(scene, name, "_backup");
                        fs::hard_link(pin(scene, name, ""), &backup).unwrap();
                        (name, backup)
                    })
                    .collect();
                drop(FastPath::open(&scene.agent, MANY).unwrap());
                for (name, backup) in kept.iter().skip(renamed.unwrap_or(0)) {
                    fs::rename(pin(scene, name, ""), pin(scene, name, "_new")).unwrap();
                    fs::hard_link(backup, pin(scene, name, "")).unwrap();
                }
                for (_, backup) in &kept {
                    fs::remove_file(backup).unwrap();
                }
                if renamed.is_none() {
                    fs::remove_file(pin(scene, "LEASES", "_old")).unwrap();
                } else {
                    OldLeases::open(scene).put(key(1), &Lease { expires: 2_000, ..lease(1) });
                }
                assert_eq!(scene.link()["prog_id"], before["prog_id"]);

                let next = scene.start_for(MANY, FastPathMode::Auto);
                let expires = if renamed.is_some() { 2_000 } else { 1_000 };
                let expected = (0..ENTRIES)
                    .map(|n| (key(n), if n == 1 { Lease { expires, ..lease(n) } } else { lease(n) }));
                assert_eq!(sorted(&next), expected.collect::<Vec<_>>(), "{why:?} {renamed:?}");
                assert_eq!(pins_of_a_move(scene), [""; 0], "{why:?} {renamed:?}");
                assert_eq!(scene.link()["id"], before["id"], "{why:?} {renamed:?}: no gap");
                assert!(frames_are_counted(|| next.counters().unwrap()));
            });
        }
    }
}

#[test]
fn a_move_whose_end_was_cut_short_is_ended_again() {
    Scene::play("ended", |scene| {
        drop(Why::Upgrade.begin(scene));
        let backups: Vec<_> = Why::Upgrade.kept().iter().map(|name| pin(scene, name, "")).collect();
        for path in &backups {
            let name = path.file_name().unwrap().to_str().unwrap();
            fs::hard_link(path, scene.pins().join(format!("kept-{name}"))).unwrap();
        }
        let mut done = scene.start_for(MANY, FastPathMode::Auto);
        let later = Lease { expires: 9_000, answered: 90, ..lease(1) };
        done.put_lease(key(1), &later).unwrap();
        drop(done);
        // All was carried over, and none of the old pins was removed; then all but the first.
        for removed in 0..=Why::Upgrade.kept().len() {
            for name in Why::Upgrade.kept().iter().skip(removed) {
                let kept = scene.pins().join(format!("kept-{name}"));
                fs::hard_link(kept, pin(scene, name, "_old")).unwrap();
            }
            let next = scene.start_for(MANY, FastPathMode::Auto);
            assert_eq!(next.lease(key(1)).unwrap(), Some(later), "{removed}");
            assert_eq!(next.leases().unwrap().len(), ENTRIES as usize);
            assert_eq!(pins_of_a_move(scene), [""; 0], "{removed}");
        }
    });
}

#[test]
fn a_link_that_has_not_got_the_new_program_is_removed_when_the_move_ends() {
    Scene::play("late", |scene| {
        drop(Why::Growth.begin(scene));
        let mut large = FastPath::open(&scene.agent, MANY).unwrap();
        large.end_move().unwrap();
        assert!(!scene.pins().join("link-server").exists(), "nothing answers from the old map");
        assert_eq!(large.leases().unwrap().len(), ENTRIES as usize);
        let program = attach(scene);
        assert_eq!(program.status(), [status("server", "generic")]);
    });
}

/// The map of leases that others took the place of, to be written as its program does.
struct OldLeases(PathBuf);

impl OldLeases {
    fn open(scene: &Scene) -> Self {
        Self(pin(scene, "LEASES", "_old"))
    }

    fn put(&mut self, key: LeaseKey, lease: &Lease) {
        former::put_lease(&self.0, key, lease).unwrap();
    }
}
