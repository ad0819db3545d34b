//! What a crash, damage or a lost file leaves of an agent's claims.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;
use crate::claims::{At, Binding, FOREVER, Slot};
use crate::lease::ClientKey;

const CLUSTER_AGENT: &str = "bmc";

fn open(folder: &Path) -> (Store, Saved) {
    Store::open(folder, CLUSTER_AGENT, true, Some("uid")).unwrap()
}

fn id(third: u8) -> BlockId {
    BlockId::of(Ipv4Addr::new(10, 9, third, 0))
}

fn block(third: u8, serial: u64) -> Arc<Block> {
    let binding = Binding { client: ClientKey::Mac([2, 0, 0, 0, 0, third]), longest: FOREVER, mark: None };
    let slots = BTreeMap::from([(Ipv4Addr::new(10, 9, third, 7), Slot::Bound(binding))]);
    Arc::new(Block { serial, slots })
}

/// All of it, with `generation` in each part.
fn copies(generation: u64) -> Copies {
    let term = Term { serial: generation, incarnation: 2, until: At(9000), longest: 7 };
    let known =
        |third| Known { copy: block(third, generation), in_flight: Some(block(third, generation + 1)) };
    Copies {
        term: Some(term.clone()),
        term_in_flight: Some(Term { serial: generation + 1, ..term }),
        granted: Some(Granted {
            incarnation: 2,
            until: At(9000 + generation),
            longest: 7,
            turn: 0,
            has_read: true,
        }),
        blocks: (0..3).map(|third| (id(third), known(third))).collect(),
    }
}

/// The folder, and the files in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = folder.join(format!("{CLUSTER_AGENT}-claims"));
    fs::read_dir(inside).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn aside(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("aside")).count()
}

#[test]
fn what_was_saved_is_read_again_by_the_same_agent() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, first) = open(folder.path());
    assert_eq!(first.copies, Copies::default());
    for generation in [1, 2] {
        store.save(&copies(generation)).unwrap();
        let (_, again) = open(folder.path());
        assert_eq!((&again.me, &again.copies), (&first.me, &copies(generation)));
    }
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).1.me, first.me);
    assert_eq!(aside(folder.path()), 0);
}

#[test]
fn only_what_changed_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    store.save(&copies(1)).unwrap();
    for file in files(folder.path()) {
        fs::remove_file(file).unwrap();
    }
    let mut next = copies(1);
    next.blocks.get_mut(&id(1)).unwrap().in_flight = None;
    store.save(&next).unwrap();
    assert_eq!(files(folder.path()), [folder.path().join("bmc-claims/10.9.1.0.json")]);
}

/// Wherever a save is cut, what is there is whole, and no term is newer than any block.
#[test]
fn a_save_that_is_cut_off_leaves_blocks_that_are_no_older_than_the_term() {
    let names = ["10.9.0.0.json", "10.9.1.0.json", "10.9.2.0.json", "agent.json"];
    for (cut, name) in names.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, first) = open(folder.path());
        store.save(&copies(1)).unwrap();
        // Nothing can be written there, so this is as far as it comes.
        let wall = folder.path().join("bmc-claims").join(format!("{name}.new"));
        fs::create_dir_all(wall.join("wall")).unwrap();
        store.save(&copies(2)).unwrap_err();
        let (_, read) = open(folder.path());
        assert_eq!(read.me, first.me, "{name}");
        let serials: Vec<u64> = read.copies.blocks.values().map(|known| known.copy.serial).collect();
        let expected: Vec<u64> = (0..3).map(|at| if at < cut { 2 } else { 1 }).collect();
        assert_eq!(serials, expected, "{name}");
        assert_eq!(read.copies.term, copies(1).term, "{name}");
        assert_eq!(read.copies.granted, copies(1).granted, "{name}");
        // Once it can be written, the rest is.
        fs::remove_dir_all(wall).unwrap();
        store.save(&copies(2)).unwrap();
        assert_eq!(open(folder.path()).1.copies, copies(2), "{name}");
    }
}

#[test]
fn a_file_cut_at_any_byte_has_all_kept_aside_and_a_new_agent_begin() {
    for name in ["agent.json", "10.9.1.0.json"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bmc-claims").join(name);
        let (mut store, before) = open(folder.path());
        store.save(&copies(1)).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            let folder = tempfile::tempdir().unwrap();
            let inside = folder.path().join("bmc-claims");
            fs::create_dir(&inside).unwrap();
            for file in files(path.parent().unwrap().parent().unwrap()) {
                fs::copy(&file, inside.join(file.file_name().unwrap())).unwrap();
            }
            fs::write(inside.join(name), &whole[..cut]).unwrap();
            let (_, after) = open(folder.path());
            assert_ne!(after.me, before.me, "{name} cut at {cut}");
            assert_eq!(after.copies, Copies::default(), "{name} cut at {cut}");
            let kept = fs::read(folder.path().join("bmc-claims.aside-1").join(name)).unwrap();
            assert_eq!(kept, &whole[..cut], "nothing is lost");
        }
    }
}

/// What becomes of a text; none: it is gone.
type Damage<'a> = &'a dyn Fn(&str) -> Option<String>;

#[test]
fn damage_is_an_error_that_names_the_file_and_the_place() {
    let damages: [(&str, Damage, &str); 5] = [
        ("10.9.1.0.json", &|_| None, "10.9.1.0.json: is gone"),
        ("agent.json", &|_| None, "agent.json: No such file"),
        (
            "10.9.1.0.json",
            &|text| Some(text.replacen("10.9.1.7", "10.9.2.7", 1)),
            "copy: spec.bound[0].ip: 10.9.2.7",
        ),
        (
            "agent.json",
            &|text| Some(text.replacen("infinite", "soon", 9).replacen("7ms", "soon", 1)),
            "term: spec.longest",
        ),
        ("agent.json", &|text| Some(text.replacen("\"id\": \"", "\"id\": \"../", 1)), "id: expected sixteen"),
    ];
    for (name, damage, error) in damages {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path());
        store.save(&copies(1)).unwrap();
        let inside = folder.path().join("bmc-claims");
        let text = fs::read_to_string(inside.join(name)).unwrap();
        match damage(&text) {
            Some(text) => fs::write(inside.join(name), text).unwrap(),
            None => fs::remove_file(inside.join(name)).unwrap(),
        }
        let found = read(&inside).unwrap_err();
        assert!(found.contains(error), "{found} for {error}");
    }
}

#[test]
fn an_agent_without_its_lease_file_or_of_another_cluster_agent_is_another() {
    for (has_leases, owner) in [(false, Some("uid")), (true, Some("other"))] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, before) = open(folder.path());
        store.save(&copies(1)).unwrap();
        // An API server that is away says nothing.
        let (_, same) = Store::open(folder.path(), CLUSTER_AGENT, true, None).unwrap();
        assert_eq!((&same.me, &same.copies), (&before.me, &copies(1)));
        let (_, after) = Store::open(folder.path(), CLUSTER_AGENT, has_leases, owner).unwrap();
        assert_ne!(after.me, before.me);
        assert_eq!((after.copies, aside(folder.path())), (Copies::default(), 1));
        let (_, later) = Store::open(folder.path(), CLUSTER_AGENT, true, owner).unwrap();
        assert_eq!(later.me, after.me);
    }
}
