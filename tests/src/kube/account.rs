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
    /// As a pod's, it leads to the account's own namespace where nobody names another. It returns once the API
    /// server takes the token and knows the rules. Called again, it replaces the rules.
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
        let kubeconfig = self.kubeconfig_of(namespace, name)?;
        let wanted = self.rules_of(namespace, name)?.concat();
        // The authorizer learns of roles by a watch of its own.
        wait::until_true("the service account to have its rights", READY, || {
            let rules = self.kubectl.with_kubeconfig(&kubeconfig).own_rules(namespace);
            Ok(rules.is_ok_and(|rules| wanted.iter().all(|rule| rules.contains(rule))))
        })?;
        Ok(kubeconfig)
    }

    /// A kubeconfig of an account that is there, with a token of it.
    pub fn kubeconfig_of(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, TOKEN])?;
        let kubeconfig = self.folder().join(format!("{namespace}-{name}.kubeconfig"));
        write_kubeconfig(&kubeconfig, &self.stanza, &json!({"token": token.trim()}), namespace)?;
        Ok(kubeconfig)
    }

    /// The rules of such an account: those that hold everywhere, and those of its namespace.
    pub fn rules_of(&self, namespace: &str, name: &str) -> Result<[Vec<Value>; 2]> {
        let rules = |kind: &str, role: &str| -> Result<Vec<Value>> {
            let role = self.run(&["get", kind, role, "--namespace", namespace, "-o", "json"])?;
            let role: Value = serde_json::from_str(&role)?;
            Ok(role["rules"].as_array().cloned().unwrap_or_default())
        };
        Ok([rules("clusterrole", &format!("{namespace}-{name}"))?, rules("role", name)?])
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

/// Writes a kubeconfig of one cluster and one user, as these parts of it describe them, at home in this namespace.
pub(super) fn write_kubeconfig(path: &Path, cluster: &Value, user: &Value, namespace: &str) -> Result<()> {
    let context = json!({"cluster": "test", "user": "test", "namespace": namespace});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    });
    // JSON is YAML.
    fs::write(path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
