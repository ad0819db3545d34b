//! HostStatus objects follow leases and HostEndpoints, whoever lays hands on them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::clients::{Client, Program};
use xdhcpd_tests::cluster_agent::{
    self, CONVERGED, ClusterAgent, agent_name, host_status, manifest, wait_for_status, wait_until_gone,
};
use xdhcpd_tests::exchange::{self, address, ask, obtain, release, renewal};
use xdhcpd_tests::host_status::{all_writes, mac_text, name, wait_until_they_are_the_leases, writes};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::{CLIENT_MAC, Pair};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

const SERVER: [u8; 4] = [10, 9, 0, 2];
const FIRST: &str = "10.9.0.100";
const FIRST_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SECOND: &str = "10.9.0.101";
const LAST: &str = "10.9.0.199";
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// Addresses that nobody is asked for, and that end with their lease.
const PLAIN: [&str; 2] = ["enableBindDhcpIP: false", "probe: false"];

/// An agent that serves, with a cluster and a wire to clients.
struct Scene {
    // In the order in which they go.
    agent: ClusterAgent,
    tap: Tap,
    pair: Pair,
    cluster: Arc<Cluster>,
}

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && kube::is_there(&test)
}

impl Scene {
    fn start(lines: &[&str]) -> Result<Self> {
        Self::start_in(Cluster::shared()?, lines)
    }

    fn start_in(cluster: Arc<Cluster>, lines: &[&str]) -> Result<Self> {
        cluster_agent::install_definitions(&cluster)?;
        let pair = Pair::new()?;
        cluster.connect(&pair.server)?;
        let name = agent_name();
        cluster.apply(&manifest(&name, "s0", lines))?;
        let agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
        let tap = Tap::open(&pair.client, "c0")?;
        Ok(Self { agent, tap, pair, cluster })
    }

    fn apply(&self, lines: &[&str]) -> Result<()> {
        self.cluster.apply(&manifest(self.agent.name(), "s0", lines))
    }

    /// Waits for an object that shows this client, active or not.
    fn wait_for(&self, ip: &str, mac: &str, active: bool) -> Result<Value> {
        let word = if active { "true" } else { "false" };
        wait_for_status(&self.cluster, self.agent.name(), ip, &format!("{mac} {word}"), |object| {
            let basic = &object["status"]["basic"];
            let label = &object["metadata"]["labels"]["bmc.spidernet.io/dhcp-ip-active"];
            basic["mac"] == mac && basic["activeDhcpClient"] == active && label.as_str() == Some(word)
        })
    }

    fn wait_until_gone(&self, ip: &str) -> Result<()> {
        wait_until_gone(&self.cluster, self.agent.name(), ip)
    }

    fn object(&self, ip: &str) -> Result<Option<Value>> {
        host_status(&self.cluster, self.agent.name(), ip)
    }

    fn object_name(&self) -> String {
        name(self.agent.name(), FIRST_IP)
    }

    /// Makes a HostEndpoint of this name, with these further lines of its spec.
    fn endpoint(&self, name: &str, ip: &str, spec: &str) -> Result<()> {
        self.cluster.apply(&format!(
            "apiVersion: bmc.spidernet.io/v1beta1\nkind: HostEndpoint\nmetadata: {{name: {name}}}\n\
             spec: {{ipAddr: {ip}, {spec}}}"
        ))
    }

    /// The same for this agent.
    fn own_endpoint(&self, name: &str, ip: &str) -> Result<()> {
        self.endpoint(name, ip, &format!("clusterAgent: {}, https: false, port: 80", self.agent.name()))
    }

    fn obtain(&self, mac: [u8; 6]) -> Result<Ipv4Addr> {
        let [_, ack] = obtain(&self.tap, mac, |frame| frame)?;
        Ok(address(&ack))
    }

    fn release(&self, mac: [u8; 6]) -> Result<()> {
        self.tap.send(&release(mac, FIRST_IP, SERVER).build())
    }
}

fn kind(object: &Value) -> &str {
    object["status"]["basic"]["type"].as_str().unwrap_or_default()
}

