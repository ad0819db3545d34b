//! What the API server tells of agents and of their parts: whose it is about, no more. What they say is
//! asked for when it is looked at.

use std::collections::BTreeSet;
use std::fmt::Debug;

use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::parts::AGENT_LABEL;
use crate::kube::objects::{AgentTerm, ClusterAgent};

/// Each watch is begun anew after so many seconds, from where it was: one whose connection died without a
/// word is missed no longer than that.
const WATCH: u32 = 60;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// This agent is there, or has changed.
    Agent(String),
    /// This agent is gone.
    Gone(String),
    /// These are all agents.
    Agents(BTreeSet<String>),
    /// A part of this agent has changed, or is gone.
    Part(String),
    /// All parts of one kind have been heard of.
    Parts,
    /// A watch does not work now, and why.
    Broken(String),
}

/// All watches.
pub type Watches = SelectAll<BoxStream<'static, Heard>>;

/// How many there are: one of agents, one of each kind of part, one of what agents publish.
pub const WATCHES: usize = 8;

/// Begins them.
pub fn watches(client: &Client, namespace: &str) -> Watches {
    let here = |client: &Client| (client.clone(), namespace.to_owned());
    stream::select_all([
        agents(events(
            Api::<PartialObjectMeta<ClusterAgent>>::all(client.clone()),
            watcher::Config::default(),
        )),
        parts(events(Api::<PartialObjectMeta<ClusterRoleBinding>>::all(client.clone()), ours())),
        // What is left of agents that are gone; their blocks, which change often, go before these.
        parts(events(Api::<PartialObjectMeta<AgentTerm>>::all(client.clone()), watcher::Config::default())),
        parts_in::<RoleBinding>(here(client)),
        parts_in::<ServiceAccount>(here(client)),
        parts_in::<PersistentVolumeClaim>(here(client)),
        parts_in::<DaemonSet>(here(client)),
        parts_in::<Deployment>(here(client)),
    ])
}

fn ours() -> watcher::Config {
    watcher::Config::default().labels(AGENT_LABEL)
}

fn parts_in<K>((client, namespace): (Client, String)) -> BoxStream<'static, Heard>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    parts(events(Api::<PartialObjectMeta<K>>::namespaced(client, &namespace), ours()))
}

type Told = Result<Event<ObjectMeta>, String>;

fn events<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
) -> impl Stream<Item = Told> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let metadata = |object: PartialObjectMeta<K>| object.metadata;
    watcher(api, config.timeout(WATCH)).default_backoff().map(move |told| match told {
        Ok(Event::Init) => Ok(Event::Init),
        Ok(Event::InitApply(object)) => Ok(Event::InitApply(metadata(object))),
        Ok(Event::InitDone) => Ok(Event::InitDone),
        Ok(Event::Apply(object)) => Ok(Event::Apply(metadata(object))),
        Ok(Event::Delete(object)) => Ok(Event::Delete(metadata(object))),
        Err(error) => Err(error.to_string()),
    })
}

fn agents(told: impl Stream<Item = Told> + Send + 'static) -> BoxStream<'static, Heard> {
    let mut listed = BTreeSet::new();
    let name = |metadata: ObjectMeta| metadata.name.unwrap_or_default();
    told.filter_map(move |told| {
        let heard = match told {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(metadata)) => {
                listed.insert(name(metadata));
                None
            }
            Ok(Event::InitDone) => Some(Heard::Agents(std::mem::take(&mut listed))),
            Ok(Event::Apply(metadata)) => Some(Heard::Agent(name(metadata))),
            Ok(Event::Delete(metadata)) => Some(Heard::Gone(name(metadata))),
            Err(why) => Some(Heard::Broken(why)),
        };
        async { heard }
    })
    .boxed()
}

fn parts(told: impl Stream<Item = Told> + Send + 'static) -> BoxStream<'static, Heard> {
    told.filter_map(|told| {
        let heard = match told {
            Ok(Event::Init) => None,
            Ok(Event::InitDone) => Some(Heard::Parts),
            Ok(Event::InitApply(metadata) | Event::Apply(metadata) | Event::Delete(metadata)) => {
                owner(&metadata).map(Heard::Part)
            }
            Err(why) => Some(Heard::Broken(why)),
        };
        async { heard }
    })
    .boxed()
}

/// The agent whose part this is.
fn owner(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.iter().flatten();
    let owner = owners
        .filter(|owner| owner.kind == ClusterAgent::kind(&()))
        .find(|owner| owner.api_version == ClusterAgent::api_version(&()));
    owner.map(|owner| owner.name.clone()).or_else(|| metadata.labels.as_ref()?.get(AGENT_LABEL).cloned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: serde_json::Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn owned(name: &str) -> serde_json::Value {
        json!({"apiVersion": "bmc.spidernet.io/v1beta1", "kind": "ClusterAgent", "name": name, "uid": "1"})
    }

    #[test]
    fn a_part_is_its_owners_or_its_labels() {
        let label = json!({AGENT_LABEL: "b"});
        assert_eq!(
            owner(&metadata(json!({"ownerReferences": [owned("a")], "labels": label}))),
            Some("a".into())
        );
        assert_eq!(owner(&metadata(json!({"labels": label}))), Some("b".into()));
        assert_eq!(owner(&metadata(json!({"name": "agent-a"}))), None);
    }

    #[tokio::test]
    async fn a_list_of_agents_is_heard_as_a_whole() {
        let named = |name: &str| metadata(json!({"name": name}));
        let told: [Told; 6] = [
            Ok(Event::Init),
            Ok(Event::InitApply(named("a"))),
            Ok(Event::InitApply(named("b"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(named("c"))),
            Ok(Event::Delete(named("a"))),
        ];
        let heard: Vec<_> = agents(stream::iter(told)).collect().await;
        let all = ["a", "b"].map(str::to_owned).into();
        assert_eq!(heard, [Heard::Agents(all), Heard::Agent("c".into()), Heard::Gone("a".into())]);
    }
}
