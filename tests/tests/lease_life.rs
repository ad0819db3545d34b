//! The life of a lease with the clients that people use: renewed, rebound, come back to, refused
//! after a move, declined, given back. Every step is looked at on the wire, in the lease table, and
//! for who answered; tshark judges every reply.
//!
//! Each test takes one step with all clients at one time, each on a switch of its own, for a step
//! takes seconds of waiting for a timer.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{Client, Lease, Program};
use xdhcpd_tests::conversation::{self, Form, Said};
use xdhcpd_tests::netns::{CLIENT_MAC, NetNs};
use xdhcpd_tests::segment::Segment;
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::wait::{SOON, until, until_true};

const CLIENTS: [Program; 4] = [Program::Dhclient, Program::Udhcpc, Program::Dhcpcd, Program::Networkd];

/// A step in a lease's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    RenewAtT1,
    RebindAtT2,
    ComeBack,
    ComeBackAfterAMove,
    StayThroughAMove,
    Decline,
    Release,
}

/// What a client cannot do, as Debian 12 has it, and why. All else is tested.
const CANNOT: [(Program, Step, &str); 4] = [
    (Program::Udhcpc, Step::ComeBack, "it keeps no lease over a restart, and always begins with a DISCOVER"),
    (Program::Udhcpc, Step::ComeBackAfterAMove, "the same"),
    (
        Program::Udhcpc,
        Step::StayThroughAMove,
        "it takes a NAK from the server of its lease alone, which has another address after the move, and \
         asks on until its lease ends",
    ),
    (
        Program::Networkd,
        Step::Decline,
        "version 252 finds the conflict, but cannot send its DECLINE (\"Network is unreachable\"), for it \
         sends that by unicast, from the address that it has just given up",
    ),
];

/// T1 and T2 are far from each other and from the end, so that a step can be told by its time.
const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    selfIP: 10.9.0.2/24
    ranges: [10.9.0.100-10.9.0.110]
    gateway: 10.9.0.1
    leaseTime: 30s
    renewTime: 4s
    rebindTime: 9s
    probe: false
    options: {dns: [10.9.0.53], domainName: example.org, mtu: 1400}
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 101);

/// A client on a switch with a server, and what goes over its cable.
struct Scene {
    segment: Segment,
    server: Server,
    host: NetNs,
    capture: Capture,
}

impl Scene {
    fn new(network: &str) -> Result<Self> {
        let segment = Segment::new()?;
        let host = segment.host("c", "c0", CLIENT_MAC)?;
        let server = Server::start(&segment.server, network)?;
        // Without it the agent answers alone, also where a test wants the kernel's answer.
        server.wait_for_log("XDP program in place")?;
        let capture = Capture::start(&host, "c0")?;
        Ok(Self { segment, server, host, capture })
    }

    fn start(&self, program: Program) -> Result<Client> {
        Client::start(program, &self.host, "c0")
    }

    fn forms(&self) -> Vec<Form> {
        conversation::forms(&self.capture.frames())
    }

    /// Waits until these were said one right after the other, and nothing but them since `from`.
    fn hear(&self, from: usize, expected: &[Form]) -> Result<()> {
        let heard = until_true(&format!("{expected:?}"), SOON, || {
            Ok(self.forms().get(from..).is_some_and(|forms| forms.len() >= expected.len()))
        });
        let forms = self.forms();
        let since = forms.get(from..).unwrap_or_default();
        heard.with_context(|| format!("heard {since:?}"))?;
        ensure!(since.starts_with(expected), "expected {expected:?}, heard {since:?}");
        Ok(())
    }

    /// Waits until the lease of an address is in this state; it is the client's.
    fn lease_is(&self, ip: Ipv4Addr, state: &str) -> Result<serde_json::Value> {
        let what = format!("the lease of {ip} to be {state}");
        let lease =
            until(&what, SOON, || Ok(Some(self.server.lease(ip)?).filter(|lease| lease["state"] == state)));
        let lease = lease.with_context(|| format!("{:#}", self.server.json("leases").unwrap_or_default()))?;
        ensure!(lease["mac"] == CLIENT_MAC && lease["network"] == "rack1", "{lease:#}");
        Ok(lease)
    }

    /// tshark has nothing to object to in any reply, and all of them are the server's.
    fn judge(self) -> Result<()> {
        let captured = self.capture.finish()?;
        let said = conversation::of(&captured.frames);
        let replies = said.iter().filter(|said| matches!(said, Said::Answered(_))).count();
        let judged = captured.judge()?;
        ensure!(judged == replies && judged > 0, "tshark saw {judged} replies of {replies}");
        Ok(())
    }
}

