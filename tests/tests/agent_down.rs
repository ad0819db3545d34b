//! The fast path outlives the agent: known clients are answered while it is stopped or killed, and
//! a restart knows them all.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use xdhcpd::fastpath::FastPath;
use xdhcpd_common::maps;
use xdhcpd_tests::capture::Capture;
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::exchange::{self, address, from_client, message};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::server::{Agent, Answered, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
const THREE: [u8; 6] = [2, 0, 0, 0, 1, 3];

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && Program::Udhcpc.is_there(&test)
}

/// Ended by `signal`, the agent leaves a kernel that answers known clients alone, commands that
/// read what is pinned, and a lease file from which the next agent goes on.
fn the_kernel_answers_without_an_agent(signal: &str) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let before = server.answered()?;

    let status = server.stop(signal)?;
    assert_eq!(status.success(), signal == "TERM", "{status}");
    let capture = Capture::start(&pair.client, "c0")?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);

    // What is pinned tells of it.
    let stats = server.json("stats")?;
    assert_eq!(stats["agent"]["running"], false);
    assert_eq!(stats["kernel"]["attached"], true);
    assert_eq!(server.answered()?.kernel, (before.kernel.0 + 1, before.kernel.1 + 1));
    let lease = server.lease(FIRST)?;
    assert_eq!(lease["state"], "bound");
    assert_eq!(lease["inKernel"], true);
    assert_eq!(lease["lastAnsweredBy"], "kernel");

    server.restart(&pair.server)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let after = server.answered()?;
    assert_eq!(after.agent, (0, 0), "the adopted entry is as good as before");
    assert_eq!(after.kernel, (before.kernel.0 + 2, before.kernel.1 + 2), "counters go on");
    if skip::is_there(&skip::this_test(), "tshark", "tshark") {
        assert_eq!(capture.finish()?.judge()?, 4);
    }
    Ok(())
}

#[test]
fn a_known_client_is_answered_while_the_agent_is_stopped() -> Result<()> {
    the_kernel_answers_without_an_agent("TERM")
}

#[test]
fn a_known_client_is_answered_after_the_agent_was_killed() -> Result<()> {
    the_kernel_answers_without_an_agent("KILL")
}

/// An agent writes a later horizon to its disk, then to the kernel's map; it may be killed in between.
#[test]
fn a_horizon_that_is_on_disk_alone_is_the_kernels_after_the_next_start() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    let until = server.lease(FIRST)?["durableUntil"].clone();
    server.stop("KILL")?;
    let horizon = change_entry(&server, |entry| entry.horizon = entry.expires)?;

    server.restart(&pair.server)?;
    assert_eq!(server.lease(FIRST)?["durableUntil"], until);
    let before = server.answered()?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(server.answered()?.since(before), Answered { kernel: (1, 1), agent: (0, 0) });
    server.stop("KILL")?;
    assert_eq!(change_entry(&server, |_| ())?, horizon);
    Ok(())
}

/// Changes the kernel's only entry; the horizon that it had.
fn change_entry(server: &Server, change: impl FnOnce(&mut maps::Lease)) -> Result<u64> {
    let mut fast = FastPath::open(server.name(), 1)?;
    let (key, mut entry) = fast.leases()?.pop().context("there is an entry")?;
    let horizon = entry.horizon;
    change(&mut entry);
    fast.put_lease(key, &entry)?;
    Ok(horizon)
}

#[test]
fn without_a_fast_path_a_restart_knows_every_lease_from_its_file() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with(&pair.server, NETWORK, "fastPath: {mode: off}")?;
    let other = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    server.stop("KILL")?;
    server.restart(&pair.server)?;
    assert_eq!(server.lease(other.ip)?["state"], "bound");
    pair.client.ip("link set c0 address 02:00:00:00:00:77")?;
    let next = clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    assert_ne!(next.ip, other.ip, "it is another's");
    Ok(())
}

#[test]
fn an_agent_that_neither_runs_nor_has_pins_is_exit_code_3() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let agent = Agent::named(&format!("xdhcpd-test-{}-never", std::process::id()));
    for command in ["leases", "stats"] {
        let output = agent.run(&[command])?;
        assert_eq!(output.status.code(), Some(3), "{command}: {output:?}");
        assert!(!output.stderr.is_empty(), "{command} says why");
        assert_eq!(agent.run(&[command, "--json"])?.status.code(), Some(3));
    }
    assert_eq!(agent.run(&["release", "10.9.0.100"])?.status.code(), Some(3));
    Ok(())
}

