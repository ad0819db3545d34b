//! The real agent, as a process in a namespace, with a folder of its own.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http;
use crate::netns::{self, NetNs, succeed};
use crate::{built, wait};

/// What one binary is asked about one agent, running or not.
///
/// It is asked from inside its namespace, if it has one: names of interfaces are of that namespace.
#[derive(Debug, Clone)]
pub struct Agent {
    name: String,
    namespace: Option<String>,
}

impl Agent {
    /// The agent of this name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None }
    }

    /// The agent of this name in a namespace.
    pub fn inside(name: &str, namespace: &NetNs) -> Self {
        Self { name: name.to_owned(), namespace: Some(namespace.name().to_owned()) }
    }

    /// The binary under test.
    pub fn binary() -> PathBuf {
        built::agent()
    }

    /// The status and the body of a GET of `path` at `address`, asked from where the agent is.
    pub fn http(&self, address: &str, path: &str) -> Result<(u16, String)> {
        http::get(self.namespace.as_deref().context("it is in no namespace of its own")?, address, path)
    }

    /// Its name: of its socket, its pins and its lease file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its program and maps are pinned.
    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/xdhcpd").join(&self.name)
    }

    /// A command of the binary for this agent.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = match &self.namespace {
            Some(name) => netns::command_in(name, Self::binary()),
            None => Command::new(Self::binary()),
        };
        command.args(words).args(["--name", &self.name]);
        command
    }

    /// Runs a command of the binary for this agent to its end, however it ends.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        Ok(self.command(words).stdin(Stdio::null()).output()?)
    }

    /// What `leases` or `stats` prints with `--json`.
    pub fn json(&self, what: &str) -> Result<Value> {
        let output = succeed(&mut self.command(&[what, "--json"]))?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The lease of an address, as `leases --json` shows it; `Null` when there is none.
    pub fn lease(&self, ip: Ipv4Addr) -> Result<Value> {
        let ip = ip.to_string();
        let leases = self.json("leases")?;
        let all = leases["leases"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().find(|lease| lease["ip"] == ip).unwrap_or_default())
    }

    /// How many OFFERs and ACKs came from where so far.
    pub fn answered(&self) -> Result<Answered> {
        Ok(Answered::of(&self.json("stats")?))
    }

    /// How often the kernel passed a frame up for this reason.
    pub fn passed(&self, reason: &str) -> Result<u64> {
        Ok(self.json("stats")?["kernel"]["passed"][reason].as_u64().unwrap_or_default())
    }
}

/// OFFERs and ACKs, by who sent them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// By the kernel.
    pub kernel: (u64, u64),
    /// By the agent.
    pub agent: (u64, u64),
}

impl Answered {
    /// What `stats --json` says.
    pub fn of(stats: &Value) -> Self {
        let count = |side: &str, kind: &str| stats[side]["answered"][kind].as_u64().unwrap_or_default();
        Self {
            kernel: (count("kernel", "offer"), count("kernel", "ack")),
            agent: (count("agent", "offer"), count("agent", "ack")),
        }
    }

    /// Whether this is one exchange of a client that was not known: the OFFER is the agent's. The
    /// ACK may be either's, for what is offered is on disk.
    pub fn is_a_new_clients(self) -> bool {
        (self.kernel.0, self.agent.0) == (0, 1) && self.kernel.1 + self.agent.1 == 1
    }

    /// Whether this is one exchange of a known client: all of it the kernel's.
    pub fn is_a_known_clients(self) -> bool {
        self == Self { kernel: (1, 1), agent: (0, 0) }
    }

    /// What came on top of `before`; a restarted agent begins at nothing.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let minus =
            |now: (u64, u64), then: (u64, u64)| (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1));
        Self { kernel: minus(self.kernel, before.kernel), agent: minus(self.agent, before.agent) }
    }
}

/// A running `xdhcpd run`; killed, and its pins taken away, when dropped.
#[derive(Debug)]
pub struct Server {
    agent: Agent,
    child: Child,
    folder: tempfile::TempDir,
}

impl std::ops::Deref for Server {
    type Target = Agent;

    fn deref(&self) -> &Agent {
        &self.agent
    }
}

impl Server {
    /// Starts the agent in `namespace` with this `networks:` section and waits until it is ready.
    pub fn start(namespace: &NetNs, networks: &str) -> Result<Self> {
        Self::start_with(namespace, networks, "")
    }

