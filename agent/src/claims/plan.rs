//! What an agent writes next, and what it has to read for that.
//!
//! One write of an object is on its way at a time; one whose end is unknown is sent again as it was, which
//! either takes effect or shows what did.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::change::Next;
use super::clock::Clock;
use super::held::Held;
use super::published::{AgentId, Binding, Block, BlockId, Slot, Term};
use super::rules::Rule;
use super::state::{Claims, Ended, Granted};
use super::times::{At, Span};
use super::wants::{Pool, between};

/// Something to ask of the API server. What [`Claims::copies`] has is on disk before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Read all terms: what was written before this is sent must be seen. [`Claims::terms_read`]
    ReadTerms,
    /// Read all blocks, likewise. [`Claims::blocks_read`]
    ReadBlocks,
    /// Write our term, if it has the serial before this one. [`Claims::term_written`]
    WriteTerm(Term),
    /// Write a block, if it has the serial before this one. [`Claims::block_written`]
    WriteBlock(BlockId, Arc<Block>),
}

/// What becomes of some addresses of a block; none: nobody's.
type Changes = BTreeMap<Ipv4Addr, Option<Slot>>;

impl Claims {
    /// What to ask now. Each of these is to be answered, be it with "nobody knows", before it comes again.
    pub fn ask(&mut self, now: At) -> Vec<Request> {
        self.turn = self.turn.saturating_add(1);
        let due = self.agenda.due(now);
        self.sweep(now, &due);
        let mut requests = Vec::new();
        if let Some(term) = self.next_term(now) {
            self.asking.term = true;
            self.copies.term_in_flight = Some(term.clone());
            requests.push(Request::WriteTerm(term));
        }
        let has_read = self.copies.granted.as_ref().is_none_or(|granted| granted.has_read);
        if !has_read && self.asking.blocks.is_none() {
            self.asking.blocks = Some(self.turn);
            requests.push(Request::ReadBlocks);
        }
        let mut plan = Plan::default();
        if self.clock == Clock::Within
            && let Some(granted) = self.standing(now).cloned()
        {
            self.forget_former();
            plan = self.plan(now, &granted, &due, self.agenda.counts());
            #[cfg(test)]
            self.overlooks_nothing(now, &granted, &due, &plan);
            self.agenda.looked(std::mem::take(&mut plan.looked), plan.counts_again);
        }
        for (id, changes) in plan.changes {
            requests.extend(self.write(id, changes));
        }
        requests.extend(self.send_again());
        self.is_busy = !self.asking.block.is_empty();
        if self.asking.terms.is_none() && self.must_read_terms(now, plan.needs_terms) {
            self.asking.terms = Some((now, self.turn));
            requests.push(Request::ReadTerms);
        }
        requests
    }

    /// Addresses that the kernel has to let go of: suspend, settle, tell what it did
    /// ([`Claims::renewed`]), then [`Claims::silenced`].
    pub fn to_silence(&self, now: At) -> Vec<Ipv4Addr> {
        self.to_silence_of(now, &self.agenda.due(now))
    }

    pub(super) fn to_silence_of(&self, now: At, blocks: &[BlockId]) -> Vec<Ipv4Addr> {
        let known = blocks.iter().filter_map(|id| self.copies.blocks.get(id));
        let slots = known.flat_map(|known| &known.copy.slots);
        let is_asked = |(ip, slot): &(&Ipv4Addr, &Slot)| {
            let Some((binding, mark)) = slot.binding().zip(slot.mark()) else { return false };
            let stays = self.objects(now, **ip, binding, mark);
            !mark.confirmed.contains(&self.me) && (!stays || !self.rules.keep(Rule::ConfirmWhenOver))
        };
        let marked = slots.filter(is_asked).map(|(ip, _)| *ip);
        marked.chain(self.over(now, blocks)).filter(|ip| !self.silent.contains(ip)).collect()
    }

    /// When what we promised of an address is over; none: nothing is promised.
    pub(super) fn over_at(&self, ip: Ipv4Addr) -> Option<At> {
        Some(self.over_of(ip, self.held.get(&ip)?))
    }

