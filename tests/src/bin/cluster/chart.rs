//! The chart, as people install it and take it away.

use anyhow::{Result, anyhow};
use xdhcpd_tests::kube::parts;

use crate::scene::{NEXT, Scene, VERSION};

/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart");
/// The release's name.
pub const RELEASE: &str = "xdhcpd";
/// Where it is installed.
pub const NAMESPACE: &str = "xdhcpd";
/// Longest wait for helm: its own limit, so that it says what it waited for.
const TIMEOUT: &str = "--timeout=5m";

/// What is told to it: the image that was brought, and no ClusterAgent yet.
const VALUES: [&str; 4] = [
    "image.registry=localhost",
    "image.repository=xdhcpd",
    "image.pullPolicy=Never",
    "clusterAgent.create=false",
];

/// Installs it, and waits until it is ready; what helm said.
pub fn install(scene: &Scene) -> Result<String> {
    let tag = format!("image.tag={VERSION}");
    let mut words = vec!["install", RELEASE, CHART, "--namespace", NAMESPACE, "--wait", TIMEOUT];
    for value in VALUES.into_iter().chain([tag.as_str()]) {
        words.extend(["--set", value]);
    }
    helm(scene, &words)
}

/// Has it take the next image, as README says; what helm said.
pub fn upgrade(scene: &Scene) -> Result<String> {
    let definitions = format!("{CHART}/crds");
    scene.cluster().kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &definitions])?;
    let tag = format!("image.tag={NEXT}");
    let words = ["upgrade", RELEASE, CHART, "--namespace", NAMESPACE, "--reset-then-reuse-values"];
    helm(scene, &[&words[..], &["--set", &tag, "--wait", TIMEOUT]].concat())
}

/// Takes it away; what helm said.
pub fn uninstall(scene: &Scene) -> Result<String> {
    helm(scene, &["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", TIMEOUT])
}

fn helm(scene: &Scene, words: &[&str]) -> Result<String> {
    let helm = parts::helm().map_err(|missing| anyhow!(missing))?;
    scene.run(&helm, words)
}
