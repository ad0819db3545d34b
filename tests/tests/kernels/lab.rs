//! Guests, the network that their cable is in, and the agent that runs in one.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xdhcpd_tests::exchange::{self, message};
use xdhcpd_tests::frames::{FrameBuilder, Reply};
use xdhcpd_tests::guest::{Boot, Guest, Initramfs, Linux, Machine, SHELL};
use xdhcpd_tests::netns::NetNs;
use xdhcpd_tests::server::{Agent, Answered};
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::{skip, wait};

/// The suite of Debian's whose kernel the guests have, where it is not [`SUITE`].
const VARIABLE: &str = "XDHCPD_KERNEL";
/// The one that all tests are run on each time.
const SUITE: &str = "bookworm";
/// What every guest needs for its network card.
const CARD: [&str; 2] = ["virtio_pci", "virtio_net"];
/// Its hardware address.
const MAC: &str = "52:54:00:00:00:01";
/// As many as an older driver wants for a program that answers: one for the stack, one for the program.
const QUEUES: u32 = 2;
/// How long a command may take: a second on an idle machine.
pub const SOON: Duration = Duration::from_mins(1);

/// A kernel, and a namespace for guests that have it.
pub struct Place {
    pub linux: Linux,
    pub host: NetNs,
    files: tempfile::TempDir,
}

impl Place {
    /// Makes one; none where there is no such kernel or no qemu, or we are not root: that is noted.
    pub fn find() -> Result<Option<Self>> {
        let test = skip::this_test();
        let suite = std::env::var(VARIABLE).unwrap_or_else(|_| SUITE.to_owned());
        if !skip::is_root(&test) || !skip::is_there(&test, "qemu-system-x86_64", "qemu-system-x86") {
            return Ok(None);
        }
        let Some(linux) = Linux::find(&test, &suite) else { return Ok(None) };
        Ok(Some(Self { linux, host: NetNs::new("s")?, files: tempfile::tempdir()? }))
    }

    /// What a guest starts with: these modules and those of its network card; it takes commands.
    pub fn initramfs(&self, modules: &[&str]) -> Result<Initramfs> {
        self.linux.initramfs(&[&CARD, modules].concat(), SHELL)
    }

    /// Starts a guest on a machine that is changed first.
    pub fn start(
        &self,
        initramfs: Initramfs,
        change: impl FnOnce(Machine<'_>) -> Machine<'_>,
    ) -> Result<Guest> {
        let file = self.files.path().join("initramfs");
        std::fs::write(&file, initramfs.finish())?;
        let boot = Boot::Kernel { image: self.linux.kernel(), initramfs: &file };
        change(Machine::new(boot).shell()).start(&self.host)
    }
}

/// A guest with an agent that serves its network card; clients are at the other end of the cable.
pub struct Lab {
    pub guest: Guest,
    pub tap: Tap,
    _place: Place,
}

/// What a lab is made of.
#[derive(Default)]
pub struct Setting<'a> {
    /// The agent's configuration.
    pub config: &'a str,
    /// Modules that it takes.
    pub modules: &'a [&'a str],
    /// The lease file that the agent finds.
    pub leases: Option<&'a str>,
    /// What the machine's clock shows when it is switched on; the right time, where that is not said.
    pub clock: Option<&'a str>,
}

impl Lab {
    /// Starts a guest whose `eth0` has 10.9.0.2/24; none where that cannot be, which is noted. Its agent
    /// is not started yet.
    pub fn set(setting: &Setting<'_>) -> Result<Option<Self>> {
        let Some(place) = Place::find()? else { return Ok(None) };
        place.host.ip("tuntap add t0 mode tap multi_queue")?;
        place.host.ip("link set t0 up")?;
        let initramfs = place.initramfs(setting.modules)?;
        let mut initramfs = initramfs.executable("bin/xdhcpd", &Agent::binary())?;
        initramfs = initramfs.file("etc/xdhcpd/config.yaml", setting.config.as_bytes());
        if let Some(leases) = setting.leases {
            initramfs = initramfs.file("var/lib/dhcp/default-dhcpd.leases", leases.as_bytes());
        }
        let clock = setting.clock.map(|clock| format!("base={clock}"));
        let mut guest = place.start(initramfs, |machine| {
            let machine = machine.card_with_queues("t0", MAC, QUEUES);
            clock.iter().fold(machine, |machine, clock| machine.with("-rtc", clock))
        })?;
        guest.run("ip address add 10.9.0.2/24 dev eth0 && ip link set eth0 up", SOON)?;
        let tap = Tap::open(&place.host, "t0")?;
        Ok(Some(Self { guest, tap, _place: place }))
    }

