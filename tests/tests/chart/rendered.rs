//! What helm says of the chart, and what it makes of it.

use anyhow::{Context as _, Result};
use xdhcpd_tests::chart::{self, CHART, document};
use xdhcpd_tests::skip;

/// Values that turn everything on.
pub const ALL: &[&str] = &[
    "metrics.serviceMonitor.enabled=true",
    "metrics.alerts.enabled=true",
    "metrics.dashboard.enabled=true",
    "controller.replicas=2",
    "controller.tolerations[0].operator=Exists",
    "controller.nodeSelector.rack=a",
    "controller.podAnnotations.a=b",
    "controller.podLabels.c=d",
    "controller.priorityClassName=system-cluster-critical",
    "clusterAgent.create=true",
    "clusterAgent.name=rack1",
    "clusterAgent.spec.agentYaml.nodeName=n1",
    "clusterAgent.spec.feature.dhcpServerConfig.dhcpServerInterface=eth1",
    "clusterAgent.spec.feature.dhcpServerConfig.subnet=10.9.0.0/24",
    "clusterAgent.spec.feature.dhcpServerConfig.ipRange=10.9.0.100-10.9.0.199",
    "clusterAgent.spec.feature.dhcpServerConfig.gateway=10.9.0.1",
];

/// Leases in claims, and names of one's own.
pub const CLAIMS: &[&str] = &[
    "storage.type=pvc",
    "storage.pvc.storageClass=fast",
    "storage.pvc.size=2Gi",
    "storage.pvc.accessModes[0]=ReadWriteMany",
    "fullnameOverride=dhcp",
    "image.registry=registry.example.org",
    "image.tag=1.2.3",
];

/// As little as there can be.
pub const LITTLE: &[&str] = &["uninstall.enabled=false", "controller.resources=null", "image.registry="];

/// Every set of values that tests have.
pub const SETS: [&[&str]; 4] = [&[], ALL, CLAIMS, LITTLE];

#[test]
fn helm_finds_nothing_to_complain_of() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    for values in SETS {
        let words = [&["lint", "--strict", CHART], chart::sets(values).as_slice()].concat();
        let output = helm.run(&words)?;
        let said = String::from_utf8(output.stdout)?;
        assert!(output.status.success(), "{values:?}: {said}");
        assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{values:?}: {said}");
        helm.template(values).with_context(|| format!("{values:?}"))?;
    }
    Ok(())
}

#[test]
fn its_version_is_the_programs() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let shown = String::from_utf8(helm.run(&["show", "chart", CHART])?.stdout)?;
    for key in ["version", "appVersion"] {
        let line = format!("{key}: {}", env!("CARGO_PKG_VERSION"));
        assert!(shown.lines().any(|it| it == line), "no line is {line:?} in\n{shown}");
    }
    let made = helm.template(&[])?;
    let image = format!("image: \"localhost/xdhcpd:{}\"", env!("CARGO_PKG_VERSION"));
    assert!(made.contains(&image), "the image is the one that cargo xtask image makes: {made}");
    Ok(())
}

#[test]
fn the_controller_is_told_what_the_values_say() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let arguments = |values: &[&str]| -> Result<Vec<String>> {
        let made = helm.template(values)?;
        let deployment = document(&made, "Deployment").context("a Deployment")?;
        let lines = deployment.lines().map(|line| line.trim().trim_start_matches("- "));
        Ok(lines.filter(|line| line.starts_with("--")).map(str::to_owned).collect())
    };
    let plain = arguments(&[])?;
    for expected in ["--lease-host-path=/var/lib/dhcp", "--agent-role=xdhcpd-agent", "--log-level=info"] {
        assert!(plain.iter().any(|it| it == expected), "{expected}: {plain:?}");
    }
    let claims = arguments(CLAIMS)?;
    for expected in [
        "--lease-claim-size=2Gi",
        "--lease-claim-class=fast",
        "--lease-claim-access-modes=ReadWriteMany",
        "--agent-role=dhcp-agent",
        "--image=registry.example.org/xdhcpd:1.2.3",
    ] {
        assert!(claims.iter().any(|it| it == expected), "{expected}: {claims:?}");
    }
    assert!(!claims.iter().any(|it| it.starts_with("--lease-host-path")), "{claims:?}");
    Ok(())
}

#[test]
fn the_secrets_to_pull_the_image_with_reach_every_pod() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let made = helm.template(&["imagePullSecrets[0].name=login", "imagePullSecrets[1].name=other"])?;
    assert!(made.contains("- --image-pull-secrets=login,other\n"), "the agents' come from the controller");
    assert!(!helm.template(&[])?.contains("--image-pull-secrets"), "it is told of none where there is none");
    for kind in ["Deployment", "Job"] {
        let object = document(&made, kind).context(kind)?;
        let (_, secrets) = object.split_once("imagePullSecrets:\n").with_context(|| object.to_owned())?;
        assert_eq!(secrets.lines().next().map(str::trim), Some("- name: login"), "{object}");
    }
    Ok(())
}

#[test]
fn pods_that_are_no_agents_may_do_nothing_on_their_node() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let made = helm.template(&[])?;
    for kind in ["Deployment", "Job"] {
        let pod = document(&made, kind).context(kind)?;
        for expected in [
            "runAsNonRoot: true",
            "readOnlyRootFilesystem: true",
            "allowPrivilegeEscalation: false",
            "capabilities: {drop: [ALL]}",
        ] {
            assert!(pod.contains(expected), "{kind}: no {expected} in\n{pod}");
        }
        assert!(!pod.contains("hostPath") && !pod.contains("hostNetwork"), "{kind}:\n{pod}");
    }
    Ok(())
}

#[test]
fn the_hook_is_there_before_the_removal_alone_and_can_be_left_out() -> Result<()> {
    let Some(helm) = chart::helm(&skip::this_test()) else { return Ok(()) };
    let made = helm.template(&[])?;
    let job = document(&made, "Job").context("a Job")?;
    assert!(job.contains("helm.sh/hook: pre-delete"), "{job}");
    assert!(job.contains("args: [uninstall, --timeout=4m]"), "{job}");
    let hooks = made.matches("helm.sh/hook: pre-delete").count();
    assert_eq!(hooks, 4, "account, role, binding and Job go with the hook:\n{made}");
    assert!(document(&helm.template(LITTLE)?, "Job").is_none());
    Ok(())
}
