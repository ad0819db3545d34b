//! Events: what an operator sees beside an object.

use anyhow::Result;
use serde_json::Value;

use crate::cluster_agent::CONVERGED;
use crate::kube::Cluster;
use crate::wait;

/// The notes of all events of this reason about objects of this name, as `kubectl get events -A` finds
/// them.
pub fn notes(cluster: &Cluster, name: &str, reason: &str) -> Result<Vec<String>> {
    let all = events(cluster, name, reason)?;
    Ok(all.iter().map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect())
}

/// How often there was such an event: one that happens again is counted up.
pub fn count(cluster: &Cluster, name: &str, reason: &str) -> Result<u64> {
    let all = events(cluster, name, reason)?;
    Ok(all.iter().map(|event| event["series"]["count"].as_u64().unwrap_or(1)).sum())
}

/// Waits until there is such an event whose note says `text`, and gives the note.
pub fn wait_for(cluster: &Cluster, name: &str, reason: &str, text: &str) -> Result<String> {
    wait::until(&format!("an event {reason} of {name} that says {text:?}"), CONVERGED, || {
        Ok(notes(cluster, name, reason)?.into_iter().find(|note| note.contains(text)))
    })
}

fn events(cluster: &Cluster, name: &str, reason: &str) -> Result<Vec<Value>> {
    let selector = format!("involvedObject.name={name},reason={reason}");
    let text = cluster.kubectl(&["get", "events", "-A", "--field-selector", &selector, "-o", "json"])?;
    let list: Value = serde_json::from_str(&text)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}
