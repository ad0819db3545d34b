//! What an API server can do to an agent: DHCP goes on, and the objects come to be the leases.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use xdhcpd_tests::cluster_agent::{self, CONVERGED, ClusterAgent, agent_name, manifest};
use xdhcpd_tests::exchange::{address, ask, obtain, release, renewal};
use xdhcpd_tests::host_status::{self, all_writes, wait_until_they_are_the_leases, writes};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait;

const SERVER: [u8; 4] = [10, 9, 0, 2];

/// For how many seconds an API server is away; ten minutes are as good.
const AWAY: &str = "XDHCPD_API_AWAY_SECONDS";

fn away() -> Duration {
    let seconds = std::env::var(AWAY).ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// The manifest of an agent with addresses for thousands.
fn roomy(name: &str) -> String {
    let lines = ["enableBindDhcpIP: false", "probe: false"];
    let roomy = manifest(name, "s0", &lines).replace("10.9.0.0/24", "10.9.0.0/16");
    roomy.replace("10.9.0.100-10.9.0.199", "10.9.1.0-10.9.100.255")
}

/// An agent that serves, with a cluster of its own and a wire to clients.
struct Scene {
    // In the order in which they go.
    agent: ClusterAgent,
    clients: Clients,
    pair: Pair,
    cluster: Cluster,
}

impl Scene {
    fn start(api_arguments: &[&str]) -> Result<Self> {
        let cluster = Cluster::start_with(api_arguments)?;
        cluster_agent::install_definitions(&cluster)?;
        let pair = Pair::with_address("10.9.0.2/16")?;
        cluster.connect(&pair.server)?;
        let name = agent_name();
        cluster.apply(&roomy(&name))?;
        let agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
        let clients = Clients { tap: Tap::open(&pair.client, "c0")?, all: Vec::new(), next: 0 };
        Ok(Self { agent, clients, pair, cluster })
    }

    /// A RELEASE has no answer, and one that is not on disk yet goes with an agent that is killed.
    fn wait_until_releases_are_heard(&self) -> Result<()> {
        wait::until_true("every release to be heard", CONVERGED, || {
            Ok(host_status::leases(&self.agent)?.len() == self.clients.all.len())
        })
    }

    fn wait_until_objects_are_leases(&self) -> Result<()> {
        self.wait_until_releases_are_heard()?;
        wait_until_they_are_the_leases(&self.cluster, &self.agent)
    }
}

/// Clients that come, stay and go.
struct Clients {
    tap: Tap,
    all: Vec<([u8; 6], Ipv4Addr)>,
    next: u32,
}

impl Clients {
    /// One more; an error if it goes without an answer.
    fn come(&mut self) -> Result<()> {
        let [a, b, c, d] = self.next.to_be_bytes();
        self.next += 1;
        let mac = [2, 9, a, b, c, d];
        let [_, ack] = obtain(&self.tap, mac, |frame| frame)?;
        self.all.push((mac, address(&ack)));
        Ok(())
    }

    /// One goes.
    fn go(&mut self, at: usize) -> Result<()> {
        let (mac, ip) = self.all.swap_remove(at % self.all.len());
        self.tap.send(&release(mac, ip, SERVER).build())
    }

    /// The one who came first goes, some come, and one renews.
    fn some_happen(&mut self) -> Result<()> {
        if !self.all.is_empty() {
            self.go(0)?;
        }
        for _ in 0..3 {
            self.come()?;
        }
        let (mac, ip) = self.all[self.all.len() / 2];
        let ack = ask(&self.tap, &renewal(mac, ip, SERVER))?;
        assert_eq!(address(&ack), ip);
        Ok(())
    }

    /// That goes on for a while.
    fn happen_for(&mut self, long: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < long {
            self.some_happen()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && kube::is_there(&test)
}

fn can_run_with_an_own_server() -> bool {
    can_run() && kube::is_own(&skip::this_test())
}

#[test]
fn while_the_api_server_is_gone_dhcp_goes_on_and_then_the_objects_catch_up() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut scene = Scene::start(&[])?;
    scene.clients.happen_for(Duration::from_secs(2))?;
    scene.wait_until_objects_are_leases()?;
    scene.cluster.stop_api();
    scene.clients.happen_for(away())?;
    let back = Instant::now();
    scene.cluster.start_api()?;
    let answers = Instant::now();
    // It goes on while they catch up.
    scene.clients.happen_for(Duration::from_secs(2))?;
    scene.wait_until_objects_are_leases()?;
    println!(
        "{} leases; caught up {:?} after it was started, {:?} after it answered",
        scene.clients.all.len(),
        back.elapsed(),
        answers.elapsed()
    );
    Ok(())
}

#[test]
fn while_the_api_server_hangs_dhcp_goes_on_and_then_the_objects_catch_up() -> Result<()> {
    if !can_run_with_an_own_server() {
        return Ok(());
    }
    let mut scene = Scene::start(&[])?;
    scene.clients.happen_for(Duration::from_secs(2))?;
    scene.cluster.pause_api()?;
    scene.clients.happen_for(away())?;
    scene.cluster.resume_api()?;
    scene.clients.happen_for(Duration::from_secs(2))?;
    scene.wait_until_objects_are_leases()
}

#[test]
fn an_api_server_that_takes_few_requests_gets_them_one_after_the_other() -> Result<()> {
    if !can_run_with_an_own_server() {
        return Ok(());
    }
    let mut scene = Scene::start(&[
        "--enable-priority-and-fairness=false",
        "--max-requests-inflight=6",
        "--max-mutating-requests-inflight=1",
    ])?;
    for _ in 0..4 {
        for _ in 0..50 {
            scene.clients.come()?;
        }
        scene.clients.some_happen()?;
    }
    scene.wait_until_objects_are_leases()?;
    let throttled: u64 =
        writes(&scene.agent)?.iter().filter(|((_, result), _)| result == "throttled").map(|(_, n)| n).sum();
    assert!(throttled > 0, "no write was refused: {:?}", writes(&scene.agent)?);
    Ok(())
}

#[test]
fn objects_that_somebody_edits_all_the_time_come_to_be_the_leases_once_they_stop() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut scene = Scene::start(&[])?;
    for _ in 0..20 {
        scene.clients.come()?;
    }
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)?;
    let stop = AtomicBool::new(false);
    let Scene { cluster, clients, .. } = &mut scene;
    std::thread::scope(|scope| -> Result<()> {
        let edits = scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                let label = format!("bmc.spidernet.io/mode=wrong{round}");
                // Objects that go meanwhile are no fault.
                let _ = cluster.kubectl(&["label", "hoststatus", "--all", "--overwrite", &label]);
                let _ = cluster.kubectl(&[
                    "annotate",
                    "hoststatus",
                    "--all",
                    "--overwrite",
                    &format!("round={round}"),
                ]);
            }
            round
        });
        let happened = clients.happen_for(Duration::from_secs(8));
        stop.store(true, Ordering::Relaxed);
        let rounds = edits.join().expect("the editor");
        assert!(rounds > 1, "{rounds}");
        happened
    })?;
    scene.wait_until_objects_are_leases()?;
    println!("{:?}", writes(&scene.agent)?);
    Ok(())
}

