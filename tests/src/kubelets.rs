//! In the place of kubelets: nodes on which nothing runs, and pods that become ready and end as if they did.
//!
//! Everything of Kubernetes' own is real but this: it is stepped by the test, one look at all pods at a time, so that
//! between two looks no pod becomes ready and none is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::kube::Cluster;

/// How long a pod takes to become ready, and to end.
const TAKES: Duration = Duration::from_millis(500);

/// How often a node says that it is there: many times as often as it has to.
const BEAT: Duration = Duration::from_secs(5);

/// Nodes, and the pods of one namespace on them.
#[derive(Debug)]
pub struct Kubelets<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    nodes: &'a [&'a str],
    /// Since when each pod is to become ready, or to end.
    since: BTreeMap<(String, bool), Instant>,
    beats: u64,
    beaten: Instant,
}

impl<'a> Kubelets<'a> {
    /// Makes nodes of these names.
    pub fn start(cluster: &'a Cluster, namespace: &'a str, nodes: &'a [&'a str]) -> Result<Self> {
        for node in nodes {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}});
            cluster.apply(&node.to_string())?;
        }
        let since = BTreeMap::new();
        let mut kubelets = Self { cluster, namespace, nodes, since, beats: 0, beaten: Instant::now() };
        kubelets.beat()?;
        Ok(kubelets)
    }

    /// All pods.
    pub fn pods(&self) -> Result<Vec<Value>> {
        let pods = self.cluster.run(&["get", "pods", "--namespace", self.namespace, "-o", "json"])?;
        let pods: Value = serde_json::from_str(&pods)?;
        Ok(pods["items"].as_array().cloned().unwrap_or_default())
    }

    /// Does with each of these pods what is due.
    pub fn step(&mut self, pods: &[Value]) -> Result<()> {
        if self.beaten.elapsed() > BEAT {
            self.beat()?;
        }
        for pod in pods {
            let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
            let ends = !pod["metadata"]["deletionTimestamp"].is_null();
            if pod["spec"]["nodeName"].is_null() {
                self.bind(pod, name)?;
            } else if (ends || !is_ready(pod)) && self.has_taken(pod, ends) {
                if ends {
                    let words = ["delete", "pod", name, "--namespace", self.namespace, "--wait=false"];
                    self.cluster.run(&[&words[..], &["--grace-period=0", "--force"]].concat())?;
                } else {
                    self.make_ready(name)?;
                }
            }
        }
        Ok(())
    }

    /// Whether it has had its time.
    fn has_taken(&mut self, pod: &Value, ends: bool) -> bool {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.since.entry((uid, ends)).or_insert_with(Instant::now).elapsed() > TAKES
    }

    /// Gives a DaemonSet's pod to the node that it is for.
    fn bind(&self, pod: &Value, name: &str) -> Result<()> {
        let place = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                     /nodeSelectorTerms/0/matchFields/0/values/0";
        let node = pod.pointer(place).context("the node of a DaemonSet's pod")?;
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let path = format!("/api/v1/namespaces/{}/pods/{name}/binding", self.namespace);
        self.cluster.run_with_input(&["create", "--raw", &path, "-f", "-"], &binding.to_string())?;
        Ok(())
    }

    fn make_ready(&self, name: &str) -> Result<()> {
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {"phase": "Running", "conditions": [ready]}}).to_string();
        let words = ["patch", "pod", name, "--namespace", self.namespace, "--subresource=status"];
        self.cluster.run(&[&words[..], &["--type=merge", "--patch", &status]].concat())?;
        Ok(())
    }

    /// Each node says that it is there: what counts is that it says something else than the last time.
    fn beat(&mut self) -> Result<()> {
        (self.beats, self.beaten) = (self.beats + 1, Instant::now());
        let time = format!("2026-01-01T00:{:02}:{:02}Z", self.beats / 60, self.beats % 60);
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "as if it were",
            "lastHeartbeatTime": time, "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({"status": {"conditions": [ready]}}).to_string();
        for node in self.nodes {
            let words = ["patch", "node", node, "--subresource=status", "--type=merge", "--patch", &status];
            self.cluster.run(&words)?;
        }
        Ok(())
    }
}

/// Whether a pod serves: one that ends is no help to anybody.
pub fn serves(pod: &Value) -> bool {
    is_ready(pod) && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|said| said["type"] == "Ready" && said["status"] == "True")
}
