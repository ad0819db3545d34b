//! The end of agents whose objects are removed: nothing that answers is left, and nothing that they wrote.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::{self, CONVERGED, ClusterAgent, agent_name, manifest};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::{Pair, command_in};
use xdhcpd_tests::rights::Audit;
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::{skip, wait};

/// The rules of the account that the chart's hook has.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/files/uninstall-rules.yaml");

/// What stands for the pods of an agent: it goes after its owner is marked, and when it is let go.
const HELD: &str = "held";

#[test]
fn an_agent_takes_its_program_along_only_when_its_object_goes() -> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    let mut agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    assert!(agent.stop("TERM")?.success());
    assert!(agent.pins().join("program").exists(), "the object is there: the program answers on");

    agent.restart(&pair.server)?;
    // As in the foreground: marked, and there until its parts have ended.
    patch_finalizers(&cluster, &format!("clusteragent/{name}"), &["xdhcpd.invalid/held"])?;
    cluster.kubectl(&["delete", "clusteragent", &name, "--wait=false"])?;
    // It hears of the object some time after, and is not to be ended before.
    cluster.kubectl(&["wait", "clusteragent", &name, "--for=jsonpath={.metadata.deletionTimestamp}"])?;
    agent.wait_for_log("is being removed")?;
    assert!(agent.pins().join("program").exists(), "it serves until it is ended");
    assert!(agent.stop("TERM")?.success());
    assert!(!agent.pins().exists(), "{}", agent.log());
    let attached = pair.server.ip("-details link show s0")?;
    assert!(!attached.contains("xdp"), "{attached}");
    patch_finalizers(&cluster, &format!("clusteragent/{name}"), &[])
}

#[test]
fn uninstall_ends_all_agents_and_removes_what_they_wrote_with_the_hooks_rights() -> Result<()> {
    let test = skip::this_test();
    // All there is goes: not in anybody's cluster.
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let audit = Audit::new()?;
    let mut cluster = Cluster::start_with(&audit.arguments().each_ref().map(String::as_str))?;
    cluster_agent::install_definitions(&cluster)?;
    cluster.start_controllers()?;
    cluster.apply(&manifest("rack1", "eth1", &[]))?;
    cluster.apply(&manifest("rack2", "eth2", &[]))?;
    for name in ["rack1-10-9-0-100", "rack2-10-9-0-100"] {
        let kind = "apiVersion: bmc.spidernet.io/v1beta1\nkind: HostStatus\n";
        cluster.apply(&format!("{kind}metadata: {{name: {name}}}\n"))?;
    }
    let endpoint = "apiVersion: bmc.spidernet.io/v1beta1\nkind: HostEndpoint\n";
    cluster.apply(&format!("{endpoint}metadata: {{name: bmc}}\nspec: {{ipAddr: 10.9.0.7}}\n"))?;
    let block = json!({"clusterAgent": "rack1", "serial": 1});
    cluster.apply(&guarded("AddressBlock", "rack1-10-9-0-0", &block))?;
    let (until, longest) = ("2026-01-01T00:00:00Z", "1h");
    let term = json!({
        "clusterAgent": "rack1", "serial": 1, "incarnation": 1, "until": until, "longest": longest,
    });
    cluster.apply(&guarded("AgentTerm", "rack1-0123456789abcdef", &term))?;
    hold(&cluster, "rack1")?;
    let rules = fs::read_to_string(RULES).context(RULES)?;
    let account = ("xdhcpd", "uninstall");
    let hook = cluster.service_account_kubeconfig(account.0, account.1, &rules)?;

    let late = uninstall(&cluster, &hook, "2s")?;
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    let said = String::from_utf8(late.stderr)?;
    assert!(said.contains("ClusterAgent rack1 still there after 2 s"), "{said}");
    assert_eq!(cluster.list_json("hoststatuses")?.len(), 2, "they are shown while an agent may run");

    patch_finalizers(&cluster, &format!("configmap/{HELD}"), &[])?;
    let done = uninstall(&cluster, &hook, "2m")?;
    assert!(done.status.success(), "{done:?}");
    for kind in ["clusteragents", "hoststatuses", "addressblocks", "agentterms"] {
        assert!(cluster.list_json(kind)?.is_empty(), "{kind}");
    }
    assert_eq!(cluster.list_json("hostendpoints")?.len(), 1, "these are people's");

    let again = uninstall(&cluster, &hook, "2m")?;
    assert!(String::from_utf8_lossy(&again.stdout).contains("no ClusterAgent was there"), "{again:?}");
    audit.each_is_used(&cluster, account, |_| true)
}

#[test]
fn without_a_right_the_hook_says_which_it_misses() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    cluster_agent::install_definitions(&cluster)?;
    cluster.apply(&manifest("rack1", "eth1", &[]))?;
    for (verb, said) in
        [("list", "ClusterAgents cannot be listed"), ("delete", "a ClusterAgent cannot be deleted")]
    {
        let others: Vec<&str> = ["list", "delete"].into_iter().filter(|other| *other != verb).collect();
        let rules =
            json!({"apiGroups": ["bmc.spidernet.io"], "resources": ["clusteragents"], "verbs": others});
        let account = format!("without-{verb}");
        let account = cluster.service_account_kubeconfig("xdhcpd", &account, &format!("- {rules}"))?;
        let refused = uninstall(&cluster, &account, "2s")?;
        let told = String::from_utf8(refused.stderr)?;
        assert!(told.contains(said) && told.contains("forbidden"), "without {verb}: {told}");
    }
    Ok(())
}

/// Runs `xdhcpd uninstall` to its end.
fn uninstall(cluster: &Cluster, kubeconfig: &PathBuf, timeout: &str) -> Result<Output> {
    let mut command: Command = command_in(cluster.home(), Agent::binary());
    command.args(["uninstall", "--timeout", timeout]).env("KUBECONFIG", kubeconfig);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// What an agent has published.
fn guarded(kind: &str, name: &str, spec: &Value) -> String {
    let metadata = json!({"name": name, "finalizers": ["bmc.spidernet.io/claims"]});
    json!({"apiVersion": "bmc.spidernet.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec})
        .to_string()
}

/// Gives a ClusterAgent something that keeps it from going.
fn hold(cluster: &Cluster, agent: &str) -> Result<()> {
    let uid =
        cluster.get_json("clusteragent", agent)?.context("it was just made")?["metadata"]["uid"].clone();
    let held = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": HELD,
            "finalizers": ["xdhcpd.invalid/held"],
            "ownerReferences": [{
                "apiVersion": "bmc.spidernet.io/v1beta1",
                "kind": "ClusterAgent",
                "name": agent,
                "uid": uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
    });
    cluster.apply(&held.to_string())?;
    wait::until_true("it to be there", CONVERGED, || Ok(cluster.get_json("configmap", HELD)?.is_some()))
}

fn patch_finalizers(cluster: &Cluster, object: &str, finalizers: &[&str]) -> Result<()> {
    let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
    cluster.kubectl(&["patch", object, "--type=merge", "--patch", &patch]).map(drop)
}
