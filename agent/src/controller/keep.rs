//! One look at one agent: what there is, what follows, doing it, and saying how it is. Thin.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ApiResource;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::{info, warn};

use super::parts::workload::in_nodes_network;
use super::parts::{AGENT_LABEL, Kind, Part, Settings, parts};
use super::plan::{Act, Found, Hindrance, is_ours, plan};
use super::status::{self, Outcome, Progress};
use super::{check, ports};
use crate::kube::claims::guards;
use crate::kube::client::{Kubernetes, RequestError, ask};
use crate::kube::events::Reason;
use crate::kube::objects::{ClusterAgent, ClusterAgentStatus};

/// Who owns the fields that are applied.
const MANAGER: &str = "xdhcpd-controller";

/// What became of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// All is as it shall be, or on its way: the parts tell when something changes.
    Done,
    /// The object makes no sense; it tells when that changes.
    Refused,
    /// It did not work; nothing may tell when it would.
    Failed,
    /// It is gone, and its agents have not ended; nothing may tell when they have.
    Waiting,
}

/// Keeps agents as they shall be.
#[derive(Clone)]
pub struct Keeper {
    /// The API server.
    pub kubernetes: Kubernetes,
    /// Of all agents.
    pub settings: Settings,
}

impl Keeper {
    /// Looks at the agent of this name.
    pub async fn look(&self, name: &str) -> Result<Looked, RequestError> {
        // As it is: one that an older definition let through may not be what our type takes.
        let resource = ApiResource::erase::<ClusterAgent>(&());
        let agents: Api<DynamicObject> = Api::all_with(self.kubernetes.client.clone(), &resource);
        let Some(object) = ask(agents.get_opt(name)).await? else { return self.bury(name).await };
        if object.metadata.deletion_timestamp.is_some() {
            // Its parts go with it.
            return Ok(Looked::Done);
        }
        let seen = Seen::of(&object);
        let outcome = match object.try_parse::<ClusterAgent>() {
            Ok(agent) => self.keep(&agent).await?,
            Err(fault) => {
                let found = self.found(name).await?;
                Outcome::Refused(format!("spec: {fault}"), progress(&found, &seen.uid))
            }
        };
        self.say(name, &seen, &outcome).await?;
        Ok(match outcome {
            Outcome::Kept(_) | Outcome::Hindered(Hindrance::Going(_), _) => Looked::Done,
            Outcome::Refused(..) => Looked::Refused,
            Outcome::Failed(..) | Outcome::Hindered(Hindrance::Taken(_), _) | Outcome::NoPort => {
                Looked::Failed
            }
        })
    }

    /// The object is gone: once nothing of it runs, nobody relies on what its agents have published.
    ///
    /// One that was made again under its name takes that over as it is. Looks at one name do not overlap, so
    /// that nobody makes its agents meanwhile.
    async fn bury(&self, name: &str) -> Result<Looked, RequestError> {
        if self.runs::<DaemonSet>(name).await?
            || self.runs::<Deployment>(name).await?
            || self.runs::<Pod>(name).await?
        {
            return Ok(Looked::Waiting);
        }
        let released = guards::release(&self.kubernetes.client, name).await?;
        if released > 0 {
            info!(agent = name, "its last agent has ended: {released} objects that they published may go");
        }
        Ok(Looked::Done)
    }

