//! Loader and agent are killed again and again, at random moments and under load: no address is two
//! clients' at one time, what was acknowledged is known afterwards, and the kernel answers known clients
//! all the while.
//!
//! All is judged at the clients' end of the wire. The moments come from a seed that is printed:
//! `XDHCPD_SEED` repeats a run, `XDHCPD_ROUNDS` says how often something is killed.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use xdhcpd::report::{LeaseReport, LeaseState, LeasesReport};
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::conversation::{self, Said};
use xdhcpd_tests::known;
use xdhcpd_tests::ledger::{Ledger, Promise};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::perfdhcp::{Load, Running};
use xdhcpd_tests::process::children;
use xdhcpd_tests::random::{Random, number_from};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::{Frame, Tap};
use xdhcpd_tests::wait::{SOON, until, until_true};

const ROUNDS: u64 = 200;

/// Leases are short and clients many, so that each address is one client's after the other.
const NETWORK: &str = "
  - name: hall
    interface: s0
    subnet: 10.9.0.0/16
    ranges: [10.9.1.0-10.9.8.255]
    relays: [10.9.255.1]
    leaseTime: 12s
    offerHold: 3s
    probe: false
";
const OFFER_HOLD: Duration = Duration::from_secs(3);

/// perfdhcp speaks for all its clients from one address. The loader's ends are meant, and none is the
/// last one.
const MORE: &str = "log: {level: warn}
limits: {clientPerSecond: 10000, interfacePerSecond: 100000}
loader: {minInterval: 1s, window: 1s, maxFailures: 1000}";

/// New clients, and such as were served before, for as long as it takes.
const LOAD: Load<'_> = Load {
    from: "10.9.255.1",
    server: "10.9.0.2",
    rate: 150,
    clients: 4_000,
    seconds: 3_600,
    renewals: 30,
    releases: 10,
};

/// Known clients, of which one asks each pace.
const KNOWN: u8 = 32;
const PACE: Duration = Duration::from_millis(5);
/// A known client never waits longer.
const SMALL: Duration = Duration::from_millis(100);

/// Something is killed within so many milliseconds of the last time that all was well, and a start of
/// the agent within as many of its beginning.
const WITHIN: usize = 200;
/// One start of the agent in so many is killed before it is over.
const KILLED_STARTS: usize = 4;

#[test]
fn kills_at_any_moment_under_load_break_no_promise_and_known_clients_see_no_gap() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !skip::is_there(&test, "perfdhcp", "kea-admin") {
        return Ok(());
    }
    let seed = number_from("XDHCPD_SEED").unwrap_or(0x5eed_0002);
    let rounds = number_from("XDHCPD_ROUNDS").unwrap_or(ROUNDS);
    println!("seed {seed:#x}, {rounds} rounds");
    let pair = Pair::with_address("10.9.0.2/16")?;
    pair.client.ip("address add 10.9.255.1/16 dev c0")?;
    let server = Server::start_with(&pair.server, NETWORK, MORE)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let clients = known::obtain(&tap, KNOWN)?;
    let mut scene = Scene {
        // What the kernel answers never comes here, nor what it was asked.
        passed_up: Capture::start(&pair.server, "s0")?,
        said: Capture::start(&pair.client, "c0")?,
        ledger: Ledger::new(OFFER_HOLD),
        random: Random::new(seed),
        pair: &pair,
        server,
    };
    let end = AtomicBool::new(false);
    let answers = thread::scope(|scope| -> Result<_> {
        let known = scope.spawn(|| known::ask_on(&tap, &clients, PACE, &end));
        let load = Running::start(&pair.client, LOAD)?;
        let killed =
            (1..=rounds).try_for_each(|round| scene.round().with_context(|| format!("round {round}")));
        end.store(true, Ordering::Release);
        let answers = known.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        killed?;
        until_true("the last loader to be at work", SOON, || {
            let stats = scene.server.json("stats")?;
            Ok(stats["loader"]["state"] == "running" && stats["kernel"]["attached"] == true)
        })?;
        println!("{:?}", load.stop()?);
        answers
    })?;
    let Ledger { twice, acks, given_back, passed_on, .. } = &scene.ledger;
    println!("{acks} ACKs, {given_back} addresses given back, {passed_on} passed on");
    println!("{} questions of known clients, the slowest answer after {:?}", answers.asked, answers.slowest);
    assert_eq!(*twice, [""; 0]);
    assert_eq!(answers.unanswered, [""; 0]);
    assert!(answers.slowest < SMALL, "{:?}", answers.slowest);
    let log = scene.server.log();
    assert!(!log.contains("ERROR") && !log.contains("damaged"), "no kill has harmed a file");
    // All of that was put to the test.
    assert!(answers.asked > rounds * 10 && *acks > rounds * 20);
    assert!(rounds < ROUNDS || *given_back > rounds && *passed_on > rounds * 10);
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Victim {
    Loader,
    Agent,
    Both,
}

