//! What should become of each slot of a block.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::plan::Plan;
use super::published::{Binding, BlockId, Mark, Slot};
use super::rules::Rule;
use super::state::{Claims, Granted};
use super::times::At;

/// What should become of a slot.
pub(super) enum Next {
    /// As far as time alone goes, up to then.
    Stays(At),
    Nobodys,
    Becomes(Slot),
}

impl Claims {
    /// What should become of one slot.
    pub(super) fn change(
        &self,
        now: At,
        granted: &Granted,
        ip: Ipv4Addr,
        slot: &Slot,
        plan: &mut Plan,
    ) -> Next {
        match slot {
            Slot::Claimed { agent, incarnation } if *agent == self.me => {
                if let Some(held) = self.held.get(&ip) {
                    return Next::Becomes(self.bound(ip, &held.client));
                }
                if !self.wants.is_dynamic(ip) {
                    return Next::Nobodys;
                }
                let renewed = Slot::Claimed { agent: Arc::clone(agent), incarnation: granted.incarnation };
                if *incarnation == granted.incarnation {
                    Next::Stays(At::FOREVER)
                } else {
                    Next::Becomes(renewed)
                }
            }
            Slot::Claimed { .. } => Next::Stays(At::FOREVER),
            Slot::Bound(binding) => match &binding.mark {
                None => self.change_of_binding(now, ip, binding),
                Some(mark) => self.change_of_mark(now, ip, binding, mark, plan),
            },
        }
    }

    fn change_of_binding(&self, now: At, ip: Ipv4Addr, binding: &Binding) -> Next {
        let mark = |given_up, not_before| {
            let known = self.copies.blocks.get(&BlockId::of(ip));
            let serial = known.map_or(0, |known| known.copy.serial).saturating_add(1);
            let mark = Mark { serial, given_up, not_before, confirmed: BTreeSet::new() };
            Next::Becomes(Slot::Bound(Binding { mark: Some(mark), ..binding.clone() }))
        };
        if let Some(ended) = self.ended.get(&ip).filter(|ended| ended.client == binding.client) {
            let is_reserved = self.wants.reserved.get(&ip) == Some(&binding.client);
            if !is_reserved || ended.not_before > now {
                return mark(ended.given_up, ended.not_before);
            }
        }
        if !self.wants.entitles(ip, &binding.client) {
            return mark(At::NEVER, At::NEVER);
        }
        let longest = self.wanted_longest(ip);
        if binding.longest < longest {
            return Next::Becomes(Slot::Bound(Binding { longest, ..binding.clone() }));
        }
        // Nobody that we know of answers this client: if somebody does, it will object.
        let since = self.since.get(&ip).map_or(now, |since| since.at).max(self.wants.hears_since);
        let heard = since.after(binding.longest);
        if self.held.contains_key(&ip) || self.wants.reserved.contains_key(&ip) || self.wants.keeps(ip) {
            Next::Stays(At::FOREVER)
        } else if heard < now {
            mark(At::NEVER, At::NEVER)
        } else {
            Next::Stays(heard.after(1))
        }
    }

    /// Whether a promise of ours stands against a mark.
    fn stands_against(&self, now: At, ip: Ipv4Addr, binding: &Binding, mark: &Mark) -> bool {
        self.held.get(&ip).is_some_and(|held| {
            held.client == binding.client
                && held.over(binding.longest, &self.bounds, self.rules) >= now
                && !held.is_void(mark.given_up, &self.bounds, self.rules)
        })
    }

    /// Whether a mark is to be taken off: its client is alive here, and the configuration does not say
    /// otherwise.
    pub(super) fn objects(&self, now: At, ip: Ipv4Addr, binding: &Binding, mark: &Mark) -> bool {
        let has_asked = || self.asked.contains(&ip) && mark.not_before <= now;
        let is_alive = self.stands_against(now, ip, binding, mark) && !mark.confirmed.contains(&self.me);
        (is_alive || has_asked()) && self.wants.entitles(ip, &binding.client)
    }

    fn change_of_mark(&self, now: At, ip: Ipv4Addr, binding: &Binding, mark: &Mark, plan: &mut Plan) -> Next {
        let with = |mark| Next::Becomes(Slot::Bound(Binding { mark, ..binding.clone() }));
        if self.objects(now, ip, binding, mark) && self.rules.keep(Rule::ConfirmWhenOver) {
            return with(None);
        }
        if !mark.confirmed.contains(&self.me) {
            // Until then the kernel is asked again and again.
            if !self.silent.contains(&ip) && self.rules.keep(Rule::KernelConfirms) {
                return Next::Stays(At::NEVER);
            }
            if self.stands_against(now, ip, binding, mark) && self.rules.keep(Rule::ConfirmWhenOver) {
                let later = if now < mark.not_before { mark.not_before } else { At::FOREVER };
                return Next::Stays(later);
            }
            let mut mark = mark.clone();
            mark.confirmed.insert(Arc::clone(&self.me));
            return with(Some(mark));
        }
        if now < mark.not_before {
            return Next::Stays(mark.not_before);
        }
        let seen = self.since.get(&ip).map_or(self.turn, |since| since.turn);
        let knows_all = |turn: u64| turn > seen || !self.rules.keep(Rule::ReadAfterTheMark);
        let is_free = self.terms.as_ref().is_some_and(|terms| {
            knows_all(terms.turn) && terms.free(binding, mark, now, &self.bounds, self.rules)
        });
        plan.needs_terms |= !is_free;
        if is_free { Next::Nobodys } else { Next::Stays(At::NEVER) }
    }
}
