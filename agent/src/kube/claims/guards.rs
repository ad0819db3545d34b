//! Who takes the guards off: the finalizers that keep what agents publish from being removed while any of them
//! may rely on it.
//!
//! An object that somebody deletes stays for as long as it has its guard, and agents go on writing it: to be
//! deleted is nothing that the protocol knows. When a ClusterAgent is deleted, the cluster deletes what it
//! owns, and somebody has to say that nobody relies on it any more. Agents never do: none knows what the others
//! do, and without their ClusterAgent they serve on. It is done by whoever has *ended* them and knows:
//!
//! - the controller, once a ClusterAgent is gone and with it the last of its agents;
//! - what runs before the chart is uninstalled, once it has ended the agents.
//!
//! Both call [`release`]. What an agent keeps on disk of them is of no use afterwards, and an agent of a
//! later ClusterAgent of that name begins anew ([`super::Store::open`]).

use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::swap::Published;
use crate::kube::client::{RequestError, ask};
use crate::kube::objects::{AddressBlock, AgentTerm, CLAIMS_GUARD};

/// Takes the guards off all that the agents of a ClusterAgent have published; how many objects had one.
///
/// Only when none of them runs: what they promised is then kept by nobody.
pub async fn release(client: &Client, cluster_agent: &str) -> Result<usize, RequestError> {
    let blocks = release_all::<AddressBlock>(client, cluster_agent).await?;
    let terms = release_all::<AgentTerm>(client, cluster_agent).await?;
    Ok(blocks.saturating_add(terms))
}

async fn release_all<K: Published + std::fmt::Debug>(
    client: &Client,
    cluster_agent: &str,
) -> Result<usize, RequestError> {
    let api: Api<K> = Api::all(client.clone());
    // By their metadata alone: what cannot be read otherwise has to go as well.
    let all = ask(api.list_metadata(&ListParams::default())).await?;
    let mut released: usize = 0;
    for object in all.items.iter().filter(|object| K::is_of(cluster_agent, &object.name_any())) {
        let others: Vec<&String> =
            object.finalizers().iter().filter(|guard| *guard != CLAIMS_GUARD).collect();
        if others.len() == object.finalizers().len() {
            continue;
        }
        let patch = json!({ "metadata": {
            "resourceVersion": object.resource_version(),
            "finalizers": others,
        }});
        ask(api.patch_metadata(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch))).await?;
        released = released.saturating_add(1);
    }
    Ok(released)
}
