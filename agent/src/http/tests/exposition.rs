//! `/metrics` as a strict reader of the format sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Agent;
use crate::control::fake::Fake;

/// A family of the text format, and its samples by name and labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: Vec<(String, String, f64)>,
}

/// Reads the text format 0.0.4, and panics at whatever a strict reader would not take.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help has words");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "one HELP for {name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(helped.contains(name), "{name} has a HELP before its TYPE");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            assert!(families.insert(name.to_owned(), family).is_none(), "one TYPE for {name}");
            name.clone_into(&mut current);
        } else {
            assert!(
                !line.starts_with('#') && seen.insert(line.rsplit_once(' ').map(|(series, _)| series)),
                "{line}"
            );
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).expect("a TYPE before the first sample");
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} under {current}"));
            let suffixes: &[_] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{name}");
            family.samples.push((name, labels, value));
        }
    }
    families
}

fn sample(line: &str) -> (String, String, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels have an end")),
        None => (series, ""),
    };
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (key, value) = label.split_once('=').expect("a label has a value");
        assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()), "{key}");
        assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{value}");
    }
    (name.to_owned(), labels.to_owned(), value)
}

async fn scrape(agent: &Agent) -> BTreeMap<String, Family> {
    let answer = agent.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    parse(&answer.body)
}

fn value(families: &BTreeMap<String, Family>, name: &str, labels: &str) -> f64 {
    let samples = families.values().flat_map(|family| &family.samples);
    let found = samples.into_iter().find(|sample| sample.0 == name && sample.1 == labels);
    found.unwrap_or_else(|| panic!("{name}{{{labels}}} is there")).2
}

#[tokio::test]
async fn every_promised_metric_is_there_with_a_help_and_no_other() {
    let agent = Agent::start(Fake::default().start());
    let families = scrape(&agent).await;
    let names: Vec<_> = families.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "xdhcpd_build_info",
            "xdhcpd_dropped_total",
            "xdhcpd_fastpath_attached",
            "xdhcpd_ignored_total",
            "xdhcpd_journal_sync_seconds",
            "xdhcpd_journal_writable",
            "xdhcpd_leader",
            "xdhcpd_leases",
            "xdhcpd_loader_restarts_total",
            "xdhcpd_loader_state",
            "xdhcpd_passed_total",
            "xdhcpd_pool_addresses",
            "xdhcpd_probes_total",
            "xdhcpd_ready",
            "xdhcpd_replies_total",
            "xdhcpd_reply_seconds",
            "xdhcpd_rogue_server_messages_total",
        ]
    );
    assert!(families.values().all(|family| !family.samples.is_empty()));
}

