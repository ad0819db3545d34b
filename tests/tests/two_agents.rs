//! Two agents of one ClusterAgent, as on two nodes of one network: whatever becomes of the one that answers, no
//! address is two clients' at one time, and no client that has one waits for long.
//!
//! All is judged at the clients' end of the wire, where known clients ask without a break and others come, stay
//! for a while and go.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::cluster_agent::{self, CONVERGED, ClusterAgent, HTTP, agent_name, manifest};
use xdhcpd_tests::exchange::{self, address, from_client, message, release, reply_to};
use xdhcpd_tests::frames;
use xdhcpd_tests::known;
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::ledger::Ledger;
use xdhcpd_tests::netns::{NetNs, succeed};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

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
const LONGEST_GAP: Duration = Duration::from_secs(15);

/// How long an answer is waited for, before the next client asks.
const LISTEN: Duration = Duration::from_millis(300);

const KNOWN: u8 = 8;

/// For how long the leader is stopped.
const STOPPED: Duration = Duration::from_mins(1);

/// A node: where its agent runs, on `s0`.
struct Node {
    // In the order in which they go.
    agent: ClusterAgent,
    namespace: NetNs,
}

impl Node {
    /// Whether it is the one that answers, by its own word.
    fn leads(&self) -> Result<bool> {
        let (_, metrics) = self.agent.http(HTTP, "/metrics")?;
        Ok(metrics.lines().any(|line| line == "xdhcpd_leader 1"))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        succeed(Command::new("kill").args([&format!("-{signal}"), &self.agent.pid().to_string()])).map(drop)
    }
}

struct Scene {
    // In the order in which they go.
    nodes: [Node; 2],
    clients: NetNs,
    _switch: NetNs,
    cluster: Cluster,
}

impl Scene {
    fn start() -> Result<Self> {
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
        let roomy = manifest(&name, "s0", &LINES).replace("10.9.0.0/24", "10.9.0.0/16");
        cluster.apply(&roomy.replace("10.9.0.100-10.9.0.199", "10.9.1.0-10.9.8.255"))?;
        let agent = ClusterAgent::start(&cluster, &first, &name)?;
        let first = Node { agent, namespace: first };
        let agent = ClusterAgent::start_apart(&cluster, &second, &name)?;
        let second = Node { agent, namespace: second };
        Ok(Self { nodes: [first, second], clients, _switch: switch, cluster })
    }

