//! kubelet: runs the pods that the API server gives to the node.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::containers::SOCKET;
use super::parts::Parts;
use super::place::Place;
use crate::kube::process::Process;

/// A running kubelet.
#[derive(Debug)]
pub struct Kubelet {
    process: Process,
}

impl Kubelet {
    /// Starts it as the node of this name and address, with the kubeconfig of that node; its containers are
    /// below the control group `cgroup`.
    pub fn start(
        parts: &Parts,
        place: &Place,
        folder: &Path,
        (name, address): (&str, &str),
        kubeconfig: &Path,
        cgroup: &str,
    ) -> Result<Self> {
        let config = folder.join("kubelet.yaml");
        // JSON is YAML.
        fs::write(&config, configuration(folder, cgroup).to_string())?;
        let mut command = place.command(&parts.kubelet);
        command.arg("--config").arg(&config).arg("--kubeconfig").arg(kubeconfig);
        command.arg(format!("--hostname-override={name}")).arg(format!("--node-ip={address}"));
        Ok(Self { process: Process::start("kubelet", command, folder)? })
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// An error when it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(status) => bail!("kubelet ended with {status}\n{}", self.last_words()),
            None => Ok(()),
        }
    }
}

fn configuration(folder: &Path, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        // Nobody reaches it but the API server and the pods.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": false,
        // The machine is not the node's alone.
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        // Its disk may be nearly full; and images that were brought cannot be fetched again.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": false,
        "volumePluginDir": folder.join("plugins"),
        "readOnlyPort": 0,
        // A test waits for what comes of it.
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
    })
}
