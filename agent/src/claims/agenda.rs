//! Which blocks are looked at in a turn: those of which something was heard, and those whose time has come. To
//! look at all of them each time would keep clients waiting, where there are many.

use std::collections::BTreeMap;

use super::published::BlockId;
use super::times::At;

/// When each block is looked at again: by time alone, nothing is to be done there before.
#[derive(Debug, Default)]
pub struct Agenda {
    blocks: BTreeMap<BlockId, At>,
    /// Whether the addresses ahead are counted again.
    counts: bool,
}

impl Agenda {
    /// Something was heard of a block.
    pub fn stir(&mut self, id: BlockId) {
        self.blocks.insert(id, At::NEVER);
        self.counts = true;
    }

    /// Something was heard that is about all.
    pub fn stir_all(&mut self) {
        self.blocks.values_mut().for_each(|at| *at = At::NEVER);
        self.counts = true;
    }

    /// Addresses ahead may have come or gone.
    pub fn count_again(&mut self) {
        self.counts = true;
    }

    /// What is to be looked at now.
    pub fn due(&self, now: At) -> Vec<BlockId> {
        self.blocks.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect()
    }

    /// Whether the addresses ahead are to be counted.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// These were looked at, each up to when that holds; the addresses ahead, too, `again` where others decide.
    pub fn looked(&mut self, blocks: impl IntoIterator<Item = (BlockId, At)>, again: bool) {
        self.blocks.extend(blocks);
        self.counts = again;
    }
}