    /// Does something to the agents while clients ask; then all must have been well.
    fn while_clients_ask(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
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

    fn wait_until_one_leads(&self, number: usize) -> Result<()> {
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

/// Known clients ask in turn; the longest that each went without an answer.
fn ask_on(tap: &Tap, clients: &[known::Client], end: &AtomicBool) -> Result<HashMap<[u8; 6], Duration>> {
    let begun = Instant::now();
    let mut last: HashMap<[u8; 6], Instant> = clients.iter().map(|(mac, _)| (*mac, begun)).collect();
    let mut gaps: HashMap<[u8; 6], Duration> = HashMap::new();
    for (number, (mac, ip)) in (1_u32..).zip(clients.iter().cycle()) {
        if end.load(Ordering::Acquire) {
            break;
        }
        let question = match number % 2 {
            0 => from_client(message::REQUEST, *mac).option(50, &ip.octets()),
            _ => exchange::renewal(*mac, *ip, frames::BROADCAST),
        };
        let question = question.with(|frame| frame.xid = number);
        tap.send(&question.build())?;
        let reply = reply_to(tap, &question, LISTEN)?;
        let gap = last.get(mac).map(Instant::elapsed).unwrap_or_default();
        if let Some(reply) = reply {
            ensure!(
                reply.option(53) == Some(&[message::ACK]) && address(&reply) == *ip,
                "{mac:?}: {reply:?}"
            );
            last.insert(*mac, Instant::now());
        }
        let longest = gaps.entry(*mac).or_default();
        *longest = gap.max(*longest);
        thread::sleep(Duration::from_millis(10));
    }
    Ok(gaps)
}

/// What became of clients that come.
#[derive(Debug, Default)]
struct Came {
    got: u32,
    nothing: u32,
    renewed: u32,
    gave_back: u32,
}

/// Clients come; some renew a while later, some give their address back, and some are never heard of again.
fn come_and_go(tap: &Tap, end: &AtomicBool) -> Result<Came> {
    let mut came = Came::default();
    let mut here: Vec<([u8; 6], Ipv4Addr, [u8; 4])> = Vec::new();
    for number in 0_u32.. {
        if end.load(Ordering::Acquire) {
            break;
        }
        let [a, b, c, d] = number.to_be_bytes();
        let mac = [2, 9, a, b, c, d];
        match lease(tap, mac)? {
            Some((ip, server)) => {
                came.got += 1;
                here.push((mac, ip, server));
            }
            None => came.nothing += 1,
        }
        if here.len() > 20 {
            let (mac, ip, server) = here.remove(0);
            match number % 3 {
                0 => {
                    tap.send(&release(mac, ip, server).build())?;
                    came.gave_back += 1;
                }
                1 => {
                    let question = exchange::renewal(mac, ip, frames::BROADCAST);
                    tap.send(&question.with(|frame| frame.xid ^= 0x55).build())?;
                    came.renewed += 1;
                }
                _ => {}
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(came)
}

/// The whole way to a lease; none: nobody answered.
fn lease(tap: &Tap, mac: [u8; 6]) -> Result<Option<(Ipv4Addr, [u8; 4])>> {
    let discover = from_client(message::DISCOVER, mac);
    tap.send(&discover.build())?;
    let Some(offer) = reply_to(tap, &discover, LISTEN)? else { return Ok(None) };
    let server: [u8; 4] = offer.option(54).context("an OFFER names its server")?.try_into()?;
    let request = from_client(message::REQUEST, mac).option(50, &address(&offer).octets());
    let request = request.option(54, &server);
    tap.send(&request.build())?;
    let Some(reply) = reply_to(tap, &request, LISTEN)? else { return Ok(None) };
    if reply.option(53) != Some(&[message::ACK]) {
        bail!("refused what was offered: {reply:?}");
    }
    Ok(Some((address(&reply), server)))
}

fn scene() -> Result<Option<Scene>> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !kube::is_own(&test) {
        return Ok(None);
    }
    let scene = Scene::start()?;
    scene.check_parts()?;
    Ok(Some(scene))
}

#[test]
fn the_death_of_the_agent_that_answers_costs_seconds_and_no_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.nodes[0].agent.stop("KILL")?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(Duration::from_secs(20));
        let Node { agent, namespace } = &mut scene.nodes[0];
        agent.restart(namespace)?;
        thread::sleep(Duration::from_secs(10));
        ensure!(!scene.nodes[0].leads()?, "who comes back stands by");
        Ok(())
    })
}

#[test]
fn an_agent_that_the_api_server_is_away_from_and_its_follower_break_no_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.cluster.cut_off(&scene.nodes[0].namespace)?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(Duration::from_secs(30));
        scene.cluster.reconnect(&scene.nodes[0].namespace)?;
        wait::until_true("one agent to answer", CONVERGED, || {
            Ok(scene.nodes[0].leads()? != scene.nodes[1].leads()?)
        })?;
        thread::sleep(Duration::from_secs(10));
        Ok(())
    })
}

#[test]
fn an_agent_that_is_stopped_for_a_minute_goes_on_without_breaking_a_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.nodes[0].signal("STOP")?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(STOPPED);
        scene.nodes[0].signal("CONT")?;
        thread::sleep(Duration::from_secs(15));
        ensure!(scene.nodes[0].leads()? != scene.nodes[1].leads()?, "one alone leads in the end");
        Ok(())
    })
}
