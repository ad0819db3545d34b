//! etcd, the API server and the controllers, as processes in a network namespace.
//!
//! The namespace is the cluster's alone or one that a test made, so the ports are free in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::json;

use super::api::Access;
use super::parts;
use super::process::Process;
use super::{API_ADDRESS, API_PORT, API_URL, NODE};
use crate::netns::succeed;

/// Where etcd listens.
const ETCD: &str = "http://127.0.0.1:2379";
/// Where it would listen to others like it.
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Who an administrator is, to an API server that nobody else reaches.
const ADMIN_TOKEN: &str = "administrator";
/// Who the node is.
pub(super) const NODE_TOKEN: &str = "node";

/// The servers of a cluster of our own.
#[derive(Debug)]
pub struct Servers {
    // In the order in which they go.
    scheduler: Option<Process>,
    controllers: Option<Process>,
    api: Option<Process>,
    etcd: Process,
    programs: parts::Servers,
    namespace: String,
    folder: PathBuf,
    api_arguments: Vec<String>,
}

impl Servers {
    /// Starts etcd and the API server in the namespace of this name, with their data in `folder`.
    pub fn start(
        programs: parts::Servers,
        namespace: &str,
        folder: &Path,
        api_arguments: &[&str],
    ) -> Result<Self> {
        make_key(&folder.join("accounts.key"))?;
        let users = format!(
            "{ADMIN_TOKEN},admin,admin,system:masters\n{NODE_TOKEN},system:node:{NODE},{NODE},system:nodes\n"
        );
        fs::write(folder.join("tokens.csv"), users)?;
        let etcd = Process::start("etcd", etcd(&programs, namespace, folder), folder)?;
        let mut servers = Self {
            scheduler: None,
            controllers: None,
            api: None,
            etcd,
            programs,
            namespace: namespace.to_owned(),
            folder: folder.to_path_buf(),
            api_arguments: api_arguments.iter().map(ToString::to_string).collect(),
        };
        servers.start_api()?;
        Ok(servers)
    }

    /// What an administrator's kubeconfig needs.
    pub fn access(&self) -> Access {
        // The API server made it, with the authority behind it in the same file.
        let cluster = json!({"server": API_URL, "certificate-authority": self.certificate()});
        Access { cluster, user: json!({"token": ADMIN_TOKEN}) }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("apiserver.crt")
    }

    /// Starts the API server; it takes a while until it answers.
    pub fn start_api(&mut self) -> Result<()> {
        if self.api.is_some() {
            bail!("the API server runs already");
        }
        let command = self.api_command();
        self.api = Some(Process::start("kube-apiserver", command, &self.folder)?);
        Ok(())
    }

    /// Ends the API server on the spot: its port is free again, its objects are in etcd.
    pub fn stop_api(&mut self) {
        self.api = None;
    }

    /// Sends the API server a signal.
    pub fn signal_api(&self, signal: Signal) -> Result<()> {
        self.api.as_ref().context("the API server does not run")?.signal(signal)
    }

    /// Starts the controllers.
    pub fn start_controllers(&mut self, kubeconfig: &Path) -> Result<()> {
        let mut command = Process::command(&self.namespace, &self.programs.controllers);
        command.arg("--kubeconfig").arg(kubeconfig);
        command.arg("--service-account-private-key-file").arg(self.folder.join("accounts.key"));
        // What it puts beside the token in each pod.
        command.arg("--root-ca-file").arg(self.certificate());
        command.args(["--controllers=*,-nodeipam", "--leader-elect=false", "--secure-port=0"]);
        self.controllers = Some(Process::start("kube-controller-manager", command, &self.folder)?);
        Ok(())
    }

    /// Starts the scheduler.
    pub fn start_scheduler(&mut self, program: &Path, kubeconfig: &Path) -> Result<()> {
        let mut command = Process::command(&self.namespace, program);
        command.arg("--kubeconfig").arg(kubeconfig);
        command.args(["--leader-elect=false", "--secure-port=0"]);
        self.scheduler = Some(Process::start("kube-scheduler", command, &self.folder)?);
        Ok(())
    }

    /// An error when one has ended that should run.
    pub fn check(&mut self) -> Result<()> {
        let started =
            [Some(&mut self.etcd), self.api.as_mut(), self.controllers.as_mut(), self.scheduler.as_mut()];
        for process in started.into_iter().flatten() {
            if let Some(status) = process.ended()? {
                bail!("a server ended with {status}\n{}", process.last_words());
            }
        }
        Ok(())
    }

    /// The ends of their logs.
    pub fn last_words(&self) -> String {
        let all = [Some(&self.etcd), self.api.as_ref(), self.controllers.as_ref(), self.scheduler.as_ref()];
        all.into_iter().flatten().map(Process::last_words).collect::<Vec<_>>().join("\n")
    }

    fn api_command(&self) -> Command {
        let mut command = Process::command(&self.namespace, &self.programs.api);
        let key = self.folder.join("accounts.key");
        command.arg("--cert-dir").arg(&self.folder);
        command.arg("--token-auth-file").arg(self.folder.join("tokens.csv"));
        command.arg("--service-account-key-file").arg(&key);
        command.arg("--service-account-signing-key-file").arg(&key);
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        command.args([&format!("--etcd-servers={ETCD}"), &format!("--secure-port={API_PORT}")]);
        command.arg(format!("--advertise-address={API_ADDRESS}"));
        command.args(["--service-cluster-ip-range=10.96.0.0/24", "--authorization-mode=Node,RBAC"]);
        command.arg("--allow-privileged").args(&self.api_arguments);
        command
    }
}

fn etcd(programs: &parts::Servers, namespace: &str, folder: &Path) -> Command {
    let mut command = Process::command(namespace, &programs.etcd);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
    command.args(["--listen-peer-urls", ETCD_PEERS, "--initial-advertise-peer-urls", ETCD_PEERS]);
    command.args(["--initial-cluster", &format!("default={ETCD_PEERS}")]);
    // Nothing of it outlives the test.
    command.args(["--unsafe-no-fsync", "--log-level=warn"]);
    command
}

/// A key to sign the tokens of service accounts with.
fn make_key(path: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]).arg(path);
    succeed(&mut command).context("making a key; is openssl installed?")?;
    Ok(())
}
