//! What this agent, its kernel included, has promised to the client of an address.

use super::rules::{Rule, Rules};
use super::times::{At, Bounds, Span};
use crate::lease::ClientKey;

/// A promise that may still hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The client.
    pub client: ClientKey,
    /// When the last of its answers was decided.
    decided: At,
    /// When all that is known to have been sent in time ends.
    ends: At,
    /// Up to when the kernel may go on alone.
    horizon: At,
    /// The last answer was not sent yet, and may be late.
    late: bool,
    /// Nobody knows what the kernel did: a crash has lost that.
    unknown: bool,
    /// By then an earlier process was gone, which may have sent anything before; never: there was none.
    gone: At,
    /// The client keeps the address when its lease has ended.
    pub(super) kept: bool,
}

impl Held {
    /// A promise that is about to be made: it is on disk before its answer is sent, and before the kernel may
    /// renew it up to `horizon`.
    pub(super) fn decided(
        client: ClientKey,
        before: Option<&Self>,
        now: At,
        horizon: At,
        rules: Rules,
    ) -> Self {
        let before = before.filter(|before| before.client == client);
        Self {
            client,
            decided: now,
            ends: before.map_or(At::NEVER, |before| before.ends),
            horizon: before.map_or(horizon, |before| before.horizon.max(horizon)),
            late: true,
            unknown: before.is_some_and(|before| before.unknown),
            gone: before.filter(|_| rules.keep(Rule::FormerAnswers)).map_or(At::NEVER, |before| before.gone),
            kept: before.is_some_and(|before| before.kept),
        }
    }

    /// A promise of which the disk says no more than that it was made, for `until` at the longest. It was
    /// decided before that, or it would not cover it.
    pub fn on_disk(client: ClientKey, until: At, now: At, kept: bool) -> Self {
        let decided = now.min(until);
        Self {
            client,
            decided,
            ends: At::NEVER,
            horizon: until,
            late: true,
            unknown: true,
            gone: At::NEVER,
            kept,
        }
    }

    /// The answer left before `now`, by a clock that was read afterwards.
    pub(super) fn sent(&mut self, now: At, lease: Span, bounds: &Bounds) {
        self.ends = self.ends.max(now.after(lease).after(bounds.travel));
        self.late = false;
    }

    /// The kernel renewed it alone, at `at`. What was decided later, and not sent yet, stays so.
    pub(super) fn renewed(&mut self, at: At, lease: Span, horizon: At, bounds: &Bounds) {
        self.decided = self.decided.max(at);
        self.ends = self.ends.max(at.after(lease).after(bounds.travel));
        self.horizon = self.horizon.max(horizon);
    }

    /// What is left of it after a crash, which has lost when answers were sent; `now`: another process begins.
    pub(super) fn recovered(mut self, now: At) -> Self {
        self.ends = At::NEVER;
        self.late = false;
        self.unknown = true;
        self.gone = now;
        self
    }

    /// The address was freed while its agent was away: all of it is over, or was given up.
    pub(super) fn freed(&mut self) {
        (self.ends, self.late, self.unknown, self.gone) = (At::NEVER, false, false, At::NEVER);
    }

    /// All that the kernel did has been told.
    pub(super) fn told(&mut self) {
        self.unknown = false;
    }

    /// When it is over; `longest`: the longest lease that the client can have from whomever.
    pub(super) fn over(&self, longest: Span, bounds: &Bounds, rules: Rules) -> At {
        let when = |is_so: bool, rule, at| if is_so && rules.keep(rule) { at } else { At::NEVER };
        let over = bounds.over(self.decided, longest);
        let late = when(self.late, Rule::LateAnswers, over);
        let sent_by = self.gone.after(longest).after(bounds.travel);
        let former = when(self.gone != At::NEVER, Rule::LateAnswers, over.min(sent_by));
        let alone = when(self.unknown, Rule::HorizonAfterACrash, self.horizon.after(bounds.travel));
        self.ends.max(late).max(former).max(alone)
    }

    /// Whether its last answer was decided at `at` or later.
    pub(super) fn is_since(&self, at: At) -> bool {
        at <= self.decided
    }

    /// Whether a client that gave its address up at `given_up`, by another agent's clock, did so after
    /// all that was decided here: it had sent that at most `travel` before.
    pub(super) fn is_void(&self, given_up: At, bounds: &Bounds, rules: Rules) -> bool {
        let decided = if self.unknown { self.decided.max(self.horizon) } else { self.decided };
        decided.after(rules.given_up(bounds)) < given_up
    }
}