    fn over_of(&self, ip: Ipv4Addr, held: &Held) -> At {
        let binding = self.slot(ip).and_then(Slot::binding);
        let its = binding.filter(|binding| binding.client == held.client);
        let given_up = its.and_then(|binding| binding.mark.as_ref()).map_or(At::NEVER, |mark| mark.given_up);
        // It told another agent, which may be the last that is heard of a lease without an end.
        if held.is_void(given_up, &self.bounds, self.rules) {
            return At::NEVER;
        }
        let longest = binding.map_or_else(|| self.unpublished_longest(), |binding| binding.longest);
        held.over(longest, &self.bounds, self.rules)
    }

    /// Addresses of some blocks, whose promises are over.
    pub(super) fn over(&self, now: At, blocks: &[BlockId]) -> impl Iterator<Item = Ipv4Addr> {
        let held = blocks.iter().flat_map(|id| self.held.range(id.addresses()));
        held.filter(move |(ip, held)| self.over_of(**ip, held) < now).map(|(ip, _)| *ip)
    }

    /// Forgets promises that are over, and notes which bindings ended by that.
    fn sweep(&mut self, now: At, blocks: &[BlockId]) {
        let is_silent = |ip: &Ipv4Addr| self.silent.contains(ip) || !self.rules.keep(Rule::TakeBackFirst);
        let over: Vec<Ipv4Addr> = self.over(now, blocks).filter(is_silent).collect();
        if !over.is_empty() {
            self.agenda.count_again();
        }
        for ip in over {
            let Some(held) = self.held.remove(&ip).filter(|held| !held.kept) else { continue };
            let ended = Ended { client: held.client, given_up: At::NEVER, not_before: At::NEVER };
            self.ended.entry(ip).or_insert(ended);
        }
        let blocks = &self.copies.blocks;
        self.ended.retain(|ip, ended| {
            let Some(known) = blocks.get(&BlockId::of(*ip)) else { return false };
            let may_be_its = |block: &Block| {
                let binding = block.slots.get(ip).and_then(Slot::binding);
                binding.is_some_and(|binding| binding.client == ended.client && binding.mark.is_none())
            };
            may_be_its(&known.copy) || known.in_flight.as_deref().is_some_and(may_be_its)
        });
        let is_marked = |ip: &Ipv4Addr| {
            let slot = blocks.get(&BlockId::of(*ip)).and_then(|known| known.copy.slots.get(ip));
            slot.and_then(Slot::mark).is_some()
        };
        self.asked.retain(is_marked);
        if self.aside.extract_if(.., |_, until| *until <= now).count() > 0 {
            self.agenda.count_again();
        }
    }

    /// The longest lease that we promise, or ever did, from claims.
    fn unpublished_longest(&self) -> Span {
        let written = [&self.copies.term, &self.copies.term_in_flight].into_iter().flatten();
        let published = written.map(|term| term.longest).max().unwrap_or_default();
        let is_short = self.rules.keep(Rule::ShortBeforeItIsPublished);
        published.max(if is_short { self.wants.longest_unpublished() } else { self.wants.longest_of_all() })
    }

    /// The longest lease that a client of an address is to have.
    pub(super) fn wanted_longest(&self, ip: Ipv4Addr) -> Span {
        let is_its_own = self.rules.keep(Rule::LeasesOfItsNetwork);
        if is_its_own { self.wants.longest(ip) } else { self.wants.longest_of_all() }
    }

    /// Our term as it should be.
    fn next_term(&self, now: At) -> Option<Term> {
        if self.asking.term || self.clock != Clock::Within {
            return None;
        }
        if let Some(unknown) = &self.copies.term_in_flight {
            return Some(unknown.clone());
        }
        let known = self.copies.term.as_ref()?;
        let alive = self.copies.granted.as_ref().filter(|granted| now < granted.until);
        let is_due = |granted: &Granted| granted.until.since(now) < self.wants.term / 2;
        let incarnation = match alive {
            Some(granted) if is_due(granted) || granted.longest < self.unpublished_longest() => {
                granted.incarnation
            }
            Some(_) => return None,
            // Who has come to an end begins anew: others may have counted on it.
            None => known.incarnation.saturating_add(1),
        };
        Some(Term {
            serial: known.serial.saturating_add(1),
            incarnation,
            until: alive.map_or(At::NEVER, |granted| granted.until).max(now.after(self.wants.term)),
            longest: self.unpublished_longest(),
        })
    }

