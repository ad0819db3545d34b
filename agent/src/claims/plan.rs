//! What an agent writes next, and what it has to read for that.
//!
//! One write of an object is on its way at a time; one whose end is unknown is sent again as it was, which
//! either takes effect or shows what did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::change::Next;
use super::clock::Clock;
use super::held::Held;
use super::published::{AgentId, Binding, Block, BlockId, Slot, Term};
use super::rules::Rule;
use super::state::{Claims, Ended, Granted};
use super::times::{At, Span};

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
        self.sweep(now);
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
            self.plan(now, &granted, &mut plan);
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
        let slots = self.copies.blocks.values().flat_map(|known| &known.copy.slots);
        let is_asked = |(ip, slot): &(&Ipv4Addr, &Slot)| {
            let Some((binding, mark)) = slot.binding().zip(slot.mark()) else { return false };
            let stays = self.objects(now, **ip, binding, mark);
            !mark.confirmed.contains(&self.me) && (!stays || !self.rules.keep(Rule::ConfirmWhenOver))
        };
        let marked = slots.filter(is_asked).map(|(ip, _)| *ip);
        marked.chain(self.over(now)).filter(|ip| !self.silent.contains(ip)).collect()
    }

    /// Addresses whose promises are over.
    fn over(&self, now: At) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let is_over = move |(ip, held): &(&Ipv4Addr, &Held)| {
            held.over(self.longest(**ip), &self.bounds, self.rules) < now
        };
        self.held.iter().filter(is_over).map(|(ip, _)| *ip)
    }

    /// Forgets promises that are over, and notes which bindings ended by that.
    fn sweep(&mut self, now: At) {
        let is_silent = |ip: &Ipv4Addr| self.silent.contains(ip) || !self.rules.keep(Rule::TakeBackFirst);
        let over: Vec<Ipv4Addr> = self.over(now).filter(is_silent).collect();
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
        self.aside.retain(|_, until| now < *until);
    }

    /// The longest lease that the client of an address can have.
    fn longest(&self, ip: Ipv4Addr) -> Span {
        let known = self.copies.blocks.get(&BlockId::of(ip));
        let binding = known.and_then(|known| known.copy.slots.get(&ip)).and_then(Slot::binding);
        binding.map_or_else(|| self.unpublished_longest(), |binding| binding.longest)
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
    fn plan(&self, now: At, granted: &Granted, plan: &mut Plan) {
        for (id, known) in &self.copies.blocks {
            if !self.can_write(*id) {
                continue;
            }
            for (ip, slot) in &known.copy.slots {
                match self.change(now, granted, *ip, slot, known, plan) {
                    Next::Stays => {}
                    Next::Nobodys => plan.put(*ip, None),
                    Next::Becomes(slot) => plan.put(*ip, Some(slot)),
                }
            }
        }
        for (ip, client) in self.wants.reserved.iter().chain(&self.former) {
            if self.is_nobodys(now, *ip, plan) {
                plan.put(*ip, Some(self.bound(*ip, client)));
            }
        }
        self.claim(now, granted, plan);
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
        let free: BTreeSet<Ipv4Addr> = self.free(now).collect();
        for pool in &self.wants.pools {
            let mine = || free.iter().copied().filter(|ip| pool.contains(*ip));
            let count = mine().count();
            for ip in mine().skip(pool.ahead.saturating_mul(2)).filter(|ip| self.can_write(BlockId::of(*ip)))
            {
                plan.put(ip, None);
            }
            let wanted = pool.ahead.saturating_sub(count);
            let claim = Slot::Claimed { agent: Arc::clone(&self.me), incarnation: granted.incarnation };
            let mut got: usize = 0;
            for ip in pool.addresses() {
                if got >= wanted {
                    break;
                }
                if self.wants.is_dynamic(ip) && self.is_nobodys(now, ip, plan) {
                    plan.put(ip, Some(claim.clone()));
                    got = got.saturating_add(1);
                }
            }
        }
    }

    /// Whether an address can be claimed: no agent has, or the one that had is over.
    fn is_nobodys(&self, now: At, ip: Ipv4Addr, plan: &mut Plan) -> bool {
        let id = BlockId::of(ip);
        if !self.can_write(id) || plan.has(ip) {
            return false;
        }
        match self.copies.blocks.get(&id).and_then(|known| known.copy.slots.get(&ip)) {
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

    fn can_write(&self, id: BlockId) -> bool {
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
    changes: BTreeMap<BlockId, Changes>,
    /// A newer word of the other agents' terms may allow more.
    pub(super) needs_terms: bool,
}

impl Plan {
    fn put(&mut self, ip: Ipv4Addr, slot: Option<Slot>) {
        self.changes.entry(BlockId::of(ip)).or_default().insert(ip, slot);
    }

    fn has(&self, ip: Ipv4Addr) -> bool {
        self.changes.get(&BlockId::of(ip)).is_some_and(|changes| changes.contains_key(&ip))
    }
}
