//! The servers, each as a process of its own in a namespace, configured alike.
//!
//! One network behind a relay, leases of an hour, no probing, few options, no log line for each packet.
//! Each keeps its leases in a folder of its own, which goes with it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use xdhcpd_tests::generator::Generator;
use xdhcpd_tests::netns::{self, NetNs, Pair};
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::{process, skip, wait};

use crate::cores;

/// Ours.
pub const SERVER: &str = "10.31.0.2";
/// The relay's, behind which all clients are.
pub const RELAY: &str = "10.31.0.3";
/// The first address that is handed out.
const FIRST: &str = "10.0.1.0";

/// How long a server may take until it answers: a million leases take some of them a while.
const START: Duration = Duration::from_mins(2);

/// The servers that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Xdhcpd,
    /// Kea, with leases in memory and a file that is not synced.
    Kea,
    /// ISC's dhcpd.
    Dhcpd,
    /// dnsmasq.
    Dnsmasq,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Xdhcpd, Self::Kea, Self::Dhcpd, Self::Dnsmasq];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xdhcpd => "xdhcpd",
            Self::Kea => "Kea",
            Self::Dhcpd => "dhcpd",
            Self::Dnsmasq => "dnsmasq",
        }
    }

    /// The program of it that has to be installed.
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Xdhcpd => None,
            Self::Kea => Some("kea-dhcp4"),
            Self::Dhcpd => Some("dhcpd"),
            Self::Dnsmasq => Some("dnsmasq"),
        }
    }

    /// Whether it can be measured here.
    pub fn is_there(self) -> bool {
        self.program().is_none_or(|program| find(program).is_some())
    }

    /// How many addresses it hands out: dhcpd takes minutes to start with many.
    pub fn pool(self) -> u32 {
        match self {
            Self::Dhcpd => 16_000,
            Self::Xdhcpd | Self::Kea | Self::Dnsmasq => 260_000,
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub kind: Kind,
    /// From its start to its first answer.
    pub started_in: Duration,
    start: Start,
    agent: Agent,
    child: Child,
    pair: Pair,
    folder: tempfile::TempDir,
    /// The kernel counts programs' time as long as this is open.
    _counted: OwnedFd,
}

/// How a server is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// How many addresses it hands out.
    pub pool: u32,
    /// For how many seconds.
    pub lease_time: u32,
}

impl Running {
    /// Starts it with this pool on the servers' core, and waits until it answers.
    pub fn start(kind: Kind, start: Start) -> Result<(Self, Generator)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pair = Pair::with_address(&format!("{SERVER}/11"))?;
        pair.client.ip(&format!("address add {RELAY}/11 dev c0"))?;
        let folder = netns::folder("bench")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let agent =
            Agent::inside(&format!("xdhcpd-test-bench-{}-{number}", std::process::id()), &pair.server);
        let child = spawn(kind, &pair.server, folder.path(), agent.name(), start)?;
        let started_in = Duration::ZERO;
        let mut running = Self {
            kind,
            started_in,
            start,
            agent,
            child,
            pair,
            folder,
            _counted: enable_stats(Stats::RunTime)?,
        };
        let mut generator = Generator::new(&running.pair.client, RELAY.parse()?, SERVER.parse()?)?;
        running.wait_for_answer(&mut generator)?;
        Ok((running, generator))
    }

    /// Kills it, and starts it with the leases that it has.
    pub fn restart(&mut self, generator: &mut Generator) -> Result<()> {
        self.pair.server.kill_processes();
        self.child.wait()?;
        self.child = spawn(self.kind, &self.pair.server, self.folder.path(), self.agent.name(), self.start)?;
        self.wait_for_answer(generator)
    }

    fn wait_for_answer(&mut self, generator: &mut Generator) -> Result<()> {
        let name = self.kind.name();
        self.started_in = generator
            .wait_for_server(|began| self.is_alive() && began.elapsed() < START)
            .with_context(|| format!("{name} does not answer; its log:\n{}", self.log()))?;
        // The agent answers alone until its program is attached.
        if self.kind == Kind::Xdhcpd {
            let attached = || Ok(self.pin("program").exists() && self.pin("link-s0").exists());
            wait::until_true("the program to be attached", wait::SOON, attached)?;
        }
        Ok(())
    }

    /// Whether it has not ended yet.
    fn is_alive(&self) -> bool {
        process::is_alive(self.child.id())
    }

    /// How long its processes ran so far, and its program in the kernel: all that it costs.
    pub fn time(&self) -> Result<Duration> {
        let processes = cores::time_of(&self.pair.server);
        let program = if self.kind == Kind::Xdhcpd {
            cores::time_of_program(&self.pin("program"))?
        } else {
            Duration::ZERO
        };
        Ok(processes + program)
    }

    /// The memory that its processes hold.
    pub fn memory(&self) -> u64 {
        cores::memory_of(&self.pair.server)
    }

    /// Where something of ours is pinned.
    pub fn pin(&self, name: &str) -> PathBuf {
        self.agent.pins().join(name)
    }

    /// How long its lease file is.
    pub fn lease_file_length(&self) -> u64 {
        lease_file(self.kind, self.folder.path(), self.agent.name()).metadata().map_or(0, |it| it.len())
    }

    /// Where its clients are.
    pub fn client(&self) -> &NetNs {
        &self.pair.client
    }

    /// The last lines that it logged.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.pair.server.kill_processes();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.kind == Kind::Xdhcpd {
            let _ = self.agent.run(&["detach"]);
        }
    }
}

