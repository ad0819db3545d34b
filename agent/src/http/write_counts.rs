//! Writes to an API server, counted by whoever makes them and read at each scrape.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writes by verb and result.
#[derive(Debug, Default)]
pub struct WriteCounts {
    counts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl WriteCounts {
    /// Writes with these verbs will come: until then there are none that went well.
    pub fn expect(&self, verbs: &[&'static str]) {
        self.lock().extend(verbs.iter().map(|verb| ((*verb, "ok"), 0)));
    }

    /// One more.
    pub fn count(&self, verb: &'static str, result: &'static str) {
        let mut counts = self.lock();
        let count = counts.entry((verb, result)).or_default();
        *count = count.saturating_add(1);
    }

    /// All that were counted so far.
    pub fn all(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.lock().clone()
    }

    /// The map is whole after every step on it, whoever panicked.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_by_verb_and_result() {
        let counts = WriteCounts::default();
        counts.expect(&["create"]);
        counts.count("create", "ok");
        counts.count("create", "ok");
        counts.count("update", "conflict");
        assert_eq!(counts.all(), BTreeMap::from([(("create", "ok"), 2), (("update", "conflict"), 1)]));
    }
}
