//! A look at some blocks comes to what a look at all of them would.

use super::super::plan::Plan;
use super::super::state::{Claims, Granted};
use super::super::{At, BlockId};

impl Claims {
    /// Compares both, whenever something is asked.
    pub(in crate::claims) fn overlooks_nothing(
        &self,
        now: At,
        granted: &Granted,
        due: &[BlockId],
        plan: &Plan,
    ) {
        let all: Vec<BlockId> = self.all_blocks().into_iter().collect();
        // What is on its way is not counted yet: once all of it is known, the addresses ahead were counted.
        let is_quiet = all.iter().all(|id| self.can_write(*id));
        let whole = self.plan(now, granted, &all, is_quiet || self.agenda.counts());
        assert_eq!((&plan.changes, plan.needs_terms), (&whole.changes, whole.needs_terms), "at {now:?}");
        assert_eq!(self.to_silence_of(now, due), self.to_silence_of(now, &all), "at {now:?}");
        assert!(self.over(now, due).eq(self.over(now, &all)), "at {now:?}");
    }
}
