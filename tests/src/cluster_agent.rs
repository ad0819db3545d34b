//! The real agent of a ClusterAgent, with exactly the rights that the chart gives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::kube::Cluster;
use crate::netns::{NetNs, succeed};
use crate::server::Agent;
use crate::wait;

/// The rules of the agent's ClusterRole, as the chart has them.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/files/agent-rules.yaml");

/// Those of its Role in the namespace where it runs.
const LOCAL_RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/files/agent-namespace-rules.yaml");

/// The namespace and the name of the agents' account.
pub const ACCOUNT: (&str, &str) = ("xdhcpd", "agent");

/// The definitions of its objects, as the chart has them.
const DEFINITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/crds");

/// Longest wait for objects to be as they should: seconds on an idle machine.
pub const CONVERGED: Duration = Duration::from_mins(1);

/// What another machine has of its own: pins, and sockets.
const APART: &str = "mkdir -p /run/xdhcpd && mount -t tmpfs run /run/xdhcpd && mount -t bpf bpf /sys/fs/bpf && exec \"$0\" \"$@\"";

/// Where HTTP is served, inside the agent's namespace.
pub const HTTP: &str = "127.0.0.1:8000";

/// Teaches a cluster the objects of the agent, and waits until it knows them.
pub fn install_definitions(cluster: &Cluster) -> Result<()> {
    cluster.kubectl(&["apply", "--server-side", "-f", DEFINITIONS])?;
    let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f", DEFINITIONS];
    cluster.kubectl(&established)?;
    Ok(())
}

/// A name for an agent that no other test on this machine has: pins and sockets go by it, and what a killed
/// test left of them is swept by it.
pub fn agent_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("xdhcpd-test-kube-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The manifest of a ClusterAgent that serves 10.9.0.100 to 10.9.0.199 on `interface`, with these
/// further lines in its `dhcpServerConfig`, each indented by six spaces.
pub fn manifest(name: &str, interface: &str, lines: &[&str]) -> String {
    let lines = lines.join("\n      ");
    format!(
        "apiVersion: bmc.spidernet.io/v1beta1
kind: ClusterAgent
metadata: {{name: {name}}}
spec:
  agentYaml: {{replicas: 1, hostNetwork: true}}
  endpoint: {{port: 8080, https: false, secretName: \"\", secretNamespace: \"\"}}
  feature:
    enableDhcpServer: true
    dhcpServerConfig:
      dhcpServerInterface: {interface}
      subnet: 10.9.0.0/24
      ipRange: 10.9.0.100-10.9.0.199
      gateway: 10.9.0.1
      {lines}
"
    )
}

/// A running agent; killed, and its pins taken away, when dropped.
#[derive(Debug)]
pub struct ClusterAgent {
    agent: Agent,
    child: Child,
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    /// On a machine of its own, as far as files in /run and pins go.
    apart: bool,
}

impl std::ops::Deref for ClusterAgent {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl ClusterAgent {
    /// Starts the agent of this ClusterAgent in `namespace`, which is connected to the cluster, and waits
    /// until it is ready.
    pub fn start(cluster: &Cluster, namespace: &NetNs, name: &str) -> Result<Self> {
        Self::start_with(cluster, namespace, name, &[])
    }

    /// The same with more arguments.
    pub fn start_with(cluster: &Cluster, namespace: &NetNs, name: &str, arguments: &[&str]) -> Result<Self> {
        let mut agent = Self::spawn(cluster, namespace, name, arguments)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Starts it with a lease file that is there already, and waits until it is ready.
    pub fn start_from(cluster: &Cluster, namespace: &NetNs, name: &str, leases: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(format!("{name}-dhcpd.leases")), leases)?;
        let mut agent = Self::spawn_in(folder, cluster, namespace, name, &[], false)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Starts it without waiting.
    pub fn spawn(cluster: &Cluster, namespace: &NetNs, name: &str, arguments: &[&str]) -> Result<Self> {
        Self::spawn_in(tempfile::tempdir()?, cluster, namespace, name, arguments, false)
    }

    /// Starts a further agent of a ClusterAgent as on another node: it shares neither pins nor socket with
    /// the first, and both go with its process. What it is asked is asked over HTTP.
    pub fn start_apart(cluster: &Cluster, namespace: &NetNs, name: &str) -> Result<Self> {
        let mut agent = Self::spawn_in(tempfile::tempdir()?, cluster, namespace, name, &[], true)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    fn spawn_in(
        folder: tempfile::TempDir,
        cluster: &Cluster,
        namespace: &NetNs,
        name: &str,
        arguments: &[&str],
        apart: bool,
    ) -> Result<Self> {
        let kubeconfig = kubeconfig(cluster)?;
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let child = run(namespace, folder.path(), &kubeconfig, name, &arguments, apart)?;
        Ok(Self { agent: Agent::inside(name, namespace), child, folder, kubeconfig, arguments, apart })
    }

    /// Waits until `/readyz` says so.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let (agent, child) = (&self.agent, &mut self.child);
        let ready = wait::until_true("the agent to be ready", CONVERGED, || {
            if let Some(status) = child.try_wait()? {
                bail!("xdhcpd ended with {status}");
            }
            Ok(agent.http(HTTP, "/readyz").is_ok_and(|(status, _)| status == 200))
        });
        ready.with_context(|| format!("its log:\n{}", self.log()))
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait::until("the agent to end", CONVERGED, || Ok(child.try_wait()?))
    }

    /// Its folder: leases and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Waits until it logs this.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        let said = wait::until_true(&format!("the log to say {text:?}"), CONVERGED, || {
            Ok(self.log().contains(text))
        });
        said.with_context(|| format!("its log:\n{}", self.log()))
    }

    /// Ends it as `signal` does; its pins stay.
    pub fn stop(&mut self, signal: &str) -> Result<ExitStatus> {
        succeed(std::process::Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]))?;
        self.wait_for_end()
    }

    /// Starts it again with the same folder, and waits until it is ready.
    pub fn restart(&mut self, namespace: &NetNs) -> Result<()> {
        self.respawn(namespace)?;
        self.wait_until_ready()
    }

    /// The same without waiting.
    pub fn respawn(&mut self, namespace: &NetNs) -> Result<()> {
        self.child = run(
            namespace,
            self.folder.path(),
            &self.kubeconfig,
            self.agent.name(),
            &self.arguments,
            self.apart,
        )?;
        Ok(())
    }
}

