//! What else than the core has to be so before the agent is ready: whoever waits for something says
//! so here, and takes it back when it has come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is waited for, by name; cheap to clone, and the same for all clones.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    unmet: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Conditions {
    /// The agent is not ready until this is met; `why` is a sentence for people.
    pub fn wait_for(&self, name: &'static str, why: impl Into<String>) {
        self.unmet().insert(name, why.into());
    }

    /// This is as it has to be.
    pub fn met(&self, name: &str) {
        self.unmet().remove(name);
    }

    /// Why the agent is not ready, a sentence each.
    pub fn reasons(&self) -> Vec<String> {
        self.unmet().values().cloned().collect()
    }

    /// The map is whole after every step on it, whoever panicked.
    fn unmet(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.unmet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
