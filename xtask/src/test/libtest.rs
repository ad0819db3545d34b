//! What libtest prints, read as it comes.

use super::skips::Skip;
use crate::progress::Watcher;

/// Reads the output of one run: of one test binary, or of cargo running doc tests.
#[derive(Debug, Default)]
pub struct Run {
    /// Tests that have ended, as far as single lines tell: for the screen alone.
    pub ended: usize,
    /// The sum of all result lines.
    pub counts: Counts,
    /// Result lines so far; a run without one did not get to its end.
    pub results: usize,
    /// Tests marked `#[ignore]`, each with its reason.
    pub ignored: Vec<(String, String)>,
    /// Tests that failed.
    pub failed: Vec<String>,
    /// What failed tests had to say.
    pub failures: Vec<String>,
    /// All output.
    pub output: Vec<String>,
    in_failures: bool,
}

/// The numbers of a result line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed, among them those that skipped themselves.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
}

impl Watcher for Run {
    fn line(&mut self, line: &str) {
        self.output.push(line.to_owned());
        if let Some(counts) = result(line) {
            self.counts.passed = self.counts.passed.saturating_add(counts.passed);
            self.counts.failed = self.counts.failed.saturating_add(counts.failed);
            self.results = self.results.saturating_add(1);
            self.in_failures = false;
        } else if line == "failures:" {
            self.in_failures = true;
        } else if let Some((name, outcome)) = ended(line).filter(|_| !self.in_failures) {
            self.ended = self.ended.saturating_add(1);
            match outcome.split_once("ignored") {
                Some(("", reason)) => {
                    let reason = reason.strip_prefix(", ").unwrap_or("marked #[ignore]");
                    self.ignored.push((name.to_owned(), reason.to_owned()));
                }
                _ if outcome.starts_with("FAILED") => self.failed.push(name.to_owned()),
                _ => {}
            }
        }
        if self.in_failures {
            self.failures.push(line.to_owned());
        }
    }

    fn status(&self) -> String {
        format!("{} tests done", self.ended)
    }
}

impl Run {
    /// Tests marked `#[ignore]`, as those that skipped themselves.
    pub fn ignored(&self) -> impl Iterator<Item = Skip> {
        self.ignored.iter().map(|(name, reason)| Skip { name: name.clone(), reason: reason.clone() })
    }

    /// Whether the test failed that calls itself `name`, with or without its module.
    pub fn has_failed(&self, name: &str) -> bool {
        self.failed.iter().any(|failed| is_called(failed, name))
    }
}

/// Whether a test's whole name is this, or this behind its module.
pub fn is_called(test: &str, name: &str) -> bool {
    test.strip_suffix(name).is_some_and(|module| module.is_empty() || module.ends_with("::"))
}

/// The numbers in `test result: ok. 5 passed; 0 failed; …`, which may follow what a child of a
/// test left on the line.
fn result(line: &str) -> Option<Counts> {
    let (_, rest) = line.split_once("test result: ")?;
    let (_, numbers) = rest.split_once(". ")?;
    let number = |what: &str| {
        numbers.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim_end().parse().ok())
    };
    Some(Counts { passed: number("passed")?, failed: number("failed")? })
}

/// The name and the outcome in `test engine::offers_come_first ... ok`.
fn ended(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    // With one thread a test's line is begun before the test.
    (!outcome.is_empty()).then_some((name.trim_end_matches(" - should panic"), outcome))
}

/// The tests that a binary lists under `--list`.
pub fn listed(output: &[String]) -> Vec<String> {
    output.iter().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Run {
        let mut run = Run::default();
        output.lines().for_each(|line| run.line(line));
        run
    }

    #[test]
    fn a_good_run_is_its_counts() {
        let run = read(
            "\nrunning 3 tests\ntest a::one ... ok\ntest a::two - should panic ... ok\n\
             test a::three ... ignored, needs a card\n\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(run.counts, Counts { passed: 2, failed: 0 });
        assert_eq!((run.ended, run.results), (3, 1));
        assert_eq!(run.ignored, [("a::three".to_owned(), "needs a card".to_owned())]);
        assert!(run.failed.is_empty() && run.failures.is_empty());
    }

    #[test]
    fn an_ignored_test_without_a_reason_still_has_one() {
        let run = read("test slow ... ignored");
        assert_eq!(run.ignored, [("slow".to_owned(), "marked #[ignore]".to_owned())]);
    }

    #[test]
    fn a_failure_is_kept_in_full() {
        let run = read(
            "test good ... ok\ntest bad ... FAILED\n\nfailures:\n\n---- bad stdout ----\n\
             test inner ... FAILED\nleft: 1\n\n\nfailures:\n    bad\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\nafter\n",
        );
        assert_eq!(run.counts, Counts { passed: 1, failed: 1 });
        assert_eq!(run.failed, ["bad"]);
        assert!(run.has_failed("bad") && !run.has_failed("ad"));
        assert!(run.failures.iter().any(|line| line == "---- bad stdout ----"));
        assert!(run.failures.iter().any(|line| line == "left: 1"));
        assert!(!run.failures.iter().any(|line| line == "after" || line.starts_with("test result")));
    }

    #[test]
    fn a_run_that_dies_has_no_result() {
        let run = read("running 2 tests\ntest one ... ok\ntest two ... ");
        assert_eq!((run.ended, run.results), (1, 0));
    }

    #[test]
    fn several_results_add_up() {
        let line =
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.2s\n";
        let run = read(&line.repeat(3));
        assert_eq!((run.counts.passed, run.results), (12, 3));
    }

    #[test]
    fn a_result_is_found_behind_what_a_child_wrote() {
        let line = "udhcpc: started\rtest result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(result(line), Some(Counts { passed: 10, failed: 2 }));
        assert_eq!(result("test result: what?"), None);
        assert_eq!(result("test a ... ok"), None);
        assert_eq!(result("note: a child said ok. 5 passed; 1 failed"), None);
    }

    #[test]
    fn a_list_names_tests_and_nothing_else() {
        let lines = ["a::one: test", "b::two: test", "c: benchmark", "", "2 tests, 1 benchmark"];
        assert_eq!(listed(&lines.map(String::from)), ["a::one", "b::two"]);
    }
}
