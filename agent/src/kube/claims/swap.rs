//! Compare-and-swap of an object: it takes effect on the serial before its own, or shows what is there.
//!
//! The API server compares resource versions, and [`swap`] names that of the very object whose serial it is. Of an
//! object whose labels somebody changed, the serial is the same and the version another: it is read, and
//! the write made again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ObjectMeta, PartialObjectMeta, Request};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::calls::{Calls, Fault, Verdict};
use crate::claims::{AgentId, BlockId};
use crate::config::Problem;
use crate::kube::names;
use crate::kube::objects::{AddressBlock, AgentTerm, CLAIMS_GUARD, ClusterAgent, label};

/// How often one write is tried on an object that others touch.
const TRIES: usize = 8;

/// The longest name that can be a label's value.
const LABEL: usize = 63;

/// An object that agents publish by.
pub trait Published: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned {
    /// Nobody but this agent writes it: what it says last is known here, and one that was removed can be
    /// made again as it was.
    const IS_OURS: bool;
    /// Whether an object of this name was published by an agent of this ClusterAgent.
    fn is_of(cluster_agent: &str, name: &str) -> bool;
    /// How often it was written.
    fn serial(&self) -> u64;
    /// An object of what this says, with nothing else.
    fn bare(&self, metadata: ObjectMeta) -> Self;
    /// What is wrong with what it says.
    fn check(&self, agent: &str) -> Result<(), Problem>;
}

impl Published for AddressBlock {
    const IS_OURS: bool = false;

    fn is_of(cluster_agent: &str, name: &str) -> bool {
        block_named(cluster_agent, name).is_some()
    }

    fn serial(&self) -> u64 {
        self.spec.serial
    }

    fn bare(&self, metadata: ObjectMeta) -> Self {
        Self { metadata, spec: self.spec.clone() }
    }

    fn check(&self, agent: &str) -> Result<(), Problem> {
        match block_named(agent, &self.name_any()) {
            Some(id) => super::forms::block_of(id, &self.spec).map(drop),
            None => Err(Problem { path: "metadata.name".to_owned(), message: "is not a block's".to_owned() }),
        }
    }
}

impl Published for AgentTerm {
    const IS_OURS: bool = true;

    fn is_of(cluster_agent: &str, name: &str) -> bool {
        agent_named(cluster_agent, name).is_some()
    }

    fn serial(&self) -> u64 {
        self.spec.serial
    }

    fn bare(&self, metadata: ObjectMeta) -> Self {
        Self { metadata, spec: self.spec.clone() }
    }

    fn check(&self, _: &str) -> Result<(), Problem> {
        super::forms::term_of(&self.spec).map(drop)
    }
}

/// The block that an object of this name is about, if it is one of this agent's.
pub fn block_named(agent: &str, name: &str) -> Option<BlockId> {
    let ip = names::address(agent, name)?;
    Some(BlockId::of(ip)).filter(|id| id.first() == ip)
}

/// The agent whose term an object of this name is, if it is an agent of this ClusterAgent.
pub fn agent_named(cluster_agent: &str, name: &str) -> Option<AgentId> {
    let id = name.strip_prefix(cluster_agent)?.strip_prefix('-')?;
    let is_id = id.len() == 16 && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| id.into())
}

