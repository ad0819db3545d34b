//! One agent's state: what it has read, what it counts on, and what it may promise by that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::agenda::Agenda;
use super::clock::Clock;
use super::held::Held;
use super::others::Terms;
use super::published::{AgentId, Block, BlockId, Slot, Term};
use super::rules::{Rule, Rules};
use super::times::{At, Bounds, FOREVER, Span};
use super::wants::Wants;
use crate::lease::ClientKey;

/// The protocol as one agent runs it.
#[derive(Debug)]
pub struct Claims {
    pub(super) me: AgentId,
    pub(super) bounds: Bounds,
    pub(super) rules: Rules,
    pub(super) wants: Wants,
    pub(super) clock: Clock,
    /// Counts what is asked for: tells what was asked before something was known.
    pub(super) turn: u64,
    pub(super) copies: Copies,
    pub(super) held: BTreeMap<Ipv4Addr, Held>,
    /// Addresses that the kernel does not answer for, since nothing was promised for them again.
    pub(super) silent: BTreeSet<Ipv4Addr>,
    /// Bindings that have come to their end.
    pub(super) ended: BTreeMap<Ipv4Addr, Ended>,
    /// Marked bindings whose client has asked for the address.
    pub(super) asked: BTreeSet<Ipv4Addr>,
    /// Promises of the time before there were claims: to be published where an address is nobody's.
    pub(super) former: BTreeMap<Ipv4Addr, ClientKey>,
    /// Addresses that are out of use, each until then.
    pub(super) aside: BTreeMap<Ipv4Addr, At>,
    /// Since when each binding is as it is.
    pub(super) since: BTreeMap<Ipv4Addr, Since>,
    pub(super) terms: Option<Terms>,
    pub(super) asking: Asking,
    /// Something is to be written of blocks, or may have been.
    pub(super) is_busy: bool,
    pub(super) agenda: Agenda,
}

/// What is on disk before a request that follows from it is sent. What is read or acknowledged
/// since may be lost: it only ever allows more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Copies {
    /// Our term, as it was last seen; none: nobody has looked yet.
    pub term: Option<Term>,
    /// Our term, as it is being written, or may be.
    pub term_in_flight: Option<Term>,
    /// What we count on of it.
    pub granted: Option<Granted>,
    /// Every block there is.
    pub blocks: BTreeMap<BlockId, Known>,
}

/// A block as it was last seen, and as it may be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// As it was last seen.
    pub copy: Arc<Block>,
    /// What we wrote, and do not know the end of.
    pub in_flight: Option<Arc<Block>>,
}

/// A term that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// The agent's incarnation.
    pub incarnation: u64,
    /// Its end.
    pub until: At,
    /// The longest lease from claims.
    pub longest: Span,
    /// The turn in which it was granted; none of a former process says anything to the next.
    pub turn: u64,
    /// All blocks were read after that.
    pub has_read: bool,
}

/// A binding whose end is to be published.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) client: ClientKey,
    pub(super) given_up: At,
    pub(super) not_before: At,
}

/// When a binding became what it is.
#[derive(Debug, Clone)]
pub(super) struct Since {
    pub(super) client: ClientKey,
    /// Its mark's serial; 0: it has none.
    pub(super) mark: u64,
    pub(super) at: At,
    pub(super) turn: u64,
}

/// What was asked for and is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Asking {
    pub(super) terms: Option<(At, u64)>,
    pub(super) blocks: Option<u64>,
    pub(super) term: bool,
    pub(super) block: BTreeSet<BlockId>,
}

/// What may be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The horizon: nothing is decided from here on, by the agent or by its kernel.
    pub until: At,
    /// No lease is longer.
    pub longest: Span,
}

