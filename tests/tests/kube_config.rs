//! A running agent and its ClusterAgent: a change is served from the next message on, or refused as a
//! whole and tried again; and what is served outlives the object and the API server.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::bmc::Authority;
use xdhcpd_tests::clients::{self, Client, Program};
use xdhcpd_tests::cluster_agent::{
    self, CONVERGED, ClusterAgent, HTTP, agent_name, host_status, manifest, wait_for_status, wait_until_gone,
};
use xdhcpd_tests::events;
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::{skip, wait};

/// The client of all tests: it renews when it is told to.
const CLIENT: Program = Program::Udhcpc;

/// The lines that most tests begin with.
const PLAIN: [&str; 2] = ["probe: false", "leaseTime: 20m"];

/// A cluster, a link, and an agent that is to be started.
struct Scene {
    cluster: Arc<Cluster>,
    pair: Pair,
    name: String,
}

impl Scene {
    /// With 10.9.0.2/24 at the server's end.
    fn new() -> Result<Option<Self>> {
        Self::with_address("10.9.0.2/24")
    }

    /// The addresses of HostEndpoints are the whole cluster's: tests that make any have a subnet of
    /// their own.
    fn with_address(address: &str) -> Result<Option<Self>> {
        let test = skip::this_test();
        if !kube::is_there(&test) || !CLIENT.is_there(&test) {
            return Ok(None);
        }
        let cluster = Cluster::shared()?;
        cluster_agent::install_definitions(&cluster)?;
        let pair = Pair::with_address(address)?;
        cluster.connect(&pair.server)?;
        Ok(Some(Self { cluster, pair, name: agent_name() }))
    }

    fn start(&self, manifest: &str) -> Result<ClusterAgent> {
        self.cluster.apply(manifest)?;
        ClusterAgent::start(&self.cluster, &self.pair.server, &self.name)
    }

    /// Changes the spec of the object.
    fn change(&self, spec: &Value) -> Result<()> {
        let patch = json!({ "spec": spec }).to_string();
        self.cluster.kubectl(&["patch", "clusteragent", &self.name, "--type=merge", "-p", &patch])?;
        Ok(())
    }

    /// Changes `dhcpServerConfig`.
    fn change_server(&self, server: &Value) -> Result<()> {
        self.change(&json!({"feature": {"dhcpServerConfig": server}}))
    }

    /// A lease for a client with this hardware address, which then vanishes.
    fn lease_of(&self, mac: &str) -> Result<clients::Lease> {
        self.pair.client.ip(&format!("link set c0 address {mac}"))?;
        clients::obtain(CLIENT, &self.pair.client, "c0")
    }

    /// The port that the HostStatus of an address says.
    fn port_shown(&self, ip: &str) -> Result<u64> {
        let object = wait_for_status(&self.cluster, &self.name, ip, "written", |it| !it["status"].is_null())?;
        object["status"]["basic"]["port"].as_u64().context("a port")
    }
}

/// How many times a running agent has gone over to another configuration.
fn changes(agent: &ClusterAgent) -> usize {
    agent.log().matches("the configuration is served networks=").count()
}

/// Waits until it has done so.
fn served_anew(agent: &ClusterAgent, times: usize) -> Result<()> {
    let what = format!("{times} changes to be served");
    let changed = wait::until_true(&what, CONVERGED, || Ok(changes(agent) >= times));
    changed.with_context(|| format!("its log:\n{}", agent.log()))
}

fn host(name: &str, agent: &str, ip: &str) -> String {
    let spec = json!({"clusterAgent": agent, "ipAddr": ip, "https": false, "port": 8080});
    let metadata = json!({ "name": name });
    json!({"apiVersion": "bmc.spidernet.io/v1beta1", "kind": "HostEndpoint", "metadata": metadata, "spec": spec})
        .to_string()
}

#[test]
fn a_change_of_the_object_is_in_the_next_message_to_each_client() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    let agent = scene.start(&manifest(&scene.name, "s0", &PLAIN))?;
    let mut client = Client::start(CLIENT, &scene.pair.client, "c0")?;
    let before = client.lease()?;
    assert_eq!((before.seconds, before.dns.len()), (1200, 0));
    scene.change_server(&json!({
        "leaseTime": "10m", "options": {"dns": ["10.9.0.53"]},
        "reservations": [{"mac": "02:00:00:00:00:05", "ip": "10.9.0.5"}],
    }))?;
    served_anew(&agent, 1)?;
    let after = client.renew()?;
    assert_eq!((after.ip, after.seconds), (before.ip, 600));
    assert_eq!(after.dns, [Ipv4Addr::new(10, 9, 0, 53)]);
    drop(client);
    assert_eq!(scene.lease_of("02:00:00:00:00:05")?.ip, Ipv4Addr::new(10, 9, 0, 5));
    // That of the start and this one.
    wait::until_true("both events to be counted", CONVERGED, || {
        Ok(events::count(&scene.cluster, &scene.name, "ConfigApplied")? == 2)
    })
}

