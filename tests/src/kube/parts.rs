//! The programs of a real Kubernetes and helm, as `cargo xtask real` builds them and keeps them.

use std::path::PathBuf;

use crate::{built, skip};

/// Says which Kubernetes is built; and so in which folder it lies.
const KUBERNETES: &str = include_str!("../../real/kubernetes/go.mod");
/// The same of etcd.
const ETCD: &str = include_str!("../../real/etcd/go.mod");
/// The same of helm.
const HELM: &str = include_str!("../../real/helm/go.mod");

/// The servers of a cluster without nodes.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Keeps the objects.
    pub etcd: PathBuf,
    /// Serves them.
    pub api: PathBuf,
    /// Collects garbage and makes service accounts.
    pub controllers: PathBuf,
}

/// The built servers; else what is missing and how to get it.
pub fn servers() -> Result<Servers, String> {
    let kubernetes = kubernetes()?;
    let etcd = kept("etcd", version(ETCD, "go.etcd.io/etcd/server/v3"))?;
    let servers = Servers {
        etcd: etcd.join("etcd"),
        api: kubernetes.join("kube-apiserver"),
        controllers: kubernetes.join("kube-controller-manager"),
    };
    for program in [&servers.etcd, &servers.api, &servers.controllers] {
        if !program.is_file() {
            return Err(format!("{} is missing: cargo xtask real kube (needs Go)", program.display()));
        }
    }
    Ok(servers)
}

/// kubectl, ours or the machine's; else how to get it.
pub fn kubectl() -> Result<PathBuf, String> {
    let (ours, path) = (kubernetes().ok(), skip::search_path());
    ours.into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("kubectl"))
        .find(|program| program.is_file())
        .ok_or_else(|| "kubectl is missing: cargo xtask real kube (needs Go)".into())
}

/// helm as it is built; else how to get it.
pub fn helm() -> Result<PathBuf, String> {
    let program = kept("helm", version(HELM, "helm.sh/helm/v3"))?.join("helm");
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("{} is missing: cargo xtask real helm (needs Go)", program.display()))
}

/// Where Kubernetes' programs are kept.
pub fn kubernetes() -> Result<PathBuf, String> {
    kept("kubernetes", version(KUBERNETES, "k8s.io/kubernetes"))
}

/// The folder of what xtask keeps in this version.
fn kept(name: &str, version: Option<&str>) -> Result<PathBuf, String> {
    let version = version.ok_or_else(|| format!("tests/real/{name}/go.mod requires no version of it"))?;
    Ok(built::real().join(format!("{name}-{version}")))
}

/// The version of `module` that a go.mod requires in a line of its own.
fn version<'t>(go_mod: &'t str, module: &str) -> Option<&'t str> {
    go_mod.lines().find_map(|line| line.strip_prefix("require ")?.strip_prefix(module)?.strip_prefix(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_versions_name_the_folders() {
        let modules = [
            (KUBERNETES, "k8s.io/kubernetes"),
            (ETCD, "go.etcd.io/etcd/server/v3"),
            (HELM, "helm.sh/helm/v3"),
        ];
        for (text, module) in modules {
            assert!(version(text, module).is_some_and(|version| version.starts_with('v')), "{module}");
        }
        assert_eq!(version(KUBERNETES, "k8s.io"), None);
    }
}
