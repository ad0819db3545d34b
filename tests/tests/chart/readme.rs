//! What README says of helm, word for word: its commands are run as they stand there.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use xdhcpd_tests::chart::CHART;
use xdhcpd_tests::cluster_agent::{CONVERGED, manifest};
use xdhcpd_tests::kube::{Cluster, READY, parts};
use xdhcpd_tests::netns::{command_in, succeed};
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::{readme, skip, wait};

use crate::installed::scene;

/// Where they put the release.
const NAMESPACE: &str = "dhcp";

/// The commands of helm's section that are helm's or kubectl's, in the order in which they stand there.
fn commands() -> Result<Vec<String>> {
    let section = readme::section("#### With helm")?;
    // What stands in a line of its own, and what stands between two marks.
    let spans = section.split('`').map(str::trim);
    let blocks = section.lines().filter(|line| !line.contains('`'));
    let mut found: Vec<&str> =
        spans.chain(blocks).filter(|it| it.starts_with("helm ") || it.starts_with("kubectl ")).collect();
    let place = |command: &&str| command.as_ptr();
    found.sort_by_key(place);
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// A command as it is typed, where the repository's folder is.
fn typed(cluster: &Cluster, command: &str) -> Result<Command> {
    let mut path = std::ffi::OsString::new();
    for program in [parts::helm(), parts::kubectl()] {
        let program = program.map_err(anyhow::Error::msg)?;
        path.push(program.parent().context("a program has a folder")?);
        path.push(":");
    }
    path.push(skip::search_path());
    let mut shell = command_in(cluster.home(), "sh");
    // What ends the shell is to end the command.
    let command = format!("exec {command}");
    shell.args(["-c", &command]).current_dir(Path::new(CHART).join("..")).env("PATH", path);
    shell.env("KUBECONFIG", cluster.admin_kubeconfig()).env("HOME", cluster.folder());
    shell.stdin(Stdio::null());
    Ok(shell)
}

#[test]
fn the_commands_of_readme_install_upgrade_and_remove_the_chart() -> Result<()> {
    let Some((mut cluster, _)) = scene(&skip::this_test())? else { return Ok(()) };
    cluster.start_controllers()?;
    let commands = commands()?;
    let verbs: Vec<_> =
        commands.iter().map(|it| it.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = ["helm install", "helm show", "kubectl apply", "helm upgrade", "helm uninstall"];
    assert_eq!(verbs, expected, "{commands:#?}");
    let (last, others) = commands.split_last().context("commands")?;
    for command in others {
        succeed(&mut typed(&cluster, command)?).with_context(|| command.clone())?;
    }
    let release = cluster.kubectl(&["get", "deployment", "--namespace", NAMESPACE, "-o", "json"])?;
    assert!(release.contains("registry.example.org/xdhcpd:"), "kept over the upgrade: {release}");
    cluster.apply(&manifest("rack1", "eth1", &[]))?;

    let mut removal = typed(&cluster, last)?;
    let mut removal = removal.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let hook = run_hook(&cluster, &mut removal);
    if hook.is_err() {
        // It would wait for as long as it may.
        removal.kill()?;
    }
    let output = removal.wait_with_output()?;
    hook.with_context(|| format!("{output:?}"))?;
    assert!(output.status.success(), "{output:?}");
    assert!(cluster.list_json("clusteragents")?.is_empty(), "its agents end first");
    let left = |kinds: &str| {
        cluster.kubectl(&["get", kinds, "-A", "-l", "app.kubernetes.io/instance=xdhcpd", "-o", "name"])
    };
    wait::until_true("all of it to be gone", CONVERGED, || {
        Ok(left("all,serviceaccounts,roles,clusterroles,clusterrolebindings,leases")?.trim().is_empty())
    })
}

/// Does for the hook's Job what a node would: runs what its pod says, as the account that it says.
fn run_hook(cluster: &Cluster, removal: &mut Child) -> Result<()> {
    let of_the_hook = ["--namespace", NAMESPACE, "-l", "app.kubernetes.io/component=uninstall"];
    let pod = wait::until("the hook's pod", READY, || {
        if let Some(status) = removal.try_wait()? {
            bail!("helm has ended with {status}");
        }
        let words = [&["get", "pods", "-o", "json"], &of_the_hook[..]].concat();
        let pods: Value = serde_json::from_str(&cluster.kubectl(&words)?)?;
        Ok(pods["items"].as_array().and_then(|pods| pods.first().cloned()))
    })?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
    let spec = &pod["spec"];
    let account = cluster.kubeconfig_of(NAMESPACE, &text(&spec["serviceAccountName"])?)?;
    let words = spec["containers"][0]["args"].as_array().context("arguments")?;
    let words: Vec<String> = words.iter().map(text).collect::<Result<_>>()?;
    let mut agent = command_in(cluster.home(), Agent::binary());
    succeed(agent.args(words).env("KUBECONFIG", account))?;
    let (name, done) = (text(&pod["metadata"]["name"])?, json!({"status": {"phase": "Succeeded"}}));
    let words = ["patch", "pod", &name, "--namespace", NAMESPACE, "--subresource=status"];
    cluster.kubectl(&[&words[..], &["--type=merge", "--patch", &done.to_string()]].concat())?;
    Ok(())
}