struct Scene<'a> {
    pair: &'a Pair,
    server: Server,
    random: Random,
    said: Capture,
    passed_up: Capture,
    ledger: Ledger,
}

impl Scene<'_> {
    fn round(&mut self) -> Result<()> {
        let victim = [Victim::Loader, Victim::Agent, Victim::Both][self.random.below(3)];
        self.any_moment(WITHIN);
        match victim {
            Victim::Loader => self.lose_loader()?,
            Victim::Agent => self.lose_agent()?,
            Victim::Both => {
                self.lose_loader()?;
                self.any_moment(20);
                self.lose_agent()?;
            }
        }
        self.nothing_is_forgotten().with_context(|| format!("{victim:?}"))
    }

    /// Lets some time go by, which is what this is about.
    fn any_moment(&mut self, within: usize) {
        thread::sleep(Duration::from_millis(self.random.below(within) as u64));
    }

    /// One that is to be started again later is waited for first.
    fn lose_loader(&mut self) -> Result<()> {
        let agent = self.server.pid();
        let loader = until("a loader", SOON, || Ok(children(agent)?.first().copied()))?;
        succeed(Command::new("kill").args(["-KILL", &loader.to_string()])).map(drop)
    }

    /// A start may be killed as well.
    fn lose_agent(&mut self) -> Result<()> {
        self.server.stop("KILL")?;
        self.any_moment(WITHIN);
        self.server.begin_again(&self.pair.server)?;
        while self.random.chance(KILLED_STARTS) {
            self.any_moment(WITHIN);
            self.server.stop("KILL")?;
            self.server.begin_again(&self.pair.server)?;
        }
        self.server.wait_until_ready()
    }

    /// Every lease that was acknowledged, and has not ended, is known with its client and on disk.
    fn nothing_is_forgotten(&mut self) -> Result<()> {
        self.listen()?;
        let acknowledged: Vec<_> = self.ledger.acknowledged_at(SystemTime::now()).collect();
        let leases: LeasesReport = serde_json::from_value(self.server.json("leases")?)?;
        let leases: HashMap<Ipv4Addr, LeaseReport> =
            leases.leases.into_iter().map(|lease| (lease.ip, lease)).collect();
        let looked = SystemTime::now();
        let is_unknown = |(ip, promise): &(Ipv4Addr, Promise)| {
            let runs = promise.acknowledged.is_some_and(|until| until > looked);
            runs && !leases.get(ip).is_some_and(|lease| is_known(lease, *promise))
        };
        let unknown: Vec<_> = acknowledged.into_iter().filter(is_unknown).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        // A client may have given its address back meanwhile.
        let explained =
            until_true("clients to have given back what is not known", Duration::from_secs(1), || {
                self.listen()?;
                Ok(!unknown.iter().any(|(ip, promise)| self.ledger.stands(*ip, *promise)))
            });
        explained.with_context(|| {
            let lease = |ip: &Ipv4Addr| leases.get(ip);
            format!("{:#?}", unknown.iter().map(|(ip, promise)| (ip, promise, lease(ip))).collect::<Vec<_>>())
        })
    }

    fn listen(&mut self) -> Result<()> {
        self.ledger.hear(&self.said.take());
        let not_the_kernels: Vec<Said> =
            conversation::of(&self.passed_up.take().into_iter().filter(is_known_clients).collect::<Vec<_>>());
        if not_the_kernels.is_empty() {
            return Ok(());
        }
        let passed = &self.server.json("stats")?["kernel"]["passed"];
        bail!("not answered in the kernel, which passed on {passed}: {not_the_kernels:?}")
    }
}

/// What the lease table says of a promise.
fn is_known(lease: &LeaseReport, promise: Promise) -> bool {
    let is_on_disk = lease.durable_until.is_none_or(|until| {
        let second = promise.acknowledged.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok());
        second.is_some_and(|second| until.seconds() >= second.as_secs().cast_signed())
    });
    matches!(lease.state, LeaseState::Bound | LeaseState::Offered)
        && lease.mac.0 == promise.client
        && is_on_disk
}

fn is_known_clients(frame: &Frame) -> bool {
    const CHADDR: std::ops::Range<usize> = 70..76;
    frame.bytes.get(CHADDR).and_then(|mac| mac.try_into().ok()).is_some_and(known::is_ours)
}
