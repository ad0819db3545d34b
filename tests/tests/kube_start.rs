//! How the agent of a ClusterAgent begins, and why it does not: one line for its log, one event beside
//! the object, and an exit code that a supervisor understands. Without the API server it begins with what
//! it knows.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::bmc::Authority;
use xdhcpd_tests::clients::{self, Client, Program};
use xdhcpd_tests::cluster_agent::{
    self, CONVERGED, ClusterAgent, HTTP, agent_name, kubeconfig, manifest, wait_for_status,
};
use xdhcpd_tests::events;
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::{self, NetNs, Pair};
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::{skip, wait};

/// A trial that has not ended by itself after so many seconds has started.
const STARTED: &str = "90";

/// What [`manifest`] says of endpoints.
const NO_SECRET: &str = r#"{port: 8080, https: false, secretName: "", secretNamespace: ""}"#;

fn scene() -> Result<Option<(Arc<Cluster>, Pair)>> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !Program::Dhclient.is_there(&test) {
        return Ok(None);
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    Ok(Some((cluster, pair)))
}

/// Starts an agent that is told everything by its environment, and that shall not start: the one line
/// that it leaves.
fn line_of_a_failed_start(namespace: &NetNs, folder: &Path, variables: &[(&str, &str)]) -> Result<String> {
    let output = namespace
        .command("timeout")
        .arg(STARTED)
        .arg(Agent::binary())
        .arg("run")
        .env("XDHCPD_LEASE_DIR", folder)
        .env("XDHCPD_HTTP", HTTP)
        .env("LOG_LEVEL", "error")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{variables:?}: {said}");
    assert!(said.starts_with("xdhcpd: ") && said.lines().count() == 1, "{variables:?}: {said}");
    Ok(said)
}

/// An agent of this object does not start: its one line says this, and so does an event.
fn does_not_start(
    cluster: &Cluster,
    namespace: &NetNs,
    manifest: impl Fn(&str) -> String,
    variables: &[(&str, &str)],
    text: &str,
) -> Result<()> {
    let name = agent_name();
    cluster.apply(&manifest(&name))?;
    let kubeconfig = kubeconfig(cluster)?.display().to_string();
    let folder = netns::folder("start")?;
    let all = [&[("CLUSTERAGENT_NAME", name.as_str()), ("KUBECONFIG", &kubeconfig)], variables].concat();
    let line = line_of_a_failed_start(namespace, folder.path(), &all)?;
    assert!(line.contains(text), "expected {text:?}, found {line}");
    events::wait_for(cluster, &name, "StartFailed", text).map(drop)
}

#[test]
fn without_a_name_or_an_object_of_that_name_it_says_so() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let kubeconfig = kubeconfig(&cluster)?.display().to_string();
    let nobody = agent_name();
    let folder = netns::folder("start")?;
    let named = ("CLUSTERAGENT_NAME", nobody.as_str());
    let reachable = ("KUBECONFIG", kubeconfig.as_str());
    for (variables, text) in [
        (vec![("CLUSTERAGENT_NAME", ""), reachable], "CLUSTERAGENT_NAME: is empty".to_owned()),
        (vec![reachable], "/etc/xdhcpd/config.yaml".to_owned()),
        (vec![named, reachable], format!("ClusterAgent {nobody}: there is no such object")),
        (vec![named, ("KUBECONFIG", "/nowhere")], "/nowhere".to_owned()),
        (
            vec![named, reachable, ("HOST_STATUS_UPDATE_INTERVAL", "soon")],
            r#"HOST_STATUS_UPDATE_INTERVAL: expected seconds from 1 to 86400, found "soon""#.to_owned(),
        ),
        (
            vec![named, reachable, ("HOST_STATUS_UPDATE_INTERVAL", "0")],
            "HOST_STATUS_UPDATE_INTERVAL: expected".to_owned(),
        ),
    ] {
        let line = line_of_a_failed_start(&pair.server, folder.path(), &variables)?;
        assert!(line.contains(&text), "expected {text:?}, found {line}");
    }
    Ok(())
}