    /// The same, with the agent started.
    pub fn start(setting: &Setting<'_>) -> Result<Option<Self>> {
        let Some(mut lab) = Self::set(setting)? else { return Ok(None) };
        lab.start_agent()?;
        Ok(Some(lab))
    }

    /// Starts the agent in a control group of its own, as an init system would, and waits until it is
    /// ready.
    pub fn start_agent(&mut self) -> Result<()> {
        let group = "/sys/fs/cgroup/xdhcpd.service";
        self.run(&format!("mkdir -p {group} && echo +cpu +memory >/sys/fs/cgroup/cgroup.subtree_control"))?;
        self.run(&format!(
            "(echo 0 >{group}/cgroup.procs; exec xdhcpd run >>/tmp/log 2>&1) & echo $! >/tmp/agent"
        ))?;
        self.becomes("the agent to be ready", |stats| stats["agent"]["running"] == true)
    }

    /// Ends the agent as this signal does (`TERM`, `KILL`).
    pub fn stop_agent(&mut self, signal: &str) -> Result<()> {
        self.run(&format!("kill -{signal} $(cat /tmp/agent)"))?;
        self.becomes("the agent to end", |stats| stats["agent"]["running"] == false)
    }

    /// Runs a command in the guest, which takes no time worth speaking of.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.guest.run(command, SOON)
    }

    /// What `leases` or `stats` prints with `--json`.
    pub fn json(&mut self, what: &str) -> Result<Value> {
        let printed = self.run(&format!("xdhcpd {what} --json 2>/tmp/said || (cat /tmp/said; false)"))?;
        serde_json::from_str(&printed).with_context(|| format!("{what} --json: {printed}"))
    }

    /// Waits until `stats` says so. Without an agent and without a program it says nothing.
    pub fn becomes(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let became = wait::until_true(what, SOON, || {
            let (status, printed) = self.guest.try_run("xdhcpd stats --json 2>/dev/null", SOON)?;
            Ok(status == 0 && is_so(&serde_json::from_str(&printed)?))
        });
        became.with_context(|| format!("the agent's log:\n{}", self.log()))
    }

    /// What the agent logged so far.
    pub fn log(&mut self) -> String {
        self.run("cat /tmp/log").unwrap_or_default()
    }

    /// How many OFFERs and ACKs came from where so far.
    pub fn answered(&mut self) -> Result<Answered> {
        Ok(Answered::of(&self.json("stats")?))
    }

    /// The lease of an address, as `leases --json` shows it; `Null` when there is none.
    pub fn lease(&mut self, ip: Ipv4Addr) -> Result<Value> {
        let ip = ip.to_string();
        let leases = self.json("leases")?;
        let all = leases["leases"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|lease| lease["ip"] == ip).unwrap_or_default())
    }

    /// The whole way to a lease, and who answered.
    pub fn exchange(
        &mut self,
        mac: [u8; 6],
        change: impl Fn(FrameBuilder) -> FrameBuilder,
    ) -> Result<([Reply; 2], Answered)> {
        let before = self.answered()?;
        let replies = exchange::obtain(&self.tap, mac, change);
        let replies = replies.with_context(|| format!("the agent's log:\n{}", self.log()))?;
        Ok((replies, self.answered()?.since(before)))
    }

    /// Has a client ask for an address where there is none left, and waits until the agent says that.
    pub fn is_refused(&mut self, mac: [u8; 6]) -> Result<()> {
        let refused = |stats: &Value| stats["agent"]["ignored"]["no_free_address"].as_u64().unwrap_or(0);
        let before = refused(&self.json("stats")?);
        let discover = exchange::from_client(message::DISCOVER, mac);
        self.tap.send(&discover.build())?;
        self.becomes("the client to be refused", |stats| refused(stats) > before)?;
        let reply = exchange::reply_to(&self.tap, &discover, exchange::SILENCE)?;
        match reply {
            Some(reply) => bail!("it was offered {}", exchange::address(&reply)),
            None => Ok(()),
        }
    }
}
