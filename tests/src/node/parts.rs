//! What makes a node of a machine: programs that `cargo xtask real node` builds, and Debian's.

use std::path::{Path, PathBuf};

use crate::kube::parts::kubernetes;
use crate::{built, skip};

/// Where Debian has the plug-ins that give pods their network.
pub const NETWORK_PLUGINS: &str = "/usr/lib/cni";

/// The programs of a node.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Gives pods to nodes; one is enough for a cluster.
    pub scheduler: PathBuf,
    /// Runs a node's pods.
    pub kubelet: PathBuf,
    /// Runs kubelet's containers.
    pub containerd: PathBuf,
    /// Talks to containerd.
    pub ctr: PathBuf,
    /// All that is in the image of a pod's sandbox.
    pub busybox: PathBuf,
}

/// All of them; else what is missing, and how to get it.
pub fn parts() -> Result<Parts, String> {
    let kubernetes = kubernetes()?;
    let parts = Parts {
        scheduler: kept(kubernetes.join("kube-scheduler"), "node (needs Go)")?,
        kubelet: kept(kubernetes.join("kubelet"), "node (needs Go)")?,
        containerd: installed("containerd", "containerd")?,
        ctr: installed("ctr", "containerd")?,
        busybox: kept(built::real().join("busybox/bin/busybox"), "guest")?,
    };
    for (program, package) in [("runc", "runc"), ("buildah", "buildah"), ("unshare", "util-linux")] {
        installed(program, package)?;
    }
    if !Path::new(NETWORK_PLUGINS).join("bridge").is_file() {
        return Err(format!(
            "{NETWORK_PLUGINS}/bridge is missing: apt-get install containernetworking-plugins"
        ));
    }
    Ok(parts)
}

fn kept(program: PathBuf, part: &str) -> Result<PathBuf, String> {
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("{} is missing: cargo xtask real {part}", program.display()))
}

fn installed(program: &str, package: &str) -> Result<PathBuf, String> {
    skip::find(program).ok_or_else(|| format!("{program} is missing: apt-get install {package}"))
}
