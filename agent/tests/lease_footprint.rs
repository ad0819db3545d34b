//! What many leases cost: bytes in the table, and time and space on disk.
//!
//! A process of its own, because it counts every byte that is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use xdhcpd::clock::{Moment, Now};
use xdhcpd::config::{
    Boot, Config, FastPath, Identity, LeaseTimes, Leases, Limits, Loader, Log, Network, Options, PoolRange,
};
use xdhcpd::lease::{AnsweredBy, Journal, Lease, NetworkId, State, Table};

/// The system's allocator, counting.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many leases; a million with `XDHCPD_TEST_LEASES=1000000`.
fn how_many() -> u32 {
    std::env::var("XDHCPD_TEST_LEASES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

fn config() -> Config {
    let network = Network {
        name: "all".into(),
        interface: "eth1".into(),
        vlans: Vec::new(),
        subnet: ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
        ranges: vec![PoolRange {
            range: Ipv4Addr::new(10, 0, 0, 1)..=Ipv4Addr::new(10, 255, 255, 254),
            class: None,
        }],
        exclude: Vec::new(),
        gateway: None,
        static_hosts: std::collections::BTreeSet::new(),
        self_ip: None,
        times: LeaseTimes { default: 60, min: 60, max: 60, renew: None, rebind: None },
        authoritative: false,
        identity: Identity::Mac,
        reserved_only: false,
        keep_addresses: false,
        bootp: false,
        always_broadcast: false,
        probe: false,
        offer_hold: Duration::from_mins(1),
        decline_hold: Duration::from_hours(24),
        check_source: true,
        relays: Vec::new(),
        options: Options::default(),
        boot: Boot::default(),
        reservations: Vec::new(),
        classes: Vec::new(),
    };
    Config {
        name: "default".into(),
        networks: vec![network],
        fast_path: FastPath::default(),
        leases: Leases { dir: PathBuf::from("/var/lib/dhcp"), horizon: 4 },
        loader: Loader {
            min_interval: Duration::ZERO,
            window: Duration::ZERO,
            max_failures: 3,
            cpu: None,
            memory: None,
        },
        limits: Limits { client_per_second: 20, interface_per_second: 20_000 },
        http: None,
        log: Log { level: tracing::Level::INFO, json: false },
        replace_node_addresses: false,
    }
}

#[test]
fn a_named_lease_takes_at_most_130_bytes_of_the_table_also_of_one_that_was_read_back() {
    let count = how_many();
    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut table = Table::new(&config());
    for n in 0..count {
        let ip = table.next_free(NetworkId(0), |_| false, |_| false).expect("an /8 has room");
        let [_, a, b, c] = n.to_be_bytes();
        table.put(Lease {
            ip,
            mac: [2, 0, 0, a, b, c],
            client_id: Some([1, 2, 0, 0, a, b, c].into()),
            host_name: Some(format!("node-{n}").into()),
            state: State::Bound,
            starts: Moment(1_000_000_000),
            expires: Moment(60_000_000_000 + u64::from(n)),
            durable_until: Moment::NEVER,
            answered_by: AnsweredBy::Agent,
            taken: true,
        });
    }
    let each = (ALLOCATED.load(Ordering::Relaxed) - before) / count as usize;
    println!("{each} bytes a lease in the table");
    assert!(each <= 130, "{each} bytes");

    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), "default", Now::read()).unwrap();
    let begin = Instant::now();
    journal.compact(table.all_leases(), Now::read()).unwrap();
    println!(
        "{} bytes a lease on disk, {count} written in {:?}",
        journal.length() / u64::from(count),
        begin.elapsed()
    );
    drop(journal);
    let before = ALLOCATED.load(Ordering::Relaxed);
    let begin = Instant::now();
    let (_, loaded) = Journal::open(folder.path(), "default", Now::read()).unwrap();
    println!("{count} read in {:?}", begin.elapsed());
    let begin = Instant::now();
    let again = Table::load(&config(), loaded);
    println!("{count} put into a table in {:?}", begin.elapsed());
    let each = (ALLOCATED.load(Ordering::Relaxed) - before) / count as usize;
    println!("{each} bytes a lease in that table");
    assert!(each <= 130, "{each} bytes of a table that was read");
    let used = |table: &Table| table.counts(NetworkId(0)).used;
    assert_eq!((used(&again), used(&table)), (u64::from(count), u64::from(count)));
}
