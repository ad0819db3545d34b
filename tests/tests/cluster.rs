//! A real Kubernetes of one node with the chart in it, from install to uninstall; and what is left of one that
//! is ended before.
//!
//! The story itself, and what it proves, is that of `cargo xtask cluster` (`src/bin/cluster`): it fails where
//! something is not as promised.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use xdhcpd_tests::clients::Program;
use xdhcpd_tests::kube::parts;
use xdhcpd_tests::netns::succeed;
use xdhcpd_tests::node::{self, cgroups};
use xdhcpd_tests::wait::until_true;
use xdhcpd_tests::{built, dhcpd, skip};

/// Longest wait for what a killed cluster leaves to its last process.
const GONE: Duration = Duration::from_mins(1);
/// Says which process holds a cluster that stays.
const RECORD: &str = "/run/xdhcpd-cluster";

/// A cluster takes much of a machine: tests take turns.
fn my_turn() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    let test = skip::this_test();
    if !node::is_there(&test) || !Program::Udhcpc.is_there(&test) {
        return None;
    }
    if let Err(missing) = parts::helm() {
        skip::skipped(&test, &missing);
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The cluster's program; it puts the agent as it was just built into an image.
fn cluster(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    command.args(arguments);
    command
}

/// All that is there of a cluster that a process set up: namespaces, control groups, folders, processes.
fn parts_of(process: u32) -> Vec<String> {
    let of = format!("-{process}-");
    let is_its = |name: &String| name.starts_with("xdhcpd-test-") && name.contains(&of);
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let namespaces = names(Path::new("/run/netns"));
    let folders = names(&std::env::temp_dir());
    namespaces.into_iter().chain(folders).chain(cgroups::names()).filter(is_its).collect()
}

/// Tells a story to its end, which leaves nothing behind; the table with a line for each step.
fn story(arguments: &[&str]) -> Result<String> {
    let child = cluster(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = child.id();
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{said}\n{errors}", output.status);
    assert_eq!(parts_of(process), [""; 0]);
    let (_, table) = said.split_once("\nstep ").with_context(|| format!("no table in\n{said}"))?;
    Ok(table.to_owned())
}

fn has_line(table: &str, step: &str, seen: &str) -> Result<()> {
    let line = table.lines().find(|line| line.starts_with(step));
    ensure!(line.is_some_and(|line| line.contains(seen)), "{step}: {seen} in\n{table}");
    Ok(())
}

#[test]
fn a_client_gets_its_lease_from_a_pod_and_helm_leaves_nothing_behind() -> Result<()> {
    let Some(_turn) = my_turn() else { return Ok(()) };
    let table = story(&[])?;
    for (step, seen) in [
        ("a node", "Kubernetes v"),
        ("a lease", "10.9.0.100 from 10.9.0.2"),
        ("kubectl get hoststatus", "rack1-10-9-0-100"),
        ("the pod is deleted", "the kernel answered all"),
        ("helm upgrade", "the kernel answered all"),
        ("helm uninstall", "no program, no pin, no object is left"),
    ] {
        has_line(&table, step, seen)?;
    }
    Ok(())
}

#[test]
fn a_cluster_of_the_bmc_operators_moves_over_as_readme_tells_and_clients_keep_their_addresses() -> Result<()>
{
    let Some(_turn) = my_turn() else { return Ok(()) };
    if !dhcpd::is_there(&skip::this_test()) {
        return Ok(());
    }
    let table = story(&["--move-over"])?;
    for (step, seen) in [
        ("the BMC operator", "has three clients"),
        ("moving over", "as README tells"),
        ("its objects", "none of them made anew"),
        ("its clients", "all three renewed what they had"),
    ] {
        has_line(&table, step, seen)?;
    }
    Ok(())
}

#[test]
fn a_cluster_that_is_interrupted_leaves_nothing_behind() -> Result<()> {
    let Some(_turn) = my_turn() else { return Ok(()) };
    // While its servers start, and in the middle of helm's work.
    for (signal, when) in [("INT", "a node …"), ("TERM", "helm install …")] {
        let (mut child, mut lines) = wait_for_line(&[], when)?;
        succeed(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]))?;
        lines.by_ref().for_each(drop);
        let mut said = String::new();
        child.stderr.take().context("its errors")?.read_to_string(&mut said)?;
        assert_eq!(child.wait()?.code(), Some(130), "SIG{signal}: {said}");
        assert_eq!(parts_of(child.id()), [""; 0], "SIG{signal}: {said}");
    }
    Ok(())
}

#[test]
fn of_a_killed_cluster_nothing_runs_on_and_the_next_removes_the_rest() -> Result<()> {
    let Some(_turn) = my_turn() else { return Ok(()) };
    let (mut child, lines) = wait_for_line(&[], "helm install …")?;
    child.kill()?;
    child.wait()?;
    // Whoever has its output open still runs.
    lines.for_each(drop);
    let of = format!("-{}-", child.id());
    until_true("all that it started to be gone", GONE, || Ok(runs_in(&of)?.is_empty()))?;
    succeed(&mut cluster(&["--down"]))?;
    assert_eq!(parts_of(child.id()), [""; 0]);
    Ok(())
}

#[test]
fn a_kept_cluster_stays_until_it_is_taken_down() -> Result<()> {
    let Some(_turn) = my_turn() else { return Ok(()) };
    until_true("another kept cluster to be gone", GONE, || Ok(!Path::new(RECORD).exists()))?;
    let output = succeed(&mut cluster(&["--keep"]))?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains("cargo xtask cluster --down"), "{text}");
    let holder: u32 = std::fs::read_to_string(Path::new(RECORD).join("process"))?.trim().parse()?;

    // Every command that it tells of works, but for those that open a shell.
    let commands =
        text.lines().filter(|line| line.starts_with("    nsenter ") || line.starts_with("    ls "));
    let commands: Vec<_> = commands.filter(|line| !line.contains("--target")).collect();
    ensure!(commands.len() >= 8, "{text}");
    for command in commands {
        succeed(Command::new("sh").args(["-c", command]))?;
    }
    let second = cluster(&["--keep"]).output()?;
    assert_eq!(second.status.code(), Some(1), "one that stays at a time");
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(said.contains("--down"), "{said}");

    succeed(&mut cluster(&["--down"]))?;
    assert_eq!(parts_of(holder), [""; 0]);
    ensure!(!Path::new(RECORD).exists(), "the record is still there");
    let nothing = succeed(&mut cluster(&["--down"]))?;
    ensure!(String::from_utf8_lossy(&nothing.stdout).contains("no cluster"));
    Ok(())
}

/// Starts it, and reads what it says up to the line that ends so.
fn wait_for_line(arguments: &[&str], end: &str) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut child = cluster(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with(end)));
    line.with_context(|| format!("no line {end}; is {} built?", built::agent().display()))??;
    Ok((child, lines))
}

/// The processes that have a namespace or a folder of this name in their command line.
fn runs_in(name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains("xdhcpd-test-") && words.contains(name) {
            found.push(words);
        }
    }
    Ok(found)
}
