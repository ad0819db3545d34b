//! The API server: compare-and-swap, and every version that a watch may still show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{AgentId, Block, BlockId, Request, Slot, Term};
use super::world::Counts;

#[derive(Default)]
pub struct Server {
    pub terms: BTreeMap<AgentId, Term>,
    /// Every version of each block, the present one last.
    pub blocks: BTreeMap<BlockId, Vec<Arc<Block>>>,
    /// A server that lets every write through.
    pub swaps_blindly: bool,
    pub counts: Counts,
}

/// What the server says to a request.
pub enum Answer {
    Terms(BTreeMap<AgentId, Term>),
    Blocks(Vec<(BlockId, Arc<Block>)>),
    Term(Term),
    Block(BlockId, Arc<Block>),
}

impl Server {
    pub fn carry_out(&mut self, agent: &AgentId, request: &Request) -> Answer {
        match request {
            Request::ReadTerms => Answer::Terms(self.terms.clone()),
            Request::ReadBlocks => {
                let blocks = self.blocks.keys().map(|id| (*id, self.block(*id)));
                Answer::Blocks(blocks.collect())
            }
            Request::WriteTerm(term) => {
                let present = self.terms.entry(Arc::clone(agent)).or_default();
                if present.serial + 1 == term.serial || self.swaps_blindly {
                    *present = term.clone();
                }
                Answer::Term(present.clone())
            }
            Request::WriteBlock(id, block) => {
                let present = self.block(*id);
                if present.serial + 1 == block.serial {
                    self.count(&present, block);
                }
                if present.serial + 1 == block.serial {
                    self.blocks.entry(*id).or_default().push(Arc::clone(block));
                } else if self.swaps_blindly {
                    let block = Block { serial: present.serial + 1, ..Block::clone(block) };
                    self.blocks.entry(*id).or_default().push(Arc::new(block));
                }
                Answer::Block(*id, self.block(*id))
            }
        }
    }

    /// What happened since this was asked last.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    fn count(&mut self, before: &Block, after: &Block) {
        for (ip, slot) in &before.slots {
            let then = after.slots.get(ip);
            match (slot, then) {
                (Slot::Bound(binding), then) => match (&binding.mark, then.and_then(Slot::binding)) {
                    (None, Some(then)) if then.mark.is_some() => self.counts.marks += 1,
                    (Some(_), Some(then)) if then.mark.is_none() => self.counts.cleared += 1,
                    (Some(mark), None) => {
                        self.counts.freed += 1;
                        self.counts.waited += u64::from(mark.confirmed.len() < self.terms.len());
                    }
                    _ => {}
                },
                (Slot::Claimed { agent, .. }, Some(Slot::Claimed { agent: other, .. })) => {
                    self.counts.taken_over += u64::from(agent != other);
                }
                _ => {}
            }
        }
    }

    pub fn block(&self, id: BlockId) -> Arc<Block> {
        self.blocks.get(&id).and_then(|versions| versions.last()).cloned().unwrap_or_default()
    }
}
