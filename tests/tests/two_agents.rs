//! Two agents of one ClusterAgent, as on two nodes of one network: whatever becomes of the one that answers, no
//! address is two clients' at one time, and no client that has one waits for long.
//!
//! All is judged at the clients' end of the wire, where known clients ask without a break and others come, stay
//! for a while and go.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
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

/// How long one who asks until it is answered waits between two questions (RFC 2131 §4.1: 4 seconds, then more).
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// A server that is none of ours.
const STRANGER: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 1, 0x66], [10, 9, 0, 66]);

/// How long peers hear each other: enough for one that is none to be told of.
const PEERS: Duration = Duration::from_secs(20);

/// The address that moves with who answers.
const SELF_IP: &str = "10.9.0.9";

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

    /// Whether it has the address that moves.
    fn has_self_ip(&self) -> Result<bool> {
        Ok(self.namespace.ip("-4 address show dev s0")?.contains(&format!("inet {SELF_IP}/")))
    }

    /// What it has told of servers that are none of ours: how many messages, and in which lines of its log.
    fn strangers(&self) -> Result<(u64, Vec<String>)> {
        let (_, metrics) = self.agent.http(HTTP, "/metrics")?;
        let counts = metrics.lines().filter_map(|line| {
            let (_, count) = line.strip_prefix("xdhcpd_rogue_server_messages_total{")?.split_once("} ")?;
            count.parse::<u64>().ok()
        });
        let log = self.agent.log();
        let lines = log.lines().filter(|line| line.contains("another DHCP server"));
        Ok((counts.sum(), lines.map(str::to_owned).collect()))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        succeed(Command::new("kill").args([&format!("-{signal}"), &self.agent.pid().to_string()])).map(drop)
    }
}

struct Scene {
    // In the order in which they go.
    nodes: [Node; 2],
    clients: NetNs,
    switch: NetNs,
    cluster: Cluster,
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

    /// What a node has is cut off from all others: what it runs goes on.
    fn lose(&self, number: usize) -> Result<()> {
        self.cluster.cut_off(&self.nodes[number].namespace)?;
        self.switch.ip(&format!("link set {} down", ["to-a", "to-b"][number])).map(drop)
    }

    fn find_again(&self, number: usize) -> Result<()> {
        self.switch.ip(&format!("link set {} up", ["to-a", "to-b"][number]))?;
        self.cluster.reconnect(&self.nodes[number].namespace)
    }

    /// Peers hear each other's answers, and nobody takes them for a stranger's.
    fn check_that_none_is_a_stranger(&self) -> Result<()> {
        for node in &self.nodes {
            ensure!(node.strangers()? == (0, Vec::new()), "a peer is a stranger: {:?}", node.strangers()?);
        }
        Ok(())
    }

    /// A client without an address comes, and asks until it has one.
    fn new_client_gets_one(&self, mac: [u8; 6]) -> Result<Ipv4Addr> {
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

/// A client with a network stack of its own, which renews at its server's address as that is found there.
struct Renewing {
    socket: UdpSocket,
    mac: [u8; 6],
    ip: Ipv4Addr,
}

impl Renewing {
    fn begin(clients: &NetNs) -> Result<Self> {
        let mac = [2, 7, 7, 7, 7, 7];
        clients.ip("link add link c0 name m0 address 02:07:07:07:07:07 type macvlan mode bridge")?;
        clients.ip("link set m0 up")?;
        let [_, ack] = exchange::obtain(&Tap::open(clients, "m0")?, mac, |frame| frame)?;
        let ip = address(&ack);
        clients.ip(&format!("address add {ip}/16 dev m0"))?;
        let socket = clients.inside(|| UdpSocket::bind((ip, 68)))??;
        socket.set_read_timeout(Some(LISTEN))?;
        Ok(Self { socket, mac, ip })
    }

    /// The longest that it went without an answer.
    fn renew_until(&self, end: &AtomicBool) -> Result<Duration> {
        const PAYLOAD: usize = 42;
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        let mut number = 0;
        while !end.load(Ordering::Acquire) {
            number += 1;
            let server: Ipv4Addr = SELF_IP.parse()?;
            let question = exchange::renewal(self.mac, self.ip, server.octets());
            let frame = question.with(|frame| frame.xid = number).build();
            let payload = frame.get(PAYLOAD..).context("a message")?;
            // Nobody may be there just now.
            let _sent = self.socket.send_to(payload, (server, 67));
            let mut reply = [0; 1500];
            let is_answered = self.socket.recv(&mut reply).is_ok() && reply[4..8] == number.to_be_bytes();
            longest = longest.max(last.elapsed());
            if is_answered {
                last = Instant::now();
            }
            thread::sleep(LISTEN);
        }
        Ok(longest)
    }
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
    scene_with(&[])
}

fn scene_with(more: &[&str]) -> Result<Option<Scene>> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !kube::is_own(&test) {
        return Ok(None);
    }
    let scene = Scene::start(more)?;
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
        scene.check_that_none_is_a_stranger()
    })
}

