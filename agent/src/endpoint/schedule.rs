//! Which target is looked at next, and when. Pure: the time is an argument.
//!
//! A target that is new or has changed is due at once; after that it is due one interval after its
//! last look began. So that many that came together do not stay together, the first of those
//! intervals is shortened, by a part that depends on the target's name. When there are more targets than can
//! be looked at in an interval, the one that has waited longest comes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Target;

/// Targets by the names that they have for whoever asked for them.
pub(super) type Targets = Arc<BTreeMap<String, Target>>;

/// Parts into which the first interval's shortening is divided.
const STEPS: u32 = 256;

/// Where a target's look stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Waits until then; `fresh` when this version of it has not been looked at.
    Waiting { due: Instant, fresh: bool },
    /// Is being looked at; the result counts as long as the target is the same.
    InFlight { next: Instant, counts: bool },
}

/// Who is due when, and who is being looked at.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    parallel: usize,
    targets: Targets,
    places: HashMap<String, Place>,
    /// Those that wait, soonest first.
    due: BTreeSet<(Instant, String)>,
    in_flight: usize,
}

impl Schedule {
    /// With no targets; at most `parallel` are looked at at a time.
    pub(super) fn new(interval: Duration, parallel: usize) -> Self {
        Self {
            interval,
            parallel,
            targets: Targets::default(),
            places: HashMap::new(),
            due: BTreeSet::new(),
            in_flight: 0,
        }
    }

    /// Takes other targets over; the names of those whose look has become useless and may be cut short.
    pub(super) fn replace(&mut self, targets: Targets, now: Instant) -> Vec<String> {
        let before = std::mem::replace(&mut self.targets, targets);
        let mut useless = Vec::new();
        for name in before.keys().filter(|name| !self.targets.contains_key(*name)) {
            match self.places.get_mut(name) {
                // Its place stays until the look has ended: should it come back, it waits for that.
                Some(Place::InFlight { counts, .. }) => {
                    *counts = false;
                    useless.push(name.clone());
                }
                Some(Place::Waiting { due, .. }) => {
                    self.due.remove(&(*due, name.clone()));
                    self.places.remove(name);
                }
                None => {}
            }
        }
        let after = Arc::clone(&self.targets);
        let differs = |(name, target): &(&String, &Target)| before.get(*name) != Some(*target);
        for (name, _) in after.iter().filter(differs) {
            match self.places.get_mut(name) {
                Some(Place::InFlight { counts, .. }) => {
                    *counts = false;
                    useless.push(name.clone());
                }
                _ => self.wait(name, now, true),
            }
        }
        useless
    }

    /// The next target to look at, if one is due and there is room for it: its look has begun.
    pub(super) fn start(&mut self, now: Instant) -> Option<(String, Target)> {
        if self.in_flight >= self.parallel || self.due.first()?.0 > now {
            return None;
        }
        let (_, name) = self.due.pop_first()?;
        let target = self.targets.get(&name)?.clone();
        let fresh = matches!(self.places.get(&name), Some(Place::Waiting { fresh: true, .. }));
        let wait = if fresh { self.first_interval(&name) } else { self.interval };
        let place = Place::InFlight { next: now.checked_add(wait)?, counts: true };
        self.places.insert(name.clone(), place);
        self.in_flight = self.in_flight.saturating_add(1);
        Some((name, target))
    }

    /// A look has ended; whether what it saw still counts.
    pub(super) fn finish(&mut self, name: &str, now: Instant) -> bool {
        let Some(Place::InFlight { next, counts }) = self.places.remove(name) else {
            return false;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        if counts {
            self.wait(name, next, false);
        } else if self.targets.contains_key(name) {
            self.wait(name, now, true);
        }
        counts
    }

    /// When [`Schedule::start`] will have a target; none: not before a look ends or targets change.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.in_flight >= self.parallel { None } else { self.due.first().map(|(due, _)| *due) }
    }

    fn wait(&mut self, name: &str, due: Instant, fresh: bool) {
        if let Some(Place::Waiting { due, .. }) =
            self.places.insert(name.to_owned(), Place::Waiting { due, fresh })
        {
            self.due.remove(&(due, name.to_owned()));
        }
        self.due.insert((due, name.to_owned()));
    }

