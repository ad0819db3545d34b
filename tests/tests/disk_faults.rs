//! A disk that takes no leases: full, read-only, or failing. The agent says so, serves known clients on,
//! promises nothing new, and recovers by itself; whether the disk fails while it runs, or is found so at
//! its start.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use xdhcpd_tests::exchange::{self, address, from_client, is_met_with_silence, message};
use xdhcpd_tests::failing::{Failing, Fault};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::server::{Answered, Server};
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.250]
    leaseTime: 1h
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
/// What the log says once the second client has an address.
const ALLOCATED: &str = "to 02:00:00:00:01:02";

/// So many writes that fail one after the other show that none can succeed.
const ENOUGH: u32 = 5;

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// There is no room.
    Full,
    /// The file system takes no writes.
    ReadOnly,
    /// Writes fail.
    Writes,
    /// What was written cannot be made to reach the disk.
    Syncs,
}

impl Trouble {
    /// What strace does to the calls on the lease file; nothing where the real thing can be had.
    fn injected(self, at_start: bool) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::ReadOnly => (!at_start).then_some("write,openat,rename,unlink,ftruncate:error=EROFS"),
            Self::Writes => Some("write:error=EIO"),
            Self::Syncs => Some("fdatasync:error=EIO"),
        }
    }

    /// What the agent says of it.
    fn said(self) -> &'static str {
        match self {
            Self::Full => "No space left on device",
            Self::ReadOnly => "Read-only file system",
            Self::Writes | Self::Syncs => "Input/output error",
        }
    }
}

/// An agent with leases on a small disk of its own.
struct Scene {
    // First to be dropped: what it is taken away from is there then.
    server: Server,
    tap: Tap,
    disk: Disk,
    pair: Pair,
    fast: bool,
}

/// A file system of a few pages, unmounted when it is dropped.
struct Disk {
    folder: tempfile::TempDir,
    failing: Option<Failing>,
}

impl Disk {
    fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let words = ["-t", "tmpfs", "-o", "size=64k", "xdhcpd-test"];
        succeed(Command::new("mount").args(words).arg(folder.path()))?;
        Ok(Self { folder, failing: None })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn remount(&self, how: &str) -> Result<()> {
        succeed(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()))?;
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves not even a page.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        while file.write_all(&[0; 512]).is_ok() {}
        Ok(())
    }

    /// The lease file, and the one that takes its place.
    fn files(&self, server: &Server) -> [PathBuf; 2] {
        ["", ".new"].map(|end| self.path().join(format!("{}-dhcpd.leases{end}", server.name())))
    }

    fn recover(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Full => fs::remove_file(self.ballast())?,
            Trouble::ReadOnly if self.failing.is_none() => self.remount("rw")?,
            _ => {}
        }
        self.failing = None;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.failing = None;
        let _ = Command::new("umount").args(["--lazy"]).arg(self.path()).status();
    }
}

impl Scene {
    /// Client ONE has a lease. None: something is missing, and the test is noted as skipped.
    fn begin(fast: bool) -> Result<Option<Self>> {
        let test = skip::this_test();
        if !skip::is_root(&test) || !skip::is_there(&test, "strace", "strace") {
            return Ok(None);
        }
        let (pair, disk) = (Pair::new()?, Disk::mount()?);
        let mode = if fast { "" } else { "fastPath: {mode: off}" };
        let more = format!("leases: {{dir: {}}}\n{mode}", disk.path().display());
        let server = Server::start_with(&pair.server, NETWORK, &more)?;
        let tap = Tap::open(&pair.client, "c0")?;
        exchange::obtain(&tap, ONE, |frame| frame)?;
        let scene = Self { server, tap, disk, pair, fast };
        assert!(scene.is_ready()?);
        Ok(Some(scene))
    }

    fn fail(&mut self, trouble: Trouble) -> Result<()> {
        if trouble == Trouble::Full {
            self.disk.fill()?;
        }
        if let Some(injected) = trouble.injected(false) {
            let files = self.disk.files(&self.server);
            self.disk.failing = Some(Failing::begin(self.server.pid(), Fault { injected, files: &files })?);
        }
        Ok(())
    }

    fn restart_on_a_disk_that_fails(&mut self, trouble: Trouble) -> Result<()> {
        self.server.stop("TERM")?;
        match trouble {
            Trouble::Full => self.disk.fill()?,
            Trouble::ReadOnly => self.disk.remount("ro")?,
            Trouble::Writes | Trouble::Syncs => {}
        }
        let Some(injected) = trouble.injected(true) else { return self.server.restart(&self.pair.server) };
        let files = self.disk.files(&self.server);
        let starter = Fault { injected, files: &files }.starter();
        let words: Vec<&str> = starter.iter().map(String::as_str).collect();
        self.server.restart_by(&self.pair.server, &words)?;
        self.disk.failing = Some(Failing::started(self.server.pid()));
        Ok(())
    }

