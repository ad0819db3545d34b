//! A real Kubernetes of one node: the servers of [`crate::kube`], a scheduler, containerd and kubelet.
//!
//! The node has namespaces of its own: its network is that of its cluster, its processes cannot outlive it,
//! and the places that a node writes to (`/run`, `/var/lib`, `/var/log`, `/sys/fs/bpf`) are its own. Of the
//! machine it takes control groups, all below one that goes with it. So nothing is left when the value is
//! dropped, and nothing runs on when the test is killed; the next run removes the empty rest.
//!
//! Pods are on a bridge that the node is on and nobody else. There is no kube-proxy: of services only
//! `kubernetes` is reached, through a forwarder at its address. Images are brought ([`Node::import`]),
//! never fetched.

pub mod cgroups;
mod containers;
pub mod image;
mod kubelet;
mod parts;
mod place;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use self::cgroups::Cgroup;
use self::containers::Containers;
use self::kubelet::Kubelet;
use self::place::Place;
use crate::kube::{self, Cluster};
use crate::netns::{self, NetNs};
use crate::{skip, wait};

/// The node's name in Kubernetes.
pub const NAME: &str = kube::NODE;

/// Longest wait for the node to be ready, and for a pod: seconds on an idle machine.
pub const READY: Duration = Duration::from_mins(3);

/// How often it is asked whether it is.
const LOOK: Duration = Duration::from_millis(200);

/// A cluster and its node.
#[derive(Debug)]
pub struct Node {
    // In the order in which they go.
    kubelet: Kubelet,
    containers: Containers,
    place: Place,
    cluster: Cluster,
    _cgroup: Cgroup,
    network: NetNs,
    folder: tempfile::TempDir,
}

/// Whether a node can be had here; else the test `name` is noted as skipped, and why.
pub fn is_there(name: &str) -> bool {
    if !kube::is_there(name) || !kube::is_own(name) {
        return false;
    }
    if let Err(missing) = parts::parts() {
        skip::skipped(name, &missing);
        return false;
    }
    true
}

impl Node {
    /// Starts all of it and waits until the node is ready.
    pub fn start() -> Result<Self> {
        let parts = parts::parts().map_err(|missing| anyhow!(missing))?;
        let network = NetNs::new("node")?;
        let folder = netns::folder("node")?;
        let cgroup = Cgroup::new(network.name())?;
        let mut cluster =
            Cluster::start_in_with(&network, &["--kubelet-preferred-address-types=InternalIP"])?;
        cluster.open_service()?;
        cluster.start_controllers()?;
        cluster.start_scheduler(&parts.scheduler)?;
        let place = Place::make(&network, folder.path())?;
        let containers = Containers::start(&parts, &place, folder.path())?;
        let identity = (NAME, kube::API_ADDRESS);
        let kubeconfig = cluster.node_kubeconfig()?;
        let kubelet = Kubelet::start(&parts, &place, folder.path(), identity, &kubeconfig, &cgroup.path())?;
        let mut node = Self { kubelet, containers, place, cluster, _cgroup: cgroup, network, folder };
        node.wait_until_ready()?;
        Ok(node)
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its network namespace.
    pub fn network(&self) -> &NetNs {
        &self.network
    }

    /// Where its configuration and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes in the images of a docker-archive.
    pub fn import(&self, archive: &Path) -> Result<()> {
        self.containers.import(&self.place, archive).with_context(|| format!("{}", archive.display()))
    }

    /// Gives an image a second name.
    pub fn tag(&self, name: &str, another: &str) -> Result<()> {
        self.containers.tag(&self.place, name, another)
    }

    /// A command on the node, as somebody who is logged in there types it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.place.command(program)
    }

    /// A path on the node, as it is reached from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        self.place.path(path)
    }

    /// A process in all of the node's namespaces but, perhaps, that of its network.
    pub fn first_process(&self) -> u32 {
        self.place.first_process()
    }

    /// An error when a part of it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.kubelet.check()?;
        self.containers.check()?;
        self.cluster.check()
    }

    /// The ends of the logs of the node's own parts.
    pub fn last_words(&self) -> String {
        format!("{}\n{}", self.kubelet.last_words(), self.containers.last_words())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = wait::until_true("the node to be ready", READY, || {
            self.check()?;
            let node = self.cluster.get_json("node", NAME)?;
            let conditions = node.map(|node| node["status"]["conditions"].clone()).unwrap_or_default();
            let mut conditions = conditions.as_array().into_iter().flatten();
            let ready = conditions.any(|it| it["type"] == "Ready" && it["status"] == "True");
            if !ready {
                std::thread::sleep(LOOK);
            }
            Ok(ready)
        });
        ready.with_context(|| self.last_words())
    }
}
