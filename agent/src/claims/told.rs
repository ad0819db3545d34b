//! What an agent is told: what it promised, what the kernel did, what clients and other agents say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::held::Held;
use super::others::Terms;
use super::published::{AgentId, Block, BlockId, Slot, Term};
use super::rules::Rule;
use super::state::{Claims, Ended, Granted, Since};
use super::times::{At, Span};
use crate::lease::ClientKey;

impl Claims {
    /// An address is about to be promised to a client, as [`Self::allowance`] says it may. The answer
    /// is sent once [`Self::held`] is on disk.
    pub fn decided(&mut self, now: At, ip: Ipv4Addr, client: &ClientKey) {
        let horizon = self.copies.granted.as_ref().map_or(At::NEVER, |granted| granted.until);
        let before = self.held.get(&ip).filter(|before| before.client == *client);
        let is_new = before.is_none();
        let held = Held::decided(client.clone(), before, now, horizon, self.rules);
        self.held.insert(ip, held);
        self.silent.remove(&ip);
        // A promise that is made again is over later, which can wait until the first would have been.
        if self.ended.remove(&ip).is_some() || is_new {
            self.agenda.stir(BlockId::of(ip));
        }
    }

    /// That answer was sent, or the kernel sent one of its own; `now` was read afterwards.
    pub fn sent(&mut self, now: At, ip: Ipv4Addr, client: &ClientKey, lease: Span) {
        if self.held.get(&ip).is_none_or(|held| held.client != *client) {
            self.decided(now, ip, client);
        }
        let bounds = self.bounds;
        self.is_sooner(ip, |held| held.sent(now, lease, &bounds));
    }

    /// More is known of a promise: it may be over sooner.
    fn is_sooner(&mut self, ip: Ipv4Addr, tell: impl FnOnce(&mut Held)) {
        let before = self.over_at(ip);
        if let Some(held) = self.held.get_mut(&ip) {
            tell(held);
        }
        if self.over_at(ip) < before {
            self.agenda.stir(BlockId::of(ip));
        }
    }

    /// The kernel renewed an address alone, at `at`.
    pub fn renewed(&mut self, at: At, ip: Ipv4Addr, client: &ClientKey, lease: Span) {
        let horizon = self.copies.granted.as_ref().map_or(At::NEVER, |granted| granted.until);
        if let Some(held) = self.held.get_mut(&ip).filter(|held| held.client == *client) {
            held.renewed(at, lease, horizon, &self.bounds);
            self.silent.remove(&ip);
            if self.ended.remove(&ip).is_some() {
                self.agenda.stir(BlockId::of(ip));
            }
        } else {
            self.decided(at, ip, client);
            self.sent(at, ip, client, lease);
        }
    }

    /// The kernel's maps outlived the process, and all that stands there has been told.
    pub fn kernel_told(&mut self) {
        self.held.values_mut().for_each(Held::told);
        self.agenda.stir_all();
    }

    /// The same of what the kernel did with one address.
    pub fn kernel_told_of(&mut self, ip: Ipv4Addr) {
        self.is_sooner(ip, Held::told);
    }

    /// The client of an address keeps it when its lease has ended.
    pub fn keeps(&mut self, ip: Ipv4Addr) {
        if let Some(held) = self.held.get_mut(&ip) {
            held.kept = true;
        }
    }

    /// A client has asked for an address: if it is its own and being taken back, it is not any more.
    pub fn asked(&mut self, ip: Ipv4Addr, client: &ClientKey) {
        let binding = self.slot(ip).and_then(Slot::binding);
        if binding.is_some_and(|binding| binding.client == *client && binding.mark.is_some()) {
            self.asked.insert(ip);
            self.ended.remove(&ip);
            self.agenda.stir(BlockId::of(ip));
        }
    }

    /// A client gave its address up (RELEASE, DECLINE), or an operator says that it is dead. The
    /// address is to stay out of use until `not_before`.
    ///
    /// `at`: when that came to the machine, which can be long before it was read. The kernel has let go of
    /// the address by then, and told what it did; where it was answered since, the client is back.
    pub fn given_up(&mut self, at: At, ip: Ipv4Addr, client: &ClientKey, not_before: At) {
        if let Some(held) = self.held.get(&ip).filter(|held| held.client == *client) {
            if held.is_since(at) && self.rules.keep(Rule::BackSince) {
                return;
            }
            self.held.remove(&ip);
        }
        self.ended.insert(ip, Ended { client: client.clone(), given_up: at, not_before });
        self.agenda.stir(BlockId::of(ip));
    }

    /// The kernel has let go of an address, and all that it did before was told.
    pub fn silenced(&mut self, ip: Ipv4Addr) {
        self.silent.insert(ip);
        self.agenda.stir(BlockId::of(ip));
    }