/// Where an installed program is.
pub fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&skip::search_path()).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn lease_file(kind: Kind, folder: &Path, name: &str) -> PathBuf {
    folder.join(match kind {
        Kind::Xdhcpd => return xdhcpd::lease::journal_path(folder, name),
        Kind::Kea => "kea.csv",
        Kind::Dhcpd => "dhcpd.leases",
        Kind::Dnsmasq => "dnsmasq.leases",
    })
}

/// Starts it on the servers' core.
fn spawn(kind: Kind, namespace: &NetNs, folder: &Path, name: &str, start: Start) -> Result<Child> {
    let mut command = command(kind, namespace, folder, name, start)?;
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    cores::on(cores::SERVER, || command.spawn())?.with_context(|| format!("cannot start {}", kind.name()))
}

/// What starts it in the foreground.
fn command(kind: Kind, namespace: &NetNs, folder: &Path, name: &str, start: Start) -> Result<Command> {
    let leases = lease_file(kind, folder, name);
    let config = folder.join("config");
    fs::write(&config, config_of(kind, folder, name, start)?)?;
    let mut command = match kind {
        Kind::Xdhcpd => namespace.command(Agent::binary()),
        _ => namespace.command(copy_of(kind, folder)?),
    };
    match kind {
        Kind::Xdhcpd => command.arg("run").arg("--config").arg(&config),
        Kind::Kea => {
            command.env("KEA_PIDFILE_DIR", folder).env("KEA_LOCKFILE_DIR", folder).arg("-c").arg(&config)
        }
        Kind::Dhcpd => {
            if !leases.exists() {
                fs::write(&leases, "")?;
            }
            command.args(["-4", "-f", "-q", "-cf"]).arg(&config).arg("-lf").arg(&leases);
            command.arg("-pf").arg(folder.join("pid")).arg("s0")
        }
        Kind::Dnsmasq => {
            command.args(["--keep-in-foreground", "--user=root", "--pid-file"]);
            command.arg(format!("--conf-file={}", config.display()));
            command.arg(format!("--dhcp-leasefile={}", leases.display()))
        }
    };
    Ok(command)
}

/// The program under another path: where AppArmor knows it by the path of its package, it may not read
/// our folder.
fn copy_of(kind: Kind, folder: &Path) -> Result<PathBuf> {
    let program = kind.program().unwrap_or_default();
    let path = find(program).with_context(|| format!("{program} is not installed"))?;
    let copy = folder.join(program);
    fs::copy(path, &copy)?;
    Ok(copy)
}

fn config_of(kind: Kind, folder: &Path, name: &str, start: Start) -> Result<String> {
    let first: std::net::Ipv4Addr = FIRST.parse()?;
    let last = std::net::Ipv4Addr::from_bits(first.to_bits() + start.pool - 1);
    let time = start.lease_time;
    // How long an offer is held is part of the horizon: with a short lease that is short, too.
    let hold = time.div_ceil(60).min(60);
    let folder = folder.display();
    Ok(match kind {
        // Its budgets are those of one relay; its log has a line for each address that is given.
        Kind::Xdhcpd => format!(
            "name: {name}\nleases: {{dir: {folder}}}\nhttp: {{listen: off}}\n\
             limits: {{clientPerSecond: 1000000, interfacePerSecond: 10000000}}\n\
             networks: [{{name: all, interface: s0, subnet: 10.0.0.0/11, ranges: [{first}-{last}], \
             gateway: 10.31.0.1, relays: [{RELAY}], leaseTime: {time}s, offerHold: {hold}s, probe: false, options: {{dns: [10.31.0.1]}}}}]\n"
        ),
        Kind::Kea => format!(
            r#"{{"Dhcp4": {{
  "interfaces-config": {{"interfaces": ["s0"], "dhcp-socket-type": "udp"}},
  "lease-database": {{"type": "memfile", "persist": true, "name": "{folder}/kea.csv"}},
  "valid-lifetime": {time},
  "option-data": [{{"name": "routers", "data": "10.31.0.1"}}, {{"name": "domain-name-servers", "data": "10.31.0.1"}}],
  "subnet4": [{{"id": 1, "subnet": "10.0.0.0/11", "pools": [{{"pool": "{first} - {last}"}}]}}],
  "loggers": [{{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{{"output": "stderr"}}]}}]
}}}}
"#
        ),
        Kind::Dhcpd => format!(
            "authoritative;\nping-check false;\ndefault-lease-time {time};\nmax-lease-time {time};\n\
             option routers 10.31.0.1;\noption domain-name-servers 10.31.0.1;\n\
             subnet 10.0.0.0 netmask 255.224.0.0 {{ range {first} {last}; }}\n"
        ),
        Kind::Dnsmasq => format!(
            "port=0\ninterface=s0\nbind-interfaces\nno-ping\ndhcp-authoritative\ndhcp-lease-max=1000000\nquiet-dhcp\n\
             dhcp-option=3,10.31.0.1\ndhcp-option=6,10.31.0.1\ndhcp-range={first},{last},255.224.0.0,{time}\n"
        ),
    })
}
