//! Network namespaces joined by veth pairs, gone again when the value is dropped.
//!
//! Commands run inside by `nsenter --net`, which leaves the mounts alone: `ip netns exec` would hide
//! bpffs.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::node::cgroups;
use crate::skip;

/// Where iproute2 keeps namespaces by name.
const NAMESPACES: &str = "/run/netns";

/// Where agents pin their programs, each in a folder of its name.
const PINS: &str = "/sys/fs/bpf/xdhcpd";

/// Where agents are asked, by a socket of each one's name.
const SOCKETS: &str = "/run/xdhcpd";

/// Begins the names of namespaces that tests make; role, process and number follow.
const PREFIX: &str = "xdhcpd-test";

/// A network namespace of our own.
#[derive(Debug)]
pub struct NetNs {
    name: String,
}

impl NetNs {
    /// Makes an empty namespace for this process with its loopback up; `role` makes the name
    /// readable.
    pub fn new(role: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(remove_what_killed_tests_left);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("{PREFIX}-{role}-{}-{number}", std::process::id()))
    }

    /// Makes an empty namespace of this name, with its loopback up.
    pub fn named(name: &str) -> Result<Self> {
        succeed(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Self::existing(name);
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// A namespace that may exist already; it goes with this value all the same.
    pub fn existing(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its name, as `ip netns list` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves it there for whoever removes it later.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// A command that will run inside, in a process group of its own: an interrupt typed at the
    /// terminal is for us, who then stop it in good order.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command_in(&self.name, program)
    }

    /// Runs `ip` inside with these words.
    pub fn ip(&self, words: &str) -> Result<String> {
        self.run("ip", &words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command inside to its end; its output, or an error with what it said.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = succeed(self.command(program).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `work` on a thread of its own that has moved into the namespace: what it opens (a
    /// socket, a link) stays there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        inside(&self.name, work)
    }

    /// The processes inside.
    pub fn processes(&self) -> Vec<String> {
        let output = Command::new("ip").args(["netns", "pids", &self.name]).stderr(Stdio::null()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Kills all processes inside.
    pub fn kill_processes(&self) {
        for process in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &process]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if self.path().exists() {
            self.kill_processes();
            let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
        }
    }
}

/// A server's and a client's namespace, joined by a veth pair: `s0` and `c0`, both up.
#[derive(Debug)]
pub struct Pair {
    /// Where the agent runs; its end is `s0`.
    pub server: NetNs,
    /// Where clients run; their end is `c0`.
    pub client: NetNs,
}

impl Pair {
    /// Makes both and the link between them; `s0` has 10.9.0.2/24.
    pub fn new() -> Result<Self> {
        Self::with_address("10.9.0.2/24")
    }

    /// The same with another address for `s0`.
    pub fn with_address(address: &str) -> Result<Self> {
        Self::join(NetNs::new("s")?, NetNs::new("c")?, address)
    }

    /// Joins two empty namespaces.
    pub fn join(server: NetNs, client: NetNs, address: &str) -> Result<Self> {
        let pair = Self { server, client };
        pair.server.ip(&format!("link add s0 type veth peer name c0 netns {}", pair.client.name()))?;
        pair.server.ip(&format!("address add {address} dev s0"))?;
        pair.server.ip("link set s0 up")?;
        pair.client.ip(&format!("link set c0 address {CLIENT_MAC}"))?;
        pair.client.ip("link set c0 up")?;
        Ok(pair)
    }

    /// Leaves both there for whoever removes them later.
    pub fn keep(self) {
        self.server.keep();
        self.client.keep();
    }
}

/// The hardware address of `c0`.
pub const CLIENT_MAC: &str = "02:00:00:00:00:01";

/// A command that will run inside of the namespace of this name: see [`NetNs::command`].
pub fn command_in(name: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={NAMESPACES}/{name}")).arg("--").arg(program);
    command.process_group(0).env("PATH", skip::search_path());
    command
}

/// Runs `work` inside of the namespace of this name: see [`NetNs::inside`].
pub fn inside<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let path = Path::new(NAMESPACES).join(name);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespace = fs::File::open(&path).context("opening the namespace")?;
            rustix::thread::move_into_link_name_space(
                namespace.as_fd(),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .context("entering the namespace")?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A folder for this process, gone with the value; when the process is killed, the next run removes
/// it.
pub fn folder(role: &str) -> Result<tempfile::TempDir> {
    let prefix = format!("{PREFIX}-{role}-{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}

/// Runs a command to its end; an error says what it was and what it printed.
pub fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}

/// Removes namespaces, pins, sockets, control groups and folders whose test process is no more.
fn remove_what_killed_tests_left() {
    for name in names_in(NAMESPACES) {
        if name.strip_prefix(PREFIX).is_some_and(was_made_by_the_dead) {
            drop(NetNs::existing(&name));
        }
    }
    for name in names_in(PINS) {
        if name.strip_prefix(PREFIX).is_some_and(was_made_by_the_dead) {
            let _ = xdhcpd::fastpath::detach(&name);
        }
    }
    for name in names_in(SOCKETS) {
        if name.strip_prefix(PREFIX).is_some_and(was_made_by_the_dead) {
            let _ = fs::remove_file(Path::new(SOCKETS).join(name));
        }
    }
    for name in cgroups::names() {
        if name.strip_prefix(PREFIX).is_some_and(was_made_by_the_dead) {
            let _ = cgroups::remove(&name);
        }
    }
    let folders = std::env::temp_dir();
    for name in names_in(&folders) {
        if name.strip_prefix(PREFIX).is_some_and(was_made_by_the_dead) {
            let _ = fs::remove_dir_all(folders.join(name));
        }
    }
}

fn names_in(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether the process in `-role-process-number` or `-process-number` is gone.
fn was_made_by_the_dead(rest: &str) -> bool {
    let process = rest.rsplit('-').nth(1).and_then(|process| process.parse::<u32>().ok());
    process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_processes_made_is_swept() {
        let own = std::process::id();
        assert!(!was_made_by_the_dead(&format!("-s-{own}-3")));
        assert!(!was_made_by_the_dead(&format!("-{own}-3")));
        // Past the highest process number that Linux gives (proc(5), pid_max).
        assert!(was_made_by_the_dead("-s-4194305-3"));
        assert!(was_made_by_the_dead("-4194305-3"));
        assert!(
            was_made_by_the_dead("-kube-4194305-3.sock") && !was_made_by_the_dead(&format!("-{own}-3.sock"))
        );
        assert!(!was_made_by_the_dead("-of-another-kind"));
        assert!(!was_made_by_the_dead(""));
    }
}
