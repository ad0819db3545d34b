//! A start with many leases: known, served, and answered by what is pinned until then.
//!
//! A hundred thousand with a debug build. By hand, a million with one for users, which has to be ready
//! in three seconds:
//!
//! ```sh
//! cargo xtask build --release
//! XDHCPD_TEST_BINARY=target/release/xdhcpd XDHCPD_TEST_LEASES=1000000 cargo test -p xdhcpd-tests --test many_leases -- --nocapture
//! ```

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xdhcpd::clock::{Moment, Now};
use xdhcpd::fastpath::FastPath;
use xdhcpd::lease::{AnsweredBy, Journal, Lease, State};
use xdhcpd_common::maps::{self, LeaseKey};
use xdhcpd_common::times::SECOND;
use xdhcpd_tests::netns::Pair;
use xdhcpd_tests::process::status_line;
use xdhcpd_tests::renewals::{self, while_clients_renew};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;

const NETWORK: &str = "
  - name: all
    interface: s0
    subnet: 10.0.0.0/8
    ranges: [10.1.0.0-10.17.255.255]
    leaseTime: 12h
    probe: false
";

const SERVER: [u8; 4] = [10, 0, 0, 2];

/// The first of the addresses that are leased.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 0);

/// How long a build for users may take, with a million.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// The most memory for a lease, of the agent and of the kernel's map together.
const BYTES_A_LEASE: u64 = 400;

/// What the kernel allocates for an entry of `LEASES`: a header of 48 bytes, key, value and a pointer
/// come out of the cache for 192; and the table itself has 16 for each entry it has room for.
const BYTES_AN_ENTRY: u64 = 192 + 16;

fn how_many() -> u32 {
    std::env::var("XDHCPD_TEST_LEASES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

fn is_for_users() -> bool {
    std::env::var_os("XDHCPD_TEST_BINARY").is_some()
}

/// The lease of the `n`th client: bound, and no two end at one moment.
fn lease(n: u32, now: Moment) -> Lease {
    let [_, a, b, c] = n.to_be_bytes();
    let end = |hours: u64| Moment(now.0 + hours * 3600 * SECOND + u64::from(n) * 1000);
    Lease {
        ip: Ipv4Addr::from_bits(FIRST.to_bits() + n),
        mac: [2, 0, 1, a, b, c],
        client_id: None,
        host_name: Some(format!("node-{n}").into()),
        state: State::Bound,
        starts: now,
        expires: end(12),
        durable_until: end(48),
        answered_by: AnsweredBy::Agent,
        taken: true,
    }
}

/// Adds leases to the file of an agent that has ended.
fn write_file(server: &Server, leases: &[Lease]) -> Result<()> {
    let now = Now::read();
    let (mut journal, loaded) = Journal::open(server.folder(), server.name(), now)?;
    Ok(journal.compact(loaded.leases().iter().chain(leases), now)?)
}

/// Writes them into the kernel's map too, each as the kernel would have renewed it since.
fn fill_map(server: &Server, leases: &[Lease]) -> Result<()> {
    let mut fast = FastPath::open(server.name(), 1)?;
    let (wire, served) = *fast.servers()?.first().context("a wire")?;
    for lease in leases {
        let entry = maps::Lease {
            generation: served.generation,
            expires: lease.expires.0 + 60 * SECOND,
            horizon: lease.durable_until.0,
            answered: lease.starts.0,
            ip: lease.ip.octets(),
            state: maps::LeaseState::BOUND,
            ..maps::Lease::default()
        };
        fast.put_lease(LeaseKey { wire, mac: lease.mac, zero: [0; 2] }, &entry)?;
    }
    Ok(())
}

/// The agent's memory, in bytes.
fn memory(server: &Server) -> Result<u64> {
    let line = status_line(Path::new(&format!("/proc/{}/status", server.pid())), "VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

/// Starts an agent that had ended, with its leases; how long it took.
fn start(server: &mut Server, pair: &Pair, leases: usize) -> Result<Duration> {
    let begun = Instant::now();
    server.restart(&pair.server)?;
    let took = begun.elapsed();
    let used = &server.json("stats")?["networks"][0]["used"];
    ensure!(*used == leases, "{used} leases are known");
    ensure!(!is_for_users() || took < READY_WITHIN, "ready only after {took:?}");
    Ok(took)
}

#[test]
fn a_start_with_many_leases_knows_each_and_leaves_answering_to_the_kernel_meanwhile() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) {
        return Ok(());
    }
    if !xdhcpd::fastpath::is_built() {
        skip::skipped(&test, "needs the XDP program: `cargo xtask build-ebpf` before the tests are built");
        return Ok(());
    }
    let pair = Pair::with_address("10.0.0.2/8")?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let clients = renewals::clients(&pair, SERVER, 2, 1)?;
    let known: usize = clients.iter().map(Vec::len).sum();
    let without = memory(&server)?;
    server.stop("TERM")?;

    let now = Now::read().moment;
    let leases: Vec<Lease> = (0..how_many()).map(|n| lease(n, now)).collect();
    let all = leases.len() + known;
    write_file(&server, &leases)?;
    let cold = start(&mut server, &pair, all)?;
    server.stop("TERM")?;
    fill_map(&server, &leases)?;
    let mut warm = Duration::ZERO;
    let renewals = while_clients_renew(&pair, &clients, || {
        warm = start(&mut server, &pair, all)?;
        Ok(())
    })?;
    let slowest = renewals.iter().map(|renewals| renewals.slowest).max().unwrap_or_default();
    let acks: u64 = renewals.iter().map(|renewals| renewals.acks).sum();
    let each = memory(&server)?.saturating_sub(without) / u64::from(how_many());
    println!(
        "{all} leases: ready in {cold:?} without entries in the kernel, in {warm:?} with all of them; \
         {acks} renewals meanwhile, the slowest in {slowest:?}; {each} bytes of the agent's a lease"
    );
    assert_eq!(server.answered()?.agent, (0, 0), "known clients are the kernel's all the while");
    assert!(server.log().contains(&format!("leases={all} in_kernel={all}")));
    assert!(each + BYTES_AN_ENTRY <= BYTES_A_LEASE, "{each} bytes of the agent's a lease");
    // One that the kernel renewed while nobody looked runs as long as it says.
    let last = server.lease(leases.last().context("leases")?.ip)?;
    assert_eq!((&last["inKernel"], &last["lastAnsweredBy"]), (&true.into(), &"kernel".into()));
    Ok(())
}
