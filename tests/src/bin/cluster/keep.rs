//! A cluster that stays up: a process in the background holds it, until it is told to take it down.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use xdhcpd_tests::netns::NetNs;
use xdhcpd_tests::{interrupt, process, wait};

use crate::Arguments;
use crate::chart::NAMESPACE;
use crate::scene::{CLIENT_INTERFACE, INTERFACE, Scene};
use crate::story::{self, AGENT};
use crate::table::Steps;
use crate::when;

/// Says who holds the cluster. There is one on a machine that stays.
const FOLDER: &str = "/run/xdhcpd-cluster";
/// How often the holder looks for a signal, and at its servers.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for a cluster to be taken down: seconds.
const DOWN: Duration = Duration::from_mins(1);

/// Has another process set the cluster up and hold it, and shows what it says until it is up.
pub fn in_background(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::note_signals()?;
    if let Some(holder) = holder() {
        bail!("process {holder} holds a cluster already; to take it down: cargo xtask cluster --down");
    }
    let (mut said, says) = io::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--hold").stdin(Stdio::null()).stdout(says.try_clone()?).stderr(says);
    if let Some(image) = &arguments.image {
        command.arg("--image").arg(image);
    }
    // A signal that is typed at the terminal is for us, who pass it on.
    let mut holder = command.process_group(0).spawn()?;
    drop(command);
    let number = Pid::from_child(&holder);
    thread::Builder::new().name("pass on".into()).spawn(move || {
        while !interrupt::came() {
            thread::sleep(LOOK);
        }
        let _ = kill_process(number, Signal::TERM);
    })?;
    // It lets go of the pipe when the cluster is up, or when it ends.
    io::copy(&mut said, &mut io::stdout())?;
    io::stdout().flush()?;
    if self::holder() == Some(holder.id()) {
        return Ok(ExitCode::SUCCESS);
    }
    let status = holder.wait()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Sets the cluster up, tells the beginning of the story, and holds the cluster until a signal comes.
pub fn hold(arguments: &Arguments) -> Result<()> {
    interrupt::note_signals()?;
    let mut steps = Steps::start();
    let mut scene = Scene::set_up(&mut steps, arguments.image.as_deref())?;
    story::begin(&scene, &mut steps)?;
    when::stay();
    println!("\n{steps}");
    let log = fs::File::create(scene.node().folder().join("holder.log"))?;
    let record = Record::write()?;
    how_to_look_around(&scene);
    io::stdout().flush()?;
    speak_to(&log)?;
    while !interrupt::came() {
        thread::sleep(LOOK);
        scene.check()?;
    }
    drop(scene);
    drop(record);
    Ok(())
}

/// From here on all that is said goes to a file: whoever listened so far sees the end.
fn speak_to(log: &fs::File) -> Result<()> {
    for output in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: both are open, and nothing here owns the second as a value.
        if unsafe { libc::dup2(log.as_raw_fd(), output) } < 0 {
            bail!("cannot move output to the log: {}", io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Takes down a cluster that was left up.
pub fn take_down() -> Result<()> {
    // What a killed one left is swept with the first namespace of the next.
    drop(NetNs::new("sweep")?);
    let Some(number) = holder() else {
        println!("there is no cluster");
        return Ok(());
    };
    let pid = Pid::from_raw(i32::try_from(number)?).context("a process number")?;
    kill_process(pid, Signal::TERM).with_context(|| format!("a signal to process {number}"))?;
    wait::until_true("the cluster to be gone", DOWN, || Ok(!process::is_alive(number)))?;
    println!("the cluster is gone");
    Ok(())
}

/// The process that holds a cluster, if one does.
fn holder() -> Option<u32> {
    let number = fs::read_to_string(Path::new(FOLDER).join("process")).ok()?;
    let number = number.trim().parse().ok()?;
    // The number may be another process's since.
    let is_ours = fs::read_to_string(format!("/proc/{number}/cmdline")).is_ok_and(|it| it.contains("--hold"));
    is_ours.then_some(number)
}

/// The record of who holds the cluster; gone when dropped.
struct Record(PathBuf);

impl Record {
    fn write() -> Result<Self> {
        fs::create_dir_all(FOLDER).with_context(|| format!("creating {FOLDER}"))?;
        fs::write(Path::new(FOLDER).join("process"), std::process::id().to_string())?;
        Ok(Self(FOLDER.into()))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("cannot remove {FOLDER}: {error}");
        }
    }
}

/// What to type in a cluster that stays.
fn how_to_look_around(scene: &Scene) {
    let node = scene.node();
    let network = node.network().name();
    let client = scene.client().name();
    let kubectl = format!(
        "nsenter --net=/run/netns/{network} kubectl --kubeconfig {}",
        scene.cluster().admin_kubeconfig().display()
    );
    let first = node.first_process();
    let logs = node.folder().display();
    let servers = scene.cluster().folder().display();
    println!(
        "
The cluster stays up. To look around in it:

  what Kubernetes sees:
    {kubectl} get pods -A -o wide
    {kubectl} get clusteragents,hoststatus
    {kubectl} -n {NAMESPACE} logs ds/agent-{AGENT}
  who has which address, who answered what:
    {kubectl} -n {NAMESPACE} exec ds/agent-{AGENT} -- /xdhcpd leases --name {AGENT}
    {kubectl} -n {NAMESPACE} exec ds/agent-{AGENT} -- /xdhcpd stats --name {AGENT}
  another client on the cable, which is {INTERFACE} at the node:
    nsenter --net=/run/netns/{client} ip link set {CLIENT_INTERFACE} address 02:00:00:00:00:02
    nsenter --net=/run/netns/{client} udhcpc -f -q -n -i {CLIENT_INTERFACE} -s /bin/true
  a shell on the node, with its own /run, /var/lib and /sys/fs/bpf:
    nsenter --net=/run/netns/{network} nsenter --mount --pid --target {first}
  logs and configuration of the node, and of the servers:
    ls {logs}
    ls {servers}

To take it down:
    cargo xtask cluster --down"
    );
}