#[test]
fn a_host_endpoint_is_shown_with_its_owner_and_its_own_words_until_it_is_gone() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let scene = Scene::start(&PLAIN)?;
    let agent = scene.agent.name();
    scene.endpoint(&format!("{agent}-a"), "10.9.0.50", "clusterAgent: somebody-else")?;
    let name = format!("{agent}-b");
    let secret = "port: 8443, secretName: login, secretNamespace: hosts";
    scene.endpoint(&name, "10.9.0.51", &format!("clusterAgent: {agent}, {secret}"))?;
    let object = scene.wait_for("10.9.0.51", "", false)?;
    let status = &object["status"];
    assert_eq!((&status["clusterAgent"], &status["healthReady"]), (&agent.into(), &false.into()));
    let basic = &status["basic"];
    assert_eq!((&basic["type"], &basic["ipAddr"]), (&"hostEndpoint".into(), &"10.9.0.51".into()));
    assert_eq!((&basic["https"], &basic["port"]), (&true.into(), &8443.into()));
    assert_eq!((&basic["secretName"], &basic["secretNamespace"]), (&"login".into(), &"hosts".into()));
    assert!(status["lastUpdateTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{status}");
    let owner = &object["metadata"]["ownerReferences"][0];
    let endpoint = scene.cluster.get_json("hostendpoint", &name)?.context("the endpoint")?;
    assert_eq!(owner["uid"], endpoint["metadata"]["uid"]);
    assert_eq!((&owner["kind"], &owner["name"]), (&"HostEndpoint".into(), &name.as_str().into()));
    assert_eq!((&owner["controller"], &owner["blockOwnerDeletion"]), (&true.into(), &true.into()));
    assert_eq!(object["metadata"]["labels"]["bmc.spidernet.io/mode"], "hostEndpoint");
    assert!(scene.object("10.9.0.50")?.is_none(), "it is somebody else's");
    // Another port is another word; no controllers run here, so that it goes is our doing.
    scene.own_endpoint(&name, "10.9.0.51")?;
    wait_for_status(&scene.cluster, agent, "10.9.0.51", "port 80", |object| {
        object["status"]["basic"]["port"] == 80
    })?;
    scene.cluster.kubectl(&["delete", "hostendpoint", &name])?;
    scene.wait_until_gone("10.9.0.51")
}

#[test]
fn an_endpoint_that_names_no_agent_is_the_only_ones_and_of_several_nobodys() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let scene = Scene::start_in(Arc::new(Cluster::start()?), &PLAIN)?;
    scene.endpoint("host", "10.9.0.50", "https: false")?;
    scene.wait_for("10.9.0.50", "", false)?;
    scene.cluster.apply(&manifest("zz-other", "s0", &PLAIN))?;
    scene.wait_until_gone("10.9.0.50")?;
    wait::until_true("an event about it", CONVERGED, || {
        let events = scene.cluster.list_json("events.events.k8s.io")?;
        Ok(events
            .iter()
            .any(|event| event["reason"] == "NoAgentNamed" && event["regarding"]["name"] == "host"))
    })?;
    scene.cluster.kubectl(&["delete", "clusteragent", "zz-other"])?;
    scene.wait_for("10.9.0.50", "", false)?;
    Ok(())
}

#[test]
fn an_endpoint_is_shown_where_owners_are_guarded_too() -> Result<()> {
    if !can_run() || !kube::is_own(&skip::this_test()) {
        return Ok(());
    }
    // As some distributions have it: who blocks an owner's removal needs a right to.
    let plugin = ["--enable-admission-plugins=OwnerReferencesPermissionEnforcement"];
    let scene = Scene::start_in(Arc::new(Cluster::start_with(&plugin)?), &PLAIN)?;
    scene.own_endpoint("host", "10.9.0.50")?;
    let object = scene.wait_for("10.9.0.50", "", false)?;
    assert_eq!(object["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
    Ok(())
}

#[test]
fn with_garbage_collection_an_endpoint_goes_at_once_and_the_object_of_a_lease_stays() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    // The controllers had better know our kinds from the start.
    cluster_agent::install_definitions(&cluster)?;
    cluster.start_controllers()?;
    let lines = [&PLAIN[..], &["enableBindStaticIP: false"]].concat();
    let scene = Scene::start_in(Arc::new(cluster), &lines)?;
    scene.own_endpoint("alone", "10.9.0.50")?;
    scene.own_endpoint("leased", FIRST)?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    scene.wait_for("10.9.0.50", "", false)?;
    scene.wait_for(FIRST, &mac_text(ONE), true)?;
    // Waits for all that blocks it: whoever made it again would be in its way.
    scene.cluster.kubectl(&["delete", "hostendpoint", "alone", "leased", "--cascade=foreground"])?;
    scene.wait_until_gone("10.9.0.50")?;
    wait_for_status(&scene.cluster, scene.agent.name(), FIRST, "a plain lease", |object| {
        kind(object) == "dhcp" && object["metadata"]["ownerReferences"].is_null()
    })?;
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)
}

