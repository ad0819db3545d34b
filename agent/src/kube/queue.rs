//! Names that are to be looked at, each at most once at a time, and later again after a failure.
//!
//! Bounded by what there is to name: an object that changes often is one name. No clock of its own.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use tokio::time::Instant;

/// After the first failure; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// The longest wait.
const LAST_BACKOFF: Duration = Duration::from_secs(30);

/// Names, and when each is due.
#[derive(Debug, Default)]
pub struct Queue {
    /// Due now.
    ready: BTreeSet<String>,
    /// Due later, by when.
    later: BTreeSet<(Instant, String)>,
    /// How often each failed in a row.
    failures: BTreeMap<String, u32>,
    /// Being worked on: not given out a second time.
    busy: HashSet<String>,
    /// Named again while being worked on.
    again: HashSet<String>,
}

impl Queue {
    /// Something about this name changed: it is to be looked at, unless a failure has put it off.
    pub fn add(&mut self, name: String) {
        if self.busy.contains(&name) {
            self.again.insert(name);
        } else if !self.failures.contains_key(&name) {
            self.ready.insert(name);
        }
    }

    /// The next name that is due; it is busy until it is [`Self::done`], [`Self::failed`] or
    /// [`Self::put_back`].
    pub fn take(&mut self, now: Instant) -> Option<String> {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            self.ready.extend(self.later.pop_first().map(|(_, name)| name));
        }
        let name = self.ready.pop_first()?;
        self.busy.insert(name.clone());
        Some(name)
    }

    /// It went well.
    pub fn done(&mut self, name: &str) {
        self.failures.remove(name);
        self.busy.remove(name);
        if self.again.remove(name) {
            self.ready.insert(name.to_owned());
        }
    }

    /// Nothing is known of it: it is due as before.
    pub fn put_back(&mut self, name: &str) {
        self.busy.remove(name);
        self.again.remove(name);
        self.ready.insert(name.to_owned());
    }

    /// It did not: again after a while, longer each time.
    pub fn failed(&mut self, name: &str, now: Instant) {
        self.busy.remove(name);
        self.again.remove(name);
        let failures = self.failures.entry(name.to_owned()).or_default();
        let backoff = FIRST_BACKOFF.saturating_mul(1 << (*failures).min(16)).min(LAST_BACKOFF);
        *failures = failures.saturating_add(1);
        self.later.insert((now.checked_add(backoff).unwrap_or(now), name.to_owned()));
    }

    /// When a name is due that is not yet.
    pub fn next(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Whether a name is due now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether there is nothing to do, now or later.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.later.is_empty() && self.busy.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_out_once_however_often_it_was_added() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.add("a".into());
        queue.add("a".into());
        assert_eq!(queue.take(now).as_deref(), Some("a"));
        assert_eq!(queue.take(now), None);
        queue.done("a");
        assert!(queue.is_idle());
    }

    #[test]
    fn what_changes_while_it_is_worked_on_is_looked_at_again() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.add("a".into());
        queue.take(now);
        queue.add("a".into());
        assert_eq!(queue.take(now), None, "it is busy");
        queue.done("a");
        assert_eq!(queue.take(now).as_deref(), Some("a"));
    }

    #[test]
    fn what_is_put_back_is_due_at_once() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.add("a".into());
        queue.take(now);
        queue.add("a".into());
        queue.put_back("a");
        assert_eq!(queue.take(now).as_deref(), Some("a"));
        queue.done("a");
        assert!(queue.is_idle());
    }

    #[test]
    fn failures_wait_longer_each_time_and_no_change_hurries_them() {
        let mut queue = Queue::default();
        let start = Instant::now();
        queue.add("a".into());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert!(queue.take(now).is_some());
            queue.failed("a", now);
            queue.add("a".into());
            assert_eq!(queue.take(now), None);
            let next = queue.next().unwrap();
            waits.push(next.duration_since(now));
            now = next;
        }
        assert_eq!(waits[..3], [500, 1000, 2000].map(Duration::from_millis));
        assert_eq!(waits[8], LAST_BACKOFF);
        assert!(queue.take(now).is_some());
        queue.done("a");
        assert!(queue.is_idle());
    }
}