#[test]
fn a_stranger_is_told_of_beside_a_peer_that_answers() -> Result<()> {
    let Some(scene) = scene()? else { return Ok(()) };
    let (clients, stranger) = (Tap::open(&scene.clients, "c0")?, Tap::open(&scene.clients, "c0")?);
    let mut macs = (0..16).cycle().map(|number| [2, 7, 0, 0, 1, number]);
    let mut one_is_answered = || -> Result<()> {
        lease(&clients, macs.next().context("without end")?)?;
        thread::sleep(Duration::from_millis(50));
        Ok(())
    };
    let begun = Instant::now();
    while begun.elapsed() < PEERS {
        one_is_answered()?;
    }
    scene.check_that_none_is_a_stranger()?;
    let offer = from_client(message::OFFER, [2, 7, 0, 0, 0, 1]).with(|frame| {
        (frame.from_port, frame.to_port, frame.kind[0]) = (67, 68, 2);
        (frame.source, frame.from) = STRANGER;
    });
    wait::until_true("both to tell of the stranger", CONVERGED, || {
        stranger.send(&offer.build())?;
        one_is_answered()?;
        let told = |node: &Node| node.strangers().map(|(count, lines)| count > 0 && !lines.is_empty());
        Ok(told(&scene.nodes[0])? && told(&scene.nodes[1])?)
    })?;
    for node in &scene.nodes {
        let (_, lines) = node.strangers()?;
        ensure!(lines.iter().all(|line| line.contains("10.9.0.66 (02:00:00:00:01:66)")), "{lines:?}");
    }
    Ok(())
}

#[test]
fn a_node_that_is_lost_and_comes_back_breaks_no_promise() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        scene.lose(0)?;
        scene.wait_until_one_leads(1)?;
        scene.new_client_gets_one([2, 7, 0, 0, 0, 2])?;
        thread::sleep(Duration::from_secs(30));
        scene.find_again(0)?;
        wait::until_true("who comes back to stand by", CONVERGED, || Ok(!scene.nodes[0].leads()?))?;
        scene.new_client_gets_one([2, 7, 0, 0, 0, 3])?;
        thread::sleep(Duration::from_secs(15));
        ensure!(scene.nodes[1].leads()? && !scene.nodes[0].leads()?, "who comes back stands by");
        scene.check_that_none_is_a_stranger()
    })
}

#[test]
fn the_address_of_who_answers_moves_with_that_and_clients_find_it() -> Result<()> {
    let line = format!("selfIp: {SELF_IP}/16");
    let Some(mut scene) = scene_with(&[&line])? else { return Ok(()) };
    let one_has_it = |scene: &Scene, number: usize| -> Result<()> {
        wait::until_true("one alone to have the address", CONVERGED, || {
            let has = [scene.nodes[0].has_self_ip()?, scene.nodes[1].has_self_ip()?];
            Ok(has[number] && !has[1 - number])
        })
    };
    one_has_it(&scene, 0)?;
    scene.while_clients_ask(|scene| {
        let renewing = Renewing::begin(&scene.clients)?;
        let end = AtomicBool::new(false);
        let longest = thread::scope(|scope| -> Result<Duration> {
            let longest = scope.spawn(|| renewing.renew_until(&end));
            let worked = (|| {
                thread::sleep(Duration::from_secs(5));
                scene.lose(0)?;
                scene.wait_until_one_leads(1)?;
                ensure!(scene.nodes[1].has_self_ip()?, "it comes with the part");
                thread::sleep(Duration::from_secs(20));
                scene.find_again(0)?;
                one_has_it(scene, 1)?;
                thread::sleep(Duration::from_secs(20));
                one_has_it(scene, 1)?;
                ensure!(scene.nodes[1].leads()?, "who comes back stands by");
                // The other way round, and by a crash.
                scene.nodes[1].agent.stop("KILL")?;
                scene.wait_until_one_leads(0)?;
                thread::sleep(Duration::from_secs(20));
                let Node { agent, namespace } = &mut scene.nodes[1];
                agent.restart(namespace)?;
                one_has_it(scene, 0)?;
                thread::sleep(Duration::from_secs(10));
                one_has_it(scene, 0)
            })();
            end.store(true, Ordering::Release);
            let longest = longest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            worked.and(longest)
        })?;
        println!("a client that renews by unicast waited for {longest:?} at the longest");
        assert!(longest < LONGEST_GAP, "a client that renews by unicast waited for {longest:?}");
        scene.check_that_none_is_a_stranger()
    })
}

#[test]
fn whom_nobody_answers_one_does_that_cannot_see_who_leads() -> Result<()> {
    let Some(mut scene) = scene()? else { return Ok(()) };
    scene.while_clients_ask(|scene| {
        thread::sleep(Duration::from_secs(5));
        for node in &scene.nodes {
            scene.cluster.cut_off(&node.namespace)?;
        }
        scene.nodes[1].agent.wait_for_log("whom nobody answers this one does")?;
        ensure!(scene.nodes[0].leads()?, "who has lost the API server answers on");
        scene.nodes[0].agent.stop("KILL")?;
        scene.nodes[0].agent.run(&["detach"])?;
        let mut given = Vec::new();
        for number in 10..13 {
            given.push(scene.new_client_gets_one([2, 7, 0, 0, 0, number])?);
        }
        thread::sleep(Duration::from_secs(20));
        ensure!(!scene.nodes[1].leads()?, "it does not know");
        scene.cluster.reconnect(&scene.nodes[1].namespace)?;
        scene.wait_until_one_leads(1)?;
        thread::sleep(Duration::from_secs(10));
        println!("{given:?}");
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
        scene.check_that_none_is_a_stranger()
    })
}