#[test]
fn a_secret_that_cannot_be_used_stops_the_start() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let (good, other) = (Authority::new()?.secret()?, Authority::new()?.secret()?);
    let secret = |data: &[(&str, &str)]| -> Result<String> {
        let name = agent_name();
        let data: Value = data.iter().map(|&(key, text)| (key.to_owned(), json!(text))).collect();
        let metadata = json!({"name": name, "namespace": "default"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        cluster.apply(&secret.to_string())?;
        Ok(name)
    };
    let text = |key: &str| String::from_utf8(good[key].clone());
    let (certificate, key) = (text("tls.crt")?, text("tls.key")?);
    let (certificate, key) = (("tls.crt", certificate.as_str()), ("tls.key", key.as_str()));
    let foreign = String::from_utf8(other["tls.key"].clone())?;
    let https = |name: &str, secret: &str| {
        let namespace = if secret.is_empty() { "" } else { "default" };
        let endpoint = format!("{{https: true, secretName: {secret:?}, secretNamespace: {namespace:?}}}");
        manifest(name, "s0", &[]).replace(NO_SECRET, &endpoint)
    };
    for (secret, text) in [
        (String::new(), "spec.endpoint.secretName: is missing; `https: true` needs it".to_owned()),
        ("nowhere".to_owned(), "spec.endpoint.secretName: there is no Secret default/nowhere".to_owned()),
        (secret(&[certificate])?, "tls.key: is missing or empty".to_owned()),
        (secret(&[key])?, "tls.crt: is missing or empty".to_owned()),
        (secret(&[certificate, ("tls.key", &foreign)])?, "tls.key: is not the key of".to_owned()),
        (secret(&[certificate, ("tls.key", "a key")])?, "tls.key: expected".to_owned()),
        (secret(&[certificate, key, ("ca.crt", "a CA")])?, "ca.crt: expected".to_owned()),
        (secret(&[certificate, key, ("username", "root")])?, "password: is missing or empty".to_owned()),
    ] {
        does_not_start(&cluster, &pair.server, |name| https(name, &secret), &[], &text)?;
    }
    let (name, secret) = (agent_name(), secret(&[certificate, key])?);
    cluster.apply(&https(&name, &secret))?;
    ClusterAgent::start(&cluster, &pair.server, &name)?;
    Ok(())
}

#[test]
fn an_interface_that_cannot_serve_stops_the_start() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let server = &pair.server;
    server.ip("link add up0 type veth peer name down0")?;
    server.ip("link set up0 up")?;
    server.ip("address add 10.8.0.2/24 dev up0")?;
    server.ip("route add default via 10.8.0.1 dev up0")?;
    let at = "spec.feature.dhcpServerConfig";
    let own = ["selfIp: 10.9.0.3/24"];
    for (interface, lines, variables, text) in [
        ("gone0", &[][..], &[][..], "dhcpServerInterface: gone0 does not exist"),
        ("down0", &[], &[], "dhcpServerInterface: down0 is down"),
        ("down0", &own, &[], "dhcpServerInterface: down0 is down"),
        ("up0", &[], &[], "dhcpServerInterface: up0 has no address in 10.9.0.0/24 (it has 10.8.0.2/24)"),
        ("up0", &own, &[], "selfIp: up0 carries a default route of the host (default via 10.8.0.1 dev up0)"),
        (
            "s0",
            &own,
            &[("XDHCPD_NODE_IP", "10.9.0.2")],
            "selfIp: 10.9.0.3/24 would replace 10.9.0.2, by which the cluster knows this node, on s0",
        ),
    ] {
        let manifest = |name: &str| manifest(name, interface, lines);
        does_not_start(&cluster, server, manifest, variables, &format!("{at}.{text}"))?;
    }
    let addresses = server.ip("-4 -o address show")?;
    assert!(!addresses.contains("10.9.0.3"), "nothing was touched: {addresses}");
    Ok(())
}

