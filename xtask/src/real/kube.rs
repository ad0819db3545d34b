//! Kubernetes' programs: the API server, the controllers, etcd that keeps their objects; and those that
//! make a node.

use std::env;

use anyhow::Result;

use super::go::Module;
use crate::progress::Progress;
use crate::setup::find;
use crate::workspace::Workspace;

/// Where Kubernetes' programs are told their version; without it clients refuse the server's.
const VERSION: &str = "k8s.io/component-base/version";

/// Whether there is a cluster for the tests already.
pub fn is_given() -> bool {
    env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty())
}

/// Builds what is missing.
pub fn ensure(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let etcd = Module::read(workspace, "etcd", "go.etcd.io/etcd/server/v3")?;
    etcd.ensure(workspace, progress, &[("etcd", "go.etcd.io/etcd/server/v3")], "")?;

    let kubernetes = Module::read(workspace, "kubernetes", "k8s.io/kubernetes")?;
    let mut programs = vec![
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ];
    if find("kubectl").is_none() {
        programs.push(("kubectl", "k8s.io/kubernetes/cmd/kubectl"));
    }
    kubernetes.ensure(workspace, progress, &programs, &version_flags(&kubernetes.version))
}

/// Builds what is missing of the parts that make a node of a machine, beside those of [`ensure`].
pub fn ensure_node(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let kubernetes = Module::read(workspace, "kubernetes", "k8s.io/kubernetes")?;
    let programs = [
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ];
    kubernetes.ensure(workspace, progress, &programs, &version_flags(&kubernetes.version))
}

/// The linker's flags that tell a program its version.
fn version_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!("-X {VERSION}.gitVersion={version} -X {VERSION}.gitMajor={major} -X {VERSION}.gitMinor={minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_their_version_and_its_numbers() {
        let flags = version_flags("v1.36.3");
        let told: Vec<_> = flags.split(' ').filter_map(|flag| flag.rsplit_once('.')).collect();
        assert!(flags.contains("gitVersion=v1.36.3"), "{told:?}");
        assert!(flags.contains("gitMajor=1 "), "{told:?}");
        assert!(flags.ends_with("gitMinor=36"), "{told:?}");
    }
}