/// Takes a step with all clients that can, at one time; an error says what went wrong with which.
fn each_client(step: Step, take: fn(Program) -> Result<()>) -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !skip::is_there(&test, "tshark", "tshark") {
        return Ok(());
    }
    let can = |program: &Program| !CANNOT.iter().any(|(who, what, _)| (who, *what) == (program, step));
    let clients: Vec<Program> = CLIENTS.into_iter().filter(can).collect();
    if !clients.iter().all(|program| program.is_there(&test)) {
        return Ok(());
    }
    let mut faults = String::new();
    std::thread::scope(|scope| {
        let running: Vec<_> =
            clients.iter().map(|program| (program, scope.spawn(|| take(*program)))).collect();
        for (program, thread) in running {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => drop(write!(faults, "\n{}: {fault:?}", program.name())),
                Err(_) => drop(write!(faults, "\n{}: it panicked, see above", program.name())),
            }
        }
    });
    if faults.is_empty() { Ok(()) } else { bail!("{step:?}:{faults}") }
}

const OBTAINED: [Form; 4] = [Form::Discover, Form::Offer, Form::Selecting, Form::Ack];

/// Gets the first lease, and sees that it is what the network says.
fn obtain(scene: &Scene, client: &mut Client) -> Result<Lease> {
    let lease = client.lease()?;
    ensure!(lease.ip == FIRST && lease.server == Ipv4Addr::new(10, 9, 0, 2), "{lease:?}");
    ensure!(lease.seconds == 30 && lease.router == Some(Ipv4Addr::new(10, 9, 0, 1)), "{lease:?}");
    ensure!(lease.dns == [Ipv4Addr::new(10, 9, 0, 53)], "{lease:?}");
    scene.hear(0, &OBTAINED)?;
    let answered = scene.server.answered()?;
    ensure!(answered.is_a_new_clients(), "{answered:?}");
    Ok(lease)
}

fn renew(program: Program) -> Result<()> {
    let scene = Scene::new(NETWORK)?;
    let mut client = scene.start(program)?;
    obtain(&scene, &mut client)?;
    let before = scene.server.answered()?;
    ensure!(client.lease()?.ip == FIRST, "{}", client.log());
    scene.hear(OBTAINED.len(), &[Form::Renewing, Form::Ack])?;
    let since = scene.server.answered()?.since(before);
    // udhcpc sends from a socket that it closes at once, and misses an answer that is as quick as on a
    // veth pair: it asks again, by broadcast.
    let answers = if program == Program::Udhcpc { 1..=2 } else { 1..=1 };
    ensure!(answers.contains(&since.kernel.1) && since.agent == (0, 0), "the kernel's answer: {since:?}");
    until_true("the table to have the renewal", SOON, || {
        Ok(scene.lease_is(FIRST, "bound")?["lastAnsweredBy"] == "kernel")
    })?;
    scene.judge()
}

#[test]
fn c35_each_client_renews_by_unicast_at_its_t1_and_the_kernel_answers() -> Result<()> {
    each_client(Step::RenewAtT1, renew)
}

fn rebind(program: Program) -> Result<()> {
    let scene = Scene::new(NETWORK)?;
    let mut client = scene.start(program)?;
    obtain(&scene, &mut client)?;
    // What the client sends to the server alone goes to a host that is not there.
    scene.host.ip("neighbour replace 10.9.0.2 lladdr 02:00:00:00:0d:ad nud permanent dev c0")?;
    let before = scene.server.answered()?;
    ensure!(client.lease()?.ip == FIRST, "{}", client.log());
    let lost = scene.forms().iter().filter(|form| **form == Form::Renewing).count();
    ensure!(lost > 0, "it renewed in vain before: {:?}", scene.forms());
    scene.hear(OBTAINED.len() + lost, &[Form::Rebinding, Form::Ack])?;
    let since = scene.server.answered()?.since(before);
    ensure!(since.kernel == (0, 1) && since.agent == (0, 0), "the kernel's answer: {since:?}");
    scene.lease_is(FIRST, "bound")?;
    scene.judge()
}

#[test]
fn c36_each_client_rebinds_by_broadcast_at_its_t2_when_its_server_is_out_of_reach() -> Result<()> {
    each_client(Step::RebindAtT2, rebind)
}

/// The client comes back to the lease it had: after a restart, systemd-networkd after its cable was
/// pulled (a restart makes it forget).
fn come_back(scene: &Scene, client: Client) -> Result<Client> {
    if client.program() == Program::Networkd {
        scene.segment.pull("c0")?;
        // Pulled and plugged in again too quickly, it would not have been pulled as far as it knows.
        until_true("the client to see its cable pulled", SOON, || Ok(client.log().contains("Lost carrier")))?;
        scene.segment.plug_in_again("c0")?;
        return Ok(client);
    }
    client.start_again(&scene.host)
}

fn reboot(program: Program) -> Result<()> {
    // Timers stay out of it.
    let scene = Scene::new(&NETWORK.replace("renewTime: 4s", "renewTime: 20s").replace("9s", "25s"))?;
    let mut client = scene.start(program)?;
    obtain(&scene, &mut client)?;
    let before = scene.server.answered()?;
    let mut client = come_back(&scene, client)?;
    ensure!(client.lease()?.ip == FIRST, "{}", client.log());
    scene.hear(OBTAINED.len(), &[Form::InitReboot, Form::Ack])?;
    let since = scene.server.answered()?.since(before);
    ensure!(since.kernel == (0, 1) && since.agent == (0, 0), "the kernel's answer: {since:?}");
    scene.lease_is(FIRST, "bound")?;
    scene.judge()
}

