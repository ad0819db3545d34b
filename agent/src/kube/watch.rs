//! What the API server tells: three watches, as one stream. A watch that ends is begun again by
//! itself, after a while that grows; what was missed comes as a whole new list.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{StreamExt as _, stream};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::client::Kubernetes;
use super::objects::{ClusterAgent, HostEndpoint, HostStatus};

/// Each watch is begun anew after so many seconds, from where it was: one whose connection died
/// without a word is missed no longer than that.
const WATCH: u32 = 60;

/// What was heard of one kind of object.
#[derive(Debug)]
pub enum Change<K> {
    /// It is like this now.
    Is(K),
    /// It is gone; this is how it was last.
    Gone(K),
    /// A list of all is asked for.
    Begins,
    /// These are all there are.
    All(Vec<K>),
    /// An object says what its type has no place for: known by name alone.
    Unreadable(String, String),
    /// The watch does not work now, and why.
    Broken(String),
}

/// What was heard.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and on its way to be stored")]
pub enum Heard {
    /// Of agents.
    Agent(Change<ClusterAgent>),
    /// Of endpoints.
    Endpoint(Change<HostEndpoint>),
    /// Of what agents show.
    Status(Change<HostStatus>),
}

impl Heard {
    /// Whether this is a word of the API server, or why there is none; none: neither.
    pub fn word(&self) -> Option<Result<(), &str>> {
        match self {
            Self::Agent(change) => change.word(),
            Self::Endpoint(change) => change.word(),
            Self::Status(change) => change.word(),
        }
    }
}

impl<K> Change<K> {
    fn word(&self) -> Option<Result<(), &str>> {
        match self {
            Self::Begins => None,
            Self::Broken(why) => Some(Err(why)),
            Self::Is(_) | Self::Gone(_) | Self::All(_) | Self::Unreadable(..) => Some(Ok(())),
        }
    }
}

/// All three watches.
pub type Watches = SelectAll<BoxStream<'static, Heard>>;

/// Begins them.
pub fn watches(kubernetes: &Kubernetes) -> Watches {
    let client = || kubernetes.client.clone();
    stream::select_all([
        changes(Api::all(client())).map(Heard::Agent).boxed(),
        changes(Api::all(client())).map(Heard::Endpoint).boxed(),
        changes(Api::all(client())).map(Heard::Status).boxed(),
    ])
}

/// What is heard of one kind of object.
pub fn changes<K>(api: Api<DeserializeGuard<K>>) -> BoxStream<'static, Change<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    // A list that is under way.
    let mut listed: BTreeMap<String, K> = BTreeMap::new();
    watcher(api, watcher::Config::default().timeout(WATCH))
        .default_backoff()
        .filter_map(move |heard| {
            let change = heard.map_or_else(
                |error| Some(Change::Broken(error.to_string())),
                |event| change(event, &mut listed),
            );
            async { change }
        })
        .boxed()
}

fn change<K>(event: Event<DeserializeGuard<K>>, listed: &mut BTreeMap<String, K>) -> Option<Change<K>>
where
    K: Resource<DynamicType = ()> + Debug,
{
    match event {
        Event::Apply(DeserializeGuard(Ok(object))) => Some(Change::Is(object)),
        Event::Delete(DeserializeGuard(Ok(object))) => Some(Change::Gone(object)),
        Event::Init => {
            listed.clear();
            Some(Change::Begins)
        }
        Event::InitApply(DeserializeGuard(Ok(object))) => {
            listed.insert(object.name_any(), object);
            None
        }
        Event::InitDone => Some(Change::All(std::mem::take(listed).into_values().collect())),
        Event::Apply(DeserializeGuard(Err(fault)))
        | Event::InitApply(DeserializeGuard(Err(fault)))
        | Event::Delete(DeserializeGuard(Err(fault))) => {
            Some(Change::Unreadable(fault.metadata.name.unwrap_or_default(), fault.error))
        }
    }
}
