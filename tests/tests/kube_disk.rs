//! An agent whose lease file is gone, and one that finds somebody else's.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::cluster_agent::{self, CONVERGED, ClusterAgent, agent_name, manifest, wait_for_status};
use xdhcpd_tests::exchange::{address, ask, from_client, message, obtain, renewal};
use xdhcpd_tests::host_status::{self, mac_text, wait_until_they_are_the_leases};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

const SERVER: [u8; 4] = [10, 9, 0, 2];

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && kube::is_there(&test)
}

fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 3, last]
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, last)
}

/// Takes away all that an agent left on this machine but its log.
fn forget(agent: &ClusterAgent) -> Result<()> {
    agent.run(&["detach"])?;
    for entry in fs::read_dir(agent.folder())?.flatten() {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != "log" {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[test]
fn leases_are_rebuilt_from_the_objects_before_a_new_address_is_given() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &["enableBindDhcpIP: false", "probe: false"]))?;
    let mut agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    let tap = Tap::open(&pair.client, "c0")?;
    for last in 1..=3 {
        let [_, ack] = obtain(&tap, mac(last), |frame| frame)?;
        assert_eq!(address(&ack), ip(99 + last));
    }
    wait_until_they_are_the_leases(&cluster, &agent)?;
    let objects = host_status::all(&cluster, &name)?;
    // An agent without its disk knows whose they are by what is published, which is a moment later.
    let block = format!("{name}-10-9-0-0");
    wait::until_true("the leases to be published", CONVERGED, || {
        Ok(cluster.get_json("addressblock", &block)?.is_some_and(|it| it["spec"]["counts"]["bound"] == 3))
    })?;

    agent.stop("KILL")?;
    forget(&agent)?;
    agent.restart(&pair.server)?;
    assert_eq!(host_status::leases(&agent)?, objects);
    // Without its disk it is another agent: it answers when the former one has been silent for long enough.
    let discover = from_client(message::DISCOVER, mac(9));
    wait::until("an offer", CONVERGED, || Ok(ask(&tap, &discover).ok()))?;
    let [_, ack] = obtain(&tap, mac(9), |frame| frame)?;
    assert!(address(&ack) > ip(102), "the others' addresses are theirs");
    let ack = ask(&tap, &renewal(mac(2), ip(101), SERVER))?;
    assert_eq!((ack.option(53), address(&ack)), (Some(&[message::ACK][..]), ip(101)));
    wait_until_they_are_the_leases(&cluster, &agent)?;
    assert_eq!(host_status::all(&cluster, &name)?.len(), 4);
    Ok(())
}

#[test]
fn a_file_of_isc_dhcpd_is_taken_over_at_the_first_start() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&manifest(&name, "s0", &["enableBindDhcpIP: false", "probe: false"]))?;
    let file = format!(
        "# The format of this file is documented in the dhcpd.leases(5) manual page.
# This lease file was written by isc-dhcp-4.4.3-P1

# authoring-byte-order entry is generated, DO NOT DELETE
authoring-byte-order little-endian;

lease 10.9.0.100 {{
  starts 4 2026/01/01 00:00:00;
  ends 4 2099/01/01 00:00:00;
  cltt 4 2026/01/01 00:00:00;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet {};
  client-hostname \"old\";
}}
server-duid \"\\000\\001\\000\\001,\\332\\240\\025\\002\\000\\000\\000\\000\\001\";
",
        mac_text(mac(1))
    );
    let agent = ClusterAgent::start_from(&cluster, &pair.server, &name, &file)?;
    wait_for_status(&cluster, &name, "10.9.0.100", "the old client's", |object| {
        object["status"]["basic"]["mac"] == mac_text(mac(1))
            && object["status"]["basic"]["activeDhcpClient"] == true
    })?;
    let tap = Tap::open(&pair.client, "c0")?;
    let [_, ack] = obtain(&tap, mac(2), |frame| frame)?;
    assert_eq!(address(&ack), ip(101));
    let ack = ask(&tap, &renewal(mac(1), ip(100), SERVER))?;
    assert_eq!(address(&ack), ip(100));
    wait_until_they_are_the_leases(&cluster, &agent)
}