#[test]
fn the_nodes_own_addresses_are_replaced_where_a_flag_says_so() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let name = agent_name();
    pair.server.ip("route add default via 10.9.0.1 dev s0")?;
    cluster.apply(&manifest(&name, "s0", &["selfIp: 10.9.0.3/24"]))?;
    let flags = ["--replace-node-addresses", "--node-ip", "10.9.0.2"];
    let _agent = ClusterAgent::start_with(&cluster, &pair.server, &name, &flags)?;
    let addresses = pair.server.ip("-4 -o address show dev s0")?;
    assert!(addresses.contains("10.9.0.3/24") && !addresses.contains("10.9.0.2/24"), "{addresses}");
    Ok(())
}

#[test]
fn what_goes_wrong_after_the_checks_is_told_beside_the_object_too() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let busy = pair.server.inside(|| TcpListener::bind(HTTP))??;
    let text = format!("http.listen: cannot listen on {HTTP}");
    does_not_start(&cluster, &pair.server, |name| manifest(name, "s0", &[]), &[], &text)?;
    drop(busy);
    Ok(())
}

#[test]
fn two_agents_of_one_object_and_one_folder_do_not_both_run() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    let first = ClusterAgent::start(&cluster, &pair.server, &name)?;
    let kubeconfig = kubeconfig(&cluster)?.display().to_string();
    let variables = [("CLUSTERAGENT_NAME", name.as_str()), ("KUBECONFIG", &kubeconfig)];
    let line = line_of_a_failed_start(&pair.server, first.folder(), &variables)?;
    let lease_file = format!("{name}-dhcpd.leases");
    assert!(line.contains(&lease_file), "{line}");
    events::wait_for(&cluster, &name, "StartFailed", &lease_file)?;
    assert_eq!(first.http(HTTP, "/readyz")?.0, 200, "the first is not disturbed");
    Ok(())
}

#[test]
fn the_environment_alone_is_enough() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    let folder = netns::folder("start")?;
    let log = folder.path().join("log");
    let mut running = pair
        .server
        .command(Agent::binary())
        .arg("run")
        .env("CLUSTERAGENT_NAME", &name)
        .env("KUBECONFIG", kubeconfig(&cluster)?)
        .env("HOST_STATUS_UPDATE_INTERVAL", "1")
        .env("LOG_LEVEL", "DEBUG")
        .env("XDHCPD_LEASE_DIR", folder.path())
        .env("XDHCPD_HTTP", HTTP)
        .env("XDHCPD_DETACH_ON_EXIT", "true")
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let agent = Agent::inside(&name, &pair.server);
    let ready = wait::until_true("the agent to be ready", CONVERGED, || {
        Ok(running.try_wait()?.is_some()
            || agent.http(HTTP, "/readyz").is_ok_and(|(status, _)| status == 200))
    });
    let answers: Vec<_> = ["/healthz", "/health", "/readyz", "/ready", "/metrics", "/leases"]
        .into_iter()
        .map(|path| (path, agent.http(HTTP, path)))
        .collect();
    netns::succeed(std::process::Command::new("kill").arg(running.id().to_string()))?;
    let ended = running.wait()?;
    let log = std::fs::read_to_string(log)?;
    ready.with_context(|| log.clone())?;
    for (path, answer) in answers {
        let (status, body) = answer.with_context(|| format!("{path}: {log}"))?;
        assert_eq!(status, 200, "{path}: {body}");
    }
    assert!(ended.success(), "{ended}: {log}");
    assert!(log.contains("DEBUG"), "{log}");
    Ok(())
}