#[tokio::test]
async fn each_number_of_the_snapshot_stands_under_its_labels() {
    let agent = Agent::start(Fake::default().start());
    let families = scrape(&agent).await;
    for (name, labels, expected) in [
        ("xdhcpd_replies_total", r#"path="kernel",type="offer""#, 11.0),
        ("xdhcpd_replies_total", r#"path="kernel",type="ack""#, 12.0),
        ("xdhcpd_passed_total", r#"reason="no_lease""#, 13.0),
        ("xdhcpd_dropped_total", r#"reason="client_budget""#, 15.0),
        ("xdhcpd_replies_total", r#"path="agent",type="offer""#, 16.0),
        ("xdhcpd_replies_total", r#"path="agent",type="ack""#, 17.0),
        ("xdhcpd_replies_total", r#"path="agent",type="nak""#, 18.0),
        ("xdhcpd_replies_total", r#"path="agent",type="bootp""#, 31.0),
        ("xdhcpd_ignored_total", r#"reason="pool_empty""#, 19.0),
        ("xdhcpd_loader_restarts_total", "", 20.0),
        ("xdhcpd_probes_total", r#"result="free""#, 23.0),
        ("xdhcpd_probes_total", r#"result="in_use""#, 24.0),
        ("xdhcpd_probes_total", r#"result="left_out""#, 25.0),
        ("xdhcpd_loader_state", r#"state="running""#, 1.0),
        ("xdhcpd_loader_state", r#"state="fatal""#, 0.0),
        ("xdhcpd_leases", r#"network="rack1",state="bound""#, 21.0),
        ("xdhcpd_leases", r#"network="rack2",state="expired""#, 0.0),
        ("xdhcpd_rogue_server_messages_total", r#"network="rack1""#, 0.0),
        ("xdhcpd_rogue_server_messages_total", r#"network="rack2""#, 22.0),
        ("xdhcpd_pool_addresses", r#"network="rack1",state="total""#, 101.0),
        ("xdhcpd_pool_addresses", r#"network="rack1",state="used""#, 40.0),
        ("xdhcpd_pool_addresses", r#"network="rack1",state="remaining""#, 58.0),
        ("xdhcpd_pool_addresses", r#"network="rack2",state="declined""#, 1.0),
        ("xdhcpd_pool_addresses", r#"network="rack2",state="kept""#, 2.0),
        ("xdhcpd_fastpath_attached", r#"interface="eth1",mode="generic""#, 1.0),
    ] {
        assert!((value(&families, name, labels) - expected).abs() < f64::EPSILON, "{name}{{{labels}}}");
    }
}

#[tokio::test]
async fn whether_clients_are_served_and_leases_written_is_a_number() {
    let shown = async |fake: Fake| {
        let agent = Agent::start(fake.start());
        let families = scrape(&agent).await;
        ["xdhcpd_ready", "xdhcpd_journal_writable"].map(|name| value(&families, name, "") > 0.5)
    };
    assert_eq!(shown(Fake::default()).await, [true, true]);
    let mut fake = Fake::default();
    fake.health.ready = false;
    fake.snapshot.disk_fails = true;
    assert_eq!(shown(fake).await, [false, false]);

    let agent = Agent::start(Fake::default().start());
    agent.conditions.wait_for("objects", "they have not been read yet");
    let families = scrape(&agent).await;
    assert!(value(&families, "xdhcpd_ready", "") < 0.5, "what /readyz waits for counts too");
}

/// The buckets of one histogram as (bound, count), checked to be cumulative and complete.
fn buckets(families: &BTreeMap<String, Family>, name: &str, labels: &str) -> Vec<(f64, f64)> {
    let family = &families[name];
    let bucket = |sample: &(String, String, f64)| {
        let rest = sample.1.strip_suffix('"')?;
        let (own, bound) = rest.split_once("le=\"").filter(|_| sample.0.ends_with("_bucket"))?;
        (own.trim_end_matches(',') == labels).then(|| (bound.parse().expect("a bound"), sample.2))
    };
    let reordered = |sample: &(String, String, f64)| {
        // `le` may stand before the other labels.
        let labels: BTreeSet<_> = sample.1.split(',').filter(|label| !label.starts_with("le=")).collect();
        let le = sample.1.split(',').find(|label| label.starts_with("le="));
        let own = labels.into_iter().collect::<Vec<_>>().join(",");
        let separator = if own.is_empty() { "" } else { "," };
        (sample.0.clone(), format!("{own}{separator}{}", le.unwrap_or_default()), sample.2)
    };
    let buckets: Vec<(f64, f64)> =
        family.samples.iter().map(reordered).filter_map(|sample| bucket(&sample)).collect();
    assert!(buckets.is_sorted_by(|low, high| low.0 < high.0 && low.1 <= high.1), "{buckets:?}");
    let (last, all) = *buckets.last().expect("buckets");
    assert!(last.is_infinite());
    assert!((all - value(families, &format!("{name}_count"), labels)).abs() < f64::EPSILON);
    buckets
}

#[tokio::test]
async fn histograms_are_cumulative_and_in_seconds() {
    let agent = Agent::start(Fake::default().start());
    agent.metrics.replies.record(Duration::from_millis(3));
    agent.metrics.journal_syncs.record(Duration::from_millis(20));
    let families = scrape(&agent).await;

    let kernel = buckets(&families, "xdhcpd_reply_seconds", r#"path="kernel""#);
    assert_eq!(kernel.len(), 16);
    assert_eq!(kernel[2..4], [(256e-9, 0.0), (512e-9, 5.0)]);
    assert!((value(&families, "xdhcpd_reply_seconds_sum", r#"path="kernel""#) - 0.003).abs() < 1e-12);

    let agent = buckets(&families, "xdhcpd_reply_seconds", r#"path="agent""#);
    let under = |buckets: &[(f64, f64)], bound: f64| {
        buckets.iter().filter(|b| b.0 <= bound).map(|b| b.1).sum::<f64>()
    };
    assert!(under(&agent, 0.002).abs() < f64::EPSILON && under(&agent, 0.0045) > 0.0);
    let syncs = buckets(&families, "xdhcpd_journal_sync_seconds", "");
    assert!(under(&syncs, 0.016).abs() < f64::EPSILON && under(&syncs, 0.04) > 0.0);
}

#[tokio::test]
async fn a_scraper_that_asks_for_open_metrics_gets_it_whole() {
    let agent = Agent::start(Fake::default().start());
    let request = "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let answer = super::ask(&agent.path, request).await;
    assert!(answer.head.contains("application/openmetrics-text"), "{}", answer.head);
    assert!(answer.body.contains("# TYPE xdhcpd_replies counter\n"), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"));
}
