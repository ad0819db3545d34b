//! All objects of a cluster, to see what somebody left.

use std::collections::BTreeSet;

use anyhow::Result;
use xdhcpd_tests::kube::Kubectl;

/// Kinds that tell of what happened, or that others write all the time.
const PASSING: [&str; 3] = ["events", "events.events.k8s.io", "componentstatuses"];

/// The namespace of what nodes write to say that they are there.
const NODES: &str = " kube-node-lease/";

/// The names of all objects: `group/version kind namespace/name`.
pub fn all(kubectl: &Kubectl) -> Result<BTreeSet<String>> {
    let kinds = kubectl.run(&["api-resources", "--verbs=list", "--output=name", "--cached=false"])?;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !PASSING.contains(kind)).collect();
    let template =
        r#"{range .items[*]}{.apiVersion} {.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}"#;
    let output = format!("--output=jsonpath={template}");
    let names = kubectl.run(&["get", &kinds.join(","), "--all-namespaces", "--ignore-not-found", &output])?;
    Ok(names.lines().filter(|line| !line.is_empty() && !line.contains(NODES)).map(str::to_owned).collect())
}