#[test]
fn without_the_api_server_and_an_earlier_configuration_there_is_nothing_to_serve() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    cluster.cut_off(&pair.server)?;
    let kubeconfig = kubeconfig(&cluster)?.display().to_string();
    let folder = netns::folder("start")?;
    let variables = [("CLUSTERAGENT_NAME", name.as_str()), ("KUBECONFIG", &kubeconfig)];
    let line = line_of_a_failed_start(&pair.server, folder.path(), &variables)?;
    assert!(line.contains("the API server cannot be asked: "), "{line}");
    assert!(line.contains("no configuration was applied before"), "{line}");
    Ok(())
}

#[test]
fn without_the_api_server_the_last_configuration_is_served_and_shown_when_it_is_back() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let name = agent_name();
    cluster.apply(&manifest(
        &name,
        "s0",
        &["probe: false", "leaseTime: 20m", "options: {dns: [10.9.0.53]}"],
    ))?;
    let mut agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    agent.stop("TERM")?;
    cluster.cut_off(&pair.server)?;
    agent.restart(&pair.server)?;
    agent.wait_for_log("serving the configuration that was applied last")?;
    let lease = clients::obtain(Program::Dhclient, &pair.client, "c0")?;
    assert_eq!((lease.ip, lease.seconds), (Ipv4Addr::new(10, 9, 0, 100), 1200));
    assert_eq!(lease.dns, [Ipv4Addr::new(10, 9, 0, 53)]);
    assert_eq!(agent.http(HTTP, "/readyz")?.0, 200, "it is ready on its own");
    assert!(cluster_agent::host_status(&cluster, &name, "10.9.0.100")?.is_none());
    cluster.reconnect(&pair.server)?;
    wait_for_status(&cluster, &name, "10.9.0.100", "active", |object| {
        object["status"]["basic"]["activeDhcpClient"] == true
    })?;
    // What it serves is what the object says: there is nothing to apply, and nothing to tell.
    assert_eq!(events::count(&cluster, &name, "ConfigApplied")?, 1);
    Ok(())
}

#[test]
fn without_the_api_server_and_its_lease_file_it_does_not_guess() -> Result<()> {
    let Some((cluster, pair)) = scene()? else { return Ok(()) };
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &["probe: false"]))?;
    let mut agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    let mut client = Client::start(Program::Dhclient, &pair.client, "c0")?;
    let lease = client.lease()?;
    wait_for_status(&cluster, &name, &lease.ip.to_string(), "active", |object| !object["status"].is_null())?;
    agent.stop("TERM")?;
    std::fs::remove_file(agent.folder().join(format!("{name}-dhcpd.leases")))?;
    cluster.cut_off(&pair.server)?;
    let kubeconfig = kubeconfig(&cluster)?.display().to_string();
    let variables = [("CLUSTERAGENT_NAME", name.as_str()), ("KUBECONFIG", &kubeconfig)];
    let line = line_of_a_failed_start(&pair.server, agent.folder(), &variables)?;
    assert!(line.contains("the lease file is missing"), "{line}");
    // With it, the objects tell.
    cluster.reconnect(&pair.server)?;
    agent.restart(&pair.server)?;
    assert_eq!(agent.lease(lease.ip)?["state"], "bound");
    Ok(())
}