    /// What `/readyz` on the agent's socket says.
    fn readiness(&self) -> Result<String> {
        let socket = format!("/run/xdhcpd/{}.sock", self.server.name());
        let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SOON))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        Ok(std::io::read_to_string(stream)?)
    }

    fn is_ready(&self) -> Result<bool> {
        Ok(self.readiness()?.starts_with("HTTP/1.1 200"))
    }

    /// New clients ask until not even one lease can be written: where many did not fit, one may.
    fn ask_until_it_fails(&self) -> Result<()> {
        let mut failed = 0;
        for last in 10..=200 {
            self.tap.send(&from_client(message::DISCOVER, [2, 0, 0, 0, 9, last]).build())?;
            failed = if self.is_ready()? { 0 } else { failed + 1 };
            if failed == ENOUGH {
                return Ok(());
            }
        }
        bail!("the disk never failed");
    }

    fn nothing_new_is_promised(&self, trouble: Trouble) -> Result<()> {
        self.ask_until_it_fails()?;
        let said = self.readiness()?;
        assert!(said.contains("the lease file") && said.contains(trouble.said()), "{said}");
        for _ in 0..2 {
            assert!(is_met_with_silence(&self.tap, &from_client(message::DISCOVER, TWO))?, "{trouble:?}");
        }
        let errors = self.server.log().lines().filter(|line| line.contains("ERROR")).count();
        assert_eq!(errors, 1, "said, and once a minute: {}", self.server.log());
        assert!(!self.server.log().contains(ALLOCATED), "what is not on disk is not said to be given");
        Ok(())
    }

    fn the_known_client_is_served(&self) -> Result<()> {
        let before = self.server.answered()?;
        let [_, ack] = exchange::obtain(&self.tap, ONE, |frame| frame)?;
        assert_eq!(address(&ack), FIRST);
        let by = if self.fast {
            Answered { kernel: (1, 1), agent: (0, 0) }
        } else {
            Answered { kernel: (0, 0), agent: (1, 1) }
        };
        assert_eq!(self.server.answered()?.since(before), by);
        Ok(())
    }

    fn it_recovers(&mut self, trouble: Trouble) -> Result<()> {
        self.disk.recover(trouble)?;
        until_true("the agent to recover by itself", SOON, || self.is_ready())?;
        self.server.wait_for_log("the lease file can be written again")?;
        let [_, ack] = exchange::obtain(&self.tap, TWO, |frame| frame)?;
        self.server.wait_for_log(ALLOCATED)?;
        assert_eq!(self.server.log().matches(ALLOCATED).count(), 1, "said once it is on disk, and once");
        // What was promised since is on disk.
        self.server.stop("KILL")?;
        self.server.restart(&self.pair.server)?;
        for (mac, ip) in [(ONE, FIRST), (TWO, address(&ack))] {
            let [_, ack] = exchange::obtain(&self.tap, mac, |frame| frame)?;
            assert_eq!(address(&ack), ip, "{mac:?} after {trouble:?}");
        }
        Ok(())
    }
}

fn nothing_new_while_it_fails(trouble: Trouble) -> Result<()> {
    for fast in [true, false] {
        let Some(mut scene) = Scene::begin(fast)? else { return Ok(()) };
        scene.fail(trouble)?;
        scene.nothing_new_is_promised(trouble)?;
        scene.the_known_client_is_served()?;
        scene.it_recovers(trouble)?;
    }
    Ok(())
}

fn a_start_on_a_disk_that_fails(trouble: Trouble) -> Result<()> {
    for fast in [true, false] {
        let Some(mut scene) = Scene::begin(fast)? else { return Ok(()) };
        scene.restart_on_a_disk_that_fails(trouble)?;
        scene.nothing_new_is_promised(trouble)?;
        if fast || trouble != Trouble::Syncs {
            scene.the_known_client_is_served()?;
        } else {
            // Nobody can know whether what the last agent wrote ever reached the disk.
            assert!(is_met_with_silence(&scene.tap, &from_client(message::DISCOVER, ONE))?);
        }
        scene.it_recovers(trouble)?;
    }
    Ok(())
}

#[test]
fn a_full_disk_promises_nothing_new_and_recovers() -> Result<()> {
    nothing_new_while_it_fails(Trouble::Full)
}

#[test]
fn a_disk_that_becomes_read_only_promises_nothing_new_and_recovers() -> Result<()> {
    nothing_new_while_it_fails(Trouble::ReadOnly)
}

#[test]
fn writes_that_fail_promise_nothing_new_and_recover() -> Result<()> {
    nothing_new_while_it_fails(Trouble::Writes)
}

#[test]
fn a_sync_that_fails_promises_nothing_new_and_recovers() -> Result<()> {
    nothing_new_while_it_fails(Trouble::Syncs)
}

#[test]
fn an_agent_that_starts_on_a_full_disk_serves_whom_it_knows() -> Result<()> {
    a_start_on_a_disk_that_fails(Trouble::Full)
}

#[test]
fn an_agent_that_starts_on_a_read_only_disk_serves_whom_it_knows() -> Result<()> {
    a_start_on_a_disk_that_fails(Trouble::ReadOnly)
}

#[test]
fn an_agent_that_starts_where_writes_fail_serves_whom_it_knows() -> Result<()> {
    a_start_on_a_disk_that_fails(Trouble::Writes)
}

#[test]
fn an_agent_that_starts_where_syncs_fail_leaves_the_rest_to_the_kernel() -> Result<()> {
    a_start_on_a_disk_that_fails(Trouble::Syncs)
}