    fn must_read_terms(&self, now: At, by_plan: bool) -> bool {
        let is_old = self.terms.as_ref().is_none_or(|terms| now.since(terms.asked) >= self.wants.read_again);
        self.copies.term.is_none() || is_old && (by_plan || self.clock != Clock::Within)
    }

    /// Writes whose end nobody knows.
    fn send_again(&mut self) -> Vec<Request> {
        let asking = &mut self.asking.block;
        let unknown = self.copies.blocks.iter().filter_map(|(id, known)| {
            let block = known.in_flight.as_ref()?;
            asking.insert(*id).then(|| Request::WriteBlock(*id, Arc::clone(block)))
        });
        unknown.collect()
    }

    fn write(&mut self, id: BlockId, changes: Changes) -> Option<Request> {
        if changes.is_empty() || !self.asking.block.insert(id) {
            return None;
        }
        let known = self.copies.blocks.entry(id).or_default();
        let mut block = Block::clone(&known.copy);
        block.serial = block.serial.saturating_add(1);
        for (ip, slot) in changes {
            match slot {
                Some(slot) => drop(block.slots.insert(ip, slot)),
                None => drop(block.slots.remove(&ip)),
            }
        }
        let block = Arc::new(block);
        known.in_flight = Some(Arc::clone(&block));
        Some(Request::WriteBlock(id, block))
    }

    /// Everything that should be otherwise, in blocks that can be written.
    pub(super) fn plan(&self, now: At, granted: &Granted, due: &[BlockId], counts: bool) -> Plan {
        let mut plan = Plan::default();
        for id in due.iter().filter(|id| self.can_write(**id)) {
            let until = self.look_at(now, granted, *id, &mut plan);
            plan.looked.push((*id, until));
        }
        if counts {
            let by_blocks = std::mem::take(&mut plan.needs_terms);
            self.claim(now, granted, &mut plan);
            plan.counts_again = plan.needs_terms;
            plan.needs_terms |= by_blocks;
        }
        plan
    }

    /// What should be otherwise in one block, and up to when that is all, as far as time goes.
    fn look_at(&self, now: At, granted: &Granted, id: BlockId, plan: &mut Plan) -> At {
        let others = std::mem::take(&mut plan.needs_terms);
        let mut until = At::FOREVER;
        let known = self.copies.blocks.get(&id);
        for (ip, slot) in known.iter().flat_map(|known| &known.copy.slots) {
            match self.change(now, granted, *ip, slot, plan) {
                Next::Stays(next) => until = until.min(next),
                Next::Nobodys => plan.put(*ip, None),
                Next::Becomes(slot) => plan.put(*ip, Some(slot)),
            }
        }
        let reserved = self.wants.reserved.range(id.addresses());
        for (ip, client) in reserved.chain(self.former.range(id.addresses())) {
            let slot = known.and_then(|known| known.copy.slots.get(ip));
            if !plan.has(*ip) && self.is_nobodys(now, slot, plan) {
                plan.put(*ip, Some(self.bound(*ip, client)));
            }
        }
        for (ip, _) in self.held.range(id.addresses()) {
            until = until.min(self.over_at(*ip).map_or(At::FOREVER, |over| over.after(1)));
        }
        let is_done = !plan.needs_terms && !plan.changes.contains_key(&id);
        plan.needs_terms |= others;
        if is_done { until } else { At::NEVER }
    }

    /// Promises of the time before claims that are published, or that came too late, are done with.
    fn forget_former(&mut self) {
        let blocks = &self.copies.blocks;
        self.former.retain(|ip, _| {
            blocks.get(&BlockId::of(*ip)).is_none_or(|known| !known.copy.slots.contains_key(ip))
        });
    }

    /// Claims as many addresses as are wanted ahead, and returns those beyond twice as many.
    fn claim(&self, now: At, granted: &Granted, plan: &mut Plan) {
        for pool in &self.wants.pools {
            let mut count: usize = 0;
            for ip in self.ahead(granted, pool) {
                count = count.saturating_add(1);
                if count > pool.ahead.saturating_mul(2) && self.can_write(BlockId::of(ip)) {
                    plan.put(ip, None);
                }
            }
            let mut wanted = pool.ahead.saturating_sub(count);
            for (id, addresses) in pool.blocks().filter(|(id, _)| self.can_write(*id)) {
                if wanted == 0 {
                    break;
                }
                wanted = wanted.saturating_sub(self.claim_in(now, granted, id, addresses, wanted, plan));
            }
        }
    }