#[test]
fn a_change_that_cannot_be_served_is_refused_whole_and_served_once_the_machine_can() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    let Pair { server, client } = &scene.pair;
    server.ip(&format!("link add s1 type veth peer name c1 netns {}", client.name()))?;
    let agent = scene.start(&manifest(&scene.name, "s0", &PLAIN))?;
    scene.change(&json!({
        "endpoint": {"port": 9999},
        "feature": {"dhcpServerConfig": {"dhcpServerInterface": "s1", "leaseTime": "10m"}},
    }))?;
    let refusal = "spec.feature.dhcpServerConfig.dhcpServerInterface: s1 is down";
    events::wait_for(&scene.cluster, &scene.name, "ConfigRefused", refusal)?;
    assert_eq!(clients::obtain(CLIENT, client, "c0")?.seconds, 1200, "as before");
    assert_eq!(scene.port_shown("10.9.0.100")?, 8080, "as before");

    // The same refusal again is no news.
    wait::until_true("a second try", CONVERGED, || Ok(agent.log().matches("still refused").count() >= 1))?;
    assert_eq!(events::count(&scene.cluster, &scene.name, "ConfigRefused")?, 1);

    server.ip("address flush dev s0")?;
    server.ip("address add 10.9.0.2/24 dev s1")?;
    server.ip("link set s1 up")?;
    client.ip("link set c0 down")?;
    client.ip("link set c1 up")?;
    served_anew(&agent, 1)?;
    assert_eq!(clients::obtain(CLIENT, client, "c1")?.seconds, 600);
    wait_for_status(&scene.cluster, &scene.name, "10.9.0.100", "with the new port", |object| {
        object["status"]["basic"]["port"] == 9999
    })?;
    Ok(())
}

#[test]
fn a_secret_that_cannot_be_used_is_refused_until_it_can() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    let agent = scene.start(&manifest(&scene.name, "s0", &PLAIN))?;
    let secret = agent_name();
    scene.change(&json!({
        "endpoint": {"https": true, "port": 9999, "secretName": secret, "secretNamespace": "default"},
        "feature": {"dhcpServerConfig": {"leaseTime": "10m"}},
    }))?;
    let refusal = format!("spec.endpoint.secretName: there is no Secret default/{secret}");
    events::wait_for(&scene.cluster, &scene.name, "ConfigRefused", &refusal)?;
    let mut client = Client::start(CLIENT, &scene.pair.client, "c0")?;
    assert_eq!(client.lease()?.seconds, 1200, "as before");
    assert_eq!(scene.port_shown("10.9.0.100")?, 8080, "as before");

    let data = Authority::new()?.secret()?;
    let data: Value =
        data.into_iter().map(|(key, text)| (key, json!(String::from_utf8_lossy(&text)))).collect();
    let metadata = json!({"name": secret, "namespace": "default"});
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    scene.cluster.apply(&object.to_string())?;
    served_anew(&agent, 1)?;
    assert_eq!(client.renew()?.seconds, 600);
    let object = wait_for_status(&scene.cluster, &scene.name, "10.9.0.100", "with the new port", |object| {
        object["status"]["basic"]["port"] == 9999
    })?;
    assert_eq!(object["status"]["basic"]["secretName"], secret.as_str());
    Ok(())
}

#[test]
fn a_hosts_address_is_kept_from_clients_while_its_endpoint_is_there() -> Result<()> {
    let Some(scene) = Scene::with_address("10.77.0.2/24")? else { return Ok(()) };
    let manifest = manifest(&scene.name, "s0", &PLAIN).replace("10.9.0.", "10.77.0.");
    let agent = scene.start(&manifest.replace("10.77.0.199", "10.77.0.101"))?;
    scene.cluster.apply(&host(&agent_name(), &scene.name, "10.77.1.100"))?;
    wait_for_status(&scene.cluster, &scene.name, "10.77.1.100", "shown", |it| !it["status"].is_null())?;
    assert_eq!(changes(&agent), 0, "it is in no subnet of the agent's");
    let endpoint = agent_name();
    scene.cluster.apply(&host(&endpoint, &scene.name, "10.77.0.100"))?;
    served_anew(&agent, 1)?;
    assert_eq!(scene.lease_of("02:00:00:00:00:01")?.ip, Ipv4Addr::new(10, 77, 0, 101));
    wait_for_status(&scene.cluster, &scene.name, "10.77.0.100", "shown", |object| {
        object["status"]["basic"]["type"] == "hostEndpoint"
    })?;
    scene.cluster.kubectl(&["delete", "hostendpoint", &endpoint])?;
    served_anew(&agent, 2)?;
    assert_eq!(scene.lease_of("02:00:00:00:00:02")?.ip, Ipv4Addr::new(10, 77, 0, 100));
    // Neither was a change of the object.
    assert_eq!(events::count(&scene.cluster, &scene.name, "ConfigApplied")?, 1);
    Ok(())
}

