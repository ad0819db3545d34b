//! What runs a ClusterAgent, as manifests: its workload and what that needs. Pure.
//!
//! - here: what each part is called and whose it is; [`rights`]: account and bindings; [`storage`]: where its
//!   leases are
//! - [`workload`]: how many there are and how they are replaced; [`pod`]: one of them
//!
//! The agent's name decides every name here, so each part can be found again without being remembered.
//! All are owned by the ClusterAgent and go with it.

pub mod pod;
pub mod rights;
pub mod storage;
#[cfg(test)]
mod tests;
pub mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::ApiResource;
use kube::{Resource as _, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;

pub use self::storage::Storage;
use crate::kube::objects::ClusterAgent;

/// What tells the parts and pods of one agent from all others.
pub const AGENT_LABEL: &str = "bmc.spidernet.io/cluster-agent";

/// What the controller was told of the agents it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the agents run.
    pub namespace: String,
    /// Their image, where a ClusterAgent names none.
    pub image: String,
    /// When it is pulled; none: as Kubernetes decides.
    pub pull_policy: Option<String>,
    /// The Secrets to pull it with, where a ClusterAgent names none.
    pub pull_secrets: Vec<String>,
    /// The ClusterRole, and in their namespace the Role, that they have. They come with the installation, so
    /// that the controller can grant nothing that it was not given.
    pub role: String,
    /// Where they keep their leases.
    pub storage: Storage,
}

/// What parts there are, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "Kubernetes' words")]
pub enum Kind {
    ServiceAccount,
    ClusterRoleBinding,
    RoleBinding,
    PersistentVolumeClaim,
    DaemonSet,
    Deployment,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::ClusterRoleBinding,
        Self::RoleBinding,
        Self::PersistentVolumeClaim,
        Self::DaemonSet,
        Self::Deployment,
    ];

    /// Where the API server has them.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::ClusterRoleBinding => ApiResource::erase::<ClusterRoleBinding>(&()),
            Self::RoleBinding => ApiResource::erase::<RoleBinding>(&()),
            Self::PersistentVolumeClaim => ApiResource::erase::<PersistentVolumeClaim>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
        }
    }

    /// Whether they are in the agents' namespace, or in none.
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::ClusterRoleBinding)
    }

    /// Whether they run an agent.
    pub const fn is_workload(self) -> bool {
        matches!(self, Self::DaemonSet | Self::Deployment)
    }

    /// What of one cannot be changed: with another it has to be made anew.
    pub const fn fixed(self) -> Option<&'static str> {
        match self {
            Self::DaemonSet | Self::Deployment => Some("/spec/selector"),
            Self::ClusterRoleBinding | Self::RoleBinding => Some("/roleRef"),
            Self::ServiceAccount | Self::PersistentVolumeClaim => None,
        }
    }

    /// The name of an agent's part.
    pub fn name(self, agent: &str) -> String {
        match self {
            Self::PersistentVolumeClaim => format!("{agent}-dhcp-data"),
            _ => format!("agent-{agent}"),
        }
    }
}

/// One part, as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub body: Value,
}

impl Part {
    fn new(kind: Kind, agent: &ClusterAgent, manifest: &impl Serialize) -> Result<Self, serde_json::Error> {
        let body = serde_json::to_value(manifest)?;
        Ok(Self { kind, name: kind.name(&agent.name_any()), body })
    }
}

/// All parts of an agent, whose health is served at `port`. Without a workload: there shall be none.
pub fn parts(agent: &ClusterAgent, settings: &Settings, port: u16) -> Result<Vec<Part>, serde_json::Error> {
    let mut parts = vec![
        Part::new(Kind::ServiceAccount, agent, &rights::account(agent, settings))?,
        Part::new(Kind::ClusterRoleBinding, agent, &rights::everywhere(agent, settings))?,
        Part::new(Kind::RoleBinding, agent, &rights::at_home(agent, settings))?,
    ];
    if let Some(claim) = storage::claim(agent, settings) {
        parts.push(Part::new(Kind::PersistentVolumeClaim, agent, &claim)?);
    }
    if agent.spec.agent_yaml.replicas > 0 {
        parts.push(if workload::in_nodes_network(agent) {
            Part::new(Kind::DaemonSet, agent, &workload::daemon_set(agent, settings, port))?
        } else {
            Part::new(Kind::Deployment, agent, &workload::deployment(agent, settings, port))?
        });
    }
    Ok(parts)
}

fn metadata(kind: Kind, agent: &ClusterAgent, settings: &Settings) -> ObjectMeta {
    // Who asks for it waits until its parts are gone.
    let owner = agent
        .controller_owner_ref(&())
        .map(|owner| OwnerReference { block_owner_deletion: Some(true), ..owner });
    ObjectMeta {
        name: Some(kind.name(&agent.name_any())),
        namespace: kind.is_namespaced().then(|| settings.namespace.clone()),
        labels: Some(labels(agent)),
        owner_references: Some(owner.into_iter().collect()),
        ..ObjectMeta::default()
    }
}

fn labels(agent: &ClusterAgent) -> BTreeMap<String, String> {
    let label = |name: &str, value: String| (name.to_owned(), value);
    BTreeMap::from([
        label("app.kubernetes.io/name", "xdhcpd".into()),
        label("app.kubernetes.io/component", "agent".into()),
        label(AGENT_LABEL, agent.name_any()),
    ])
}
