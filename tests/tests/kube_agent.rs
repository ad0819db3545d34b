//! The agent of a ClusterAgent: its configuration from the object, its leases as objects.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use xdhcpd_tests::clients::{Client, Program};
use xdhcpd_tests::cluster_agent::{
    self, ACCOUNT, CONVERGED, ClusterAgent, HTTP, agent_name, manifest, wait_for_status, wait_until_gone,
};
use xdhcpd_tests::exchange::{obtain, release};
use xdhcpd_tests::host_status::writes;
use xdhcpd_tests::kube::{self, Cluster, OWNERS_GUARDED};
use xdhcpd_tests::netns::{CLIENT_MAC, Pair};
use xdhcpd_tests::rights::{self, Audit};
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::{events, skip, wait};

/// The address that the first client gets.
const FIRST: &str = "10.9.0.100";

fn can_run(program: Program) -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && kube::is_there(&test) && program.is_there(&test)
}

/// The cluster with our definitions, and a server and a client joined by a link.
fn scene() -> Result<(std::sync::Arc<Cluster>, Pair)> {
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    Ok((cluster, pair))
}

#[test]
fn a_client_gets_its_lease_and_an_object_that_goes_when_it_gives_the_address_back() -> Result<()> {
    if !can_run(Program::Dhclient) {
        return Ok(());
    }
    let (cluster, pair) = scene()?;
    let name = agent_name();
    let lines = ["enableBindDhcpIP: false", "probe: false", "leaseTime: 10s"];
    cluster.apply(&manifest(&name, "s0", &lines))?;
    let agent = ClusterAgent::start(&cluster, &pair.server, &name)?;

    let mut client = Client::start(Program::Dhclient, &pair.client, "c0")?;
    assert_eq!(client.lease()?.ip, FIRST.parse::<Ipv4Addr>()?);
    let object = wait_for_status(&cluster, &name, FIRST, "active", |object| {
        object["status"]["basic"]["activeDhcpClient"] == true
    })?;
    let status = &object["status"];
    assert_eq!(status["clusterAgent"], name.as_str());
    assert_eq!(status["healthReady"], false);
    assert_eq!(status["healthy"], false);
    assert_eq!(status["info"]["os"], "");
    let basic = &status["basic"];
    assert_eq!((&basic["type"], &basic["ipAddr"]), (&"dhcp".into(), &FIRST.into()));
    assert_eq!(basic["mac"], CLIENT_MAC);
    assert_eq!((&basic["port"], &basic["https"]), (&8080.into(), &false.into()));
    let labels = &object["metadata"]["labels"];
    assert_eq!(labels["bmc.spidernet.io/ipAddr"], FIRST);
    assert_eq!(labels["bmc.spidernet.io/mode"], "dhcp");
    assert_eq!(labels["bmc.spidernet.io/dhcp-ip-active"], "true");
    assert!(object["metadata"]["ownerReferences"].is_null());

    client.renew()?;
    client.release(&pair.client)?;
    wait_until_gone(&cluster, &name, FIRST)?;
    let (_, metrics) = agent.http(HTTP, "/metrics")?;
    let writes = |verb: &str| {
        let series = format!("xdhcpd_hoststatus_writes_total{{verb=\"{verb}\",result=\"ok\"}} ");
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(&series))
            .and_then(|value| value.parse::<u32>().ok())
    };
    assert_eq!(
        (writes("create"), writes("update"), writes("delete")),
        (Some(1), Some(1), Some(1)),
        "{metrics}"
    );
    Ok(())
}

/// A HostEndpoint whose credentials are in another namespace.
fn endpoint(cluster: &Cluster, agent: &str, name: &str, ip: &str) -> Result<()> {
    let login = "secretName: login, secretNamespace: hosts";
    cluster.apply(&format!(
        "apiVersion: bmc.spidernet.io/v1beta1\nkind: HostEndpoint\nmetadata: {{name: {name}}}\n\
         spec: {{clusterAgent: {agent}, ipAddr: {ip}, {login}}}"
    ))
}

#[test]
fn an_agent_needs_each_of_its_rights_and_asks_for_nothing_else() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let audit = Audit::new()?;
    let [policy, log] = audit.arguments();
    let cluster = Cluster::start_with(&[OWNERS_GUARDED, &policy, &log])?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    let serve = |lease: &str| cluster.apply(&manifest(&name, "s0", &["probe: false", lease]));
    serve("leaseTime: 1h")?;
    let mut agent = ClusterAgent::start(&cluster, &pair.server, &name)?;

    // A lease that comes and ends.
    let mac = [2, 0, 0, 0, 1, 1];
    let tap = Tap::open(&pair.client, "c0")?;
    obtain(&tap, mac, |frame| frame)?;
    let active = |active: &'static str| {
        wait_for_status(&cluster, &name, FIRST, active, move |object| {
            object["metadata"]["labels"]["bmc.spidernet.io/dhcp-ip-active"] == active
        })
    };
    active("true")?;
    tap.send(&release(mac, FIRST.parse()?, [10, 9, 0, 2]).build())?;
    active("false")?;
    // A host that comes, and one that goes.
    cluster.kubectl(&["create", "namespace", "hosts"])?;
    let words = ["--from-literal=username=root", "--from-literal=password=calvin"];
    cluster
        .kubectl(&[&["create", "secret", "generic", "login", "--namespace", "hosts"], &words[..]].concat())?;
    for (host, ip) in [("one", "10.9.0.50"), ("two", "10.9.0.51")] {
        endpoint(&cluster, &name, host, ip)?;
        wait_for_status(&cluster, &name, ip, "there", |_| true)?;
    }
    cluster.kubectl(&["delete", "hostendpoint", "one"])?;
    wait_until_gone(&cluster, &name, "10.9.0.50")?;
    // What is told, and told again.
    serve("leaseTime: 2h")?;
    wait::until_true("a word on it", CONVERGED, || Ok(events::count(&cluster, &name, "ConfigApplied")? > 0))?;
    serve("leaseTime: 3h")?;
    wait::until_true("another", CONVERGED, || Ok(events::count(&cluster, &name, "ConfigApplied")? > 1))?;

    // One that stops gives up what others would wait for.
    assert!(agent.stop("TERM")?.success());
    agent.restart(&pair.server)?;

    // What agents say to each other takes several of them: that has a test of its own.
    let is_between = |resource: &str| ["addressblocks", "agentterms"].contains(&resource);
    audit.each_is_used(&cluster, ACCOUNT, |right| !is_between(&right.resource))?;

    let silent = rights::silent(&cluster, ACCOUNT)?;
    assert_eq!(silent, ["hostendpoints/finalizers"]);
    rights::without(&cluster, ACCOUNT, &silent[0], || {
        endpoint(&cluster, &name, "three", "10.9.0.52")?;
        wait::until_true("the object to be refused", CONVERGED, || {
            Ok(writes(&agent)?.contains_key(&("create".into(), "forbidden".into())))
        })
    })?;
    wait_for_status(&cluster, &name, "10.9.0.52", "there", |_| true).context("with all of them again")?;
    Ok(())
}
