//! What alerts and dashboard ask for is what an agent shows.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::chart::{self, CHART};
use xdhcpd_tests::cluster_agent::{self, ClusterAgent, HTTP, agent_name, manifest};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::skip;

/// Prometheus makes it of every scrape.
const OF_PROMETHEUS: &str = "up";

/// Words of a query that are no metrics.
const WORDS: [&str; 8] = ["and", "or", "unless", "by", "without", "bool", "offset", "on"];

/// The metrics that a query names.
fn named(query: &str) -> BTreeSet<String> {
    // Labels and ranges first, then what the result is grouped by.
    let mut rest = String::new();
    let mut depth = 0_usize;
    for letter in query.chars() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => rest.push(letter),
            _ => {}
        }
    }
    for word in ["by", "without"] {
        while let Some((before, after)) = rest.split_once(&format!("{word} (")) {
            let after = after.split_once(')').map_or("", |(_, after)| after);
            rest = format!("{before} {after}");
        }
    }
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut names = BTreeSet::new();
    let mut left = rest.as_str();
    while let Some(start) = left.find(is_of_a_name) {
        let (_, from) = left.split_at(start);
        let (name, after) = from.split_at(from.find(|letter| !is_of_a_name(letter)).unwrap_or(from.len()));
        left = after;
        let is_function = after.trim_start().starts_with('(');
        let is_number = name.starts_with(|letter: char| letter.is_ascii_digit());
        if !is_function && !is_number && !WORDS.contains(&name) {
            names.insert(name.to_owned());
        }
    }
    names
}

/// Every query of the dashboard.
fn queries_of_dashboard() -> Result<Vec<String>> {
    let path = format!("{CHART}/files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path)?).context(path)?;
    let targets = dashboard["panels"].as_array().into_iter().flatten();
    let targets = targets.filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries: Vec<String> =
        targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect();
    assert!(queries.len() > 15, "{queries:?}");
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        if variable["type"] == "query" {
            let query = variable["query"].as_str().context("a variable's query")?;
            let metric = query.strip_prefix("label_values(").and_then(|rest| rest.split(',').next());
            queries.push(metric.context(query.to_owned())?.to_owned());
        }
    }
    Ok(queries)
}

/// Every query of the alerts.
fn queries_of_alerts() -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("{CHART}/files/alerts.yaml"))?;
    let (mut queries, mut lines) = (Vec::new(), text.lines().peekable());
    while let Some(line) = lines.next() {
        let Some(query) = line.trim().strip_prefix("expr: ") else { continue };
        let mut query = query.trim_start_matches("|-").to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
            query = format!("{query} {}", more.trim());
        }
        queries.push(query.replace("POOL_REMAINING", "10"));
    }
    assert_eq!(queries.len(), text.matches("- alert: ").count());
    Ok(queries)
}

#[test]
fn alerts_and_dashboard_ask_for_nothing_that_an_agent_does_not_show() -> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    let agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    let (_, metrics) = agent.http(HTTP, "/metrics")?;
    // By kind: what has no sample yet is shown all the same.
    let families: Vec<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut shown: BTreeSet<String> = [OF_PROMETHEUS.to_owned()].into();
    for (family, kind) in &families {
        let suffixes: &[&str] = if *kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        shown.extend(suffixes.iter().map(|suffix| format!("{family}{suffix}")));
    }

    let mut asked = BTreeSet::new();
    for query in queries_of_dashboard()?.into_iter().chain(queries_of_alerts()?) {
        let names = named(&query);
        assert!(!names.is_empty(), "{query} names no metric");
        for name in &names {
            assert!(shown.contains(name), "{query}: nothing shows {name}; there are {shown:?}");
        }
        asked.extend(names);
    }
    // What is counted is there to be looked at.
    for (family, _) in families {
        assert!(asked.iter().any(|name| name.starts_with(family)), "nothing asks for {family}");
    }
    Ok(())
}

#[test]
fn the_metrics_of_a_query_are_told_from_functions_labels_and_words() {
    let query = r#"sum by (a, le) (rate(x_total{b="c"}[5m])) / max_over_time(y[1h]) > 0.5 and z == 1"#;
    assert_eq!(named(query).into_iter().collect::<Vec<_>>(), ["x_total", "y", "z"]);
}

#[test]
fn the_dashboard_reaches_the_cluster_as_it_is() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let made = helm.template(&["metrics.dashboard.enabled=true"])?;
    let object = chart::document(&made, "ConfigMap").context("a ConfigMap")?;
    let (_, text) = object.split_once("xdhcpd.json: |-\n").context("its file")?;
    let file = fs::read_to_string(format!("{CHART}/files/dashboard.json"))?;
    assert_eq!(serde_json::from_str::<Value>(text)?, serde_json::from_str::<Value>(&file)?);
    Ok(())
}
