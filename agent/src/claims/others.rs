//! What other agents may still promise, by their terms.

use std::collections::BTreeMap;

use super::published::{AgentId, Binding, Mark, Term};
use super::rules::{Rule, Rules};
use super::times::{At, Bounds, Span};

/// Every agent's term, as a read found it that saw all that was written before it was asked for.
#[derive(Debug, Clone)]
pub struct Terms {
    /// When it was asked for, by our clock.
    pub asked: At,
    /// Our turn in which it was asked for.
    pub turn: u64,
    /// All there are.
    pub of: BTreeMap<AgentId, Term>,
}

impl Terms {
    /// Whether an agent decides nothing any more, unless it begins anew with what is published now.
    ///
    /// A read before its end proves nothing: it may have been extended since.
    fn has_lapsed(&self, term: &Term, now: At, bounds: &Bounds, rules: Rules) -> bool {
        let read = if rules.keep(Rule::ReadAfterTheEnd) { self.asked } else { now };
        read > term.until.after(rules.clocks(bounds))
    }

    /// Whether everything is over that an agent decided, with leases no longer than `longest`.
    fn is_over(&self, term: &Term, longest: Span, now: At, bounds: &Bounds, rules: Rules) -> bool {
        self.has_lapsed(term, now, bounds, rules)
            && now > rules.over(bounds, term.until, longest).after(rules.clocks(bounds))
    }

    /// Whether a claim that an incarnation made is nobody's. A read that does not know the incarnation yet
    /// says nothing of its end; that of an agent that is not listed stays.
    pub fn frees_claim(
        &self,
        agent: &AgentId,
        incarnation: u64,
        now: At,
        bounds: &Bounds,
        rules: Rules,
    ) -> bool {
        self.of.get(agent).is_some_and(|term| {
            (incarnation <= term.incarnation || !rules.keep(Rule::KnownIncarnation))
                && self.is_over(term, term.longest, now, bounds, rules)
        })
    }

    /// Whether nobody can still promise a marked binding to its client, or has promised it for longer.
    pub fn free(&self, binding: &Binding, mark: &Mark, now: At, bounds: &Bounds, rules: Rules) -> bool {
        let is_done = |(agent, term): (&AgentId, &Term)| {
            let is_void = || {
                self.has_lapsed(term, now, bounds, rules)
                    && term.until.after(rules.given_up(bounds)) < mark.given_up
            };
            mark.confirmed.contains(agent)
                || !rules.keep(Rule::EveryoneConfirms)
                || self.is_over(term, binding.longest, now, bounds, rules)
                || is_void()
        };
        self.of.iter().all(is_done)
    }
}
