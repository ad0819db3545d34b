//! Going over to other maps, larger ones or of another layout, while clients are answered.
//!
//! The program that is attached has the maps it was loaded on, and goes on answering from them. So
//! others are made beside, filled, and put in their places in the folder of pins ([`prepare`]); the
//! loader loads the program on those and exchanges it on every link, without a gap; and once nothing
//! runs on the old maps any more, what was changed in them meanwhile is carried over, and they go
//! ([`end`]). The agent does nothing else between the two, so no address changes hands while two maps
//! answer.
//!
//! | pinned as | is |
//! | --- | --- |
//! | `LEASES_new`, … | about to take the place of `LEASES`, …; worthless before `LEASES_old` is there |
//! | `LEASES_old` | what a program may still answer from: the move is to be finished, not begun again |
//! | `LAYOUT_old`, `COUNTERS_old` | with it, where that is of another layout |
//!
//! Each step is one operation on one pin. Killed between any two, the next start goes on where
//! `LEASES_old` is there, and begins anew where it is not; carrying over twice does what doing it
//! once does.

use std::path::{Path, PathBuf};

use xdhcpd_common::maps::{Lease, LeaseState};

use super::attach;
use super::error::FastPathError;
use super::formers::{self, Former};
use super::layout::{self, Found, MARKER, SHAPES};
use super::load;
use super::maps::{self, Counted, Entry, Leases, Maps};
use super::pins::{self, Pins};
use super::settle::Barrier;

/// What of the old maps is kept until the end of a move; the first says that there is one.
const KEPT: [&str; 3] = ["LEASES", "COUNTERS", MARKER];

/// Sees to it that all maps are there, in this version's layout and with room for so many entries.
///
/// Where those that are pinned are others, new ones take their places, and [`is_under_way`] until
/// [`end`] is called.
pub(super) fn prepare(pins: &Pins, entries: u32) -> Result<(), FastPathError> {
    resume(pins)?;
    match layout::found(pins)? {
        Found::Nothing => layout::mark(&pins.map(MARKER))?,
        Found::Former(former) if pins.map("LEASES").exists() => {
            if is_under_way(pins) {
                let what = format!("an upgrade to layout {} was cut short", former.layout);
                return Err(layout::unusable(pins, what));
            }
            tracing::info!(from = former.layout, to = layout::LAYOUT, "the maps are of an earlier layout");
            begin(pins, Some(former), entries)?;
        }
        // Its agent came to its end while it made them: no program can have been loaded.
        Found::Former(_) => {
            remove_all(pins, Pins::map)?;
            layout::mark(&pins.map(MARKER))?;
        }
        Found::Ours if !is_under_way(pins) && capacity(pins)?.is_some_and(|present| present < entries) => {
            begin(pins, None, entries)?;
        }
        // While an earlier move is unfinished the maps stay as they are.
        Found::Ours => {}
    }
    load::make_maps(pins, &names(), Pins::map, entries)
}

/// Whether a program may still answer from maps that others took the place of.
pub(super) fn is_under_way(pins: &Pins) -> bool {
    pins.former("LEASES").exists()
}

/// Ends a move: the old maps answer no more, what was changed in them is carried over, and they go.
///
/// A link that has not got the program on the new maps by now is removed.
pub(super) fn end(pins: &Pins, maps: &mut Maps, barrier: &Barrier) -> Result<usize, FastPathError> {
    attach::remove_strange(pins, layout::info("LEASES", &pins.map("LEASES"))?.id())?;
    barrier.wait();
    let marker = pins.former(MARKER);
    let former = if marker.exists() { Some(layout::former_at(pins, &marker)?) } else { None };
    let mut changed = 0_usize;
    let leases = maps.leases_mut()?;
    for (key, old) in read(&pins.former("LEASES"), former)? {
        let now = leases.get(key)?;
        let then = now.map_or(old, |now| brought_up(now, old));
        if now != Some(then) {
            leases.put(key, &then)?;
            changed = changed.saturating_add(1);
        }
    }
    if let Some(former) = former {
        carry_counters(&pins.former("COUNTERS"), former, maps.counted_mut())?;
    }
    for name in KEPT {
        pins::remove(&pins.former(name))?;
    }
    Ok(changed)
}

