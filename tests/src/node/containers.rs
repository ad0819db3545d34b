//! containerd: the runtime of a node's containers, and its images.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::image;
use super::parts::{NETWORK_PLUGINS, Parts};
use super::place::Place;
use crate::kube::process::Process;
use crate::netns::succeed;
use crate::wait;

/// Where it listens, in the node.
pub const SOCKET: &str = "/run/containerd/containerd.sock";

/// The image of a pod's sandbox.
const SANDBOX: &str = "localhost/sandbox:1";
/// Where pods are; the node is the first of them.
const PODS: &str = "10.244.0.0/24";
/// Longest wait for it to answer: a second on an idle machine.
const READY: std::time::Duration = std::time::Duration::from_mins(1);

/// A running containerd.
#[derive(Debug)]
pub struct Containers {
    process: Process,
    ctr: PathBuf,
}

impl Containers {
    /// Starts it, and gives it the image of sandboxes.
    pub fn start(parts: &Parts, place: &Place, folder: &Path) -> Result<Self> {
        let networks = folder.join("networks");
        fs::create_dir(&networks)?;
        fs::write(networks.join("pods.conflist"), network().to_string())?;
        let config = folder.join("containerd.toml");
        fs::write(&config, configuration(&networks))?;
        let mut command = place.command(&parts.containerd);
        command.arg("--config").arg(&config);
        let process = Process::start("containerd", command, folder)?;
        let mut containers = Self { process, ctr: parts.ctr.clone() };
        containers.wait_until_ready(place)?;
        let sandbox = image::sandbox(&parts.busybox, SANDBOX, folder)?;
        containers.import(place, &sandbox)?;
        Ok(containers)
    }

    /// Takes in the images of a docker-archive.
    pub fn import(&self, place: &Place, archive: &Path) -> Result<()> {
        let mut command = place.command(&self.ctr);
        command.args(["--address", SOCKET, "--namespace", "k8s.io", "images", "import"]).arg(archive);
        succeed(&mut command)?;
        Ok(())
    }

    /// Gives an image a second name.
    pub fn tag(&self, place: &Place, name: &str, another: &str) -> Result<()> {
        let mut command = place.command(&self.ctr);
        command.args(["--address", SOCKET, "--namespace", "k8s.io", "images", "tag", name, another]);
        succeed(&mut command)?;
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// An error when it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.process.ended()? {
            Some(status) => bail!("containerd ended with {status}\n{}", self.last_words()),
            None => Ok(()),
        }
    }

    fn wait_until_ready(&mut self, place: &Place) -> Result<()> {
        let ctr = self.ctr.clone();
        let ready = wait::until_true("containerd to answer", READY, || {
            self.check()?;
            let mut command = place.command(&ctr);
            command.args(["--address", SOCKET, "--connect-timeout", "2s", "version"]);
            Ok(succeed(&mut command).is_ok())
        });
        ready.with_context(|| self.last_words())
    }
}

/// What differs from its defaults.
fn configuration(networks: &Path) -> String {
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX}"
# Without CAP_SYS_RESOURCE no process may be made less likely to be killed for want of memory.
restrict_oom_score_adj = true
# A profile would be loaded into the machine's kernel, and stay.
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{NETWORK_PLUGINS}"
conf_dir = "{}"
"#,
        networks.display()
    )
}

/// The network of pods: a bridge that the node is on, with no way out.
fn network() -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}
