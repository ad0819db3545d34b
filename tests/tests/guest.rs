//! A virtual machine whose cable is an interface of the server's: what a hypervisor's DHCP server sees.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use xdhcpd_tests::guest::{Boot, Linux, Machine};
use xdhcpd_tests::netns::NetNs;
use xdhcpd_tests::server::{Agent, Answered, Server};
use xdhcpd_tests::{skip, wait};

const NETWORK: &str = "
  - {name: rack1, interface: t0, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.110], probe: false}
";
/// Asks twice: the second time it is a known client.
const SCRIPT: &str = r#"#!/bin/sh
if [ "$1" ]; then
    if [ "$1" = bound ]; then echo "lease: $ip"; fi
    exit
fi
ip link set eth0 up
for time in 1 2; do udhcpc -f -q -n -t 10 -i eth0 -s "$0"; done
echo "end: $?"
"#;
/// A Linux is up in two seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn a_guest_on_a_tap_is_answered_by_the_program_in_the_driver() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) {
        return Ok(());
    }
    let Some(linux) = Linux::find(&test, "bookworm") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    std::fs::write(&initramfs, linux.initramfs(&["virtio_pci", "virtio_net"], SCRIPT)?.finish())?;
    let boot = Boot::Kernel { image: linux.kernel(), initramfs: &initramfs };
    if !boot.is_there(&test) {
        return Ok(());
    }
    let host = NetNs::new("s")?;
    host.ip("tuntap add t0 mode tap")?;
    host.ip("address add 10.9.0.2/24 dev t0")?;
    host.ip("link set t0 up")?;
    let server = Server::start(&host, NETWORK)?;

    let mut guest = Machine::new(boot).card("t0", "52:54:00:00:00:01").start(&host)?;
    assert_eq!(guest.line("lease: ", LIMIT)?, "10.9.0.100");
    assert_eq!(guest.line("end: ", LIMIT)?, "0");
    guest.end(LIMIT)?;

    assert_eq!(server.json("stats")?["kernel"]["interfaces"][0]["mode"], "native");
    // What is offered is on disk, so that even the first ACK can be the kernel's.
    assert_eq!(server.answered()?, Answered { kernel: (1, 2), agent: (1, 0) });
    wait::until_true("the lease to be the kernel's", wait::SOON, || {
        Ok(server.lease(Ipv4Addr::new(10, 9, 0, 100))?["lastAnsweredBy"] == "kernel")
    })
}

#[test]
fn a_guest_runs_a_program_of_this_machines() -> Result<()> {
    let test = skip::this_test();
    if !skip::is_root(&test) {
        return Ok(());
    }
    let Some(linux) = Linux::find(&test, "bookworm") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    let script = "#!/bin/sh\necho version: $(xdhcpd --version)\n";
    let contents = linux.initramfs(&[], script)?.executable("bin/xdhcpd", &Agent::binary())?;
    std::fs::write(&initramfs, contents.finish())?;
    let boot = Boot::Kernel { image: linux.kernel(), initramfs: &initramfs };
    if !boot.is_there(&test) {
        return Ok(());
    }
    let host = NetNs::new("s")?;
    let mut guest = Machine::new(boot).start(&host)?;
    let here = String::from_utf8(Command::new(Agent::binary()).arg("--version").output()?.stdout)?;
    assert_eq!(guest.line("version: ", LIMIT)?, here.trim());
    guest.end(LIMIT)
}
