//! What a BMC says of itself is on its HostStatus, as long as it answers.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use xdhcpd_tests::bmc::{Authority, Bmc};
use xdhcpd_tests::cluster_agent::{self, ClusterAgent, agent_name, host_status, manifest, wait_for_status};
use xdhcpd_tests::exchange::{address, obtain};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

const LINES: [&str; 2] = ["enableBindDhcpIP: false", "probe: false"];
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const STATIC: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 50);

/// Hosts are asked every second.
const OFTEN: [&str; 2] = ["--host-status-update-interval", "1"];

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && kube::is_there(&test)
}

fn is_ready(object: &Value) -> bool {
    object["status"]["healthReady"] == true && object["status"]["healthy"] == true
}

fn is_not_ready(object: &Value) -> bool {
    object["status"]["healthReady"] == false && object["status"]["healthy"] == false
}

#[test]
fn a_host_with_a_lease_is_ready_while_its_bmc_answers_over_http() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &LINES))?;
    let mut agent = ClusterAgent::start_with(&cluster, &pair.server, &name, &OFTEN)?;
    let wait_for = |what: &str, holds: fn(&Value) -> bool| {
        wait_for_status(&cluster, &name, &LEASED.to_string(), what, holds)
    };

    let tap = Tap::open(&pair.client, "c0")?;
    let [_, ack] = obtain(&tap, [2, 0, 0, 0, 1, 1], |frame| frame)?;
    assert_eq!(address(&ack), LEASED);
    wait_for("not ready", is_not_ready)?;
    pair.client.ip(&format!("address add {LEASED}/24 dev c0"))?;
    let bmc = Bmc::start(&pair.client, SocketAddrV4::new(LEASED, 8080), None)?;
    let object = wait_for("ready", is_ready)?;
    let info = &object["status"]["info"];
    assert_eq!((&info["redfishVersion"], &info["os"]), (&"1.6.0".into(), &"".into()), "{info}");

    // Asked again and again, it says the same: nothing is written, nor after a restart.
    let requests = bmc.requests();
    wait::until_true("three more looks", wait::SOON, || Ok(bmc.requests() >= requests + 3))?;
    agent.stop("TERM")?;
    agent.restart(&pair.server)?;
    let requests = bmc.requests();
    wait::until_true("three more looks", wait::SOON, || Ok(bmc.requests() >= requests + 3))?;
    let after = host_status(&cluster, &name, &LEASED.to_string())?.unwrap_or_default();
    assert_eq!(after["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"]);

    drop(bmc);
    let gone = wait_for("not ready any more", is_not_ready)?;
    assert!(gone["status"]["info"]["redfishVersion"].is_null(), "{gone}");
    let _bmc = Bmc::start(&pair.client, SocketAddrV4::new(LEASED, 8080), None)?;
    wait_for("ready again", is_ready)?;
    Ok(())
}

/// A Secret with the authority's certificates and this password.
fn secret(authority: &Authority, name: &str, password: &str) -> Result<String> {
    let mut data = authority.secret()?;
    data.insert("username".into(), b"admin".into());
    data.insert("password".into(), password.into());
    let data: serde_json::Map<String, Value> =
        data.into_iter().map(|(key, value)| (key, BASE64.encode(value).into())).collect();
    let metadata = json!({"name": name, "namespace": "default"});
    Ok(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}).to_string())
}

#[test]
fn an_endpoint_over_https_is_asked_with_its_secret_whatever_becomes_of_the_api_server() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    pair.client.ip(&format!("address add {STATIC}/24 dev c0"))?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &LINES))?;
    let authority = Authority::new()?;
    cluster.apply(&secret(&authority, "login", "right")?)?;
    let bmc = Bmc::start(&pair.client, SocketAddrV4::new(STATIC, 8443), Some(&authority))?;
    bmc.demand_login("admin", "right");
    let _agent = ClusterAgent::start_with(&cluster, &pair.server, &name, &OFTEN)?;
    cluster.apply(&format!(
        "apiVersion: bmc.spidernet.io/v1beta1\nkind: HostEndpoint\nmetadata: {{name: host}}\n\
         spec: {{ipAddr: {STATIC}, port: 8443, secretName: login, secretNamespace: default, clusterAgent: {name}}}"
    ))?;
    let wait_for = |cluster: &Cluster, what: &str, holds: fn(&Value) -> bool| {
        wait_for_status(cluster, &name, &STATIC.to_string(), what, holds)
    };
    let object = wait_for(&cluster, "all of it", |object| object["status"]["info"]["bmcFirmware"] == "9.9")?;
    assert!(is_ready(&object));
    assert_eq!(object["status"]["info"]["serialNumber"], "S-77");
    bmc.set_power("Off");
    let object = wait_for(&cluster, "power off", |object| object["status"]["info"]["powerState"] == "Off")?;

    // The Secret cannot be read again for a while: what it said holds.
    cluster.stop_api();
    let requests = bmc.requests();
    wait::until_true("looks meanwhile", wait::SOON, || Ok(bmc.requests() >= requests + 20))?;
    cluster.start_api()?;
    let requests = bmc.requests();
    wait::until_true("looks after that", wait::SOON, || Ok(bmc.requests() >= requests + 20))?;
    let after = wait_for(&cluster, "there", |_| true)?;
    assert_eq!(after["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"], "{after}");

    cluster.apply(&secret(&authority, "login", "wrong")?)?;
    wait_for(&cluster, "refused", is_not_ready)?;
    cluster.apply(&secret(&authority, "login", "right")?)?;
    wait_for(&cluster, "let in again", is_ready)?;
    Ok(())
}
