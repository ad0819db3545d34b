//! The numbers that a whole run ends with.

use std::fmt;

use super::libtest::Run;
use super::skips::Skip;

/// How many tests did what; printed as the last line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Totals {
    /// What one run comes to, with the skips that its tests told of: what skipped itself did not
    /// pass.
    pub fn of(run: &Run, skips: &[Skip]) -> Self {
        // A test that said it would skip and then failed has failed.
        let skipped = skips.iter().filter(|skip| !run.has_failed(&skip.name)).count();
        Self {
            passed: run.counts.passed.saturating_sub(skipped),
            failed: run.counts.failed,
            skipped: skipped.saturating_add(run.ignored.len()),
        }
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skip(other.skipped);
    }

    /// Counts something that broke as a whole: a stage that could not be built, a binary that died.
    pub fn fail(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Counts tests that were not run.
    pub fn skip(&mut self, tests: usize) {
        self.skipped = self.skipped.saturating_add(tests);
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.failed == 0
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::super::libtest::Counts;
    use super::*;

    fn run(passed: usize, failed: &[&str]) -> Run {
        let mut run = Run::default();
        run.counts = Counts { passed, failed: failed.len() };
        run.failed = failed.iter().map(ToString::to_string).collect();
        run
    }

    fn skip(name: &str) -> Skip {
        Skip { name: name.into(), reason: "no reason".into() }
    }

    #[test]
    fn a_test_that_skipped_itself_did_not_pass() {
        let totals = Totals::of(&run(5, &[]), &[skip("a"), skip("b")]);
        assert_eq!(totals.to_string(), "3 passed, 0 failed, 2 skipped");
        assert!(totals.is_good());
    }

    #[test]
    fn a_test_that_failed_after_all_is_not_skipped_too() {
        let totals = Totals::of(&run(5, &["a"]), &[skip("a")]);
        assert_eq!(totals.to_string(), "5 passed, 1 failed, 0 skipped");
        assert!(!totals.is_good());
    }

    #[test]
    fn what_breaks_as_a_whole_counts_as_one_failure() {
        let mut totals = Totals::default();
        totals.add(Totals::of(&run(2, &[]), &[]));
        totals.fail();
        totals.skip(7);
        assert_eq!(totals.to_string(), "2 passed, 1 failed, 7 skipped");
    }
}
