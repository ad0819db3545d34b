//! Machines that boot all at one time behind a relay: every one gets an address, its own alone, and
//! the same in its ROM, in iPXE and in its system, whatever client-id each of them sends.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use xdhcpd::engine::probes::WITHIN;
use xdhcpd_tests::exchange;
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::storm::{self, Aftermath, BOOTS, Boot, Storm};
use xdhcpd_tests::tap::Tap;

const US: [u8; 4] = [10, 9, 0, 2];
const RELAY: [u8; 4] = [10, 64, 0, 1];

/// A client on the server's own link.
const NEIGHBOUR: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// Machines of the great storm; the pool has 16 addresses more.
const MACHINES: u32 = 10_000;

/// The hall is behind the relay, and identity is the MAC alone, as by default.
const NETWORKS: &str = r#"
  - name: near
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    probe: false
  - name: hall
    interface: s0
    subnet: 10.64.0.0/18
    ranges: [10.64.1.0-10.64.40.31]
    gateway: 10.64.0.1
    relays: [10.64.0.1]
    leaseTime: 1h
    probe: false
    options: {dns: [10.9.0.53], domainName: example.org}
    boot: {nextServer: 10.9.0.2, file: undionly.kpxe}
    classes:
      - {name: uefi, match: {arch: [7, 9]}, boot: {file: ipxe.efi}}
      - {name: ipxe, match: {userClass: iPXE}, boot: {file: "http://10.9.0.2/boot.ipxe"}}
"#;

/// A machine's later boots find its address known, which is not probed.
const FIRST_BOOT: &[Boot] = &[BOOTS[0]];

/// Ten thousand leases are worth no line each.
const QUIET: &str = "log: {level: warn}";

/// The server, and the relay's place on its link.
fn scene(networks: &str, more: &str) -> Result<(Pair, Server)> {
    let pair = Pair::new()?;
    pair.client.ip("address add 10.9.0.1/24 dev c0")?;
    pair.server.ip("route add 10.64.0.0/18 via 10.9.0.1")?;
    let server = Server::start_with(&pair.server, networks, more)?;
    Ok((pair, server))
}

/// The hardware address of the served interface.
fn server_mac(namespace: &NetNs) -> Result<[u8; 6]> {
    let shown = namespace.ip("-o link show dev s0")?;
    let text = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).context("no MAC")?;
    let bytes: Result<Vec<u8>, _> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes?.try_into().ok().context("six bytes")
}

/// No NAK, none left without, and each machine has one address, which no other has.
fn each_has_one_address_of_its_own(aftermath: &Aftermath, machines: u32, boots: usize) {
    assert!(aftermath.naks.is_empty(), "refused: {:?}", aftermath.naks);
    assert!(aftermath.gave_up.is_empty(), "left without: {:?}", aftermath.gave_up);
    assert_eq!(aftermath.acks as usize, machines as usize * boots);
    let mut taken = HashSet::<Ipv4Addr>::new();
    for (number, addresses) in (0..).zip(&aftermath.addresses) {
        let mac = storm::mac(number);
        assert_eq!(addresses.len(), 1, "{mac:02x?} has one address in all of its boots: {addresses:?}");
        assert!(addresses.iter().all(|ip| taken.insert(*ip)), "{mac:02x?} has another's: {addresses:?}");
    }
}

#[test]
fn c49_ten_thousand_machines_boot_at_once_through_a_relay_and_keep_one_address_each() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let (pair, server) = scene(NETWORKS, QUIET)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let server_mac = server_mac(&pair.server)?;
    let storm = Storm {
        machines: MACHINES,
        at_once: 1000,
        boots: &BOOTS,
        loses: Some(100),
        relay: RELAY,
        server: US,
        server_mac,
    };
    let aftermath = storm::run(&tap, storm)?;
    let answered = server.answered()?;
    println!(
        "{} ACKs in {:?}, the slowest boot {:?}, {} messages repeated; {answered:?}",
        aftermath.acks, aftermath.took, aftermath.slowest, aftermath.repeated
    );
    each_has_one_address_of_its_own(&aftermath, MACHINES, BOOTS.len());

    let leases = server.json("leases")?;
    let leases = leases["leases"].as_array().context("a list")?;
    assert_eq!(leases.len(), MACHINES as usize, "nobody holds a second one");
    let macs: HashSet<_> = leases.iter().filter_map(|lease| lease["mac"].as_str()).collect();
    assert_eq!(macs.len(), MACHINES as usize);
    assert!(leases.iter().all(|lease| lease["state"] == "bound"));
    let stats = server.json("stats")?;
    assert_eq!(stats["networks"][1]["remaining"], 16, "{stats:#}");
    assert_eq!(stats["agent"]["answered"]["nak"], 0, "{stats:#}");
    // What is offered is on disk: the kernel answers the REQUEST.
    assert!(answered.kernel.1 >= u64::from(MACHINES), "{answered:?} {stats:#}");
    Ok(())
}

/// How long exchanges of a client take that the agent answers, until `ended`.
fn exchanges_until(ended: &AtomicBool, tap: &Tap) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while !ended.load(Ordering::Acquire) {
        let began = Instant::now();
        exchange::obtain(tap, NEIGHBOUR, |frame| frame)?;
        took.push(began.elapsed());
    }
    Ok(took)
}

/// How long an exchange takes that is under way at half of all moments: a few long ones count for as
/// long as they last, and not for how few they are.
fn at_a_typical_moment(mut took: Vec<Duration>) -> Duration {
    took.sort();
    let half = took.iter().sum::<Duration>() / 2;
    let mut sum = Duration::ZERO;
    let reaches_half = |took: &&Duration| {
        sum += **took;
        sum >= half
    };
    took.iter().find(reaches_half).copied().unwrap_or_default()
}

#[test]
fn c24_probing_a_thousand_addresses_behind_a_relay_delays_nobody_else() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    // Without the program the agent answers everybody, one after the other.
    let networks = &NETWORKS.replace("leaseTime: 1h\n    probe: false", "leaseTime: 1h\n    probe: true");
    let (pair, server) = scene(networks, "log: {level: warn}\nfastPath: {mode: off}")?;
    let [ours, theirs] = [Tap::open(&pair.client, "c0")?, Tap::open(&pair.client, "c0")?];
    let server_mac = server_mac(&pair.server)?;
    let storm = Storm {
        machines: 1000,
        // One goes when another comes: some are being probed all the time.
        at_once: 200,
        boots: FIRST_BOOT,
        loses: None,
        relay: RELAY,
        server: US,
        server_mac,
    };
    let ended = AtomicBool::new(false);
    let (aftermath, took) = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| exchanges_until(&ended, &ours));
        let aftermath = storm::run(&theirs, storm);
        ended.store(true, Ordering::Release);
        (aftermath, neighbour.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (aftermath, took) = (aftermath?, took?);
    each_has_one_address_of_its_own(&aftermath, storm.machines, FIRST_BOOT.len());
    assert!(aftermath.quickest_first > Some(WITHIN), "new addresses were probed: {aftermath:?}");
    let typical = at_a_typical_moment(took);
    println!("{} boots in {:?}; a neighbour waits {typical:?}", aftermath.acks, aftermath.took);
    assert!(typical < WITHIN, "a neighbour waits as for a probe: {typical:?} {:#}", server.json("stats")?);
    Ok(())
}
