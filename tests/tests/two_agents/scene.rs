//! The scene: two nodes of one network with an agent each, and clients behind a switch.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::cluster_agent::{self, CONVERGED, ClusterAgent, HTTP, agent_name, manifest};
use xdhcpd_tests::known;
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::ledger::Ledger;
use xdhcpd_tests::netns::{NetNs, succeed};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

use super::clients::{ask_on, come_and_go, lease};

/// Leases are short, so that each address may be one client's after the other.
const LINES: [&str; 5] = [
    "enableBindDhcpIP: false",
    "probe: false",
    "leaseTime: 20s",
    "offerHold: 3s",
    "limits: {clientPerSecond: 1000, interfacePerSecond: 100000}",
];
const OFFER_HOLD: Duration = Duration::from_secs(3);

/// No known client waits longer for an answer.
pub const LONGEST_GAP: Duration = Duration::from_secs(15);

const KNOWN: u8 = 8;

/// How long one who asks until it is answered waits between two questions (RFC 2131 §4.1: 4 seconds, then more).
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// The address that moves with who answers.
pub const SELF_IP: &str = "10.9.0.9";

/// Two agents, the first of which answers; none: the test is skipped.
pub fn scene() -> Result<Option<Scene>> {
    scene_with(&[])
}

/// The same with these further lines in the configuration.
pub fn scene_with(more: &[&str]) -> Result<Option<Scene>> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(None);
    }
    let scene = Scene::start(more)?;
    scene.check_parts()?;
    Ok(Some(scene))
}

/// A node: where its agent runs, on `s0`.
pub struct Node {
    // In the order in which they go.
    pub agent: ClusterAgent,
    pub namespace: NetNs,
}

impl Node {
    /// Whether it is the one that answers, by its own word.
    pub fn leads(&self) -> Result<bool> {
        let (_, metrics) = self.agent.http(HTTP, "/metrics")?;
        Ok(metrics.lines().any(|line| line == "xdhcpd_leader 1"))
    }

    /// Whether it has the address that moves.
    pub fn has_self_ip(&self) -> Result<bool> {
        Ok(self.namespace.ip("-4 address show dev s0")?.contains(&format!("inet {SELF_IP}/")))
    }

    /// What it has told of servers that are none of ours: how many messages, and in which lines of its log.
    pub fn strangers(&self) -> Result<(u64, Vec<String>)> {
        let (_, metrics) = self.agent.http(HTTP, "/metrics")?;
        let counts = metrics.lines().filter_map(|line| {
            let (_, count) = line.strip_prefix("xdhcpd_rogue_server_messages_total{")?.split_once("} ")?;
            count.parse::<u64>().ok()
        });
        let log = self.agent.log();
        let lines = log.lines().filter(|line| line.contains("another DHCP server"));
        Ok((counts.sum(), lines.map(str::to_owned).collect()))
    }

    /// Sends the agent a signal.
    pub fn signal(&self, signal: &str) -> Result<()> {
        succeed(Command::new("kill").args([&format!("-{signal}"), &self.agent.pid().to_string()])).map(drop)
    }
}

/// Two nodes and their clients on one network.
pub struct Scene {
    // In the order in which they go.
    pub nodes: [Node; 2],
    pub clients: NetNs,
    switch: NetNs,
    pub cluster: Cluster,
}

impl Scene {
    fn start(more: &[&str]) -> Result<Self> {
        let cluster = Cluster::start()?;
        cluster_agent::install_definitions(&cluster)?;
        let switch = NetNs::new("w")?;
        switch.ip("link add br0 type bridge")?;
        switch.ip("link set br0 up")?;
        let plug = |role: &str, interface: &str| -> Result<NetNs> {
            let host = NetNs::new(role)?;
            let port = format!("to-{role}");
            switch.ip(&format!("link add {port} type veth peer name {interface} netns {}", host.name()))?;
            switch.ip(&format!("link set {port} master br0 up"))?;
            host.ip(&format!("link set {interface} up"))?;
            Ok(host)
        };
        let (first, second, clients) = (plug("a", "s0")?, plug("b", "s0")?, plug("c", "c0")?);
        for (node, ip) in [(&first, "10.9.0.2/16"), (&second, "10.9.0.3/16")] {
            node.ip(&format!("address add {ip} dev s0"))?;
            cluster.connect(node)?;
        }
        let name = agent_name();
        let roomy = manifest(&name, "s0", &[&LINES[..], more].concat()).replace("10.9.0.0/24", "10.9.0.0/16");
        cluster.apply(&roomy.replace("10.9.0.100-10.9.0.199", "10.9.1.0-10.9.8.255"))?;
        let agent = ClusterAgent::start(&cluster, &first, &name)?;
        let first = Node { agent, namespace: first };
        let agent = ClusterAgent::start_apart(&cluster, &second, &name)?;
        let second = Node { agent, namespace: second };
        Ok(Self { nodes: [first, second], clients, switch, cluster })
    }