/// Makes others beside the maps, and puts them in their places.
fn begin(pins: &Pins, former: Option<&Former>, entries: u32) -> Result<(), FastPathError> {
    let present = capacity(pins)?.unwrap_or_default();
    let entries = entries.max(present);
    let replaced = if former.is_some() { names() } else { vec!["LEASES"] };
    load::make_maps(pins, &replaced, Pins::next, entries)?;
    let mut leases = Leases::open(&pins.next("LEASES"))?;
    let mut carried = 0_usize;
    for (key, lease) in read(&pins.map("LEASES"), former)? {
        leases.put(key, &lease)?;
        carried = carried.saturating_add(1);
    }
    if let Some(former) = former {
        carry_counters(&pins.map("COUNTERS"), former, &mut Counted::open(&pins.next("COUNTERS"))?)?;
        layout::mark(&pins.next(MARKER))?;
    }
    let kept = if former.is_some() { &KEPT[..] } else { &KEPT[..1] };
    // The one that counts comes last.
    for name in kept.iter().rev() {
        pins::link(&pins.map(name), &pins.former(name))?;
    }
    tracing::info!(entries = carried, from = present, to = entries, "the map LEASES is replaced");
    resume(pins)
}

/// Goes on with a move that has begun; clears away what is left of one that has not.
fn resume(pins: &Pins) -> Result<(), FastPathError> {
    if !is_under_way(pins) {
        remove_all(pins, Pins::next)?;
        return remove_all(pins, Pins::former);
    }
    for name in names().into_iter().chain([MARKER]) {
        let next = pins.next(name);
        if next.exists() {
            pins::rename(&next, &pins.map(name))?;
        }
    }
    Ok(())
}

/// Every map by its name.
fn names() -> Vec<&'static str> {
    SHAPES.iter().map(|shape| shape.name).collect()
}

fn remove_all(pins: &Pins, place: fn(&Pins, &str) -> PathBuf) -> Result<(), FastPathError> {
    names().into_iter().chain([MARKER]).try_for_each(|name| pins::remove(&place(pins, name)).map(drop))
}

/// How many entries `LEASES` has room for; none: there is none.
fn capacity(pins: &Pins) -> Result<Option<u32>, FastPathError> {
    let path = pins.map("LEASES");
    path.exists().then(|| Ok(layout::info("LEASES", &path)?.max_entries())).transpose()
}

/// Every entry of a map of leases, of a former layout or of ours, as ours.
fn read(path: &Path, former: Option<&Former>) -> Result<Vec<Entry>, FastPathError> {
    match former {
        Some(former) => maps::read_leases(path, former.entry),
        None => maps::read_leases(path, formers::ours),
    }
}

/// Carries over what was counted; the same however often it is done.
fn carry_counters(from: &Path, former: &Former, to: &mut Counted) -> Result<(), FastPathError> {
    let counters = (former.counted)(&maps::read_totals(from)?);
    counters.map_or(Ok(()), |counters| to.carry(&counters))
}

/// An entry as it has to be, when `old` was answered from until a moment ago: what either map's
/// program promised holds, and who gave an address back to one has given it back.
fn brought_up(now: Lease, old: Lease) -> Lease {
    if (now.ip, now.generation) != (old.ip, old.generation) {
        return now;
    }
    let state = if now.state == LeaseState::SUSPENDED || old.state == LeaseState::SUSPENDED {
        LeaseState::SUSPENDED
    } else {
        // An offer that was taken is bound.
        now.state.max(old.state)
    };
    Lease { state, expires: now.expires.max(old.expires), answered: now.answered.max(old.answered), ..now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: u8, expires: u64, answered: u64) -> Lease {
        Lease {
            ip: [10, 9, 0, 100],
            generation: 3,
            horizon: 900,
            state,
            expires,
            answered,
            ..Lease::default()
        }
    }

    #[test]
    fn what_either_program_promised_last_holds() {
        use LeaseState as S;
        let copied = entry(S::BOUND, 100, 7);
        assert_eq!(brought_up(copied, copied), copied);
        assert_eq!(brought_up(copied, entry(S::BOUND, 200, 9)), entry(S::BOUND, 200, 9));
        assert_eq!(brought_up(entry(S::BOUND, 200, 9), copied), entry(S::BOUND, 200, 9));
        let taken = brought_up(entry(S::OFFERED, 100, 0), entry(S::BOUND, 200, 9));
        assert_eq!(taken, entry(S::BOUND, 200, 9), "the offer was taken");
    }

    #[test]
    fn what_was_given_back_to_either_program_is_given_back() {
        use LeaseState as S;
        let (bound, given_back) = (entry(S::BOUND, 100, 7), entry(S::SUSPENDED, 100, 7));
        assert_eq!(brought_up(bound, given_back), given_back);
        assert_eq!(brought_up(given_back, entry(S::BOUND, 200, 9)), entry(S::SUSPENDED, 200, 9));
    }

    #[test]
    fn what_the_agent_wrote_since_is_left_as_it_is() {
        let old = entry(LeaseState::BOUND, 200, 9);
        let others = Lease { ip: [10, 9, 0, 101], ..entry(LeaseState::OFFERED, 100, 0) };
        assert_eq!(brought_up(others, old), others);
        let newer = Lease { generation: 4, ..entry(LeaseState::OFFERED, 100, 0) };
        assert_eq!(brought_up(newer, old), newer);
    }
}
