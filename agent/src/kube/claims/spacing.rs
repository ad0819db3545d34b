//! When a request may be sent: not right after the one before of its kind, and later each time it fails.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::claims::{BlockId, Request};

/// Between two writes of one block. What happens meanwhile goes with the second: 256 clients that come
/// at once are a handful of writes.
const BETWEEN: Duration = Duration::from_millis(200);

/// After the first failure; doubled with each further one.
const FIRST: Duration = Duration::from_millis(250);

/// The longest wait: an API server that is back is asked within this.
const LAST: Duration = Duration::from_secs(5);

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// All terms.
    Terms,
    /// All blocks.
    Blocks,
    /// Our term.
    Term,
    /// One block.
    Block(BlockId),
}

impl Key {
    /// Of a request.
    pub fn of(request: &Request) -> Self {
        match request {
            Request::ReadTerms => Self::Terms,
            Request::ReadBlocks => Self::Blocks,
            Request::WriteTerm(_) => Self::Term,
            Request::WriteBlock(id, _) => Self::Block(*id),
        }
    }
}

/// What was sent when, and what came of it. As many entries as there are blocks, and three.
#[derive(Debug, Default)]
pub struct Spacing {
    of: BTreeMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    next: Instant,
    failures: u32,
}

impl Spacing {
    /// When it may be sent.
    pub fn due(&self, key: Key, now: Instant) -> Instant {
        self.of.get(&key).map_or(now, |entry| entry.next)
    }

    /// It was answered, or came to nothing.
    pub fn answered(&mut self, key: Key, now: Instant, is_well: bool) {
        let entry = self.of.entry(key).or_insert(Entry { next: now, failures: 0 });
        let wait = if is_well {
            entry.failures = 0;
            if matches!(key, Key::Block(_)) { BETWEEN } else { Duration::ZERO }
        } else {
            let wait = FIRST.saturating_mul(1 << entry.failures.min(16)).min(LAST);
            entry.failures = entry.failures.saturating_add(1);
            wait
        };
        entry.next = now.checked_add(wait).unwrap_or(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_waits_longer_each_time_and_not_after_it_went_well() {
        let mut spacing = Spacing::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..7 {
            spacing.answered(Key::Terms, now, false);
            let due = spacing.due(Key::Terms, now);
            waits.push(due.duration_since(now).as_millis());
            now = due;
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        spacing.answered(Key::Terms, now, true);
        assert_eq!(spacing.due(Key::Terms, now), now);
        assert_eq!(spacing.due(Key::Blocks, now), now, "another");
    }

    #[test]
    fn writes_of_one_block_are_apart() {
        let mut spacing = Spacing::default();
        let (now, key) = (Instant::now(), Key::Block(BlockId::of([10, 9, 0, 1].into())));
        spacing.answered(key, now, true);
        assert_eq!(spacing.due(key, now), now + BETWEEN);
    }
}
