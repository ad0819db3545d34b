//! Whether the agent's own object is being removed, or is: who ends then takes its program along, and leaves
//! nothing that answers for an object that is not there.
//!
//! It is remembered, not asked for at the end: with the object go the account and the rights to ask with. Who
//! does not know says no: a program that answers known clients for a while is the lesser harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::ResourceExt as _;
use tracing::info;

use super::objects::ClusterAgent;

/// What is known of it; cheap to clone, and the same for all clones.
#[derive(Debug, Clone, Default)]
pub struct Going {
    going: Arc<AtomicBool>,
    /// The object could be read when it was last heard of.
    known: Arc<AtomicBool>,
}

impl Going {
    /// The object is like this now.
    pub fn is(&self, object: &ClusterAgent) {
        self.known.store(true, Ordering::Relaxed);
        let goes = object.metadata.deletion_timestamp.is_some();
        if !self.going.swap(goes, Ordering::Relaxed) && goes {
            info!("ClusterAgent {} is being removed: served on until told to stop", object.name_any());
        }
    }

    /// It is there, and cannot be read.
    pub fn is_unreadable(&self) {
        self.known.store(false, Ordering::Relaxed);
    }

    /// It is gone.
    pub fn is_gone(&self) {
        self.going.store(true, Ordering::Relaxed);
    }

    /// A list of all that can be read has it, or has it not.
    pub fn listed(&self, object: Option<&ClusterAgent>) {
        match object {
            Some(object) => self.is(object),
            // One that could not be read before may still be there.
            None if self.known.load(Ordering::Relaxed) => self.is_gone(),
            None => {}
        }
    }

    /// Whether it is known to go, or to have gone.
    pub fn is_known(&self) -> bool {
        self.going.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(deleted: bool) -> ClusterAgent {
        let mut object = json!({
            "apiVersion": "bmc.spidernet.io/v1beta1",
            "kind": "ClusterAgent",
            "metadata": {"name": "bmc"},
            "spec": {"agentYaml": {}},
        });
        if deleted {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_goes_when_it_is_marked_or_gone_and_not_when_it_is_made_again() {
        let going = Going::default();
        assert!(!going.is_known(), "nothing is known at first");
        going.is(&object(false));
        assert!(!going.is_known());
        going.is(&object(true));
        assert!(going.is_known());
        going.is_gone();
        assert!(going.is_known());
        going.is(&object(false));
        assert!(!going.is_known(), "it is there again");
    }

    #[test]
    fn a_list_without_it_says_that_it_is_gone_if_it_could_be_read_before() {
        let going = Going::default();
        going.listed(None);
        assert!(!going.is_known(), "it was never seen");
        going.listed(Some(&object(false)));
        going.is_unreadable();
        going.listed(None);
        assert!(!going.is_known(), "it may be there, and say what we cannot read");
        going.listed(Some(&object(false)));
        going.listed(None);
        assert!(going.is_known());
    }
}