impl Drop for ClusterAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.apart {
            let _ = self.agent.run(&["detach"]);
        }
        // Shown if the test fails.
        eprintln!("--- the agent's log ---\n{}", self.log());
    }
}

/// A kubeconfig of the agents' service account, which has the chart's rules and no others.
pub fn kubeconfig(cluster: &Cluster) -> Result<PathBuf> {
    let rules = fs::read_to_string(RULES).context(RULES)?;
    let local = fs::read_to_string(LOCAL_RULES).context(LOCAL_RULES)?;
    cluster.service_account_with(ACCOUNT.0, ACCOUNT.1, &rules, &local)
}

fn run(
    namespace: &NetNs,
    folder: &Path,
    kubeconfig: &Path,
    name: &str,
    more: &[String],
    apart: bool,
) -> Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
    let mut command = if apart {
        let mut command = namespace.command("unshare");
        command.args(["--mount", "sh", "-c", APART]).arg(Agent::binary());
        command
    } else {
        namespace.command(Agent::binary())
    };
    command
        .args(["run", "--cluster-agent", name, "--http", HTTP, "--lease-dir"])
        .arg(folder)
        .args(more)
        .env("KUBECONFIG", kubeconfig)
        .env("LOG_LEVEL", "debug")
        .env("RUST_LOG", "info,xdhcpd=debug")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting xdhcpd; is it built?")
}

/// The HostStatus of an address, if it is there.
pub fn host_status(cluster: &Cluster, agent: &str, ip: &str) -> Result<Option<Value>> {
    cluster.get_json("hoststatus", &format!("{agent}-{}", ip.replace('.', "-")))
}

/// Waits until the HostStatus of an address is there and `holds` holds for it.
pub fn wait_for_status(
    cluster: &Cluster,
    agent: &str,
    ip: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut last = None;
    let found = wait::until(&format!("the HostStatus of {ip}: {what}"), CONVERGED, || {
        last = host_status(cluster, agent, ip)?;
        Ok(last.clone().filter(|object| holds(object)))
    });
    found.with_context(|| format!("it is {last:#?}"))
}

/// Waits until the HostStatus of an address is gone.
pub fn wait_until_gone(cluster: &Cluster, agent: &str, ip: &str) -> Result<()> {
    wait::until_true(&format!("the HostStatus of {ip} to be gone"), CONVERGED, || {
        Ok(host_status(cluster, agent, ip)?.is_none())
    })
}
