//! The real controller, with exactly the rights that the chart gives it.

use std::fs;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster_agent::CONVERGED;
use crate::kube::Cluster;
use crate::kube::process::Process;
use crate::server::Agent;
use crate::{http, wait};

/// The rules of its ClusterRole, as the chart has them.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/files/controller-rules.yaml");

/// Those of its Role in the namespace where the agents run.
const LOCAL_RULES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/files/controller-namespace-rules.yaml");

/// The namespace where it runs, and where the agents do.
pub const NAMESPACE: &str = "xdhcpd-controller";

/// The namespace and the name of its account.
pub const ACCOUNT: (&str, &str) = (NAMESPACE, "controller");

/// The image that it gives agents.
pub const IMAGE: &str = "registry.example.org/xdhcpd:1";

/// The Lease that says which one works.
pub const LEASE: &str = "xdhcpd-controller";

/// A running controller; killed when dropped.
#[derive(Debug)]
pub struct Controller {
    process: Process,
    home: String,
    http: String,
}

impl Controller {
    /// Starts one where the API server is, and waits until it is ready. `name` is its identity, and `port`
    /// where it serves HTTP: others beside it have others.
    pub fn start(cluster: &Cluster, name: &'static str, port: u16, arguments: &[&str]) -> Result<Self> {
        let rules = fs::read_to_string(RULES).context(RULES)?;
        let local = fs::read_to_string(LOCAL_RULES).context(LOCAL_RULES)?;
        let kubeconfig = cluster.service_account_with(ACCOUNT.0, ACCOUNT.1, &rules, &local)?;
        let http = format!("127.0.0.1:{port}");
        let mut command = Process::command(cluster.home(), &Agent::binary());
        command.args(["controller", "--namespace", NAMESPACE, "--image", IMAGE, "--identity", name]);
        command.args(["--http", &http]).args(arguments);
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info,xdhcpd=debug");
        let process = Process::start(name, command, cluster.folder())?;
        let mut controller = Self { process, home: cluster.home().to_owned(), http };
        controller.wait_until_ready()?;
        Ok(controller)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = wait::until_true("the controller to be ready", CONVERGED, || {
            if let Some(status) = self.process.ended()? {
                bail!("it ended with {status}");
            }
            Ok(self.http("/readyz").is_ok_and(|(status, _)| status == 200))
        });
        ready.with_context(|| self.process.last_words())
    }

    /// The status and the body of a GET.
    pub fn http(&self, path: &str) -> Result<(u16, String)> {
        http::get(&self.home, &self.http, path)
    }

    /// The value of a series of its metrics.
    pub fn metric(&self, series: &str) -> Result<Option<String>> {
        let (_, text) = self.http("/metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(value.map(str::to_owned))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it as a signal does, and gives its exit status.
    pub fn stop(&mut self, signal: Signal) -> Result<std::process::ExitStatus> {
        self.signal(signal)?;
        wait::until("the controller to end", CONVERGED, || self.process.ended())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }
}

/// An object in the namespace of the agents; none where there is none.
pub fn part(cluster: &Cluster, kind: &str, name: &str) -> Result<Option<Value>> {
    let words = ["get", kind, name, "--namespace", NAMESPACE, "--ignore-not-found", "-o", "json"];
    let text = cluster.run(&words)?;
    if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
}

/// Waits until such an object is there and `holds` holds for it.
pub fn wait_for_part(
    cluster: &Cluster,
    kind: &str,
    name: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut last = None;
    let found = wait::until(&format!("{kind} {name}: {what}"), CONVERGED, || {
        last = part(cluster, kind, name)?;
        Ok(last.clone().filter(|object| holds(object)))
    });
    found.with_context(|| format!("it is {last:#?}"))
}

/// Waits until the ClusterAgent's condition of this type has this status and reason; its message.
pub fn wait_for_condition(
    cluster: &Cluster,
    agent: &str,
    kind: &str,
    status: &str,
    reason: &str,
) -> Result<String> {
    let wanted = |object: &Value| {
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let said = all.into_iter().find(|said| said["type"] == kind)?;
        let holds = said["status"] == status
            && said["reason"] == reason
            && said["observedGeneration"] == object["metadata"]["generation"];
        holds.then(|| said["message"].as_str().unwrap_or_default().to_owned())
    };
    let mut last = None;
    let found = wait::until(&format!("{agent} to be {kind} {status}: {reason}"), CONVERGED, || {
        last = cluster.get_json("clusteragent", agent)?;
        Ok(last.as_ref().and_then(wanted))
    });
    found.with_context(|| format!("it is {last:#?}"))
}

/// Who holds the Lease; none: nobody.
pub fn holder(cluster: &Cluster) -> Result<Option<String>> {
    let lease = part(cluster, "lease", LEASE)?;
    Ok(lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned)))
}