#[test]
fn a_lease_on_an_endpoints_address_is_shown_on_its_object_and_no_more_when_it_ends() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    // The address of an endpoint is kept from the other agents of this cluster: not their first one.
    let reservation = format!("reservations: [{{mac: \"{}\", ip: {LAST}}}]", mac_text(ONE));
    let lines = [&PLAIN[..], &["enableBindStaticIP: false", &reservation]].concat();
    let scene = Scene::start(&lines)?;
    let endpoint = format!("{}-host", scene.agent.name());
    scene.own_endpoint(&endpoint, LAST)?;
    let before = scene.wait_for(LAST, "", false)?;
    assert_eq!(scene.obtain(ONE)?, LAST.parse::<Ipv4Addr>()?);
    let leased = scene.wait_for(LAST, &mac_text(ONE), true)?;
    assert_eq!((kind(&leased), &leased["status"]["basic"]["port"]), ("hostEndpoint", &80.into()));
    assert_eq!(leased["metadata"]["uid"], before["metadata"]["uid"], "it is the same object");
    assert_eq!(leased["metadata"]["ownerReferences"], before["metadata"]["ownerReferences"]);
    scene.tap.send(&release(ONE, LAST.parse()?, SERVER).build())?;
    let after = scene.wait_for(LAST, "", false)?;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    // The other way about: the endpoint comes to the lease.
    scene.cluster.kubectl(&["delete", "hostendpoint", &endpoint])?;
    scene.wait_until_gone(LAST)?;
    assert_eq!(scene.obtain(ONE)?, LAST.parse::<Ipv4Addr>()?);
    scene.wait_for(LAST, &mac_text(ONE), true)?;
    scene.own_endpoint(&endpoint, LAST)?;
    wait_for_status(&scene.cluster, scene.agent.name(), LAST, "the endpoint's", |object| {
        kind(object) == "hostEndpoint"
            && object["metadata"]["ownerReferences"][0]["name"] == endpoint.as_str()
    })?;
    scene.wait_for(LAST, &mac_text(ONE), true)?;
    Ok(())
}

#[test]
fn the_object_of_a_lease_goes_when_it_has_expired_and_shows_the_next_client_of_its_address() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let lines = ["enableBindDhcpIP: false", "probe: false", "leaseTime: 2s", "leases: {horizon: 1}"];
    let scene = Scene::start(&lines)?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    scene.wait_for(FIRST, &mac_text(ONE), true)?;
    scene.wait_until_gone(FIRST)?;
    // An only address is the next one's too.
    let only = manifest(scene.agent.name(), "s0", &PLAIN).replace("-10.9.0.199", "-10.9.0.100");
    scene.cluster.apply(&only)?;
    scene.agent.wait_for_log("reload: the configuration is served")?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    scene.wait_for(FIRST, &mac_text(ONE), true)?;
    scene.release(ONE)?;
    wait::until_true("the address to be free", CONVERGED, || {
        Ok(scene.agent.lease(FIRST_IP)?["state"] == "released")
    })?;
    // It is the next client's once the other agents, had there been any, have let go of it.
    wait::until_true("the next client to have the address", CONVERGED, || {
        let discover = exchange::from_client(exchange::message::DISCOVER, TWO);
        Ok(!exchange::is_met_with_silence(&scene.tap, &discover)?)
    })?;
    assert_eq!(scene.obtain(TWO)?, FIRST_IP);
    scene.wait_for(FIRST, &mac_text(TWO), true)?;
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)
}

