//! The values: what is refused, by name; and that their schema, their defaults and the object's definition say
//! the same.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::chart::{self, CHART};
use xdhcpd_tests::skip;

fn schema() -> Result<Value> {
    let path = format!("{CHART}/values.schema.json");
    serde_json::from_str(&fs::read_to_string(&path)?).context(path)
}

#[test]
fn what_is_wrong_is_refused_by_the_name_of_its_field() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let network = "clusterAgent.spec.feature.dhcpServerConfig";
    for (value, place, said) in [
        ("imge.tag=1", "", "'imge'"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy", "'IfNotPresent'"),
        ("controller.replica=2", "/controller", "'replica'"),
        ("controller.replicas=two", "/controller/replicas", "integer"),
        ("controller.log.level=loud", "/controller/log/level", "'debug'"),
        ("storage.type=nfs", "/storage/type", "'hostPath'"),
        ("storage.hostPath.path=dhcp", "/storage/hostPath/path", "pattern"),
        ("storage.pvc.size=big", "/storage/pvc/size", "pattern"),
        ("storage.pvc.accessModes[0]=Often", "/storage/pvc/accessModes/0", "'ReadWriteOnce'"),
        ("imagePullSecrets[0].nam=login", "/imagePullSecrets/0", "'nam'"),
        ("metrics.alerts.poolRemaining=101", "/metrics/alerts/poolRemaining", "100"),
        ("uninstall.timeout=soon", "/uninstall/timeout", "pattern"),
        ("clusterAgent.create=true", "/clusterAgent/spec", "'feature'"),
        (
            "clusterAgent.create=true,clusterAgent.spec.feature.enableDhcpServer=true",
            "/clusterAgent/spec/feature",
            "'dhcpServerConfig'",
        ),
        ("clusterAgent.spec.agentYaml.hostNetwrok=true", "/clusterAgent/spec/agentYaml", "'hostNetwrok'"),
        (&format!("{network}.leaseTmie=1h"), "/clusterAgent/spec/feature/dhcpServerConfig", "'leaseTmie'"),
        (
            &format!("{network}.gateway=nowhere"),
            &format!("/{}/gateway", network.replace('.', "/")),
            "pattern",
        ),
    ] {
        let refusal = helm.refusal(&[value]).with_context(|| value.to_owned())?;
        let named = |line: &str| line.contains(&format!("at '{place}'")) && line.contains(said);
        assert!(refusal.lines().any(named), "{value}: no line has {place} and {said}:\n{refusal}");
    }
    Ok(())
}

/// Where the two differ in what keys there are.
fn difference(place: &str, definition: &Value, schema: &Value, found: &mut Vec<String>) {
    let (theirs, ours) = (&definition["properties"], &schema["properties"]);
    let keys = |of: &Value| -> BTreeSet<String> {
        of.as_object().map(|of| of.keys().cloned().collect()).unwrap_or_default()
    };
    found.extend(keys(theirs).symmetric_difference(&keys(ours)).map(|key| format!("{place}.{key}")));
    for key in keys(theirs).intersection(&keys(ours)) {
        difference(&format!("{place}.{key}"), &theirs[key], &ours[key], found);
    }
    if definition["items"].is_object() {
        difference(&format!("{place}[]"), &definition["items"], &schema["items"], found);
    }
    if definition["pattern"] != schema["pattern"] {
        found.push(format!("{place}: {} is not {}", schema["pattern"], definition["pattern"]));
    }
}

#[test]
fn the_schema_takes_of_a_clusteragent_what_its_definition_takes() -> Result<()> {
    let definitions = serde_json::to_value(xdhcpd::kube::objects::crds())?;
    let agents = definitions.as_array().into_iter().flatten();
    let agents: Vec<_> = agents.filter(|it| it["spec"]["names"]["kind"] == "ClusterAgent").collect();
    let spec = &agents[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = Vec::new();
    difference("spec", spec, &schema()?["definitions"]["ClusterAgentSpec"], &mut found);
    assert!(found.is_empty(), "cargo xtask crds writes it anew; these differ: {found:#?}");
    Ok(())
}

#[test]
fn every_key_of_the_schema_is_in_the_values_with_a_default() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let shown = String::from_utf8(helm.run(&["show", "values", CHART])?.stdout)?;
    let schema = schema()?;
    let mut missing = Vec::new();
    collect("", &schema, &mut |key| {
        let name = key.rsplit('.').next().unwrap_or(key);
        // Kubernetes' own are described by Kubernetes, and the object's by its definition.
        let foreign =
            ["clusterAgent.spec.", "controller.resources.", "controller.affinity.", "imagePullSecrets"];
        let is_foreign = foreign.iter().any(|prefix| key.starts_with(prefix)) || key == "global";
        let has = shown.lines().any(|line| line.trim_start().starts_with(&format!("{name}:")));
        if !is_foreign && !has {
            missing.push(key.to_owned());
        }
    });
    assert!(missing.is_empty(), "values.yaml says nothing of {missing:?}");
    Ok(())
}

fn collect(place: &str, schema: &Value, tell: &mut impl FnMut(&str)) {
    for (key, part) in schema["properties"].as_object().into_iter().flatten() {
        let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        tell(&place);
        collect(&place, part, tell);
    }
}
