//! Each value does something: every key of the values, changed, changes what helm makes.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::chart::{self, CHART, Helm};
use xdhcpd_tests::netns::{folder, succeed};
use xdhcpd_tests::skip;

/// A ClusterAgent that is made with the release.
const AGENT: &str = "clusterAgent.create=true,clusterAgent.spec.feature.enableDhcpServer=false";

/// Each key, what it takes beside to matter, another value, and what is to be read in the lines that come or go.
const EFFECTS: &[(&str, &str, &str, &str)] = &[
    ("nameOverride", "", "other", "name: xdhcpd-other-controller"),
    ("fullnameOverride", "", "mine", "name: mine-controller"),
    ("image.registry", "", "r.example.org", "--image=r.example.org/xdhcpd:"),
    ("image.repository", "", "net/dhcp", "--image=localhost/net/dhcp:"),
    ("image.tag", "", "v9", "--image=localhost/xdhcpd:v9"),
    ("image.pullPolicy", "", "Always", "imagePullPolicy: Always"),
    ("imagePullSecrets", "", "[0].name=login", "--image-pull-secrets=login"),
    ("storage.type", "", "pvc", "--lease-claim-size=1Gi"),
    ("storage.hostPath.path", "", "/srv/dhcp", "--lease-host-path=/srv/dhcp"),
    ("storage.pvc.storageClass", "storage.type=pvc", "fast", "--lease-claim-class=fast"),
    ("storage.pvc.size", "storage.type=pvc", "2Gi", "--lease-claim-size=2Gi"),
    (
        "storage.pvc.accessModes",
        "storage.type=pvc",
        "[0]=ReadWriteMany",
        "--lease-claim-access-modes=ReadWriteMany",
    ),
    ("controller.replicas", "", "3", "replicas: 3"),
    ("controller.log.level", "", "debug", "--log-level=debug"),
    ("controller.log.format", "", "json", "--log-format=json"),
    ("controller.resources.requests.cpu", "", "20m", "cpu: 20m"),
    ("controller.resources.requests.memory", "", "33Mi", "memory: 33Mi"),
    ("controller.resources.limits.memory", "", "256Mi", "memory: 256Mi"),
    ("controller.nodeSelector", "", ".rack=a", "rack: a"),
    ("controller.tolerations", "", "[0].operator=Exists", "operator: Exists"),
    ("controller.affinity", "", ".podAntiAffinity.a=b", "podAntiAffinity:"),
    ("controller.priorityClassName", "", "high", "priorityClassName: high"),
    ("controller.podAnnotations", "", ".note=here", "note: here"),
    ("controller.podLabels", "", ".team=net", "team: net"),
    ("clusterAgent.create", "clusterAgent.spec.feature.enableDhcpServer=false", "true", "kind: ClusterAgent"),
    ("clusterAgent.name", AGENT, "rack1", "name: rack1"),
    ("clusterAgent.spec.agentYaml.hostNetwork", AGENT, "false", "hostNetwork: false"),
    ("metrics.serviceMonitor.enabled", "", "true", "kind: ServiceMonitor"),
    ("metrics.serviceMonitor.interval", "metrics.serviceMonitor.enabled=true", "7s", "interval: 7s"),
    ("metrics.serviceMonitor.labels", "metrics.serviceMonitor.enabled=true", ".release=p", "release: p"),
    ("metrics.alerts.enabled", "", "true", "kind: PrometheusRule"),
    ("metrics.alerts.labels", "metrics.alerts.enabled=true", ".release=p", "release: p"),
    ("metrics.alerts.poolRemaining", "metrics.alerts.enabled=true", "25", "< 25 / 100"),
    ("metrics.dashboard.enabled", "", "true", "kind: ConfigMap"),
    (
        "metrics.dashboard.labels.grafana_dashboard",
        "metrics.dashboard.enabled=true",
        "two",
        "grafana_dashboard: two",
    ),
    ("uninstall.enabled", "", "false", "helm.sh/hook: pre-delete"),
    ("uninstall.timeout", "", "3m", "--timeout=3m"),
];

/// The keys that the values have, down to what is no map with keys in it.
fn keys(helm: &Helm) -> Result<BTreeSet<String>> {
    // helm reads them as it ever does, and another chart says what it read.
    let folder = folder("values")?;
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("templates"))?;
    fs::write(place("Chart.yaml"), "apiVersion: v2\nname: values\nversion: 0.0.1\n")?;
    fs::write(place("templates/values.yaml"), "values: {{ toJson .Values }}\n")?;
    fs::copy(format!("{CHART}/values.yaml"), place("values.yaml"))?;
    let mut command = std::process::Command::new(helm.program());
    let said = succeed(command.args(["template", "values"]).arg(folder.path()))?;
    let said = String::from_utf8(said.stdout)?;
    let values = said.lines().find_map(|line| line.strip_prefix("values: ")).context(said.clone())?;
    let mut keys = BTreeSet::new();
    collect("", &serde_json::from_str(values)?, &mut keys);
    Ok(keys)
}

fn collect(place: &str, value: &Value, keys: &mut BTreeSet<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => {
            for (key, value) in map {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                collect(&place, value, keys);
            }
        }
        None => drop(keys.insert(place.to_owned())),
    }
}

#[test]
fn every_value_has_an_effect() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let tried: BTreeSet<String> = EFFECTS.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(tried, keys(&helm)?, "each key of values.yaml is tried, and no other");
    for (key, beside, value, said) in EFFECTS {
        let set =
            if value.starts_with(['.', '[']) { format!("{key}{value}") } else { format!("{key}={value}") };
        let beside: Vec<&str> = beside.split(',').filter(|beside| !beside.is_empty()).collect();
        let plain = helm.template(&beside)?;
        let changed = helm.template(&[&beside[..], &[&set]].concat()).context(set.clone())?;
        let lines = |made: &str| -> BTreeSet<String> { made.lines().map(str::to_owned).collect() };
        let (plain, changed) = (lines(&plain), lines(&changed));
        let differ: Vec<&String> = plain.symmetric_difference(&changed).collect();
        assert!(differ.iter().any(|line| line.contains(said)), "{set}: no {said} among {differ:#?}");
    }
    Ok(())
}
