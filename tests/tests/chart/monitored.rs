//! What the ServiceMonitor finds: each agent and each controller, where it serves its metrics.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd::controller::parts::{AGENT_LABEL, Kind, Settings, Storage, parts};
use xdhcpd_tests::chart::{self, CHART, RELEASE};
use xdhcpd_tests::cluster_agent::CONVERGED;
use xdhcpd_tests::kube::Cluster;
use xdhcpd_tests::{skip, wait};

use crate::installed::{run, scene};
use crate::rendered::ALL;

/// Where an agent serves, other than a controller.
const PORT: u16 = 8123;
const AGENT: &str = "10.244.0.9";

/// A pod of an agent, as the controller has it made.
fn agents_pod() -> Result<Value> {
    let agent = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "ClusterAgent",
        "metadata": {"name": "rack1", "uid": "u"}, "spec": {"agentYaml": {"hostNetwork": true}},
    });
    let settings = Settings {
        namespace: RELEASE.into(),
        image: "xdhcpd:1".into(),
        pull_policy: None,
        pull_secrets: Vec::new(),
        role: "xdhcpd-agent".into(),
        storage: Storage::HostPath("/var/lib/dhcp".into()),
    };
    let parts = parts(&serde_json::from_value(agent)?, &settings, PORT)?;
    let set = parts.iter().find(|part| part.kind == Kind::DaemonSet).context("a DaemonSet")?;
    let mut spec = set.body["spec"]["template"]["spec"].clone();
    // There is no controller that makes it.
    spec.as_object_mut().context("a spec")?.remove("serviceAccountName");
    let labels = &set.body["spec"]["template"]["metadata"]["labels"];
    let metadata = json!({"name": "agent-rack1-x", "namespace": RELEASE, "labels": labels});
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

fn list(cluster: &Cluster, kind: &str, selector: &str) -> Result<Vec<Value>> {
    let words = ["get", kind, "--namespace", RELEASE, "--selector", selector, "-o", "json"];
    let list: Value = serde_json::from_str(&cluster.kubectl(&words)?)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn run_at(cluster: &Cluster, pod: &str, ip: &str) -> Result<()> {
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}}).to_string();
    let words = ["patch", "pod", pod, "--namespace", RELEASE, "--subresource=status", "--type=merge"];
    cluster.kubectl(&[&words[..], &["--patch", &status]].concat()).map(drop)
}

#[test]
fn the_monitor_finds_agents_and_controllers_where_they_serve() -> Result<()> {
    let Some((mut cluster, helm)) = scene(&skip::this_test())? else { return Ok(()) };
    cluster.start_controllers()?;
    let install = ["install", RELEASE, CHART, "--create-namespace", "--namespace", RELEASE];
    run(&cluster, &helm, &[&install[..], &chart::sets(ALL)].concat())?;
    let default = ["get", "serviceaccount", "default", "--namespace", RELEASE];
    wait::until_true("an account for the pod", CONVERGED, || Ok(cluster.kubectl(&default).is_ok()))?;
    cluster.apply(&agents_pod()?.to_string())?;
    run_at(&cluster, "agent-rack1-x", AGENT)?;
    let controllers = wait::until("two pods of the controller", CONVERGED, || {
        let pods = list(&cluster, "pods", "app.kubernetes.io/component=controller")?;
        Ok((pods.len() == 2).then_some(pods))
    })?;
    for (pod, ip) in controllers.iter().zip(["10.244.0.10", "10.244.0.11"]) {
        run_at(&cluster, pod["metadata"]["name"].as_str().context("a name")?, ip)?;
    }

    let words = ["get", "servicemonitor", RELEASE, "--namespace", RELEASE, "-o", "json"];
    let monitor: Value = serde_json::from_str(&cluster.kubectl(&words)?)?;
    let labels = monitor["spec"]["selector"]["matchLabels"].as_object().context("labels")?;
    let labels = labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let services = list(&cluster, "services", &labels.collect::<Vec<_>>().join(","))?;
    let [endpoint] = &monitor["spec"]["endpoints"].as_array().context("endpoints")?[..] else {
        panic!("one way to each: {monitor:#}");
    };
    let mut expected: BTreeMap<String, u64> = BTreeMap::from([(AGENT.into(), u64::from(PORT))]);
    expected.extend(["10.244.0.10", "10.244.0.11"].map(|ip| (ip.into(), 9167)));
    let mut found = BTreeMap::new();
    let all = wait::until_true("all of them to be found", CONVERGED, || {
        found.clear();
        for service in &services {
            let name = service["metadata"]["name"].as_str().context("a name")?;
            for slice in list(&cluster, "endpointslices", &format!("kubernetes.io/service-name={name}"))? {
                found.extend(served(&slice, &endpoint["port"]));
            }
        }
        Ok(found == expected)
    });
    all.with_context(|| format!("{found:?}"))?;

    // What alerts tell agents from controllers by, and find both by.
    let label: String =
        AGENT_LABEL.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let relabelings = endpoint["relabelings"].as_array().context("relabelings")?;
    let source =
        relabelings.iter().find(|it| it["targetLabel"] == "cluster_agent").context("cluster_agent")?;
    assert_eq!(source["sourceLabels"], json!([format!("__meta_kubernetes_pod_label_{label}")]));
    assert_eq!(list(&cluster, "pods", AGENT_LABEL)?.len(), 1, "no controller has it");
    let job = monitor["spec"]["jobLabel"].as_str().context("a job")?;
    assert!(services.iter().all(|service| service["metadata"]["labels"][job] == "xdhcpd"), "{services:#?}");
    Ok(())
}

/// The addresses of a slice, each with its port of this name.
fn served(slice: &Value, name: &Value) -> Vec<(String, u64)> {
    let ports = slice["ports"].as_array().into_iter().flatten();
    let port = ports.filter(|port| port["name"] == *name).find_map(|port| port["port"].as_u64());
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let addresses = endpoints.filter_map(|endpoint| endpoint["addresses"][0].as_str());
    port.map(|port| addresses.map(|ip| (ip.to_owned(), port)).collect()).unwrap_or_default()
}