    /// A block was seen: in a watch, or in the answer to a write.
    pub fn block_seen(&mut self, now: At, id: BlockId, block: Arc<Block>) {
        let known = self.copies.blocks.entry(id).or_default();
        if block.serial <= known.copy.serial && self.rules.keep(Rule::NoOlderCopies) {
            return;
        }
        // What was made from an older serial is there now, or never will be.
        if known.in_flight.as_ref().is_some_and(|written| written.serial <= block.serial) {
            known.in_flight = None;
        }
        self.note_since(&block, now);
        self.agenda.stir(id);
        self.copies.blocks.entry(id).or_default().copy = block;
    }

    pub(super) fn note_since(&mut self, block: &Block, now: At) {
        for (ip, slot) in &block.slots {
            let Slot::Bound(binding) = slot else { continue };
            let mark = binding.mark.as_ref().map_or(0, |mark| mark.serial);
            let is_same = |since: &Since| {
                since.client == binding.client
                    && (since.mark == mark
                        || since.mark != 0 && mark != 0 && !self.rules.keep(Rule::MarksHaveNames))
            };
            if !self.since.get(ip).is_some_and(is_same) {
                let client = binding.client.clone();
                self.since.insert(*ip, Since { client, mark, at: now, turn: self.turn });
            }
        }
    }

    /// Our own term was seen: in the answer to a write, or among all.
    pub(super) fn own_term_seen(&mut self, now: At, term: Term) {
        let copies = &mut self.copies;
        if copies.term.as_ref().is_some_and(|known| term.serial <= known.serial) {
            return;
        }
        self.agenda.stir_all();
        let written = copies.term_in_flight.take_if(|written| written.serial <= term.serial);
        let Term { incarnation, until, longest, .. } = term;
        let is_ours = written.as_ref() == Some(&term);
        copies.term = Some(term);
        if !is_ours {
            return;
        }
        match &mut copies.granted {
            Some(granted) if granted.incarnation == incarnation => {
                if now < granted.until || !self.rules.keep(Rule::LateExtensionsDoNotCount) {
                    granted.until = until;
                    granted.longest = longest;
                } else {
                    copies.granted = None;
                }
            }
            _ => {
                copies.granted = Some(Granted {
                    incarnation,
                    until,
                    longest,
                    turn: self.turn,
                    has_read: !self.rules.keep(Rule::ReadBeforeDeciding),
                });
            }
        }
    }

    /// Every term, as asked for; none: that came to nothing.
    pub fn terms_read(&mut self, now: At, terms: Option<BTreeMap<AgentId, Term>>) {
        let Some((asked, turn)) = self.asking.terms.take() else { return };
        let Some(of) = terms else { return };
        self.own_term_seen(now, of.get(&self.me).cloned().unwrap_or_default());
        self.terms = Some(Terms { asked, turn, of });
    }

    /// Every block, as asked for; none: that came to nothing.
    pub fn blocks_read(&mut self, now: At, blocks: Option<Vec<(BlockId, Arc<Block>)>>) {
        let Some(turn) = self.asking.blocks.take() else { return };
        let Some(blocks) = blocks else { return };
        for (id, block) in blocks {
            self.block_seen(now, id, block);
        }
        if let Some(granted) = self.copies.granted.as_mut().filter(|granted| granted.turn < turn) {
            granted.has_read = true;
            if granted.incarnation > 1 {
                self.forget_freed();
            }
            self.agenda.stir_all();
        }
    }

    /// What earlier incarnations promised is past where the address is neither its client's nor ours any more:
    /// others freed it, by R8 or R5. A lease without an end would stand against them for ever.
    fn forget_freed(&mut self) {
        let (blocks, former, me) = (&self.copies.blocks, &self.former, &self.me);
        for (ip, held) in &mut self.held {
            let slot = blocks.get(&BlockId::of(*ip)).and_then(|known| known.copy.slots.get(ip));
            let may_hold = match slot {
                None => former.contains_key(ip),
                Some(Slot::Claimed { agent, .. }) => agent == me,
                Some(Slot::Bound(binding)) => binding.client == held.client,
            };
            if !may_hold {
                held.freed();
            }
        }
    }

    /// Our term as it is after we wrote it, whether that took effect or not; none: nobody knows.
    pub fn term_written(&mut self, now: At, term: Option<Term>) {
        self.asking.term = false;
        if let Some(term) = term {
            self.own_term_seen(now, term);
        }
    }

    /// A block as it is after we wrote it, whether that took effect or not; none: nobody knows.
    pub fn block_written(&mut self, now: At, id: BlockId, block: Option<Arc<Block>>) {
        self.asking.block.remove(&id);
        self.agenda.stir(id);
        if let Some(block) = block {
            self.block_seen(now, id, block);
        }
    }
}