    /// The same, with more lines of configuration at the top level.
    pub fn start_with(namespace: &NetNs, networks: &str, more: &str) -> Result<Self> {
        Self::begin(namespace, networks, more, &[])
    }

    /// The same as [`Server::start`], with more arguments to `xdhcpd run`.
    pub fn start_with_arguments(namespace: &NetNs, networks: &str, arguments: &[&str]) -> Result<Self> {
        Self::begin(namespace, networks, "", arguments)
    }

    fn begin(namespace: &NetNs, networks: &str, more: &str, arguments: &[&str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let agent = Agent::inside(&format!("xdhcpd-test-{}-{number}", std::process::id()), namespace);
        let folder = tempfile::tempdir()?;
        write_config(&agent, folder.path(), networks, more)?;
        let child = spawn(namespace, folder.path(), arguments)?;
        let mut server = Self { agent, child, folder };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Replaces the configuration file; the agent is not told.
    pub fn write_config(&self, networks: &str, more: &str) -> Result<()> {
        write_config(&self.agent, self.folder(), networks, more)
    }

    /// Waits until `stats` answers and says that the agent runs.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let (agent, child) = (&self.agent, &mut self.child);
        let ready = wait::until_true("the agent to be ready", wait::SOON, || {
            if let Some(status) = child.try_wait()? {
                bail!("xdhcpd ended with {status}");
            }
            Ok(agent.json("stats").is_ok_and(|stats| stats["agent"]["running"] == true))
        });
        ready.with_context(|| format!("its log:\n{}", self.log()))
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder: configuration, log, leases.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Waits until it logs this.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait::until_true(&format!("the log to say {text:?}"), wait::SOON, || Ok(self.log().contains(text)))
    }

    /// Ends the agent as `signal` (`TERM`, `KILL`) does, and waits for it; its pins stay.
    pub fn stop(&mut self, signal: &str) -> Result<ExitStatus> {
        self.signal(signal)?;
        let child = &mut self.child;
        wait::until(&format!("the agent to end on SIG{signal}"), wait::SOON, || Ok(child.try_wait()?))
    }

    /// Sends a signal and goes on.
    pub fn signal(&self, signal: &str) -> Result<()> {
        succeed(Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]))?;
        Ok(())
    }

    /// Starts it again after [`Server::stop`], with the same folder.
    pub fn restart(&mut self, namespace: &NetNs) -> Result<()> {
        self.restart_by(namespace, &[])
    }

    /// The same by way of a program that becomes the agent, or starts it in its own place.
    pub fn restart_by(&mut self, namespace: &NetNs, starter: &[&str]) -> Result<()> {
        self.child = spawn_by(namespace, self.folder(), starter, &[])?;
        self.wait_until_ready()
    }

    /// The same, without waiting for it.
    pub fn begin_again(&mut self, namespace: &NetNs) -> Result<()> {
        self.child = spawn(namespace, self.folder(), &[])?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.agent.run(&["detach"]);
        // Shown if the test fails.
        eprintln!("--- the agent's log ---\n{}", self.log());
    }
}

fn write_config(agent: &Agent, folder: &Path, networks: &str, more: &str) -> Result<()> {
    let http = if more.contains("http:") { "" } else { "http: {listen: off}\n" };
    let leases = format!("leases: {{dir: {}}}\n", folder.display());
    let leases = if more.contains("leases:") { "" } else { &leases };
    let text = format!("name: {}\n{leases}{http}{more}\nnetworks:\n{networks}", agent.name());
    Ok(fs::write(folder.join("config.yaml"), text)?)
}

/// Starts `xdhcpd run` with the configuration in `folder`; its log goes there as well.
pub fn spawn(namespace: &NetNs, folder: &Path, arguments: &[&str]) -> Result<Child> {
    spawn_by(namespace, folder, &[], arguments)
}

fn spawn_by(namespace: &NetNs, folder: &Path, starter: &[&str], arguments: &[&str]) -> Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
    let mut command = match starter {
        [program, words @ ..] => {
            let mut command = namespace.command(program);
            command.args(words).arg(Agent::binary());
            command
        }
        [] => namespace.command(Agent::binary()),
    };
    command
        .arg("run")
        .arg("--config")
        .arg(folder.join("config.yaml"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting xdhcpd; is it built?")
}
