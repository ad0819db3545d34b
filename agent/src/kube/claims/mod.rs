//! The claims, as far as they are objects of a Kubernetes API server: what lies between the protocol
//! ([`crate::claims`]), which the core runs, and where agents publish to each other.
//!
//! One task ([`run`]) and two bounded queues. The core hands over what the protocol asks ([`Ask`]), with what
//! must be on disk before; the task puts that on disk, asks the API server, and tells what came of it
//! ([`Heard`]). Never here: a decision about an address. Never in the core: a wait for the API server.
//!
//! What the core does, whenever something happened and once a second at least:
//!
//! ```text
//! while let Ok(heard) = ours.heard.try_recv() { heard.tell(&mut claims, now()) }
//! if let Ok(place) = ours.asks.try_reserve() {
//!     if let Some(ask) = Ask::of(&mut claims, now()) { place.send(ask) }
//! }
//! ```
//!
//! Every request of an [`Ask`] is answered exactly once, be it with "nobody knows". The pace is kept here: an
//! answer that brings the same request again brings it as often as the API server can be asked, and no more.
//!
//! - `store`: what is on disk; [`forms`]: what is published, as text that people read
//! - `task`: the task; `jobs`: one request of it; `spacing`: when the next may follow
//! - `swap`: compare-and-swap of an object; `calls`: one request, and the date of its answer
//! - `seen`: blocks as the watch shows them; `clock`: what is known of ours
//! - [`guards`]: who lets the objects go
//! - [`servers`]: by which hardware addresses agents answer, so that none takes another for a stranger
//!
//! What the protocol assumes (A1) and how it comes about:
//!
//! - *Compare-and-swap*: a write names the resource version of the very object that has the serial before its
//!   own. The definition's own rule refuses whatever changes an object without the next serial, so that an edit by
//!   hand is no older word with new content.
//! - *A read that sees all*: lists are asked without a resource version. One object among them that cannot be
//!   read: of terms nothing is known then, since whose it is may answer clients. Of a block it is known that it
//!   is there, and no address of it may be used by who has to have read it (`seen`); whoever
//!   read it before goes on with that. It is said in the log, once, and nothing is written over it.
//! - *Nobody removes them*: a finalizer ([`guards`]). One that is removed in spite of it is made again by
//!   whoever sees that, as it was at that moment. Where nobody saw it nobody knows, and nothing more is
//!   published of its addresses until somebody puts an end to the ClusterAgent.

mod calls;
mod clock;
pub mod forms;
pub mod guards;
mod jobs;
mod seen;
pub mod servers;
mod spacing;
mod store;
mod swap;
mod task;

pub use calls::{Calls, Watch};
pub use clock::CLOCK;
pub use store::{Saved, Store};
pub use task::{Session, run};

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::claims::{AgentId, At, Block, BlockId, Claims, Clock, Copies, Request, Term};

/// Asks that may wait: one with all that there is to ask, and one that came of answers meanwhile. Without a
/// place the core does not ask, and asks for more the next time.
pub const ASKS: usize = 2;

/// What may wait to be heard: a burst of a watch. The task waits with the rest.
pub const HEARD: usize = 256;

/// What the protocol asks.
#[derive(Debug)]
pub struct Ask {
    /// What is on disk before any of the requests is sent.
    pub copies: Copies,
    /// None: the copies are to be saved, and that is all.
    pub requests: Vec<Request>,
}

impl Ask {
    /// What there is to ask now, if anything. Only with a place for it ([`ASKS`]): what was asked must be sent.
    pub fn of(claims: &mut Claims, now: At) -> Option<Self> {
        let requests = claims.ask(now);
        (!requests.is_empty()).then(|| Self { copies: claims.copies().clone(), requests })
    }
}

/// What there is to tell the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A watch shows a block.
    Block(BlockId, Arc<Block>),
    /// [`Request::ReadTerms`] is answered.
    Terms(Option<BTreeMap<AgentId, Term>>),
    /// [`Request::ReadBlocks`] is answered.
    Blocks(Option<Vec<(BlockId, Arc<Block>)>>),
    /// [`Request::WriteTerm`] is answered.
    TermWritten(Option<Term>),
    /// [`Request::WriteBlock`] is answered.
    BlockWritten(BlockId, Option<Arc<Block>>),
    /// Our clock was compared with the server's, and is not known to be as it was before.
    Clock(Clock),
}

impl Heard {
    /// Whether it says something: an answer can be that nobody knows.
    pub fn is_known(&self) -> bool {
        !matches!(
            self,
            Self::Terms(None) | Self::Blocks(None) | Self::TermWritten(None) | Self::BlockWritten(_, None)
        )
    }

    /// Tells it; `now` was read after it was received.
    pub fn tell(self, claims: &mut Claims, now: At) {
        match self {
            Self::Block(id, block) => claims.block_seen(now, id, block),
            Self::Terms(terms) => claims.terms_read(now, terms),
            Self::Blocks(blocks) => claims.blocks_read(now, blocks),
            Self::TermWritten(term) => claims.term_written(now, term),
            Self::BlockWritten(id, block) => claims.block_written(now, id, block),
            Self::Clock(clock) => claims.judge_clock(clock),
        }
    }
}

/// The core's ends.
#[derive(Debug)]
pub struct Ours {
    /// Where to ask.
    pub asks: mpsc::Sender<Ask>,
    /// What is to be told.
    pub heard: mpsc::Receiver<Heard>,
}

/// The task's ends.
#[derive(Debug)]
pub struct Theirs {
    /// What is asked.
    pub asks: mpsc::Receiver<Ask>,
    /// Where to tell.
    pub heard: mpsc::Sender<Heard>,
}

/// Both.
pub fn queues() -> (Ours, Theirs) {
    let (asks, asked) = mpsc::channel(ASKS);
    let (tell, heard) = mpsc::channel(HEARD);
    (Ours { asks, heard }, Theirs { asks: asked, heard: tell })
}
