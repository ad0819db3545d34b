//! The alerts: promtool takes them, and each of them comes and stays away on series that say so.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use xdhcpd_tests::chart::{self, Helm, document};
use xdhcpd_tests::netns::{folder, succeed};
use xdhcpd_tests::skip;

/// The series, and what they bring about.
const CASES: &str = include_str!("../../chart/alerts.yaml");

/// The rules as Prometheus reads them: of the PrometheusRule that helm makes.
pub fn rules(helm: &Helm) -> Result<String> {
    let made = helm.template(&["metrics.alerts.enabled=true"])?;
    let object = document(&made, "PrometheusRule").context("a PrometheusRule")?;
    let (_, spec) = object.split_once("\nspec:\n").context("its spec")?;
    Ok(spec.lines().flat_map(|line| [line.strip_prefix("  ").unwrap_or(line), "\n"]).collect())
}

#[test]
fn each_alert_comes_when_it_should_and_only_then() -> Result<()> {
    let test = skip::this_test();
    let Some(helm) = chart::helm(&test) else { return Ok(()) };
    if !skip::is_there(&test, "promtool", "prometheus") {
        return Ok(());
    }
    let (folder, rules) = (folder("alerts")?, rules(&helm)?);
    fs::write(folder.path().join("rules.yaml"), &rules)?;
    fs::write(folder.path().join("cases.yaml"), CASES)?;
    for words in [["check", "rules", "rules.yaml"], ["test", "rules", "cases.yaml"]] {
        let mut promtool = Command::new("promtool");
        succeed(promtool.current_dir(folder.path()).args(words))?;
    }
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let silent = format!("alertname: {name}, exp_alerts: []");
        let loud = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels");
        assert!(CASES.contains(&silent), "no case has {name} stay away");
        assert!(CASES.contains(&loud), "no case has {name} come");
    }
    Ok(())
}

#[test]
fn a_pool_is_nearly_empty_at_the_share_that_the_values_say() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let values = ["metrics.alerts.enabled=true", "metrics.alerts.poolRemaining=25"];
    let made = helm.template(&values)?;
    assert!(made.contains("            < 25 / 100\n"), "{made}");
    assert!(!made.contains("POOL_REMAINING"), "{made}");
    Ok(())
}
