//! The account that an agent's pods have, and what ties it to the roles of all agents.

use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt as _;

use super::{Kind, Settings, metadata};
use crate::kube::objects::ClusterAgent;

/// The account.
pub fn account(agent: &ClusterAgent, settings: &Settings) -> ServiceAccount {
    let metadata = metadata(Kind::ServiceAccount, agent, settings);
    ServiceAccount { metadata, ..ServiceAccount::default() }
}

/// What it may do in the whole cluster.
pub fn everywhere(agent: &ClusterAgent, settings: &Settings) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: metadata(Kind::ClusterRoleBinding, agent, settings),
        role_ref: role(ClusterRole::KIND, settings),
        subjects: Some(vec![subject(agent, settings)]),
    }
}

/// What it may do in its own namespace.
pub fn at_home(agent: &ClusterAgent, settings: &Settings) -> RoleBinding {
    RoleBinding {
        metadata: metadata(Kind::RoleBinding, agent, settings),
        role_ref: role(Role::KIND, settings),
        subjects: Some(vec![subject(agent, settings)]),
    }
}

fn role(kind: &str, settings: &Settings) -> RoleRef {
    RoleRef { api_group: Role::GROUP.into(), kind: kind.into(), name: settings.role.clone() }
}

fn subject(agent: &ClusterAgent, settings: &Settings) -> Subject {
    Subject {
        kind: ServiceAccount::KIND.into(),
        name: Kind::ServiceAccount.name(&agent.name_any()),
        namespace: Some(settings.namespace.clone()),
        api_group: None,
    }
}
