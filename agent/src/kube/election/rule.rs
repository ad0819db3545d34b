//! The rule of an election, pure: what was read and written goes in with the time, what to do comes out.
//!
//! Times count from any fixed moment of the candidate's own clock, one that never steps. Nothing that
//! another wrote is compared with it: of another's record it only matters for how long it has stood still.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// The longest that a record may claim to be good for: one that says more does not keep a dead leader's
/// place for ever.
const LONGEST: Duration = Duration::from_mins(1);

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// How long a leader that says nothing is still one to the others.
    pub lease: Duration,
    /// How long it is one to itself: less, so that it has stopped before another begins, though their
    /// clocks run at rates that differ.
    pub give_up: Duration,
    /// How often the record is renewed, or read.
    pub every: Duration,
    /// The same after a failure.
    pub again: Duration,
    /// How long an answer is waited for.
    pub patience: Duration,
}

impl Term {
    /// All of them, by the first. A follower has seen the last renewal after [`Self::every`] at most, so
    /// it takes over when 7/6 of the lease and the time of two requests have passed.
    pub const fn of(lease: Duration) -> Self {
        Self {
            lease,
            give_up: part(lease, 2, 3),
            every: part(lease, 1, 6),
            again: part(lease, 1, 18),
            patience: part(lease, 1, 3),
        }
    }
}

const fn part(of: Duration, numerator: u32, denominator: u32) -> Duration {
    match of.saturating_mul(numerator).checked_div(denominator) {
        Some(part) => part,
        None => of,
    }
}

/// What the Lease says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Who leads; none: nobody.
    pub holder: Option<String>,
    /// For how long after the last change, by its own word.
    pub lease: Option<Duration>,
    /// What changes with each renewal: a time of the holder's clock, that is compared with no other clock.
    pub renewed: Option<Timestamp>,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another leads.
    Wait,
    /// We lead: say so again.
    Renew,
    /// Nobody leads: try to.
    Take,
}

/// What one candidate knows.
#[derive(Debug)]
pub struct Election {
    me: String,
    term: Term,
    /// The record as it was read last, and when it was first like this.
    seen: Option<(Record, Duration)>,
    /// When our last renewal that went through was sent.
    renewed: Option<Duration>,
    /// Whether the record may have our name.
    holds: bool,
}

impl Election {
    /// One who knows nothing yet. Nobody else may have this name at the same time.
    pub const fn new(me: String, term: Term) -> Self {
        Self { me, term, seen: None, renewed: None, holds: false }
    }

    /// The record was read (none: there is none), and the answer came at `now`.
    pub fn read(&mut self, record: Option<Record>, now: Duration) -> Step {
        // Where it was removed, the one who held it may not know yet.
        let former = || self.seen.as_ref().map(|(seen, _)| seen.clone());
        let record = record.or_else(former).unwrap_or_default();
        let holder = record.holder.clone().filter(|holder| !holder.is_empty());
        let lease = record.lease.map_or(self.term.lease, |lease| lease.min(LONGEST)).max(self.term.lease);
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        self.seen = Some((record, since));
        let Some(holder) = holder else { return Step::Take };
        if holder == self.me {
            self.holds = true;
            return Step::Renew;
        }
        (self.renewed, self.holds) = (None, false);
        if now.saturating_sub(since) >= lease { Step::Take } else { Step::Wait }
    }

    /// A write with our name is under way: it may go through though no answer comes.
    pub const fn writes(&mut self) {
        self.holds = true;
    }

    /// A write that was sent at `sent` went through.
    pub const fn wrote(&mut self, sent: Duration) {
        self.renewed = Some(sent);
    }

    /// Whether we lead.
    pub fn leads(&self, now: Duration) -> bool {
        self.lapses().is_some_and(|lapse| now < lapse)
    }

    /// When we lead no more, unless a renewal goes through; none: we do not lead.
    pub fn lapses(&self) -> Option<Duration> {
        self.renewed.map(|renewed| renewed.saturating_add(self.term.give_up))
    }

    /// Whether the record may have our name, so that it has to be taken out at the end.
    pub const fn holds(&self) -> bool {
        self.holds
    }