    /// Does something to the agents while clients ask; then all must have been well.
    pub fn while_clients_ask(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let said = Capture::start(&self.clients, "c0")?;
        let tap = Tap::open(&self.clients, "c0")?;
        let strangers = Tap::open(&self.clients, "c0")?;
        let known = known::obtain(&tap, KNOWN)?;
        let end = AtomicBool::new(false);
        let (gaps, came) = thread::scope(|scope| -> Result<_> {
            let known = scope.spawn(|| ask_on(&tap, &known, &end));
            let came = scope.spawn(|| come_and_go(&strangers, &end));
            let worked = work(self);
            end.store(true, Ordering::Release);
            let gaps = known.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let came = came.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            worked?;
            Ok((gaps?, came?))
        })?;
        let mut ledger = Ledger::new(OFFER_HOLD);
        ledger.hear(&said.finish()?.frames);
        println!("{} ACKs, {} passed on, {came:?}; longest gaps {gaps:?}", ledger.acks, ledger.passed_on);
        assert_eq!(ledger.twice, [""; 0]);
        for (mac, gap) in gaps {
            assert!(gap < LONGEST_GAP, "{mac:02x?} waited for {gap:?}");
        }
        assert!(came.got > 50, "too quiet: {came:?}");
        Ok(())
    }

    /// What a node has is cut off from all others: what it runs goes on.
    pub fn lose(&self, number: usize) -> Result<()> {
        self.cluster.cut_off(&self.nodes[number].namespace)?;
        self.switch.ip(&format!("link set {} down", ["to-a", "to-b"][number])).map(drop)
    }

    /// Undoes that.
    pub fn find_again(&self, number: usize) -> Result<()> {
        self.switch.ip(&format!("link set {} up", ["to-a", "to-b"][number]))?;
        self.cluster.reconnect(&self.nodes[number].namespace)
    }

    /// Peers hear each other's answers, and nobody takes them for a stranger's.
    pub fn check_that_none_is_a_stranger(&self) -> Result<()> {
        for node in &self.nodes {
            ensure!(node.strangers()? == (0, Vec::new()), "a peer is a stranger: {:?}", node.strangers()?);
        }
        Ok(())
    }

    /// A client without an address comes, and asks until it has one.
    pub fn new_client_gets_one(&self, mac: [u8; 6]) -> Result<Ipv4Addr> {
        let tap = Tap::open(&self.clients, "c0")?;
        let begun = Instant::now();
        loop {
            if let Some((ip, _)) = lease(&tap, mac)? {
                println!("{mac:02x?} got {ip} after {:?}", begun.elapsed());
                return Ok(ip);
            }
            ensure!(begun.elapsed() < LONGEST_GAP, "{mac:02x?} gets nothing");
            thread::sleep(ASK_AGAIN);
        }
    }

    /// Waits until this node answers.
    pub fn wait_until_one_leads(&self, number: usize) -> Result<()> {
        wait::until_true("the other agent to answer", CONVERGED, || {
            Ok(self.nodes[number].leads().is_ok_and(|leads| leads))
        })
    }

    /// The agent that was started first answers, and the other knows what it does.
    fn check_parts(&self) -> Result<()> {
        ensure!(self.nodes[0].leads()?, "who came first leads");
        ensure!(!self.nodes[1].leads()?, "one alone leads");
        Ok(())
    }
}
