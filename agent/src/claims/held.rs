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
    /// The last answer may have been sent late: it was not sent yet, or a crash has lost when.
    late: bool,
    /// Nobody knows what the kernel did: a crash has lost that.
    unknown: bool,
    /// By then the process that decided it was gone, and sent nothing any more; for ever: it is this one.
    gone: At,
    /// The client keeps the address when its lease has ended.
    pub(super) kept: bool,
}

impl Held {
    /// A promise that is about to be made: it is on disk before its answer is sent, and before the kernel may
    /// renew it up to `horizon`.
    pub(super) fn decided(client: ClientKey, before: Option<&Self>, now: At, horizon: At) -> Self {
        let before = before.filter(|before| before.client == client);
        Self {
            client,
            decided: now,
            ends: before.map_or(At::NEVER, |before| before.ends),
            horizon: before.map_or(horizon, |before| before.horizon.max(horizon)),
            late: true,
            unknown: before.is_some_and(|before| before.unknown),
            gone: At(u64::MAX),
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
            gone: At(u64::MAX),
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

    /// What is left of it after a crash; `now`: another process begins.
    pub(super) fn recovered(mut self, now: At) -> Self {
        self.late = true;
        self.unknown = true;
        self.gone = now;
        self
    }

    /// The address was freed while its agent was away: all of it is over, or was given up.
    pub(super) fn freed(&mut self) {
        (self.ends, self.late, self.unknown) = (At::NEVER, false, false);
    }

    /// All that the kernel did has been told.
    pub(super) fn told(&mut self) {
        self.unknown = false;
    }

    /// When it is over; `longest`: the longest lease that the client can have from whomever.
    pub(super) fn over(&self, longest: Span, bounds: &Bounds, rules: Rules) -> At {
        let is_late = self.late && rules.keep(Rule::LateAnswers);
        let sent_by = self.gone.after(longest).after(bounds.travel);
        let late = if is_late { bounds.over(self.decided, longest).min(sent_by) } else { At::NEVER };
        let is_unknown = self.unknown && rules.keep(Rule::HorizonAfterACrash);
        let alone = if is_unknown { self.horizon.after(bounds.travel) } else { At::NEVER };
        self.ends.max(late).max(alone)
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