    /// Whether anything of this kind is there that runs an agent of this name, or may.
    async fn runs<K>(&self, agent: &str) -> Result<bool, RequestError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.kubernetes.client.clone(), &self.settings.namespace);
        let its = ListParams::default().labels(&format!("{AGENT_LABEL}={agent}")).limit(1);
        Ok(!ask(api.list_metadata(&its)).await?.items.is_empty())
    }

    /// Brings about what shall be, as far as it can be now.
    async fn keep(&self, agent: &ClusterAgent) -> Result<Outcome, RequestError> {
        let (name, uid) = (agent.name_any(), agent.uid().unwrap_or_default());
        let mut found = self.found(&name).await?;
        let problems = check::problems(agent);
        if !problems.is_empty() {
            return Ok(Outcome::Refused(check::told(&problems), progress(&found, &uid)));
        }
        let Some(port) = self.port(agent).await? else { return Ok(Outcome::NoPort) };
        let wanted = match parts(agent, &self.settings, port) {
            Ok(wanted) => wanted,
            Err(fault) => {
                return Ok(Outcome::Refused(format!("spec.agentYaml: {fault}"), progress(&found, &uid)));
            }
        };
        let plan = plan(wanted, &found, &uid);
        for act in plan.acts {
            let kind = act.kind();
            match self.act(&name, act).await {
                Ok(Some(object)) => drop(found.insert(kind, object)),
                Ok(None) => {}
                Err(RequestError::Lasting(why)) => {
                    return Ok(Outcome::Failed(format!("{kind:?}: {why}"), progress(&found, &uid)));
                }
                Err(passing) => return Err(passing),
            }
        }
        let progress = progress(&found, &uid);
        Ok(plan.hindrance.map_or(Outcome::Kept(progress), |hindrance| Outcome::Hindered(hindrance, progress)))
    }

    /// What is there under the names of an agent's parts.
    async fn found(&self, agent: &str) -> Result<Found, RequestError> {
        let mut found = BTreeMap::new();
        for kind in Kind::ALL {
            let api = self.api(kind);
            found.extend(ask(api.get_opt(&kind.name(agent))).await?.map(|object| (kind, object)));
        }
        Ok(found)
    }

    async fn port(&self, agent: &ClusterAgent) -> Result<Option<u16>, RequestError> {
        if !in_nodes_network(agent) {
            return Ok(Some(ports::FIRST));
        }
        let sets: Api<DaemonSet> = Api::namespaced(self.kubernetes.client.clone(), &self.settings.namespace);
        let sets = ask(sets.list(&ListParams::default().labels(AGENT_LABEL))).await?.items;
        Ok(ports::port(&Kind::DaemonSet.name(&agent.name_any()), &sets))
    }

    /// Does one thing; what is there then.
    async fn act(&self, agent: &str, act: Act) -> Result<Option<DynamicObject>, RequestError> {
        let kind = act.kind();
        let (api, name) = (self.api(kind), kind.name(agent));
        match act {
            Act::Apply(Part { mut body, .. }, uid) => {
                let is_new = uid.is_none();
                if let (Some(uid), Some(metadata)) = (uid, body.pointer_mut("/metadata")) {
                    // Another that took its place meanwhile is not written over.
                    metadata["uid"] = json!(uid);
                }
                let parameters = PatchParams::apply(MANAGER).force();
                let applied = write(api.patch(&name, &parameters, &Patch::Apply(&body))).await?;
                if is_new {
                    info!(agent, "made the {kind:?} {name}");
                }
                Ok(Some(applied))
            }
            Act::Make(Part { body, .. }) => {
                let object =
                    serde_json::from_value(body).map_err(|fault| RequestError::Lasting(fault.to_string()))?;
                let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
                let made = write(api.create(&parameters, &object)).await?;
                info!(agent, "made the {kind:?} {name}");
                Ok(Some(made))
            }
            Act::Remove(_, uid) => {
                let only = Preconditions { uid: Some(uid), ..Preconditions::default() };
                // A workload is gone when its pods are.
                let parameters = DeleteParams::foreground().preconditions(only);
                let removing = async {
                    match api.delete(&name, &parameters).await {
                        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                        other => other.map(drop),
                    }
                };
                write(removing).await?;
                info!(agent, "removed the {kind:?} {name}: it cannot become what shall be there");
                Ok(None)
            }
        }
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let (client, resource) = (self.kubernetes.client.clone(), kind.resource());
        if kind.is_namespaced() {
            Api::namespaced_with(client, &self.settings.namespace, &resource)
        } else {
            Api::all_with(client, &resource)
        }
    }

    /// Writes the status, if it says something else, and tells what somebody has to do something about.
    async fn say(&self, name: &str, seen: &Seen, outcome: &Outcome) -> Result<(), RequestError> {
        let now = Time(Timestamp::now());
        let Some(status) = outcome.status(seen.status.as_ref(), seen.generation, &now) else { return Ok(()) };
        let patch = json!({
            "apiVersion": ClusterAgent::api_version(&()),
            "kind": ClusterAgent::kind(&()),
            "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let writing = async {
            match self.kubernetes.agents().patch_status(name, &parameters, &Patch::Apply(&patch)).await {
                // It was removed meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop),
            }
        };
        ask(writing).await?;
        let before = seen.status.as_ref().map(status::sentences).unwrap_or_default();
        let sentences = status::sentences(&status);
        if let Some((reason, message)) = outcome.complaint() {
            if before.first() != sentences.first() {
                warn!(agent = name, "{reason}: {message}");
                self.kubernetes.events.send(&seen.about, Reason::NotRun(reason), &message).await;
            }
        } else if before != sentences {
            info!(agent = name, ready = status.ready, "{}", sentences.join("; "));
        }
        Ok(())
    }
}

/// What of a ClusterAgent is needed beside what it says.
struct Seen {
    about: ObjectReference,
    uid: String,
    generation: Option<i64>,
    status: Option<ClusterAgentStatus>,
}

impl Seen {
    fn of(object: &DynamicObject) -> Self {
        let status = object.data.get("status").cloned();
        Self {
            about: object.object_ref(&ApiResource::erase::<ClusterAgent>(&())),
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation,
            status: status.and_then(|status| serde_json::from_value(status).ok()),
        }
    }
}

/// Waits for the answer to a write. One that we have no right to is not made by waiting: it is told, and
/// tried again all the same.
async fn write<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, RequestError> {
    let mut forbidden = false;
    let noting = async {
        let answer = request.await;
        forbidden = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403);
        answer
    };
    match ask(noting).await {
        Err(RequestError::Passing(why)) if forbidden => Err(RequestError::Lasting(why)),
        other => other,
    }
}

impl Act {
    const fn kind(&self) -> Kind {
        match self {
            Self::Apply(part, _) | Self::Make(part) => part.kind,
            Self::Remove(kind, _) => *kind,
        }
    }
}

/// How far the workload is that is there, if it is of the agent with this uid.
fn progress(found: &Found, uid: &str) -> Progress {
    let of = |kind: Kind| found.get(&kind).filter(|object| is_ours(object, uid)).cloned();
    let set = of(Kind::DaemonSet).and_then(|object| object.try_parse::<DaemonSet>().ok());
    let deployment = of(Kind::Deployment).and_then(|object| object.try_parse::<Deployment>().ok());
    match (set, deployment) {
        (Some(set), _) => Progress::of_daemon_set(&set),
        (None, Some(deployment)) => Progress::of_deployment(&deployment),
        (None, None) => Progress::NONE,
    }
}
