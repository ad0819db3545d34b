//! The lab tells its story, and leaves nothing behind however it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use xdhcpd_tests::clients::Program;
use xdhcpd_tests::netns::succeed;
use xdhcpd_tests::server::Agent;
use xdhcpd_tests::skip;
use xdhcpd_tests::wait::{SOON, until_true};

/// All that a lab consists of.
const PARTS: [&str; 5] = [
    "/run/netns/xdhcpd-lab-server",
    "/run/netns/xdhcpd-lab-client",
    "/run/xdhcpd-lab",
    "/run/xdhcpd/lab.sock",
    "/sys/fs/bpf/xdhcpd/lab",
];

/// There is one lab on a machine: tests take turns, and wait for one that somebody else runs.
fn my_turn() -> Result<Option<MutexGuard<'static, ()>>> {
    static TURN: Mutex<()> = Mutex::new(());
    let test = skip::this_test();
    if !skip::is_root(&test) || !Program::Udhcpc.is_there(&test) {
        return Ok(None);
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    until_true("another lab to be gone", SOON, || Ok(parts().is_empty()))?;
    Ok(Some(turn))
}

fn parts() -> Vec<&'static str> {
    PARTS.into_iter().filter(|part| Path::new(part).exists()).collect()
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments);
    command
}

#[test]
fn the_lab_shows_who_answered_and_leaves_nothing_behind() -> Result<()> {
    let Some(_turn) = my_turn()? else { return Ok(()) };
    let output = succeed(&mut lab(&[]))?;
    let text = String::from_utf8(output.stdout)?;
    let exchange = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(exchange("first ").starts_with("first     the agent "), "{text}");
    assert_eq!(exchange("second ").matches("the kernel").count(), 2, "{text}");
    for part in ["10.9.0.100", "02:00:00:00:00:01", "rack1", "ANSWERED BY"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert_eq!(parts(), [""; 0]);
    Ok(())
}

#[test]
fn a_lab_that_is_interrupted_leaves_nothing_behind() -> Result<()> {
    let Some(_turn) = my_turn()? else { return Ok(()) };
    // As soon as the agent starts, and in the middle of the first exchange.
    for (signal, when) in [("INT", "two network namespaces"), ("TERM", "exchange")] {
        let mut child = lab(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with(when))).context(when)??;
        succeed(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]))?;
        lines.for_each(drop);
        let mut said = String::new();
        child.stderr.take().context("its errors")?.read_to_string(&mut said)?;
        assert_eq!(child.wait()?.code(), Some(130), "SIG{signal}: {said}");
        assert_eq!(parts(), [""; 0], "SIG{signal}: {said}");
    }
    Ok(())
}

#[test]
fn a_kept_lab_stays_until_it_is_taken_down() -> Result<()> {
    let Some(_turn) = my_turn()? else { return Ok(()) };
    let output = succeed(&mut lab(&["--keep"]))?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("cargo xtask lab --down"), "{text}");
    let stats = Agent::named("lab").json("stats")?;
    assert_eq!(stats["agent"]["running"], true);

    // Every command that it tells of works.
    let commands = text.lines().filter(|line| line.starts_with("    ") && line.contains(" pinned "));
    for command in commands {
        succeed(Command::new("sh").args(["-c", command]))?;
    }
    let second = lab(&[]).output()?;
    assert_eq!(second.status.code(), Some(1), "one lab at a time");
    assert!(String::from_utf8_lossy(&second.stderr).contains("--down"));
    assert_eq!(Agent::named("lab").json("stats")?["agent"]["running"], true, "it is left alone");

    succeed(&mut lab(&["--down"]))?;
    assert_eq!(parts(), [""; 0]);
    let nothing = succeed(&mut lab(&["--down"]))?;
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("no lab"));
    Ok(())
}
