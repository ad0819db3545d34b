//! Blocks as they were last seen, as objects: with the versions that writes have to name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;

use super::forms::block_of;
use super::swap::block_named;
use crate::claims::{Block, BlockId};
use crate::kube::objects::AddressBlock;

/// The last of each.
#[derive(Debug, Default)]
pub struct Seen {
    of: BTreeMap<BlockId, AddressBlock>,
    /// Those that were removed, as they were then.
    removed: BTreeMap<BlockId, AddressBlock>,
}

impl Seen {
    /// One as it was last.
    pub fn object(&self, id: BlockId) -> Option<&AddressBlock> {
        self.of.get(&id)
    }

    /// One was seen; what it says, or what is wrong with that.
    pub fn note(&mut self, id: BlockId, object: AddressBlock) -> Result<Arc<Block>, String> {
        let block = block_of(id, &object.spec).map(Arc::new).map_err(|problem| problem.to_string());
        let is_older = |before: &AddressBlock| version(before) > version(&object);
        if !self.of.get(&id).is_some_and(is_older) {
            self.removed.remove(&id);
            self.of.insert(id, object);
        }
        block
    }

    /// What the last one says. Of one that makes no sense nothing may be done with any of its addresses, by whoever
    /// needs to have read it, until that is put right: its serial, and that they are nobody's. No write
    /// is made from it.
    pub fn block_or_nothing(&self, id: BlockId) -> Arc<Block> {
        let Some(object) = self.of.get(&id) else { return Arc::default() };
        let nothing = || Block { serial: object.spec.serial, ..Block::default() };
        Arc::new(block_of(id, &object.spec).unwrap_or_else(|_| nothing()))
    }

    /// One was removed; this is how it was last.
    pub fn remove(&mut self, id: BlockId, object: AddressBlock) {
        if self.of.get(&id).is_none_or(|before| version(before) <= version(&object)) {
            self.of.remove(&id);
            self.removed.insert(id, object);
        }
    }

    /// Those that were removed, and are to be made again.
    pub fn removed(&self) -> Vec<(BlockId, AddressBlock)> {
        self.removed.iter().map(|(id, object)| (*id, object.clone())).collect()
    }

    /// One is not to be made again.
    pub fn forget(&mut self, id: BlockId) {
        self.removed.remove(&id);
    }

    /// Forgets those that are not among all there are: whoever writes one reads it again.
    pub fn keep(&mut self, all: &[AddressBlock], cluster_agent: &str) {
        let there: BTreeSet<BlockId> =
            all.iter().filter_map(|object| block_named(cluster_agent, &object.name_any())).collect();
        self.of.retain(|id, _| there.contains(id));
    }
}

/// How new an object is.
fn version(object: &AddressBlock) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}
