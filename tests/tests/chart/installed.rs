//! The chart on a real API server: every object is taken, its rights are those of the files and no more, and
//! nothing is left when it is removed.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::chart::{self, CHART, Helm, RELEASE};
use xdhcpd_tests::cluster_agent;
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::{command_in, succeed};
use xdhcpd_tests::skip;

use crate::rendered::{ALL, CLAIMS, SETS};

/// What the Prometheus operator would bring: kind, plural, and what its spec may say, as far as we say something.
fn operators() -> [(&'static str, &'static str, Value); 2] {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "object", "additionalProperties": text()});
    let list = |of: Value| json!({"type": "array", "items": of});
    let map = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    let duration = || json!({"type": "string", "pattern": "^(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$"});
    let label = json!({"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"});
    let relabeling = map(json!({"sourceLabels": list(label), "targetLabel": text()}), &[]);
    let endpoint = json!({
        "port": text(), "path": text(), "interval": duration(), "relabelings": list(relabeling),
    });
    let monitor = json!({
        "jobLabel": text(),
        "selector": map(json!({"matchLabels": texts()}), &[]),
        "endpoints": list(map(endpoint, &[])),
    });
    let rule = json!({
        "alert": text(), "expr": text(), "for": duration(), "labels": texts(), "annotations": texts(),
    });
    let group = json!({"name": text(), "rules": list(map(rule, &["expr"]))});
    let rules = json!({"groups": list(map(group, &["name"]))});
    [
        ("ServiceMonitor", "servicemonitors", map(monitor, &["selector", "endpoints"])),
        ("PrometheusRule", "prometheusrules", map(rules, &[])),
    ]
}

/// A cluster of our own, that knows all kinds, and helm.
pub fn scene(test: &str) -> Result<Option<(Cluster, Helm)>> {
    let Some(helm) = chart::helm(test) else { return Ok(None) };
    // Names of its objects are fixed: not in anybody's cluster.
    if !kube::is_there(test) || !kube::is_own(test) {
        return Ok(None);
    }
    let cluster = Cluster::start()?;
    cluster_agent::install_definitions(&cluster)?;
    for (kind, plural, spec) in operators() {
        let name = format!("{plural}.monitoring.coreos.com");
        cluster.apply(&stand_in(kind, plural, &name, &spec).to_string())?;
        cluster.kubectl(&["wait", "crd", &name, "--for=condition=Established", "--timeout=60s"])?;
    }
    Ok(Some((cluster, helm)))
}

/// A definition that takes these specs.
fn stand_in(kind: &str, plural: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

/// Runs helm as the cluster's administrator.
pub fn run(cluster: &Cluster, helm: &Helm, words: &[&str]) -> Result<String> {
    let mut command: Command = command_in(cluster.home(), helm.program());
    for (variable, folder) in [("CACHE", "cache"), ("CONFIG", "config"), ("DATA", "data")] {
        command.env(format!("HELM_{variable}_HOME"), cluster.folder().join("helm").join(folder));
    }
    command.env("KUBECONFIG", cluster.admin_kubeconfig()).stdin(Stdio::null());
    let output = succeed(command.args(words))?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_manifest_is_taken_by_a_real_api_server() -> Result<()> {
    let Some((cluster, helm)) = scene(&skip::this_test())? else { return Ok(()) };
    cluster.kubectl(&["create", "namespace", RELEASE])?;
    for values in SETS {
        let made = helm.template(values)?;
        let words = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let said = cluster.run_with_input(&words, &made).with_context(|| format!("{values:?}:\n{made}"))?;
        assert!(said.lines().count() >= 8, "{values:?}: {said}");
    }
    Ok(())
}

/// The rules of a file, as the API server reads them.
fn rules_of_file(cluster: &Cluster, name: &str, kind: &str, role: &str) -> Result<Value> {
    let rules = fs::read_to_string(format!("{CHART}/files/{name}-rules.yaml"))?;
    let rules = rules.replace("xdhcpd-agent", role);
    let object = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: of-a-file}}\nrules:\n{rules}"
    );
    let read = cluster.run_with_input(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &object)?;
    Ok(serde_json::from_str::<Value>(&read)?["rules"].take())
}

#[test]
fn a_release_gives_the_rights_of_the_files_and_leaves_nothing_when_it_is_removed() -> Result<()> {
    let Some((cluster, helm)) = scene(&skip::this_test())? else { return Ok(()) };
    let namespaced = ["--namespace", RELEASE];
    let install = ["install", RELEASE, CHART, "--create-namespace"];
    let said = run(&cluster, &helm, &[&install, &namespaced[..], &chart::sets(ALL)].concat())?;
    assert!(said.contains("kubectl wait clusteragent rack1"), "the notes say what comes next: {said}");

    for (file, kind, name) in [
        ("agent", "ClusterRole", "xdhcpd-agent"),
        ("agent-namespace", "Role", "xdhcpd-agent"),
        ("controller", "ClusterRole", "xdhcpd-controller"),
        ("controller-namespace", "Role", "xdhcpd-controller"),
    ] {
        let words = ["get", kind, name, "--namespace", RELEASE, "-o", "json"];
        let role: Value = serde_json::from_str(&cluster.kubectl(&words)?)?;
        assert_eq!(role["rules"], rules_of_file(&cluster, file, kind, "xdhcpd-agent")?, "{name}");
    }
    let account = format!("system:serviceaccount:{RELEASE}:xdhcpd-controller");
    let can = |words: &[&str]| cluster.kubectl(&[&["auth", "can-i", "--as", &account], words].concat());
    assert!(can(&["create", "daemonsets.apps", "--namespace", RELEASE]).is_ok());
    assert!(can(&["create", "daemonsets.apps", "--namespace", "kube-system"]).is_err(), "only at home");
    assert!(can(&["get", "secrets", "--namespace", RELEASE]).is_err(), "it has no use for these");
    let agent = cluster.get_json("clusteragent", "rack1")?.context("the ClusterAgent")?;
    let secrets = &agent["spec"]["agentYaml"];
    assert_eq!(secrets["nodeName"], "n1", "{agent}");

    // Another name makes other roles, which the controller is told to bind.
    let claims = [&["template", RELEASE, CHART], &chart::sets(CLAIMS)[..]].concat();
    let made = run(&cluster, &helm, &claims)?;
    assert!(made.contains("resourceNames: [dhcp-agent]"), "{made}");
    assert!(!made.contains("[xdhcpd-agent]"), "{made}");

    let upgrade = ["upgrade", RELEASE, CHART, "--reuse-values", "--set", "controller.replicas=1"];
    run(&cluster, &helm, &[&upgrade[..], &namespaced].concat())?;
    // Without a node no Job ends; what the hook does is tried by itself.
    run(&cluster, &helm, &[&["uninstall", RELEASE, "--no-hooks", "--wait"], &namespaced[..]].concat())?;
    let ours = ["--all-namespaces", "--selector", "app.kubernetes.io/instance=xdhcpd", "-o", "name"];
    let kinds = "all,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,configmaps,leases,\
                 clusteragents,servicemonitors,prometheusrules";
    let left = cluster.kubectl(&[&["get", kinds], &ours[..]].concat())?;
    assert_eq!(left.trim(), "", "left behind");
    Ok(())
}