    /// Between a half and a whole interval.
    fn first_interval(&self, name: &str) -> Duration {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let [step, ..] = hasher.finish().to_le_bytes();
        // Half of it, and of the other half some steps.
        let half = self.interval.checked_div(2).unwrap_or_default();
        half.saturating_add(half.checked_div(STEPS).unwrap_or_default().saturating_mul(step.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const INTERVAL: Duration = Duration::from_mins(1);

    fn targets(names: impl IntoIterator<Item = (String, u16)>) -> Targets {
        let target = |port| Target { ip: Ipv4Addr::LOCALHOST, port, https: false, credentials: None };
        Arc::new(names.into_iter().map(|(name, port)| (name, target(port))).collect())
    }

    fn one(port: u16) -> Targets {
        targets([("a".to_owned(), port)])
    }

    fn many(count: u16) -> Targets {
        targets((0..count).map(|number| (format!("bmc-{number}"), 443)))
    }

    fn starting_with(targets: Targets, parallel: usize) -> (Schedule, Instant) {
        let (mut schedule, now) = (Schedule::new(INTERVAL, parallel), Instant::now());
        assert!(schedule.replace(targets, now).is_empty());
        (schedule, now)
    }

    fn names(schedule: &mut Schedule, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| schedule.start(now)).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_new_target_is_due_at_once_and_then_once_an_interval() {
        let (mut schedule, mut now) = starting_with(one(1), 4);
        assert_eq!(names(&mut schedule, now), ["a"]);
        assert!(schedule.finish("a", now));
        let second = schedule.next().unwrap();
        assert!((INTERVAL / 2..=INTERVAL).contains(&(second - now)));
        now = second;
        for _ in 0..3 {
            assert_eq!(names(&mut schedule, now.checked_sub(Duration::from_millis(1)).unwrap()), [""; 0]);
            assert_eq!(names(&mut schedule, now), ["a"]);
            assert!(schedule.finish("a", now + Duration::from_secs(5)));
            assert_eq!(schedule.next(), Some(now + INTERVAL));
            now += INTERVAL;
        }
    }

    #[test]
    fn no_more_are_looked_at_than_there_is_room_for() {
        let (mut schedule, now) = starting_with(many(10), 3);
        let first = names(&mut schedule, now);
        assert_eq!(first.len(), 3);
        assert_eq!(schedule.next(), None);
        schedule.finish(&first[0], now);
        assert_eq!(schedule.next(), Some(now));
        assert_eq!(names(&mut schedule, now).len(), 1);
    }

    #[test]
    fn a_target_is_never_looked_at_twice_at_a_time() {
        let (mut schedule, now) = starting_with(one(1), 4);
        assert_eq!(names(&mut schedule, now).len(), 1);
        assert_eq!(names(&mut schedule, now + 3 * INTERVAL), [""; 0]);
        assert_eq!(schedule.replace(one(2), now), ["a"]);
        assert_eq!(names(&mut schedule, now + 3 * INTERVAL), [""; 0]);
        assert_eq!(schedule.replace(targets([]), now), ["a"]);
        assert!(schedule.replace(one(3), now).contains(&"a".to_owned()));
        assert_eq!(names(&mut schedule, now + 3 * INTERVAL), [""; 0]);
        assert!(!schedule.finish("a", now));
        assert_eq!(schedule.start(now).unwrap().1.port, 3);
    }

    #[test]
    fn what_was_seen_of_a_target_that_is_gone_or_has_changed_does_not_count() {
        let (mut schedule, now) = starting_with(one(1), 4);
        assert!(schedule.start(now).is_some());
        schedule.replace(one(2), now);
        assert!(!schedule.finish("a", now));
        assert_eq!(schedule.start(now).unwrap().1.port, 2);
        schedule.replace(targets([]), now);
        assert!(!schedule.finish("a", now));
        assert_eq!(schedule.next(), None);
        assert!(schedule.places.is_empty());
    }

    #[test]
    fn a_changed_target_is_due_at_once_and_others_keep_their_time() {
        let both = |port| targets([("a".to_owned(), port), ("b".to_owned(), 1)]);
        let (mut schedule, now) = starting_with(both(1), 4);
        for name in names(&mut schedule, now) {
            schedule.finish(&name, now);
        }
        schedule.replace(both(2), now);
        assert_eq!(names(&mut schedule, now), ["a"]);
        assert_eq!(schedule.due.len(), 1);
    }

    #[test]
    fn a_target_that_waits_is_forgotten_when_it_is_removed() {
        let (mut schedule, now) = starting_with(many(5), 2);
        schedule.replace(many(1), now);
        assert_eq!(names(&mut schedule, now), ["bmc-0"]);
        assert_eq!((schedule.places.len(), schedule.due.len()), (1, 0));
    }

    #[test]
    fn the_one_that_has_waited_longest_comes_first() {
        let (mut schedule, now) = starting_with(many(3), 1);
        let mut order = Vec::new();
        for turn in 0..9 {
            // Always late: each look takes as long as an interval.
            let now = now + turn * INTERVAL;
            let name = names(&mut schedule, now).remove(0);
            schedule.finish(&name, now);
            order.push(name);
        }
        let rounds: Vec<BTreeSet<&String>> = order.chunks(3).map(|round| round.iter().collect()).collect();
        assert!(rounds.iter().all(|round| round.len() == 3), "{order:?}");
    }

    #[test]
    fn ten_thousand_that_come_together_do_not_stay_together() {
        let (mut schedule, now) = starting_with(many(10_000), usize::MAX);
        for name in names(&mut schedule, now) {
            schedule.finish(&name, now);
        }
        let mut a_second = [0; 61];
        for (due, _) in &schedule.due {
            a_second[usize::try_from((*due - now).as_secs()).unwrap()] += 1;
        }
        assert_eq!(a_second[..30], [0; 30]);
        assert!(a_second.iter().all(|&count| count < 500), "{a_second:?}");
    }
}