    /// Addresses of a pool that are ours to give.
    fn ahead<'a>(&'a self, granted: &'a Granted, pool: &'a Pool) -> impl Iterator<Item = Ipv4Addr> + 'a {
        let ours = move |range: &RangeInclusive<Ipv4Addr>| {
            let range = range.clone();
            let blocks = BlockId::of(*range.start())..=BlockId::of(*range.end());
            let known = self.copies.blocks.range(blocks).map(|(_, known)| known);
            let slots = known.flat_map(move |known| {
                known.copy.slots.range(range.clone()).map(move |(ip, slot)| (known, *ip, slot))
            });
            slots
                .filter(|(known, ip, slot)| self.is_free_slot(granted, known, *ip, slot))
                .map(|(_, ip, _)| ip)
        };
        pool.ranges.iter().flat_map(ours)
    }

    /// Claims at most so many addresses of a block; how many it were.
    fn claim_in(
        &self,
        now: At,
        granted: &Granted,
        id: BlockId,
        addresses: RangeInclusive<Ipv4Addr>,
        most: usize,
        plan: &mut Plan,
    ) -> usize {
        let claim = Slot::Claimed { agent: Arc::clone(&self.me), incarnation: granted.incarnation };
        let known = self.copies.blocks.get(&id);
        let slots = known.into_iter().flat_map(|known| known.copy.slots.range(addresses.clone()));
        let mut slots = slots.peekable();
        let mut got: usize = 0;
        for ip in between(&addresses) {
            let slot = slots.next_if(|(its, _)| **its == ip).map(|(_, slot)| slot);
            if got == most {
                break;
            }
            if !matches!(slot, Some(Slot::Bound(_)))
                && !self.wants.reserved.contains_key(&ip)
                && !plan.has(ip)
                && self.is_nobodys(now, slot, plan)
            {
                plan.put(ip, Some(claim.clone()));
                got = got.saturating_add(1);
            }
        }
        got
    }

    /// Whether an address can be claimed: no agent has, or the one that had is over.
    fn is_nobodys(&self, now: At, slot: Option<&Slot>, plan: &mut Plan) -> bool {
        match slot {
            None => true,
            Some(Slot::Claimed { agent, incarnation }) if *agent != self.me => {
                self.is_over(now, agent, *incarnation, plan)
            }
            Some(_) => false,
        }
    }

    fn is_over(&self, now: At, agent: &AgentId, incarnation: u64, plan: &mut Plan) -> bool {
        let is_over = self
            .terms
            .as_ref()
            .is_some_and(|terms| terms.frees_claim(agent, incarnation, now, &self.bounds, self.rules));
        plan.needs_terms |= !is_over;
        is_over
    }

    pub(super) fn can_write(&self, id: BlockId) -> bool {
        !self.asking.block.contains(&id)
            && self.copies.blocks.get(&id).is_none_or(|known| known.in_flight.is_none())
    }

    pub(super) fn bound(&self, ip: Ipv4Addr, client: &crate::lease::ClientKey) -> Slot {
        // What was promised before it was published is among what is published.
        let least = if self.rules.keep(Rule::PublishTheLongest) { self.unpublished_longest() } else { 0 };
        let longest = self.wanted_longest(ip).max(least);
        Slot::Bound(Binding { client: client.clone(), longest, mark: None })
    }
}

/// What a look at everything came to.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) changes: BTreeMap<BlockId, Changes>,
    /// A newer word of the other agents' terms may allow more.
    pub(super) needs_terms: bool,
    /// Blocks that were looked at, each up to when that holds.
    looked: Vec<(BlockId, At)>,
    /// Addresses ahead are missing that other agents' terms may free.
    counts_again: bool,
}

impl Plan {
    fn put(&mut self, ip: Ipv4Addr, slot: Option<Slot>) {
        self.changes.entry(BlockId::of(ip)).or_default().insert(ip, slot);
    }

    fn has(&self, ip: Ipv4Addr) -> bool {
        self.changes.get(&BlockId::of(ip)).is_some_and(|changes| changes.contains_key(&ip))
    }
}
