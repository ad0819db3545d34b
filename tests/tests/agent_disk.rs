//! A disk that takes no more leases: nothing new is promised, known clients are served on, and the
//! agent recovers by itself when there is room again.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use xdhcpd_tests::exchange::{self, address, from_client, is_met_with_silence, message};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::server::{Answered, Server};
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
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 101);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// A file system of a few pages, unmounted when it is dropped.
struct TinyDisk {
    folder: tempfile::TempDir,
}

impl TinyDisk {
    fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let words = ["-t", "tmpfs", "-o", "size=64k", "xdhcpd-test"];
        succeed(Command::new("mount").args(words).arg(folder.path()))?;
        Ok(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves not even a page.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        while file.write_all(&[0; 512]).is_ok() {}
        // What is left of the journal's last page.
        let journal = fs::read_dir(self.path())?.flatten().map(|entry| entry.path());
        let journal = journal.into_iter().find(|path| path.extension().is_some_and(|end| end == "leases"));
        assert!(journal.is_some(), "the journal lies on this disk");
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.path()).status();
    }
}

/// What `/readyz` on the agent's socket says.
fn readiness(server: &Server) -> Result<String> {
    let socket = format!("/run/xdhcpd/{}.sock", server.name());
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    Ok(std::io::read_to_string(stream)?)
}

fn is_ready(server: &Server) -> Result<bool> {
    Ok(readiness(server)?.starts_with("HTTP/1.1 200"))
}

/// New clients ask until one write has failed: the journal's last page may have had room.
fn ask_until_it_fails(server: &Server, tap: &Tap) -> Result<u8> {
    for last in 10..=200 {
        tap.send(&from_client(message::DISCOVER, [2, 0, 0, 0, 9, last]).build())?;
        if !is_ready(server)? {
            return Ok(last);
        }
    }
    anyhow::bail!("the disk never was full");
}

fn a_full_disk_promises_nothing_new_and_recovers(more: &str, known: Answered) -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let (pair, disk) = (Pair::new()?, TinyDisk::mount()?);
    let network = NETWORK.replace("10.9.0.100-10.9.0.110", "10.9.0.100-10.9.0.250");
    let more = format!("leases: {{dir: {}}}\n{more}", disk.path().display());
    let server = Server::start_with(&pair.server, &network, &more)?;
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    assert!(is_ready(&server)?);

    disk.fill()?;
    ask_until_it_fails(&server, &tap)?;
    assert!(readiness(&server)?.contains("cannot write to the lease file"), "{}", readiness(&server)?);
    for _ in 0..3 {
        assert!(is_met_with_silence(&tap, &from_client(message::DISCOVER, TWO))?, "nothing new is promised");
    }
    let before = server.answered()?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(address(&ack), FIRST, "a known client is served");
    assert_eq!(server.answered()?.since(before), known);
    assert_eq!(server.log().matches("cannot write to the lease file").count(), 1, "said once a minute");
    let allocated = format!("to {}", "02:00:00:00:01:02");
    assert!(!server.log().contains(&allocated), "what is not on disk is not said to be given");

    disk.empty()?;
    until_true("the agent to recover by itself", SOON, || is_ready(&server))?;
    server.wait_for_log("the lease file can be written again")?;
    exchange::obtain(&tap, TWO, |frame| frame)?;
    server.wait_for_log(&allocated)?;
    assert_eq!(server.log().matches(&allocated).count(), 1, "said once it is on disk, and once");
    Ok(())
}

#[test]
fn a_full_disk_promises_nothing_new_and_recovers_with_the_fast_path() -> Result<()> {
    a_full_disk_promises_nothing_new_and_recovers("", Answered { kernel: (1, 1), agent: (0, 0) })
}

#[test]
fn a_full_disk_promises_nothing_new_and_recovers_without_a_fast_path() -> Result<()> {
    let by_the_agent = Answered { kernel: (0, 0), agent: (1, 1) };
    a_full_disk_promises_nothing_new_and_recovers("fastPath: {mode: off}", by_the_agent)
}

#[test]
fn an_agent_killed_again_and_again_gives_no_address_twice() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start(&pair.server, NETWORK)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let mut given: Vec<([u8; 6], Ipv4Addr)> = Vec::new();
    for last in 1..=4 {
        let mac = [2, 0, 0, 0, 2, last];
        let [_, ack] = exchange::obtain(&tap, mac, |frame| frame)?;
        assert!(given.iter().all(|(_, ip)| *ip != address(&ack)), "{mac:?} got another's {given:?}");
        given.push((mac, address(&ack)));
        // One more offer is on its way when it dies.
        tap.send(&from_client(message::DISCOVER, [2, 0, 0, 0, 3, last]).build())?;
        server.stop("KILL")?;
        server.restart(&pair.server)?;
        for (mac, ip) in &given {
            let [_, ack] = exchange::obtain(&tap, *mac, |frame| frame)?;
            assert_eq!(address(&ack), *ip, "{mac:?} keeps its address");
        }
    }
    assert!(given.iter().any(|(_, ip)| *ip == FIRST) && given.iter().all(|(_, ip)| *ip >= FIRST));
    Ok(())
}

#[test]
fn a_configuration_changed_while_the_agent_was_down_is_what_the_next_reply_says() -> Result<()> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let with_dns = |dns: &str| format!("{NETWORK}    options: {{dns: [{dns}]}}\n");
    let mut server = Server::start(&pair.server, &with_dns("10.9.0.53"))?;
    let tap = Tap::open(&pair.client, "c0")?;
    let [_, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
    assert_eq!(ack.option(6), Some([10, 9, 0, 53].as_slice()));
    server.stop("TERM")?;
    server.write_config(&with_dns("10.9.0.99"), "")?;
    server.restart(&pair.server)?;
    for turn in ["first", "second"] {
        let [offer, ack] = exchange::obtain(&tap, ONE, |frame| frame)?;
        assert_eq!(address(&ack), FIRST);
        for reply in [offer, ack] {
            assert_eq!(reply.option(6), Some([10, 9, 0, 99].as_slice()), "{turn} time");
        }
    }
    let [_, other] = exchange::obtain(&tap, TWO, |frame| frame)?;
    assert_eq!(address(&other), SECOND);
    Ok(())
}