#[test]
fn detach_leaves_no_pin_and_no_program() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    clients::obtain(Program::Udhcpc, &pair.client, "c0")?;
    server.stop("TERM")?;
    assert!(server.pins().join("LEASES").exists());
    assert!(pair.server.ip("link show s0")?.contains("xdp"));

    let output = server.run(&["detach"])?;
    assert!(output.status.success(), "{output:?}");
    assert!(!server.pins().exists());
    let link = pair.server.ip("link show s0")?;
    assert!(!link.contains("xdp"), "{link}");
    assert_eq!(server.run(&["stats"])?.status.code(), Some(3));

    // It can be had again, and the leases are still known: the client's first message brings its
    // entry back.
    server.restart(&pair.server)?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let before = server.answered()?;
    assert_eq!(clients::obtain(Program::Udhcpc, &pair.client, "c0")?.ip, FIRST);
    let since = server.answered()?.since(before);
    assert!(since.is_a_known_clients(), "{since:?}");
    Ok(())
}

#[test]
fn detach_on_exit_takes_the_program_along() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with_arguments(&pair.server, NETWORK, &["--detach-on-exit"])?;
    assert!(server.pins().join("LEASES").exists());
    assert!(server.stop("TERM")?.success());
    assert!(!server.pins().exists());
    assert!(!pair.server.ip("link show s0")?.contains("xdp"));
    Ok(())
}

/// A disk that can be told to keep whoever writes to it waiting.
struct SlowDisk {
    folder: tempfile::TempDir,
}

impl SlowDisk {
    fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let disk = Self { folder };
        let image = disk.folder.path().join("image");
        File::create(&image)?.set_len(16 << 20)?;
        std::fs::create_dir(disk.path())?;
        succeed(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        succeed(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()))?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn freeze(&self) -> Result<()> {
        succeed(Command::new("fsfreeze").arg("--freeze").arg(self.path())).map(drop)
    }

    fn thaw(&self) -> Result<()> {
        succeed(Command::new("fsfreeze").arg("--unfreeze").arg(self.path())).map(drop)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // It may not be frozen.
        let _ = self.thaw();
        let _ = Command::new("umount").args(["--lazy"]).arg(self.path()).status();
    }
}

/// Whether a thread of this process waits for a disk (proc(5)).
fn waits_for_a_disk(process: u32) -> Result<bool> {
    for thread in std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        if stat.contains(") D ") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn what_is_in_flight_when_sigterm_comes_is_answered_once_it_is_on_disk() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) || !skip::is_there(&test, "mkfs.ext4", "e2fsprogs") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let disk = SlowDisk::mount()?;
    let more = format!("fastPath: {{mode: off}}\nleases: {{dir: {}}}", disk.path().display());
    let mut server = Server::start_with(&pair.server, NETWORK, &more)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let offer = exchange::ask(&tap, &from_client(message::DISCOVER, TWO))?;
    disk.freeze()?;
    // The first waits for its place on disk, the others in the queue.
    let first = from_client(message::DISCOVER, ONE);
    tap.send(&first.build())?;
    until_true("a write to wait", SOON, || waits_for_a_disk(server.pid()))?;
    let request = from_client(message::REQUEST, TWO).option(50, &address(&offer).octets());
    let request = request.option(54, &[10, 9, 0, 2]);
    let last = from_client(message::DISCOVER, THREE);
    for frame in [&request, &last] {
        tap.send(&frame.build())?;
    }
    server.signal("TERM")?;
    let socket = format!("/run/xdhcpd/{}.sock", server.name());
    until_true("the agent to listen to nobody any more", SOON, || {
        Ok(std::os::unix::net::UnixStream::connect(&socket).is_err())
    })?;
    assert!(exchange::reply_to(&tap, &first, exchange::SILENCE)?.is_none(), "nothing is promised yet");
    disk.thaw()?;
    let mut given = Vec::new();
    for frame in [&first, &request, &last] {
        let reply =
            exchange::reply_to(&tap, frame, SOON)?.with_context(|| format!("no reply to {frame:?}"))?;
        given.push(address(&reply));
    }
    assert!(server.stop("TERM")?.success());
    server.restart(&pair.server)?;
    for (mac, ip) in [ONE, TWO, THREE].into_iter().zip(given) {
        let lease = server.lease(ip)?;
        assert!(
            lease["mac"].as_str().is_some_and(|text| text.ends_with(&format!("01:{:02x}", mac[5]))),
            "{lease}"
        );
    }
    Ok(())
}

#[test]
fn a_probe_under_way_when_sigterm_comes_is_left_and_its_client_served_by_the_next() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let one_address = NETWORK.replace("10.9.0.100-10.9.0.110", "10.9.0.100-10.9.0.100");
    let mut server = Server::start(&pair.server, &one_address.replace("probe: false", "probe: true"))?;
    let tap = Tap::open(&pair.client, "c0")?;
    let discover = from_client(message::DISCOVER, ONE);
    tap.send(&discover.build())?;
    let arp = [8, 6];
    while tap.receive(SOON)?.context("no probe")?.bytes.get(12..14) != Some(&arp) {}
    assert!(server.stop("TERM")?.success());
    assert!(exchange::reply_to(&tap, &discover, exchange::SILENCE)?.is_none(), "nobody knows if it is free");
    server.restart(&pair.server)?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(address(&ack), FIRST, "the only one there is");
    Ok(())
}
