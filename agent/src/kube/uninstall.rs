//! Ending all agents of a cluster, and removing what they wrote: what comes before the removal of what runs them.
//!
//! ClusterAgents are deleted in the foreground: each is there until its pods have ended, and an agent whose
//! object goes takes its program along ([`super::going`]). So when none is left, nothing of ours is left on the
//! nodes either, but for those on which no agent ran to take it away.

use std::time::{Duration, Instant};

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams,
};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::time::sleep;
use tracing::info;

use super::client::{RequestError, ask_for};
use super::objects::ClusterAgent;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Rights that were given a moment ago are not known to every API server yet.
const PATIENCE: Duration = Duration::from_secs(30);

/// What agents write, in the order in which it is removed.
const WRITTEN: [Written; 3] = [
    Written { kind: "HostStatus", plural: "hoststatuses", held: false },
    Written { kind: "AgentTerm", plural: "agentterms", held: true },
    Written { kind: "AddressBlock", plural: "addressblocks", held: true },
];

/// A kind of object that agents write.
struct Written {
    kind: &'static str,
    plural: &'static str,
    /// A finalizer keeps each while agents might go by what it says.
    held: bool,
}

/// Why not all is removed.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The API server did not do as it was told.
    #[error("{0}: {1}")]
    Refused(&'static str, RequestError),
    /// Agents did not end.
    #[error(
        "{0} still there after {1} s: their pods have not ended (kubectl get pods --all-namespaces --output wide \
         --selector app.kubernetes.io/component=agent). A node that is down cannot end its own; if it stays \
         down, delete its pod by force, and run `xdhcpd detach --name NAME` on it when it is back"
    )]
    StillThere(String, u64),
}

/// Ends all agents within `limit`, and removes what they wrote; the names of the ClusterAgents.
pub async fn uninstall(client: Client, limit: Duration) -> Result<Vec<String>, UninstallError> {
    let agents: Api<ClusterAgent> = Api::all(client.clone());
    let (begun, patience) = (Instant::now(), PATIENCE.min(limit));
    let mut names: Vec<String> = Vec::new();
    loop {
        let there = there(&agents, patience).await?;
        if there.is_empty() {
            break;
        }
        let waited_for = there.iter().map(|agent| format!("ClusterAgent {}", agent.name_any()));
        let waited_for = waited_for.collect::<Vec<_>>().join(", ");
        if begun.elapsed() >= limit {
            return Err(UninstallError::StillThere(waited_for, limit.as_secs()));
        }
        // Also one that is made meanwhile.
        for agent in there.iter().filter(|agent| agent.metadata.deletion_timestamp.is_none()) {
            let name = agent.name_any();
            remove(&agents, &name, patience).await?;
            info!("ClusterAgent {name}: its agents end");
            if !names.contains(&name) {
                names.push(name);
            }
        }
        sleep(LOOK).await;
    }
    for written in WRITTEN {
        remove_all(&client, &written, patience).await?;
    }
    Ok(names)
}

async fn there(
    agents: &Api<ClusterAgent>,
    patience: Duration,
) -> Result<Vec<PartialObjectMeta<ClusterAgent>>, UninstallError> {
    // Their names alone: whatever else they say, they are removed.
    let everything = ListParams::default();
    match ask_for(patience, || async { found(agents.list_metadata(&everything).await) }).await {
        Ok(list) => Ok(list.map(|list| list.items).unwrap_or_default()),
        Err(fault) => Err(UninstallError::Refused("ClusterAgents cannot be listed", fault)),
    }
}

async fn remove(agents: &Api<ClusterAgent>, name: &str, patience: Duration) -> Result<(), UninstallError> {
    let parameters = DeleteParams::foreground();
    let removed = ask_for(patience, || async { found(agents.delete(name, &parameters).await) }).await;
    removed.map(drop).map_err(|fault| UninstallError::Refused("a ClusterAgent cannot be deleted", fault))
}

async fn remove_all(client: &Client, written: &Written, patience: Duration) -> Result<(), UninstallError> {
    let resource = ApiResource {
        group: ClusterAgent::group(&()).into_owned(),
        version: ClusterAgent::version(&()).into_owned(),
        api_version: ClusterAgent::api_version(&()).into_owned(),
        kind: written.kind.to_owned(),
        plural: written.plural.to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let (how, everything) = (DeleteParams::background(), ListParams::default());
    let removed = ask_for(patience, || async { found(api.delete_collection(&how, &everything).await) }).await;
    let refused = |fault| UninstallError::Refused("what agents wrote cannot be deleted", fault);
    if removed.map_err(refused)?.is_none() || !written.held {
        return Ok(());
    }
    // Nobody goes by what it says any more.
    let list = ask_for(patience, || async { found(api.list_metadata(&everything).await) }).await;
    let (patch, how) = (json!({"metadata": {"finalizers": null}}), PatchParams::default());
    for object in list.map_err(refused)?.map(|list| list.items).unwrap_or_default() {
        let (name, patch) = (object.name_any(), Patch::Merge(&patch));
        let freed =
            ask_for(patience, || async { found(api.patch_metadata(&name, &how, &patch).await) }).await;
        freed.map_err(refused)?;
    }
    Ok(())
}

/// What is not there, be it an object or its definition, is removed already.
fn found<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
