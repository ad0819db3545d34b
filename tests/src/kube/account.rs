//! Service accounts with rights of their own, as the agent has one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Cluster, READY};
use crate::wait;

/// For how long a token is good: longer than any test.
const TOKEN: &str = "--duration=24h";

/// No rules, as the value of a key in a line above.
const NONE: &str = "  []";

impl Cluster {
    /// Makes a service account that may do what `rules` say and nothing else, and gives the path of a
    /// kubeconfig with a token of it. `rules` are those of a ClusterRole, a list in YAML:
    ///
    /// ```yaml
    /// - {apiGroups: [""], resources: [configmaps], verbs: [get, list]}
    /// ```
    ///
    /// It returns once the API server takes the token and knows the rules. Called again, it replaces
    /// the rules.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str, rules: &str) -> Result<PathBuf> {
        self.service_account_with(namespace, name, rules, NONE)
    }

    /// The same with `local` rules beside, those of a Role in its namespace.
    pub fn service_account_with(
        &self,
        namespace: &str,
        name: &str,
        rules: &str,
        local: &str,
    ) -> Result<PathBuf> {
        // Two tests that make the same account at one moment would each find it missing, and one of them
        // then that it is there.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let role = format!("{namespace}-{name}");
        self.apply(&manifests(namespace, name, &role, rules, local))?;
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, TOKEN])?;
        let kubeconfig = self.folder().join(format!("{role}.kubeconfig"));
        write_kubeconfig(&kubeconfig, &self.stanza, &json!({"token": token.trim()}))?;
        let everywhere = self.get_json("clusterrole", &role)?;
        let here = self.run(&["get", "role", name, "--namespace", namespace, "-o", "json"])?;
        let here: Option<Value> = Some(serde_json::from_str(&here)?);
        let rules = [everywhere, here].map(|role| role.and_then(|role| role["rules"].as_array().cloned()));
        let wanted: Vec<Value> = rules.into_iter().flatten().flatten().collect();
        // The authorizer learns of roles by a watch of its own.
        wait::until_true("the service account to have its rights", READY, || {
            let rules = self.kubectl.with_kubeconfig(&kubeconfig).own_rules(namespace);
            Ok(rules.is_ok_and(|rules| wanted.iter().all(|rule| rules.contains(rule))))
        })?;
        Ok(kubeconfig)
    }
}

fn manifests(namespace: &str, name: &str, role: &str, rules: &str, local: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {role}}}
rules:
{rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {role}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}, namespace: {namespace}}}
rules:
{local}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
"
    )
}

/// Writes a kubeconfig of one cluster and one user, as these parts of it describe them.
pub(super) fn write_kubeconfig(path: &Path, cluster: &Value, user: &Value) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    });
    // JSON is YAML.
    fs::write(path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