    /// When to look next, after all went well at `now`: a follower that sees the leader's time run out
    /// does not let more of it pass.
    pub fn next(&self, now: Duration) -> Duration {
        let next = now.saturating_add(self.term.every);
        match &self.seen {
            Some((record, since)) if self.renewed.is_none() => {
                let lease = record.lease.map_or(self.term.lease, |lease| lease.min(LONGEST));
                next.min(since.saturating_add(lease.max(self.term.lease)).max(now))
            }
            _ => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn election(me: &str) -> Election {
        Election::new(me.into(), Term::of(at(9)))
    }

    fn record(holder: &str, renewal: i64) -> Record {
        let renewed = Timestamp::from_second(renewal).ok();
        Record { holder: Some(holder.into()), lease: None, renewed }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_nobody_holds_is_taken_and_what_we_hold_is_renewed() {
        assert_eq!(election("a").read(None, at(0)), Step::Take);
        assert_eq!(election("a").read(Some(record("", 1)), at(0)), Step::Take);
        assert_eq!(election("a").read(Some(Record::default()), at(0)), Step::Take);
        assert_eq!(election("a").read(Some(record("a", 1)), at(0)), Step::Renew);
    }

    #[test]
    fn another_is_gone_when_its_record_stood_still_for_a_lease_of_our_clock() {
        let mut election = election("a");
        assert_eq!(election.read(Some(record("b", 1)), at(100)), Step::Wait);
        assert_eq!(election.read(Some(record("b", 1)), at(108)), Step::Wait);
        assert_eq!(election.read(Some(record("b", 2)), at(109)), Step::Wait);
        assert_eq!(election.read(Some(record("b", 2)), at(117)), Step::Wait);
        assert_eq!(election.read(Some(record("b", 2)), at(118)), Step::Take);
    }

    #[test]
    fn who_held_a_record_that_was_removed_has_its_time_to_make_it_again() {
        let mut election = election("a");
        election.read(Some(record("b", 1)), at(100));
        assert_eq!(election.read(None, at(101)), Step::Wait);
        assert_eq!(election.read(Some(record("b", 2)), at(102)), Step::Wait);
        assert_eq!(election.read(None, at(110)), Step::Wait);
        assert_eq!(election.read(None, at(111)), Step::Take);
    }

    #[test]
    fn a_holder_that_claims_a_longer_lease_has_it_within_reason() {
        let claims = |seconds| Some(Record { lease: Some(at(seconds)), ..record("b", 1) });
        let mut one = election("a");
        assert_eq!(one.read(claims(20), at(0)), Step::Wait);
        assert_eq!(one.next(at(0)), Duration::from_millis(1500));
        assert_eq!(one.read(claims(20), at(19)), Step::Wait);
        assert_eq!(one.next(at(19)), at(20));
        assert_eq!(one.read(claims(20), at(20)), Step::Take);
        let mut other = election("a");
        assert_eq!(other.read(claims(86_400), at(0)), Step::Wait);
        assert_eq!(other.read(claims(86_400), at(60)), Step::Take);
        let mut third = election("a");
        assert_eq!(third.read(claims(1), at(0)), Step::Wait);
        assert_eq!(third.read(claims(1), at(2)), Step::Wait, "the word of who resigned is no lease");
    }

    #[test]
    fn a_leader_that_cannot_renew_is_none_before_others_take_over() {
        let mut election = election("a");
        assert!(!election.leads(at(0)));
        election.wrote(at(10));
        assert!(election.leads(at(15)));
        assert!(!election.leads(at(16)));
        assert_eq!(election.lapses(), Some(at(16)));
        let term = Term::of(at(9));
        assert!(term.give_up < term.lease && term.patience < term.give_up && term.every < term.give_up);
    }

    #[test]
    fn who_lost_it_leads_no_more_and_has_nothing_to_give_up() {
        let mut election = election("a");
        election.writes();
        election.wrote(at(10));
        assert!(election.holds());
        election.read(Some(record("b", 1)), at(11));
        assert!(!election.leads(at(11)) && !election.holds());
    }

    #[test]
    fn a_write_without_an_answer_makes_no_leader_but_may_have_to_be_given_up() {
        let mut election = election("a");
        election.read(None, at(0));
        election.writes();
        assert!(!election.leads(at(0)));
        assert!(election.holds());
    }

    #[test]
    fn a_follower_looks_again_as_soon_as_the_leaders_time_is_up() {
        let mut election = election("a");
        election.read(Some(record("b", 1)), at(100));
        assert_eq!(election.next(at(100)), at(100) + Duration::from_millis(1500));
        election.read(Some(record("b", 1)), at(108));
        assert_eq!(election.next(at(108)), at(109));
    }
}
