//! Ten thousand leases: shown soon, at a pace that an API server does not feel, and once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use xdhcpd::kube::writes::{IN_FLIGHT, WRITES_PER_SECOND};
use xdhcpd_tests::cluster_agent::{self, ClusterAgent, agent_name, manifest};
use xdhcpd_tests::exchange::{obtain, renewal};
use xdhcpd_tests::host_status::{self, all_writes};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::perfdhcp::{self, Load};
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::{skip, wait};

/// How many there are.
const LEASES: usize = 10_000;

/// Most of them, drawn by lot from so many that hardly two are one.
const LOAD: Load<'_> = Load {
    from: "10.9.255.1",
    server: "10.9.0.2",
    rate: 1000,
    clients: 50_000_000,
    seconds: 9,
    renewals: 0,
    releases: 0,
};

/// How soon all are shown on a machine that does nothing else.
const SHOWN: Duration = Duration::from_mins(1);

/// How long it may take where others use the machine as well.
const PATIENCE: Duration = Duration::from_mins(6);

/// How long all may take to be shown on this machine, as busy as it is before the test adds to that.
fn limit() -> Result<Duration> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: f64 = load.split(' ').next().unwrap_or_default().parse()?;
    let room = std::thread::available_parallelism()?.get();
    let is_idle = load < f64::from(u32::try_from(room)?);
    println!(
        "load {load} on {room} processors: {}",
        if is_idle { "idle" } else { "busy, not judged by time" }
    );
    Ok(if is_idle { SHOWN } else { PATIENCE })
}

const SERVER: [u8; 4] = [10, 9, 0, 2];

fn roomy(name: &str) -> String {
    let lines = [
        "enableBindDhcpIP: false",
        "probe: false",
        "relays: [10.9.255.1]",
        "limits: {clientPerSecond: 10000, interfacePerSecond: 100000}",
    ];
    let roomy = manifest(name, "s0", &lines).replace("10.9.0.0/24", "10.9.0.0/16");
    roomy.replace("10.9.0.100-10.9.0.199", "10.9.1.0-10.9.128.255")
}

/// Samples the agent's count of writes while `work` goes on; the most that any second had, beyond what
/// was under way at its beginning.
fn most_writes_in_a_second<T>(agent: &ClusterAgent, work: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    /// Ends the samples, also when the work fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let mut samples: Vec<(Instant, Instant, u64)> = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let before = Instant::now();
                if let Ok(writes) = all_writes(agent) {
                    samples.push((before, Instant::now(), writes));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            samples
        });
        let result = {
            let _done = Done(&done);
            work()
        };
        let samples = sampling.join().expect("the one who samples");
        Ok((result?, most(&samples)))
    })
}

/// Of samples, each counted at some time between two.
fn most(samples: &[(Instant, Instant, u64)]) -> u64 {
    let second = Duration::from_secs(1);
    let within = |at: usize| {
        let (from, _, before) = samples[at];
        let later = samples[at..].iter().take_while(|(_, end, _)| *end - from <= second);
        later.last().map_or(0, |(_, _, writes)| writes - before)
    };
    (0..samples.len()).map(within).max().unwrap_or_default()
}

fn wait_until_shown(cluster: &Cluster, agent: &ClusterAgent) -> Result<()> {
    let started = Instant::now();
    // Two writes each; to list them all each time would be a load of its own.
    wait::until_true("as many writes as it takes", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(200));
        let writes = host_status::writes(agent)?;
        let count = |verb: &str| writes.get(&(verb.into(), "ok".into())).copied().unwrap_or_default();
        Ok(usize::try_from(count("update"))? >= LEASES)
    })?;
    host_status::wait_until_they_are_the_leases(cluster, agent)?;
    println!("all leases were shown after {:?}", started.elapsed());
    Ok(())
}

#[test]
fn ten_thousand_leases_are_shown_within_a_minute_and_within_the_pace() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) || !skip::is_there(&test, "perfdhcp", "kea-admin") {
        return Ok(());
    }
    let limit = limit()?;
    let cluster = Cluster::start()?;
    cluster_agent::install_definitions(&cluster)?;
    let pair = Pair::with_address("10.9.0.2/16")?;
    pair.client.ip("address add 10.9.255.1/16 dev c0")?;
    cluster.connect(&pair.server)?;
    let name = agent_name();
    cluster.apply(&roomy(&name))?;
    let mut agent = ClusterAgent::start(&cluster, &pair.server, &name)?;
    let most = u64::from(WRITES_PER_SECOND) + u64::try_from(IN_FLIGHT)?;

    // All new.
    let started = Instant::now();
    let (tap, seen) = most_writes_in_a_second(&agent, || {
        let report = perfdhcp::run(&pair.client, LOAD)?;
        assert_eq!(report.unanswered(), 0, "{report:?}");
        // Not before: it would be full of what the load generator heard.
        let tap = Tap::open(&pair.client, "c0")?;
        for number in host_status::leases(&agent)?.len()..LEASES {
            let [.., a, b] = number.to_be_bytes();
            obtain(&tap, [2, 9, 0, 0, a, b], |frame| frame)?;
        }
        wait_until_shown(&cluster, &agent)?;
        Ok(tap)
    })?;
    let long = started.elapsed();
    println!("new: {long:?} from the first client on, at most {seen} writes in a second");
    assert!(seen <= most && long <= limit, "{seen} {long:?}");
    let spent = all_writes(&agent)?;
    assert!(spent <= 3 * u64::try_from(LEASES)?, "{spent} writes for {LEASES} leases");

    // Renewed.
    let answered = agent.answered()?;
    for (ip, (mac, _)) in host_status::leases(&agent)? {
        let bytes: Vec<u8> =
            mac.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        let mac: [u8; 6] = bytes.try_into().expect("six bytes");
        tap.send(&renewal(mac, ip.parse()?, SERVER).build())?;
    }
    wait::until_true("all to be renewed", wait::SOON, || {
        let since = agent.answered()?.since(answered);
        Ok(usize::try_from(since.kernel.1 + since.agent.1)? >= LEASES)
    })?;
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(all_writes(&agent)?, spent, "a renewal writes nothing");

    // All there at the start, and no object.
    agent.stop("TERM")?;
    cluster.kubectl(&[
        "delete",
        "--request-timeout=0",
        "--raw",
        "/apis/bmc.spidernet.io/v1beta1/hoststatuses",
    ])?;
    assert!(host_status::all(&cluster, &name)?.is_empty());
    let started = Instant::now();
    agent.restart(&pair.server)?;
    let ((), seen) = most_writes_in_a_second(&agent, || wait_until_shown(&cluster, &agent))?;
    let long = started.elapsed();
    println!("at the start: {long:?}, at most {seen} writes in a second");
    assert!(seen <= most && long <= limit, "{seen} {long:?}");
    Ok(())
}