#[test]
fn an_address_that_stays_its_clients_is_marked_inactive_and_active_again_when_it_is_back() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let scene = Scene::start(&["probe: false", "leaseTime: 2s", "leases: {horizon: 1}"])?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    let active = scene.wait_for(FIRST, &mac_text(ONE), true)?;
    let inactive = scene.wait_for(FIRST, &mac_text(ONE), false)?;
    assert_eq!(inactive["metadata"]["uid"], active["metadata"]["uid"]);
    // The next client gets the next address: this one is not free.
    scene.apply(&["probe: false", "leaseTime: 1h"])?;
    scene.agent.wait_for_log("the configuration is served")?;
    wait::until_true("the new lease time", CONVERGED, || {
        let [_, ack] = obtain(&scene.tap, TWO, |frame| frame)?;
        assert_eq!(address(&ack), Ipv4Addr::new(10, 9, 0, 101));
        Ok(ack.option(51) == Some(&3600_u32.to_be_bytes()))
    })?;
    scene.wait_for(SECOND, &mac_text(TWO), true)?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    scene.wait_for(FIRST, &mac_text(ONE), true)?;
    scene.release(ONE)?;
    scene.wait_for(FIRST, &mac_text(ONE), false)?;
    // Removed by hand, it is given back, for its client is silent.
    scene.cluster.kubectl(&["delete", "hoststatus", &scene.object_name()])?;
    wait::until_true("the address to be free", CONVERGED, || {
        Ok(scene.agent.json("stats")?["networks"][0]["kept"] == 0)
    })?;
    assert!(scene.object(FIRST)?.is_none());
    Ok(())
}

#[test]
fn without_discovery_leases_make_and_remove_no_objects() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let off = [&PLAIN[..], &["enableDhcpDiscovery: false"]].concat();
    let scene = Scene::start(&off)?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    // An object that is made takes less than an endpoint that is shown after it.
    scene.own_endpoint(&format!("{}-host", scene.agent.name()), "10.9.0.50")?;
    scene.wait_for("10.9.0.50", "", false)?;
    assert!(scene.object(FIRST)?.is_none());
    scene.apply(&PLAIN)?;
    scene.wait_for(FIRST, &mac_text(ONE), true)?;
    scene.apply(&off)?;
    let served = format!("ClusterAgent {}: the configuration is served", scene.agent.name());
    wait::until_true("it to be served", CONVERGED, || Ok(scene.agent.log().matches(&served).count() == 3))?;
    scene.release(ONE)?;
    wait::until_true("the release", CONVERGED, || Ok(scene.agent.lease(FIRST_IP)?["state"] == "released"))?;
    scene.own_endpoint(&format!("{}-next", scene.agent.name()), "10.9.0.51")?;
    scene.wait_for("10.9.0.51", "", false)?;
    scene.wait_for(FIRST, &mac_text(ONE), true)?;
    Ok(())
}

#[test]
fn an_object_removed_by_hand_comes_back_where_the_client_lives_and_else_frees_its_address() -> Result<()> {
    if !can_run() || !Program::Udhcpc.is_there(&skip::this_test()) {
        return Ok(());
    }
    let scene = Scene::start(&PLAIN)?;
    let mut living = Client::start(Program::Udhcpc, &scene.pair.client, "c0")?;
    assert_eq!(living.lease()?.ip, FIRST_IP);
    let before = scene.wait_for(FIRST, CLIENT_MAC, true)?;
    let lease = scene.agent.lease(FIRST_IP)?;
    scene.cluster.kubectl(&["delete", "hoststatus", &scene.object_name()])?;
    wait_for_status(&scene.cluster, scene.agent.name(), FIRST, "a new one", |object| {
        object["metadata"]["uid"] != before["metadata"]["uid"]
            && object["status"]["basic"]["mac"] == CLIENT_MAC
    })?;
    assert_eq!(scene.agent.lease(FIRST_IP)?, lease, "nothing else changes");
    // This client has no machine behind it.
    assert_eq!(scene.obtain(TWO)?, Ipv4Addr::new(10, 9, 0, 101));
    scene.wait_for(SECOND, &mac_text(TWO), true)?;
    let object = name(scene.agent.name(), Ipv4Addr::new(10, 9, 0, 101));
    scene.cluster.kubectl(&["delete", "hoststatus", &object])?;
    wait::until_true("the lease to end", CONVERGED, || {
        Ok(scene.agent.lease(Ipv4Addr::new(10, 9, 0, 101))?["state"] == "released")
    })?;
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)?;
    assert!(scene.object(SECOND)?.is_none());
    Ok(())
}

