//! The agent of a ClusterAgent: its configuration from the object, its leases as objects.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::clients::{Client, Program};
use xdhcpd_tests::cluster_agent::{
    self, ClusterAgent, HTTP, agent_name, manifest, wait_for_status, wait_until_gone,
};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::{CLIENT_MAC, Pair};
use xdhcpd_tests::skip;

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
