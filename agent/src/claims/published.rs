//! What agents publish: a term each, and blocks that say of every address whose it is.
//!
//! Plain values with a serial number; whatever stores them lets a write through only if it was made
//! from the serial that is there (compare-and-swap), and gives the new one the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::times::{At, Span};
use crate::lease::ClientKey;

/// Who an agent is: one lease file. An agent that has lost its file is another one, for it does not know
/// what the first promised.
pub type AgentId = Arc<str>;

/// What an agent may do, and up to when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Term {
    /// How often it was written; 0: never.
    pub serial: u64,
    /// How often the agent began anew, because an earlier end had come.
    pub incarnation: u64,
    /// The agent, its kernel included, decides nothing from here on.
    pub until: At,
    /// The longest lease that it promises from its claims. Never lowered.
    pub longest: Span,
}

/// The addresses that one object is about: 256, always the same ones, so that agents of whatever
/// configuration agree on which object decides about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u32);

impl BlockId {
    /// The block of an address.
    pub const fn of(ip: Ipv4Addr) -> Self {
        Self(ip.to_bits() & !0xff)
    }

    /// Its first address.
    pub const fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0)
    }

    /// Its addresses.
    pub(super) const fn addresses(self) -> RangeInclusive<Ipv4Addr> {
        self.first()..=Ipv4Addr::from_bits(self.0 | 0xff)
    }
}

/// A run of addresses. One that is not named is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// How often it was written; 0: never.
    pub serial: u64,
    /// What is known of each address.
    pub slots: BTreeMap<Ipv4Addr, Slot>,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// An agent's, to give to whatever client it will.
    Claimed {
        /// The agent.
        agent: AgentId,
        /// The incarnation that claimed it: a later one does not use it.
        incarnation: u64,
    },
    /// A client's, whichever agent answers it.
    Bound(Binding),
}

/// A client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The client.
    pub client: ClientKey,
    /// The longest lease that any agent promises it, or ever did. Never lowered.
    pub longest: Span,
    /// It is being taken back.
    pub mark: Option<Mark>,
}

/// A binding that is being taken back: no agent that has seen this answers the client from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The block's serial with which it came: tells one mark of an address from the next.
    pub serial: u64,
    /// When its client gave the address up; [`At::NEVER`]: it did not.
    pub given_up: At,
    /// The address stays out of use up to then (a quarantine).
    pub not_before: At,
    /// Agents that are silent, and whose promises are past.
    pub confirmed: BTreeSet<AgentId>,
}

impl Slot {
    /// The binding, if it is one.
    pub fn binding(&self) -> Option<&Binding> {
        match self {
            Self::Bound(binding) => Some(binding),
            Self::Claimed { .. } => None,
        }
    }

    /// The mark, if it is being taken back.
    pub fn mark(&self) -> Option<&Mark> {
        self.binding()?.mark.as_ref()
    }
}