#[test]
fn an_object_edited_by_hand_or_left_without_status_is_put_right() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut scene = Scene::start(&PLAIN)?;
    assert_eq!(scene.obtain(ONE)?, FIRST_IP);
    let is_right = |object: &Value, right: &Value| {
        let says = |object: &Value| (object["status"]["basic"].clone(), object["metadata"]["labels"].clone());
        says(object) == says(right) && object["metadata"]["ownerReferences"].is_null()
    };
    let right = scene.wait_for(FIRST, &mac_text(ONE), true)?;
    let object = scene.object_name();
    let wait_until_right = |scene: &Scene, what: &str| {
        wait_for_status(&scene.cluster, scene.agent.name(), FIRST, what, |object| is_right(object, &right))
    };
    let status = r#"{"status":{"basic":{"mac":"02:ff:ff:ff:ff:ff","port":1},"clusterAgent":"x"}}"#;
    let edits: [&[&str]; 4] = [
        &["patch", "hoststatus", &object, "--subresource=status", "--type=merge", "-p", status],
        &["label", "hoststatus", &object, "bmc.spidernet.io/mode=wrong", "--overwrite"],
        &["label", "hoststatus", &object, "bmc.spidernet.io/ipAddr-", "bmc.spidernet.io/dhcp-ip-active-"],
        &["patch", "hoststatus", &object, "--subresource=status", "--type=merge", "-p", r#"{"status":null}"#],
    ];
    for edit in edits {
        scene.cluster.kubectl(edit)?;
        wait_until_right(&scene, edit.join(" ").as_str())?;
    }
    assert_eq!(scene.object(FIRST)?.context("it")?["metadata"]["uid"], right["metadata"]["uid"]);
    // While nobody looks.
    scene.agent.stop("TERM")?;
    scene.cluster.kubectl(edits[0])?;
    scene.agent.restart(&scene.pair.server)?;
    wait_until_right(&scene, "edited before the start")?;
    // As a crash leaves it: made, and nothing more.
    scene.agent.stop("KILL")?;
    scene.cluster.kubectl(&["delete", "hoststatus", &object])?;
    let bare =
        format!("apiVersion: bmc.spidernet.io/v1beta1\nkind: HostStatus\nmetadata: {{name: {object}}}");
    scene.cluster.apply(&bare)?;
    let bare = scene.object(FIRST)?.context("the bare one")?;
    assert!(bare["status"].is_null());
    scene.agent.restart(&scene.pair.server)?;
    let repaired = wait_until_right(&scene, "repaired")?;
    assert_eq!(repaired["metadata"]["uid"], bare["metadata"]["uid"]);
    Ok(())
}

#[test]
fn a_new_lease_costs_two_writes_and_a_renewal_none() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let scene = Scene::start(&PLAIN)?;
    let clients: Vec<[u8; 6]> = (1..=5).map(|last| [2, 0, 0, 0, 2, last]).collect();
    let leases: Vec<_> = clients.iter().map(|mac| Ok((*mac, scene.obtain(*mac)?))).collect::<Result<_>>()?;
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)?;
    let all = writes(&scene.agent)?;
    let count = |verb: &str| all.get(&(verb.into(), "ok".into())).copied().unwrap_or_default();
    assert_eq!((count("create"), count("update"), all_writes(&scene.agent)?), (5, 5, 10), "{all:?}");
    for (mac, ip) in &leases {
        let ack = ask(&scene.tap, &renewal(*mac, *ip, SERVER))?;
        assert_eq!(address(&ack), *ip);
        // A boot anew is no more than that.
        assert_eq!(scene.obtain(*mac)?, *ip);
    }
    // Whatever was written for these would be written before this one's.
    scene.obtain(ONE)?;
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)?;
    assert_eq!(all_writes(&scene.agent)?, 12);
    Ok(())
}