/// Writes `next`, or shows what is there instead: with its serial, or a later one. `seen`: how it was last.
pub async fn swap<K: Published>(
    calls: &Calls,
    agent: &str,
    seen: Option<K>,
    next: &K,
    verdict: &mut Option<Verdict>,
) -> Result<K, Fault> {
    let (name, wanted) = (next.name_any(), next.serial());
    let before = wanted.saturating_sub(1);
    let mut there = seen;
    let mut is_fresh = false;
    for _ in 0..TRIES {
        let written = match &there {
            Some(there) if there.serial() >= wanted => return Ok(there.clone()),
            Some(there) if there.serial() == before => {
                // What makes no sense may stand for what does: only its writer knows.
                if !K::IS_OURS {
                    there.check(agent).map_err(|problem| Fault::Nonsense(problem.to_string()))?;
                }
                let object = next.bare(following(agent, there.meta()));
                Some(calls.call(replace(&name, &object), verdict).await)
            }
            Some(there) if is_fresh => {
                let serial = there.serial();
                return Err(Fault::Nonsense(format!(
                    "its serial is {serial} and was {before}: somebody has put an older one there"
                )));
            }
            None if wanted == 1 || is_fresh && K::IS_OURS => Some(create(calls, agent, next, verdict).await),
            None if is_fresh => {
                return Err(Fault::Nonsense(format!("somebody has removed it (its serial was {before})")));
            }
            Some(_) | None => None,
        };
        match written {
            Some(Ok(object)) => return Ok(object),
            // Somebody was there before, or has touched it.
            Some(Err(Fault::Refused(409, _))) | None => {}
            // It is gone, and was there.
            Some(Err(Fault::Refused(404, _))) if there.is_some() => {}
            Some(Err(fault)) => return Err(fault),
        }
        there = read(calls, &name, verdict).await?;
        is_fresh = true;
    }
    Err(Fault::Away(format!("others touched it {TRIES} times meanwhile")))
}

/// The object as it is now; none: there is none.
pub async fn read<K: Published>(
    calls: &Calls,
    name: &str,
    verdict: &mut Option<Verdict>,
) -> Result<Option<K>, Fault> {
    let request = Request::new(K::url_path(&(), None)).get(name, &kube::api::GetParams::default());
    match calls.call(request, verdict).await {
        Ok(object) => Ok(Some(object)),
        Err(Fault::Refused(404, _)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Makes an object, if its ClusterAgent is there to be its owner.
pub async fn create<K: Published>(
    calls: &Calls,
    agent: &str,
    object: &K,
    verdict: &mut Option<Verdict>,
) -> Result<K, Fault> {
    let owners = Request::new(ClusterAgent::url_path(&(), None));
    let request = owners.get_metadata(agent, &kube::api::GetParams::default());
    let owner: PartialObjectMeta<ClusterAgent> = match calls.call(request, verdict).await {
        Err(Fault::Refused(404, _)) => return Err(ownerless(agent)),
        owner => owner?,
    };
    let Some(uid) = owner.metadata.uid.filter(|_| owner.metadata.deletion_timestamp.is_none()) else {
        return Err(ownerless(agent));
    };
    let owner = OwnerReference {
        api_version: ClusterAgent::api_version(&()).into_owned(),
        kind: ClusterAgent::kind(&()).into_owned(),
        name: agent.to_owned(),
        uid,
        controller: None,
        block_owner_deletion: None,
    };
    let mut metadata = ObjectMeta {
        name: object.meta().name.clone(),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    guard(agent, &mut metadata);
    let object = object.bare(metadata);
    let body = serde_json::to_vec(&object).map_err(|error| Fault::Nonsense(error.to_string()))?;
    let request = Request::new(K::url_path(&(), None)).create(&kube::api::PostParams::default(), body);
    calls.call(request, verdict).await
}

fn ownerless(agent: &str) -> Fault {
    Fault::Nonsense(format!("there is no ClusterAgent {agent} any more that it could belong to"))
}

/// What the next version keeps of the one before.
fn following(agent: &str, before: &ObjectMeta) -> ObjectMeta {
    let mut metadata = ObjectMeta { managed_fields: None, ..before.clone() };
    guard(agent, &mut metadata);
    metadata
}

/// Label and guard. To one that is being deleted no guard can be added.
fn guard(agent: &str, metadata: &mut ObjectMeta) {
    if agent.len() <= LABEL {
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(label::CLUSTER_AGENT.to_owned(), agent.to_owned());
    }
    let guards = metadata.finalizers.get_or_insert_default();
    if metadata.deletion_timestamp.is_none() && !guards.iter().any(|guard| guard == CLAIMS_GUARD) {
        guards.push(CLAIMS_GUARD.to_owned());
    }
}

/// The request that puts an object in the place of the version that it names.
pub fn replace<K: Published>(
    name: &str,
    object: &K,
) -> Result<hyper::Request<Vec<u8>>, kube::core::request::Error> {
    let body = serde_json::to_vec(object).unwrap_or_default();
    Request::new(K::url_path(&(), None)).replace(name, &kube::api::PostParams::default(), body)
}