impl Claims {
    /// An agent that begins, with what is on its disk.
    pub fn new(
        me: AgentId,
        bounds: Bounds,
        wants: Wants,
        copies: Copies,
        held: BTreeMap<Ipv4Addr, Held>,
        now: At,
    ) -> Self {
        let mut claims = Self {
            me,
            bounds,
            rules: Rules::default(),
            wants,
            clock: Clock::default(),
            turn: 0,
            copies,
            held: held.into_iter().map(|(ip, held)| (ip, held.recovered(now))).collect(),
            silent: BTreeSet::new(),
            ended: BTreeMap::new(),
            asked: BTreeSet::new(),
            former: BTreeMap::new(),
            aside: BTreeMap::new(),
            since: BTreeMap::new(),
            terms: None,
            asking: Asking::default(),
            is_busy: false,
            agenda: Agenda::default(),
        };
        // This process has not asked for anything yet.
        if let Some(granted) = &mut claims.copies.granted {
            granted.turn = 0;
        }
        let known: Vec<Arc<Block>> =
            claims.copies.blocks.values().map(|known| Arc::clone(&known.copy)).collect();
        for block in known {
            claims.note_since(&block, now);
        }
        claims.stir_all();
        claims
    }

    /// Changes what is wanted.
    pub fn want(&mut self, wants: Wants) {
        self.wants = wants;
        self.stir_all();
    }

    /// All blocks are to be looked at.
    fn stir_all(&mut self) {
        self.all_blocks().into_iter().for_each(|id| self.agenda.stir(id));
        self.agenda.stir_all();
    }

    /// All blocks of which anything is known, or wanted.
    pub(super) fn all_blocks(&self) -> BTreeSet<BlockId> {
        let addresses = self.held.keys().chain(self.former.keys()).chain(self.wants.reserved.keys());
        self.copies.blocks.keys().copied().chain(addresses.map(|ip| BlockId::of(*ip))).collect()
    }

    /// What must be on disk before a request is sent.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// What must be on disk before an answer is sent.
    pub fn held(&self) -> &BTreeMap<Ipv4Addr, Held> {
        &self.held
    }

    /// Whether something may still hold that was promised of an address.
    pub fn is_held(&self, ip: Ipv4Addr) -> bool {
        self.held.contains_key(&ip)
    }

    /// Whether anything may be promised, and all that is wanted and can be had is published.
    pub fn is_settled(&self, now: At) -> bool {
        self.standing(now).is_some() && !self.is_busy
    }

    /// Whose an address is, as it was last seen.
    pub fn slot(&self, ip: Ipv4Addr) -> Option<&Slot> {
        self.copies.blocks.get(&BlockId::of(ip))?.copy.slots.get(&ip)
    }

    /// Whether an address is to be a client's as soon as that is published.
    pub fn is_promised(&self, ip: Ipv4Addr, client: &ClientKey) -> bool {
        match self.slot(ip) {
            None => self.former.get(&ip) == Some(client) || self.wants.reserved.get(&ip) == Some(client),
            Some(Slot::Claimed { agent, .. }) => {
                *agent == self.me && self.held.get(&ip).is_some_and(|held| held.client == *client)
            }
            Some(Slot::Bound(_)) => false,
        }
    }

    /// An address of ours that cannot be given to anybody until then: somebody uses it.
    pub fn set_aside(&mut self, ip: Ipv4Addr, until: At) {
        self.aside.insert(ip, until);
        self.agenda.count_again();
    }

    /// Up to when anything may be promised; none: nothing may be now.
    pub fn until(&self, now: At) -> Option<At> {
        self.standing(now).map(|granted| granted.until)
    }

    /// An address that was promised to a client before there were claims, for as long as it wants it.
    pub fn promised_before(&mut self, ip: Ipv4Addr, client: ClientKey) {
        self.former.insert(ip, client);
        self.agenda.stir(BlockId::of(ip));
    }

    /// Whether our clock was found to be off.
    pub fn is_clock_off(&self) -> bool {
        self.clock == Clock::Off
    }

    /// What was found out about our clock.
    pub fn judge_clock(&mut self, clock: Clock) {
        if self.rules.keep(Rule::CheckedClock) {
            self.clock = clock;
        } else {
            self.clock = Clock::Within;
        }
        self.agenda.stir_all();
    }

    /// The term that we may decide by now.
    pub(super) fn standing(&self, now: At) -> Option<&Granted> {
        self.copies.granted.as_ref().filter(|granted| {
            self.clock != Clock::Off
                && granted.has_read
                && (now < granted.until || !self.rules.keep(Rule::DecideBeforeTheEnd))
        })
    }

