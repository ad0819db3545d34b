//! The power is cut again and again while the agent is busy: what it had acknowledged is kept.
//!
//! The agent runs in a virtual machine, with its lease file on a disk of that machine's. Clients outside
//! keep a list of all that was acknowledged to them. At random moments the machine is killed, so that
//! whatever was not fsynced is gone with the memory it was in, the kernel's maps among it; and started
//! again on the same disk. Then each client of the list comes back to its address.
//!
//! `XDHCPD_POWER_CUTS` says how often, `XDHCPD_SEED` at which moments.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::crowd::Crowd;
use xdhcpd_tests::guest::{Boot, Guest, Linux, Machine};
use xdhcpd_tests::netns::{NetNs, succeed};
use xdhcpd_tests::random::Random;
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::until_true;
use xdhcpd_tests::{http, skip};

const CONFIG: &str = "
leases: {dir: /disk}
http: {listen: 10.9.0.2:9167}
log: {level: warn}
limits: {clientPerSecond: 10000, interfacePerSecond: 100000}
networks:
  - {name: hall, interface: eth0, subnet: 10.9.0.0/16, ranges: [10.9.1.0-10.9.200.255], leaseTime: 2m, probe: false}
";
const SCRIPT: &str = "#!/bin/sh
mkdir /disk
mount -t ext4 /dev/vda /disk
ip address add 10.9.0.2/16 dev eth0
ip link set eth0 up
xdhcpd run --config /config.yaml
echo ended: $?
";
const SERVER: [u8; 4] = [10, 9, 0, 2];

const CUTS: u64 = 20;
/// Enough for several at one time to be under way with anything, and few enough to ask all of them
/// after each start.
const CLIENTS: u16 = 300;
/// What is acknowledged before the power is cut, at most; one in so many cuts comes before all clients
/// are back from the one before.
const BUSY: usize = 120;
const HURRY: usize = 4;
/// The power is cut so much later at most, in microseconds: while questions are under way.
const LATER: usize = 20_000;
/// A guest is up in a few seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A server that can be switched on and off.
struct Rack {
    host: NetNs,
    linux: Linux,
    initramfs: PathBuf,
    disk: PathBuf,
    _folder: tempfile::TempDir,
}

impl Rack {
    /// None: something is missing, and the test is noted as skipped.
    fn build(test: &str) -> Result<Option<Self>> {
        if !skip::is_root(test) || !skip::is_there(test, "mkfs.ext4", "e2fsprogs") {
            return Ok(None);
        }
        let Some(linux) = Linux::find(test, "bookworm") else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        let [initramfs, disk] = ["initramfs", "disk"].map(|name| folder.path().join(name));
        let contents = linux
            .initramfs(&["virtio_pci", "virtio_net", "virtio_blk", "ext4"], SCRIPT)?
            .executable("bin/xdhcpd", &Agent::binary())?
            .file("config.yaml", CONFIG.as_bytes());
        std::fs::write(&initramfs, contents.finish())?;
        if !(Boot::Kernel { image: linux.kernel(), initramfs: &initramfs }).is_there(test) {
            return Ok(None);
        }
        format(&disk)?;
        let host = NetNs::new("s")?;
        host.ip("tuntap add t0 mode tap")?;
        host.ip("address add 10.9.0.1/16 dev t0")?;
        host.ip("link set t0 up")?;
        Ok(Some(Self { host, linux, initramfs, disk, _folder: folder }))
    }

    fn switch_on(&self) -> Result<Guest> {
        let boot = Boot::Kernel { image: self.linux.kernel(), initramfs: &self.initramfs };
        let disk = format!("file={},format=raw,if=none,id=disk", self.disk.display());
        let machine = Machine::new(boot).card("t0", "52:54:00:00:00:02");
        machine.with("-drive", &disk).with("-device", "virtio-blk-pci,drive=disk").start(&self.host)
    }

    fn get(&self, path: &str) -> Result<Value> {
        let (_, text) = http::get(self.host.name(), "10.9.0.2:9167", path)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Addresses and their clients, as the agent has them.
    fn leases(&self) -> Result<HashMap<String, String>> {
        let leases = self.get("/leases")?;
        let text = |lease: &Value, field: &str| lease[field].as_str().unwrap_or_default().to_owned();
        let all = leases["leases"].as_array().context("leases")?;
        let bound = all.iter().filter(|lease| lease["state"] == "bound");
        Ok(bound.map(|lease| (text(lease, "ip"), text(lease, "mac"))).collect())
    }
}

fn format(disk: &Path) -> Result<()> {
    std::fs::File::create(disk)?.set_len(64 << 20)?;
    succeed(Command::new("mkfs.ext4").env("PATH", skip::search_path()).arg("-q").arg(disk))?;
    Ok(())
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = std::env::var(variable).ok();
    text.map(|text| text.parse().with_context(|| format!("{variable}={text}: a number"))).transpose()
}

#[test]
fn an_agent_whose_power_is_cut_again_and_again_keeps_all_that_it_acknowledged() -> Result<()> {
    let Some(rack) = Rack::build(&skip::this_test())? else { return Ok(()) };
    let seed = number("XDHCPD_SEED")?.unwrap_or_else(|| u64::from(std::process::id()));
    let cuts = number("XDHCPD_POWER_CUTS")?.unwrap_or(CUTS);
    println!("XDHCPD_SEED={seed} XDHCPD_POWER_CUTS={cuts}");
    let mut random = Random::new(seed);
    let tap = Tap::open(&rack.host, "t0")?;
    let mut crowd = Crowd::new(&tap, SERVER, CLIENTS, Random::new(random.word()));
    let mut guest = rack.switch_on()?;
    crowd.mill_about(1, LIMIT)?;
    for cut in 1..=cuts {
        let began = Instant::now();
        let busy = u32::try_from(1 + random.below(BUSY))?;
        crowd.mill_about(busy, LIMIT)?;
        // Anywhere in what it does with the questions that are under way.
        std::thread::sleep(Duration::from_micros(random.below(LATER).try_into()?));
        drop(guest);
        guest = rack.switch_on()?;
        let known = if cut < cuts && random.chance(HURRY) {
            0
        } else {
            crowd.come_back(LIMIT).with_context(|| format!("after cut {cut}, XDHCPD_SEED={seed}"))?
        };
        println!("cut {cut}: {busy} more, {:?}; {known} came back; {:?}", crowd.acks(), began.elapsed());
    }
    // Not all of it was the agent's own doing: the kernel renews what is on disk by itself, once the
    // program has been verified there.
    until_true(
        "the program to be in place",
        LIMIT,
        || Ok(rack.get("/stats")?["kernel"]["attached"] == true),
    )?;
    crowd.mill_about(u32::from(CLIENTS), LIMIT)?;
    let stats = rack.get("/stats")?;
    assert!(stats["kernel"]["answered"]["ack"].as_u64() > Some(0), "{stats}");
    let leases = rack.leases()?;
    for (ip, promise) in crowd.promises() {
        let mac = promise.mac.map(|byte| format!("{byte:02x}")).join(":");
        assert_eq!(leases.get(&ip.to_string()), Some(&mac), "{ip}");
    }
    Ok(())
}