#[test]
fn what_is_edited_and_removed_while_no_watch_comes_through_is_put_right() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut scene = Scene::start(&[])?;
    for _ in 0..6 {
        scene.clients.come()?;
    }
    scene.wait_until_objects_are_leases()?;
    scene.pair.server.ip("link set kube0 down")?;
    let name = |at: usize| host_status::name(scene.agent.name(), scene.clients.all[at].1);
    scene.cluster.kubectl(&[
        "label",
        "hoststatus",
        &name(0),
        "bmc.spidernet.io/mode=wrong",
        "--overwrite",
    ])?;
    let status = r#"{"status":{"basic":{"mac":"02:ff:ff:ff:ff:ff"}}}"#;
    let patch = ["patch", "hoststatus", &name(1), "--subresource=status", "--type=merge", "-p", status];
    scene.cluster.kubectl(&patch)?;
    // This one's client is silent, so its lease ends: somebody wished it.
    scene.cluster.kubectl(&["delete", "hoststatus", &name(2)])?;
    // Made anew by somebody: all that is left is the name. Whether the removal is seen is a matter of luck.
    scene.cluster.kubectl(&["delete", "hoststatus", &name(3)])?;
    let bare =
        format!("apiVersion: bmc.spidernet.io/v1beta1\nkind: HostStatus\nmetadata: {{name: {}}}", name(3));
    scene.cluster.apply(&bare)?;
    let (_, removed) = scene.clients.all[2];
    // The server forgets its watches: what was missed comes as a list.
    scene.cluster.stop_api();
    scene.cluster.start_api()?;
    scene.clients.come()?;
    let address = "address add 198.18.0.1/32 dev kube0";
    let _ = scene.pair.server.ip(address);
    scene.pair.server.ip("link set kube0 up")?;
    scene.pair.server.ip("route replace 198.19.0.1 dev kube0 src 198.18.0.1")?;
    wait::until_true("the lease whose object was removed to end", 2 * CONVERGED, || {
        Ok(scene.agent.lease(removed)?["state"] == "released")
    })?;
    wait_until_they_are_the_leases(&scene.cluster, &scene.agent)
}

#[test]
fn an_agent_killed_while_it_writes_goes_on_where_it_was() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut scene = Scene::start(&[])?;
    for written in [1, 15, 40] {
        let before = all_writes(&scene.agent)?;
        for _ in 0..60 {
            scene.clients.come()?;
        }
        wait::until_true("some writes", CONVERGED, || Ok(all_writes(&scene.agent)? >= before + written))?;
        scene.agent.stop("KILL")?;
        scene.agent.restart(&scene.pair.server)?;
    }
    scene.wait_until_objects_are_leases()
}

#[test]
fn an_agent_restarted_while_the_api_server_is_away_serves_and_catches_up() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let mut scene = Scene::start(&[])?;
    scene.clients.happen_for(Duration::from_secs(1))?;
    scene.wait_until_objects_are_leases()?;
    scene.cluster.stop_api();
    scene.clients.happen_for(Duration::from_secs(1))?;
    for signal in ["TERM", "KILL"] {
        scene.wait_until_releases_are_heard()?;
        scene.agent.stop(signal)?;
        scene.agent.restart(&scene.pair.server)?;
        scene.clients.happen_for(Duration::from_secs(1))?;
    }
    scene.cluster.start_api()?;
    scene.wait_until_objects_are_leases()
}
