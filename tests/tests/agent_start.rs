//! Starts that fail: one clear line, exit code 1, and nothing left behind.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;

use anyhow::Result;
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::server::{Agent, Server};
use xdhcpd_tests::skip;

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.110]
    probe: false
";

fn can_run() -> bool {
    skip::is_root(&skip::this_test())
}

/// A name that no other test has.
fn name(what: &str) -> String {
    format!("xdhcpd-test-{}-{what}", std::process::id())
}

/// Runs an agent that is to fail.
fn run(namespace: &NetNs, name: &str, leases: &Path, more: &[&str]) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.yaml");
    let leases = leases.display();
    fs::write(
        &file,
        format!("name: {name}\nhttp: {{listen: off}}\nleases: {{dir: {leases}}}\nnetworks:{NETWORK}"),
    )?;
    let mut command = namespace.command("timeout");
    Ok(command.arg("20").arg(Agent::binary()).args(["run", "--config"]).arg(file).args(more).output()?)
}

/// It ends with exit code 1, and says so.
fn fails_saying(output: &Output, said: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains(said), "the last line says {said:?}:\n{text}");
}

#[test]
fn another_server_on_port_67_is_named_and_no_program_is_left() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let _other = pair.server.inside(|| UdpSocket::bind("0.0.0.0:67"))??;
    let name = name("port");
    fails_saying(
        &run(&pair.server, &name, folder.path(), &[])?,
        "UDP port 67 on s0 is held by another process",
    );
    assert!(!Agent::named(&name).pins().exists(), "nothing is pinned");
    assert!(!pair.server.ip("link show s0")?.contains("xdp"));
    Ok(())
}

#[test]
fn a_second_agent_of_a_name_changes_nothing_for_the_first() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let server = Server::start(&pair.server, NETWORK)?;
    let second = run(&pair.server, server.name(), server.folder(), &[])?;
    fails_saying(&second, "another agent uses");
    assert!(server.pins().join("LEASES").exists());
    assert!(pair.server.ip("link show s0")?.contains("xdp"));
    assert_eq!(server.json("stats")?["agent"]["running"], true);
    Ok(())
}

#[test]
fn a_socket_that_a_live_agent_has_is_left_to_it() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let server = Server::start(&pair.server, NETWORK)?;
    let socket = format!("/run/xdhcpd/{}.sock", server.name());
    // The socket's stem is the name, which `--socket` alone would change as well.
    let second = run(&pair.server, &name("other"), folder.path(), &["--socket", &socket])?;
    fails_saying(&second, "another agent of this name is running");
    assert_eq!(server.json("stats")?["agent"]["running"], true);
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_is_named() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let (pair, folder) = (Pair::new()?, tempfile::tempdir()?);
    let file = folder.path().join("a-file");
    fs::write(&file, "")?;
    let name = name("folder");
    let output = run(&pair.server, &name, &file.join("leases"), &[])?;
    fails_saying(&output, &format!("cannot open the lease file {}", file.display()));
    assert!(!Agent::named(&name).pins().exists());
    Ok(())
}