#[test]
fn a_refused_change_does_not_hold_up_the_hosts_of_the_subnet() -> Result<()> {
    let Some(scene) = Scene::with_address("10.79.0.2/24")? else { return Ok(()) };
    let manifest = manifest(&scene.name, "s0", &PLAIN).replace("10.9.0.", "10.79.0.");
    let agent = scene.start(&manifest)?;
    scene.change_server(&json!({"dhcpServerInterface": "gone0"}))?;
    events::wait_for(&scene.cluster, &scene.name, "ConfigRefused", "gone0 does not exist")?;
    scene.cluster.apply(&host(&agent_name(), &scene.name, "10.79.0.100"))?;
    served_anew(&agent, 1)?;
    assert_eq!(scene.lease_of("02:00:00:00:00:01")?.ip, Ipv4Addr::new(10, 79, 0, 101));
    Ok(())
}

#[test]
fn an_agent_without_a_server_shows_hosts_and_answers_nobody_until_it_shall() -> Result<()> {
    let Some(scene) = Scene::with_address("10.78.0.2/24")? else { return Ok(()) };
    let name = &scene.name;
    let whole = manifest(name, "s0", &PLAIN).replace("10.9.0.", "10.78.0.");
    let agent = scene.start(&whole.replace("enableDhcpServer: true", "enableDhcpServer: false"))?;
    assert_eq!(agent.http(HTTP, "/readyz")?.0, 200);
    scene.cluster.apply(&host(&agent_name(), name, "10.78.0.50"))?;
    let object = wait_for_status(&scene.cluster, name, "10.78.0.50", "shown", |it| !it["status"].is_null())?;
    assert_eq!(object["status"]["basic"]["type"], "hostEndpoint");
    Client::start(CLIENT, &scene.pair.client, "c0")?.failure()?;
    scene.change(&json!({"feature": {"enableDhcpServer": true}}))?;
    served_anew(&agent, 1)?;
    assert_eq!(clients::obtain(CLIENT, &scene.pair.client, "c0")?.seconds, 1200);
    wait_for_status(&scene.cluster, name, "10.78.0.100", "shown", |it| !it["status"].is_null())?;
    Ok(())
}

#[test]
fn an_agent_whose_object_is_removed_serves_on_and_takes_up_a_new_one() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    let manifest = manifest(&scene.name, "s0", &[PLAIN[0], PLAIN[1], "enableBindDhcpIP: false"]);
    let agent = scene.start(&manifest)?;
    scene.cluster.kubectl(&["delete", "clusteragent", &scene.name])?;
    agent.wait_for_log("was removed: its configuration is served on")?;
    let mut client = Client::start(CLIENT, &scene.pair.client, "c0")?;
    assert_eq!(client.lease()?.seconds, 1200);
    assert_eq!(scene.port_shown("10.9.0.100")?, 8080, "it is shown");
    assert_eq!(agent.http(HTTP, "/readyz")?.0, 200);
    scene.cluster.apply(&manifest.replace("20m", "10m"))?;
    served_anew(&agent, 1)?;
    assert_eq!(client.renew()?.seconds, 600);
    client.release(&scene.pair.client)?;
    wait_until_gone(&scene.cluster, &scene.name, "10.9.0.100")
}

#[test]
fn what_was_changed_last_is_served_after_a_restart_without_the_api_server() -> Result<()> {
    let Some(scene) = Scene::new()? else { return Ok(()) };
    let mut agent = scene.start(&manifest(&scene.name, "s0", &PLAIN))?;
    scene.change(
        &json!({"endpoint": {"port": 9999}, "feature": {"dhcpServerConfig": {"leaseTime": "10m"}}}),
    )?;
    served_anew(&agent, 1)?;
    // Served first, and kept right after.
    let kept = agent.folder().join(format!("{}-clusteragent.json", scene.name));
    wait::until_true("it to be kept", CONVERGED, || Ok(std::fs::read_to_string(&kept)?.contains("10m")))?;
    agent.stop("KILL")?;
    scene.cluster.cut_off(&scene.pair.server)?;
    agent.restart(&scene.pair.server)?;
    assert_eq!(clients::obtain(CLIENT, &scene.pair.client, "c0")?.seconds, 600);
    assert!(host_status(&scene.cluster, &scene.name, "10.9.0.100")?.is_none());
    scene.cluster.reconnect(&scene.pair.server)?;
    assert_eq!(scene.port_shown("10.9.0.100")?, 9999);
    Ok(())
}