#[test]
fn what_an_older_definition_let_through_is_judged_at_the_start() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    cluster.apply(&definition_without_rules("ClusterAgent", "clusteragents"))?;
    cluster.apply(&definition_without_rules("HostEndpoint", "hostendpoints"))?;
    cluster.apply(&definition_without_rules("HostStatus", "hoststatuses"))?;
    // What agents say to each other is as new as they are.
    for kind in ["addressblocks", "agentterms"] {
        let file = format!("{}/../chart/crds/{kind}.bmc.spidernet.io.yaml", env!("CARGO_MANIFEST_DIR"));
        cluster.kubectl(&["apply", "--server-side", "-f", &file])?;
    }
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let server = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |name: &str| manifest(name, "s0", &[]).replace(&from, &to)
    };
    for (from, to, text) in [
        ("Interface: s0", "Interface: ''", "spec.feature.dhcpServerConfig.dhcpServerInterface: is missing"),
        ("dhcpServerInterface: s0", "", "spec: Missing field dhcpServerInterface"),
        ("gateway: 10.9.0.1", "gateway: 10.8.0.1", "spec.feature.dhcpServerConfig.gateway: "),
        ("gateway: 10.9.0.1", "gateway: 10.9.0.150", "spec.feature.dhcpServerConfig.gateway: "),
        ("-10.9.0.199", "-10.9.1.199", "spec.feature.dhcpServerConfig.ipRange: "),
        ("port: 8080", "port: web", "spec: "),
        (r#"secretName: """#, "secretName: bmc", "spec.endpoint.secretNamespace: is missing"),
        (r#"secretNamespace: """#, "secretNamespace: bmc", "spec.endpoint.secretName: is missing"),
    ] {
        does_not_start(&cluster, &pair.server, server(from, to), &[], text)?;
    }
    // Others' objects stop no start.
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    for kind in ["HostEndpoint", "HostStatus"] {
        let metadata = json!({"name": format!("{name}-10-9-0-101")});
        let object = json!({"apiVersion": "bmc.spidernet.io/v1beta1", "kind": kind, "metadata": metadata,
            "spec": {"ipAddr": 7}, "status": {"basic": 7}});
        cluster.apply(&object.to_string())?;
    }
    ClusterAgent::start(&cluster, &pair.server, &name)?;
    Ok(())
}

/// A definition that takes everything.
fn definition_without_rules(kind: &str, plural: &str) -> String {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
    });
    let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase()});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.bmc.spidernet.io")},
        "spec": {"group": "bmc.spidernet.io", "scope": "Cluster", "names": names, "versions": [version]},
    })
    .to_string()
}

#[test]
fn the_lease_that_says_who_answers_belongs_to_the_object_of_today() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !kube::is_own(&test) || !kube::is_there(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    cluster_agent::install_definitions(&cluster)?;
    cluster.start_controllers()?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &[]))?;
    let lease = format!("agent-{name}");
    // As it was made before it had an owner.
    let (home, _) = cluster_agent::ACCOUNT;
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}}).to_string())?;
    let metadata = json!({"name": lease, "namespace": home});
    let spec = json!({"holderIdentity": "somebody", "leaseDurationSeconds": 9});
    let kind = "Lease";
    let former =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec});
    cluster.apply(&former.to_string())?;

    let agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    let is_owned = |cluster: &Cluster| -> Result<bool> {
        let object = cluster.get_json("clusteragent", &name)?.context("the object")?;
        let Ok(lease) = cluster.kubectl(&["get", "lease", &lease, "--namespace", home, "-o", "json"]) else {
            return Ok(false);
        };
        let lease: Value = serde_json::from_str(&lease)?;
        let owners = lease["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let [owner] = &*owners else { return Ok(false) };
        Ok(owner["uid"] == object["metadata"]["uid"] && lease["spec"]["holderIdentity"] != "somebody")
    };
    let leads = |agent: &ClusterAgent| -> Result<bool> {
        let (_, metrics) = agent.http(HTTP, "/metrics")?;
        Ok(metrics.lines().any(|line| line == "xdhcpd_leader 1"))
    };
    wait::until_true("the Lease to have its owner", CONVERGED, || Ok(is_owned(&cluster)? && leads(&agent)?))?;
    for _ in 0..3 {
        cluster.kubectl(&["delete", "clusteragent", &name])?;
        cluster.apply(&manifest(&name, "s0", &[]))?;
        wait::until_true("the Lease to be the new object's", CONVERGED, || is_owned(&cluster))?;
    }
    // What the first ones owned is removed by now, and no later one.
    let mut together = 0;
    wait::until_true("the Lease to stay the last one's", CONVERGED, || {
        together = if is_owned(&cluster)? && leads(&agent)? { together + 1 } else { 0 };
        Ok(together >= 20)
    })
}
