//! One request of the protocol, from what it is to what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, ObjectList, ObjectMeta, Request as Url};

use super::calls::{Calls, Fault, Verdict};
use super::forms::{form_of_block, form_of_term, term_of};
use super::spacing::Key;
use super::swap::{Published, agent_named, block_named, create, read, swap};
use crate::claims::{AgentId, BlockId, Request, Term};
use crate::kube::names;
use crate::kube::objects::{AddressBlock, AgentTerm};

/// What each request is made with.
#[derive(Clone)]
pub struct Job {
    /// The way there.
    pub calls: Calls,
    /// Whose agents these are.
    pub cluster_agent: Arc<str>,
    /// Who we are.
    pub me: AgentId,
    /// The machine, for people.
    pub node: Option<Arc<str>>,
}

/// What became of one.
#[derive(Debug)]
pub struct Outcome {
    /// What it was about.
    pub of: Of,
    /// What the answers' dates said, if anything.
    pub verdict: Option<Verdict>,
    /// What there is to tell, or why there is nothing.
    pub answer: Result<Answer, Fault>,
}

/// What a request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// What the core asked.
    Asked(Key),
    /// Our clock.
    Clock,
    /// A block that somebody has removed.
    Removed(BlockId),
}

/// What the API server said.
#[derive(Debug)]
pub enum Answer {
    /// Every term.
    Terms(BTreeMap<AgentId, Term>),
    /// Every block.
    Blocks(Vec<(BlockId, AddressBlock)>),
    /// Our term.
    Term(Term),
    /// A block.
    Block(BlockId, Box<AddressBlock>),
    /// Nothing more.
    Done,
}

impl Job {
    /// Asks what the core wants asked; `seen`: the block that is to be written, as it was last.
    pub async fn carry_out(self, request: Request, seen: Option<AddressBlock>) -> Outcome {
        let mut verdict = None;
        let of = Of::Asked(Key::of(&request));
        let answer = match request {
            Request::ReadTerms => self.read_terms(&mut verdict).await,
            Request::ReadBlocks => self.read_blocks(&mut verdict).await,
            Request::WriteTerm(term) => self.write_term(&term, &mut verdict).await,
            Request::WriteBlock(id, block) => {
                let spec = form_of_block(&self.cluster_agent, &block);
                let next = AddressBlock { metadata: named(self.name(id)), spec };
                let written = swap(&self.calls, &self.cluster_agent, seen, &next, &mut verdict).await;
                written.map(|object| Answer::Block(id, Box::new(object)))
            }
        };
        Outcome { of, verdict, answer }
    }

    /// Asks for the date, and no more.
    pub async fn compare(self) -> Outcome {
        let mut verdict = None;
        let name = format!("{}-{}", self.cluster_agent, self.me);
        let read = read::<AgentTerm>(&self.calls, &name, &mut verdict).await;
        Outcome { of: Of::Clock, verdict, answer: read.map(|_| Answer::Done) }
    }

    /// Makes a block again that somebody has removed, as it was then.
    pub async fn put_back(self, id: BlockId, was: AddressBlock) -> Outcome {
        let mut verdict = None;
        let made = create(&self.calls, &self.cluster_agent, &was, &mut verdict).await;
        Outcome { of: Of::Removed(id), verdict, answer: made.map(|made| Answer::Block(id, Box::new(made))) }
    }

    /// The name of a block's object.
    pub fn name(&self, id: BlockId) -> String {
        names::name(&self.cluster_agent, id.first())
    }

    /// One that cannot be read may be that of an agent that answers clients: then nothing is known of all.
    async fn read_terms(&self, verdict: &mut Option<Verdict>) -> Result<Answer, Fault> {
        let mut terms = BTreeMap::new();
        for object in self.list::<AgentTerm>(verdict).await? {
            let name = object.name_any();
            let Some(agent) = agent_named(&self.cluster_agent, &name) else { continue };
            let term = term_of(&object.spec);
            let term = term.map_err(|problem| Fault::Nonsense(format!("AgentTerm {name}: {problem}")))?;
            terms.insert(agent, term);
        }
        Ok(Answer::Terms(terms))
    }

    async fn read_blocks(&self, verdict: &mut Option<Verdict>) -> Result<Answer, Fault> {
        let all = self.list::<AddressBlock>(verdict).await?.into_iter();
        let blocks =
            all.filter_map(|object| Some((block_named(&self.cluster_agent, &object.name_any())?, object)));
        Ok(Answer::Blocks(blocks.collect()))
    }

    /// All objects that agents of this ClusterAgent have published. Without a resource version, so that it
    /// sees all that was written before it is sent.
    async fn list<K: Published + std::fmt::Debug>(
        &self,
        verdict: &mut Option<Verdict>,
    ) -> Result<Vec<K>, Fault> {
        let request = Url::new(K::url_path(&(), None)).list(&ListParams::default());
        let all: ObjectList<DeserializeGuard<K>> = self.calls.call(request, verdict).await?;
        let mut read = Vec::new();
        for object in all.items {
            let name = object.name_any();
            if !K::is_of(&self.cluster_agent, &name) {
                continue;
            }
            let kind = K::kind(&());
            read.push(object.0.map_err(|fault| Fault::Nonsense(format!("{kind} {name}: {}", fault.error)))?);
        }
        Ok(read)
    }

    async fn write_term(&self, term: &Term, verdict: &mut Option<Verdict>) -> Result<Answer, Fault> {
        let spec = form_of_term(&self.cluster_agent, self.node.as_deref(), term);
        let next = AgentTerm { metadata: named(format!("{}-{}", self.cluster_agent, self.me)), spec };
        // Few are written, and each is read before: nobody else's word has to be compared with ours.
        let seen = read(&self.calls, &next.name_any(), verdict).await?;
        let written = swap(&self.calls, &self.cluster_agent, seen, &next, verdict).await?;
        term_of(&written.spec).map(Answer::Term).map_err(|problem| Fault::Nonsense(problem.to_string()))
    }
}

fn named(name: String) -> ObjectMeta {
    ObjectMeta { name: Some(name), ..ObjectMeta::default() }
}