#[test]
fn c32_each_client_that_keeps_its_lease_comes_back_to_it_and_the_kernel_answers() -> Result<()> {
    each_client(Step::ComeBack, reboot)
}

/// The network is another from here on, and nobody else serves it.
fn move_network(scene: &Scene, network: &str) -> Result<()> {
    let moved = network.replace("10.9.0.", "10.7.0.");
    scene.server.write_config(&moved.replace("probe: false", "probe: false\n    authoritative: true"), "")?;
    scene.server.signal("HUP")?;
    scene.server.wait_for_log("the configuration is served")
}

/// The client is refused once, and gets the first address of the new network.
fn is_refused_and_begins_again(scene: Scene, client: &mut Client, asked: &[Form]) -> Result<()> {
    let moved = Ipv4Addr::new(10, 7, 0, 100);
    until_true("a lease of the new network", SOON, || Ok(client.lease()?.ip == moved))?;
    scene.lease_is(moved, "bound")?;
    let forms = scene.forms();
    let since = forms.get(OBTAINED.len()..).unwrap_or_default();
    // Who stays asks where its server was, first.
    let since = since.iter().copied().skip_while(|form| *form == Form::Renewing).collect::<Vec<_>>();
    let expected = [asked, &[Form::Nak], &OBTAINED].concat();
    ensure!(since == expected, "expected {expected:?}, heard {since:?}");
    let stats = scene.server.json("stats")?;
    ensure!(stats["agent"]["answered"]["nak"] == 1, "{stats:#}");
    scene.judge()
}

fn come_back_after_a_move(program: Program) -> Result<()> {
    let network = &NETWORK.replace("renewTime: 4s", "renewTime: 20s").replace("9s", "25s");
    let scene = Scene::new(network)?;
    let mut client = scene.start(program)?;
    obtain(&scene, &mut client)?;
    move_network(&scene, network)?;
    let mut client = come_back(&scene, client)?;
    is_refused_and_begins_again(scene, &mut client, &[Form::InitReboot])
}

#[test]
fn c33_each_client_is_refused_after_a_move_and_gets_an_address_of_the_new_network() -> Result<()> {
    each_client(Step::ComeBackAfterAMove, come_back_after_a_move)
}

fn stay_through_a_move(program: Program) -> Result<()> {
    let scene = Scene::new(NETWORK)?;
    let mut client = scene.start(program)?;
    obtain(&scene, &mut client)?;
    move_network(&scene, NETWORK)?;
    is_refused_and_begins_again(scene, &mut client, &[Form::Rebinding])
}

#[test]
fn c37_each_client_that_stays_through_a_move_is_refused_when_it_rebinds() -> Result<()> {
    each_client(Step::StayThroughAMove, stay_through_a_move)
}

const SQUATTER_MAC: &str = "02:00:00:00:07:07";

fn decline(program: Program) -> Result<()> {
    let scene = Scene::new(NETWORK)?;
    let squatter = scene.segment.host("q", "q0", SQUATTER_MAC)?;
    squatter.ip(&format!("address add {FIRST}/24 dev q0"))?;
    let mut client = Client::start_probing(program, &scene.host, "c0")?;
    scene.lease_is(FIRST, "declined")?;
    ensure!(scene.server.json("stats")?["networks"][0]["declined"] == 1);
    // RFC 2131 §3.1 has it wait ten seconds before it begins again.
    until_true("another address", SOON * 2, || Ok(scene.server.lease(SECOND)?["state"] == "bound"))?;
    ensure!(client.lease()?.ip == SECOND, "{}", client.log());
    scene.hear(OBTAINED.len(), &[Form::Decline, Form::Discover, Form::Offer, Form::Selecting, Form::Ack])?;
    ensure!(scene.server.lease(FIRST)?["inKernel"] == false, "nobody is given it");
    scene.judge()
}

#[test]
fn c45_each_client_declines_an_address_that_a_squatter_has_and_gets_the_next() -> Result<()> {
    each_client(Step::Decline, decline)
}

fn release(program: Program) -> Result<()> {
    let scene = Scene::new(NETWORK)?;
    let mut client = scene.start(program)?;
    obtain(&scene, &mut client)?;
    client.release(&scene.host)?;
    let lease = scene.lease_is(FIRST, "released")?;
    ensure!(lease["inKernel"] == false, "{lease:#}");
    ensure!(scene.forms().contains(&Form::Release), "{:?}", scene.forms());
    // Another gets an address that was never used; the client its own again.
    scene.host.ip("link set c0 address 02:00:00:00:00:22")?;
    let other = Client::start(Program::Udhcpc, &scene.host, "c0")?.lease()?;
    ensure!(other.ip == SECOND, "{other:?}");
    scene.host.ip(&format!("link set c0 address {CLIENT_MAC}"))?;
    ensure!(scene.start(program)?.lease()?.ip == FIRST);
    scene.lease_is(FIRST, "bound")?;
    scene.judge()
}

#[test]
fn c46_each_client_gives_its_lease_back_and_gets_the_same_address_later() -> Result<()> {
    each_client(Step::Release, release)
}
