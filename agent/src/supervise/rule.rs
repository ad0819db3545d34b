//! When a child is started again: pure, the time goes in and what to do comes out.
//!
//! The first restart is at once, for most ends are accidents. A child that ends again and again is
//! started less often, and in the end not at all: what it does for us is done without it then.

use std::time::Duration;

use crate::clock::Moment;

/// The numbers of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The least time between two starts, the first restart excepted.
    pub min_interval: Duration,
    /// An abnormal end within this time of the start counts as a failure; running for as long clears
    /// the count.
    pub window: Duration,
    /// More failures in a row than this are fatal.
    pub max_failures: u32,
}

/// How a child ended without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As if its work were done.
    Normal,
    /// With an error, by a signal, or before it had begun.
    Abnormal,
}

/// What is to be done after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start it again, not before this.
    Start(Moment),
    /// Leave it: this many ends in a row were too many.
    GiveUp {
        /// How many.
        failures: u32,
    },
}

/// What is remembered of a child's starts and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    started: Moment,
    failures: u32,
    restarted: bool,
}

impl Record {
    /// It starts.
    pub fn starts(&mut self, now: Moment) {
        self.started = now;
    }

    /// It ended.
    pub fn ended(&mut self, end: End, now: Moment, rule: Rule) -> Next {
        if now.since(self.started) >= rule.window {
            self.failures = 0;
        } else if end == End::Abnormal {
            self.failures = self.failures.saturating_add(1);
        }
        if self.failures > rule.max_failures {
            return Next::GiveUp { failures: self.failures };
        }
        let is_first = !std::mem::replace(&mut self.restarted, true);
        Next::Start(if is_first { now } else { now.max(self.started.after(rule.min_interval)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { min_interval: Duration::from_mins(3), window: Duration::from_mins(15), max_failures: 3 };

    fn at(seconds: u64) -> Moment {
        Moment(1).after(Duration::from_secs(seconds))
    }

    /// Plays a child's life: each line is (seconds it runs, how it ends, seconds after that end until
    /// it is started again); none: it is given up.
    fn check(rule: Rule, life: &[(u64, End, Option<u64>)]) {
        let (mut record, mut now) = (Record::default(), 1_000_000_u64);
        for (line, (runs, end, pause)) in life.iter().enumerate() {
            record.starts(at(now));
            now = now.strict_add(*runs);
            let expected = pause.map(|pause| at(now.strict_add(pause)));
            let next = match record.ended(*end, at(now), rule) {
                Next::Start(at) => Some(at),
                Next::GiveUp { .. } => None,
            };
            assert_eq!(next, expected, "line {line} of {life:?}");
            now = now.strict_add(pause.unwrap_or_default());
        }
    }

    use End::{Abnormal, Normal};

    #[test]
    fn the_first_restart_is_at_once_and_the_others_keep_their_distance() {
        check(
            RULE,
            &[
                (1, Abnormal, Some(0)),
                (1, Abnormal, Some(179)),
                (100, Abnormal, Some(80)),
                (1, Abnormal, None),
            ],
        );
    }

    #[test]
    fn who_ran_long_enough_is_started_at_once() {
        check(RULE, &[(1, Abnormal, Some(0)), (200, Abnormal, Some(0)), (899, Abnormal, Some(0))]);
    }

    #[test]
    fn running_for_the_window_clears_the_count() {
        let bad = [(1, Abnormal, Some(0)), (1, Abnormal, Some(179)), (1, Abnormal, Some(179))];
        let good = [(900, Abnormal, Some(0))];
        check(
            RULE,
            &[bad.as_slice(), &good, &[(1, Abnormal, Some(179)); 3], &[(1, Abnormal, None)]].concat(),
        );
    }

    #[test]
    fn a_second_less_than_the_window_does_not() {
        check(RULE, &[&[(899, Abnormal, Some(0)); 3], [(899, Abnormal, None)].as_slice()].concat());
    }

    #[test]
    fn a_normal_end_keeps_the_distance_but_is_no_failure() {
        check(
            RULE,
            &[(1, Normal, Some(0)), (1, Normal, Some(179)), (1, Normal, Some(179)), (1, Normal, Some(179))],
        );
    }

    #[test]
    fn without_failures_allowed_the_first_is_fatal() {
        check(Rule { max_failures: 0, ..RULE }, &[(1, Abnormal, None)]);
        check(Rule { max_failures: 0, ..RULE }, &[(900, Abnormal, Some(0)), (1, Abnormal, None)]);
    }

    #[test]
    fn a_window_shorter_than_the_distance_clears_the_count_and_keeps_the_distance() {
        let rule = Rule { window: Duration::from_secs(10), ..RULE };
        check(rule, &[(10, Abnormal, Some(0)), (11, Abnormal, Some(169)), (12, Normal, Some(168))]);
    }

    #[test]
    fn an_end_by_itself_between_two_failures_does_not_clear_the_count() {
        check(
            RULE,
            &[
                &[(1, Abnormal, Some(0)), (1, Abnormal, Some(179)), (1, Normal, Some(179))],
                [(1, Abnormal, Some(179)), (1, Abnormal, None)].as_slice(),
            ]
            .concat(),
        );
    }
}
