//! What the core tells without being asked.

use std::sync::Arc;

use crate::http::AgentMetrics;
use crate::lease_feed::LeaseFeed;
use crate::notices::Notices;

use super::core::Core;

/// Where the core puts what it measures, and what changed.
#[derive(Debug, Clone, Default)]
pub struct Outlets {
    /// What it measures of itself.
    pub metrics: Arc<AgentMetrics>,
    /// Which leases changed; none: nobody shows them elsewhere.
    pub leases: Option<Arc<LeaseFeed>>,
    /// What an operator should see.
    pub notices: Notices,
}

impl Core {
    /// Tells whoever shows leases elsewhere which ones changed, once they are carried out.
    pub(super) fn tell_changes(&mut self) {
        // Who answers shows what there is.
        if self.share.as_ref().is_some_and(|share| !share.answers()) {
            return;
        }
        if let Some(feed) = &self.outlets.leases {
            feed.tell(self.table.take_changes());
        }
    }
}
