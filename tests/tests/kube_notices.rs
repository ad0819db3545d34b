//! What the agent notices on the wire is an event beside its ClusterAgent, too.

use anyhow::{Context as _, Result};
use xdhcpd_tests::cluster_agent::{self, ClusterAgent, agent_name, manifest};
use xdhcpd_tests::exchange::{self, from_client, message};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::{events, skip};

const FIRST: [u8; 6] = [2, 0, 0, 0, 1, 1];
const SECOND: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// An agent with one address to give, and the client's end of its wire.
fn with_one_address(work: impl FnOnce(&Cluster, &str, &Tap) -> Result<()>) -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !kube::is_there(&test) {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::new()?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    let one = manifest(&name, "s0", &["probe: false"]).replace("10.9.0.199", "10.9.0.100");
    cluster.apply(&one)?;
    let _agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    work(&cluster, &name, &Tap::open(&pair.client, "c0")?)
}

#[test]
fn c27_an_empty_pool_is_an_event() -> Result<()> {
    with_one_address(|cluster, name, tap| {
        exchange::obtain(tap, FIRST, |frame| frame)?;
        assert!(exchange::is_met_with_silence(tap, &from_client(message::DISCOVER, SECOND))?);
        events::wait_for(cluster, name, "NoFreeAddress", "02:00:00:00:01:02").map(drop)
    })
}

#[test]
fn c45_a_declined_address_is_an_event() -> Result<()> {
    with_one_address(|cluster, name, tap| {
        let [offer, _] = exchange::obtain(tap, FIRST, |frame| frame)?;
        let server = offer.option(54).context("an OFFER names its server")?.to_vec();
        let decline = from_client(message::DECLINE, FIRST).option(50, &[10, 9, 0, 100]).option(54, &server);
        assert!(exchange::is_met_with_silence(tap, &decline)?);
        events::wait_for(cluster, name, "AddressDeclined", "02:00:00:00:01:01 declined 10.9.0.100").map(drop)
    })
}

#[test]
fn c58_another_server_is_an_event() -> Result<()> {
    with_one_address(|cluster, name, tap| {
        let offer = from_client(message::OFFER, FIRST).with(|frame| {
            (frame.from_port, frame.to_port, frame.kind[0]) = (67, 68, 2);
            (frame.source, frame.from) = ([2, 0, 0, 0, 1, 0x66], [10, 9, 0, 66]);
        });
        tap.send(&offer.build())?;
        events::wait_for(cluster, name, "OtherServer", "10.9.0.66 (02:00:00:00:01:66)").map(drop)
    })
}
