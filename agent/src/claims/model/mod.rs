//! The model: agents, clients, clocks, a server that answers late or never, and whatever can break, by chance;
//! and one who watches that no two clients have one address.
//!
//! `XDHCPD_SEED` repeats a run, `XDHCPD_STEPS` makes it longer. A violation is told as a story, from the world's
//! beginning. What chance hardly ever brings about is in [`staged`], [`restarted`] and [`endless`].

#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers of a test"
)]
#![expect(clippy::cast_possible_wrap, reason = "small numbers of a test")]

mod agent;
mod answers;
mod breaks;
mod calls;
mod client;
mod endless;
mod overlooked;
mod random;
mod restarted;
mod server;
mod staged;
mod world;

use self::world::{BOUNDS, Counts, TERM, Twice, Without, World};
use super::rules::Rule;

/// Steps of a run; in each, thirty things happen.
const STEPS: u64 = 1_000_000;
/// Steps of a world, until there is another.
const WORLD: u64 = 300;
/// Of so many worlds, one is healed in the end.
const HEALED: u64 = 30;

/// Where a violation was found.
struct Found {
    steps: u64,
    world: u64,
    twice: Twice,
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    Some(hex.unwrap_or_else(|| text.parse()).expect("a number"))
}

fn seed() -> u64 {
    let seed = number_from("XDHCPD_SEED").unwrap_or(0x5eed_0001);
    println!("seed {seed:#x}");
    seed
}

/// Goes through as many worlds as it takes; `after` sees each in the end.
fn run(seed: u64, steps: u64, without: Option<Without>, after: impl Fn(u64, World)) -> Result<Counts, Found> {
    let mut counts = Counts::default();
    for number in 0..steps.div_ceil(WORLD) {
        let name = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number);
        let mut world = World::new(name, without, false);
        for step in 0..WORLD {
            world.step().map_err(|twice| Found { steps: number * WORLD + step, world: name, twice })?;
        }
        counts.add(world.counts);
        after(number, world);
    }
    Ok(counts)
}

/// Tells a world from its beginning.
fn tell(found: &Found) -> ! {
    let mut world = World::new(found.world, None, true);
    while world.step().is_ok() {}
    panic!("after {} steps, in world {:#x}: {:?}", found.steps, found.world, found.twice)
}

#[test]
fn no_address_is_ever_given_twice_and_every_one_comes_back() {
    let steps = number_from("XDHCPD_STEPS").unwrap_or(STEPS);
    let after = |number: u64, mut world: World| {
        if !number.is_multiple_of(HEALED) {
            return;
        }
        world.heal();
        // A claim that was being made when its agent was lost; a binding that nobody knows; the term
        // of who is gone; what it had promised; and some writes.
        let longest = 80;
        let stated = longest + TERM + BOUNDS.over(super::At(0), longest).0 + 2 * BOUNDS.clocks;
        for _ in 0..stated + 40 {
            world.settle(3);
            world.now += 1;
        }
        assert_eq!(world.lost(), Vec::<String>::new(), "world {number}");
    };
    let counts = run(seed(), steps, None, after).unwrap_or_else(|found| tell(&found));
    println!("{counts:?}");
    // Or the world was a quiet one, and shows nothing.
    let least = Counts {
        answers: 200_000,
        kernel: 200_000,
        late: 10_000,
        moved: 10_000,
        given_up: 10_000,
        marks: 20_000,
        cleared: 10_000,
        freed: 15_000,
        waited: 5_000,
        taken_over: 1_000,
        incarnations: 50_000,
        crashes: 10_000,
        off: 5_000,
    };
    assert!(counts.reach(least, steps, STEPS), "too quiet a world: {counts:?}, not {least:?}");
}

/// The rules that are not here are in [`staged`] and [`restarted`].
#[test]
fn every_rule_is_needed() {
    use Rule as R;
    let rules = [
        R::DecideBeforeTheEnd,
        R::ReadBeforeDeciding,
        R::ClaimAnew,
        R::KnownIncarnation,
        R::WaitForPromises,
        R::MarksSilence,
        R::EveryoneConfirms,
        R::ReadAfterTheMark,
        R::ReadAfterTheEnd,
        R::ConfirmWhenOver,
        R::KernelConfirms,
        R::TakeBackFirst,
        R::LateAnswers,
        R::GivenUpLater,
        R::NothingInFlight,
        R::NoOlderCopies,
        R::KernelHasTheHorizon,
        R::CheckedClock,
    ];
    let around = [Without::SavedCopies, Without::SavedPromises, Without::CompareAndSwap, Without::NewNames];
    let (seed, steps) = (seed(), number_from("XDHCPD_STEPS").unwrap_or(STEPS));
    let mut missed = Vec::new();
    for without in rules.map(Without::Rule).into_iter().chain(around) {
        match run(seed, steps, Some(without), |_, _| {}) {
            Ok(_) => missed.push(without),
            Err(found) => println!("{without:?}: after {} steps", found.steps),
        }
    }
    assert_eq!(missed, [], "nothing went wrong without these");
}