    /// What may be promised of an address to a client, at this moment; none: nothing.
    pub fn allowance(&self, now: At, ip: Ipv4Addr, client: &ClientKey) -> Option<Allowance> {
        let granted = self.standing(now)?;
        let known = self.copies.blocks.get(&BlockId::of(ip))?;
        let longest = match known.copy.slots.get(&ip)? {
            Slot::Bound(binding) => {
                let is_marked = binding.mark.is_some() && self.rules.keep(Rule::MarksSilence);
                (binding.client == *client && !is_marked).then_some(binding.longest)?
            }
            Slot::Claimed { agent, incarnation } => {
                let is_ours = self.is_ours(granted, agent, *incarnation);
                let is_anothers = self.held.get(&ip).is_some_and(|held| held.client != *client);
                (is_ours && !is_anothers && self.in_flight_allows(known, ip, Some(client)))
                    .then_some(granted.longest)?
            }
        };
        let until = if self.rules.keep(Rule::KernelHasTheHorizon) { granted.until } else { At(u64::MAX) };
        let longest = if self.rules.keep(Rule::NoLongerThanPublished) { longest } else { FOREVER };
        Some(Allowance { until, longest })
    }

    /// The addresses that may be given to clients that have none, at this moment.
    pub fn free(&self, now: At) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let granted = self.standing(now);
        let blocks = granted
            .into_iter()
            .flat_map(|granted| self.copies.blocks.values().map(move |known| (granted, known)));
        blocks.flat_map(move |(granted, known)| {
            let is_free =
                move |(ip, slot): &(&Ipv4Addr, &Slot)| self.is_free_slot(granted, known, **ip, slot);
            known.copy.slots.iter().filter(is_free).map(|(ip, _)| *ip)
        })
    }

    /// Whether an address may be given to a client that has none, at this moment.
    pub fn is_free(&self, now: At, ip: Ipv4Addr) -> bool {
        let Some(granted) = self.standing(now) else { return false };
        let Some(known) = self.copies.blocks.get(&BlockId::of(ip)) else { return false };
        known.copy.slots.get(&ip).is_some_and(|slot| self.is_free_slot(granted, known, ip, slot))
    }

    pub(super) fn is_free_slot(&self, granted: &Granted, known: &Known, ip: Ipv4Addr, slot: &Slot) -> bool {
        match slot {
            Slot::Claimed { agent, incarnation } => {
                self.is_ours(granted, agent, *incarnation)
                    && !self.held.contains_key(&ip)
                    && !self.aside.contains_key(&ip)
                    && self.in_flight_allows(known, ip, None)
            }
            Slot::Bound(_) => false,
        }
    }

    /// Whether a client may be told that an address is not its own: not one that another agent may have
    /// given to it without our knowing.
    pub fn may_refuse(&self, now: At, ip: Ipv4Addr, client: &ClientKey) -> bool {
        let slot = self.copies.blocks.get(&BlockId::of(ip)).and_then(|known| known.copy.slots.get(&ip));
        self.standing(now).is_some()
            && match slot {
                None => true,
                Some(Slot::Claimed { agent, .. }) => *agent == self.me,
                Some(Slot::Bound(binding)) => binding.client != *client || binding.mark.is_some(),
            }
    }

    pub(super) fn is_ours(&self, granted: &Granted, agent: &AgentId, incarnation: u64) -> bool {
        *agent == self.me && (incarnation == granted.incarnation || !self.rules.keep(Rule::ClaimAnew))
    }

    /// Whether our own claim of an address stays one for this client, whatever becomes of a write that may
    /// still be on its way.
    fn in_flight_allows(&self, known: &Known, ip: Ipv4Addr, client: Option<&ClientKey>) -> bool {
        let Some(block) = &known.in_flight else { return true };
        if !self.rules.keep(Rule::NothingInFlight) {
            return true;
        }
        match block.slots.get(&ip) {
            Some(Slot::Claimed { agent, .. }) => *agent == self.me,
            Some(Slot::Bound(binding)) => client == Some(&binding.client),
            None => false,
        }
    }
}
