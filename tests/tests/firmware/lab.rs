//! A rack with one machine and one server: the example's agent, TFTP and HTTP, as its files say.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};
use xdhcpd_tests::capture::{Capture, Captured};
use xdhcpd_tests::guest::{Boot, Guest, Linux, Machine};
use xdhcpd_tests::netns::NetNs;
use xdhcpd_tests::server::Server;

/// The machine's network card.
pub const MAC: &str = "52:54:00:00:00:01";
/// What the machine calls itself in option 97.
pub const UUID: &str = "12345678-9abc-def0-1234-56789abcdef0";

const CONFIG: &str = include_str!("../../../agent/examples/pxe/config.yaml");
const SCRIPT: &str = include_str!("../../../agent/examples/pxe/boot.ipxe");
/// What the machine does once Linux runs.
const LINUX: &str = include_str!("linux.sh");
/// Where Debian's package ipxe has iPXE for all sorts of firmware.
const IPXE: &str = "/usr/lib/ipxe";

/// The rack.
pub struct Lab {
    /// The agent.
    pub server: Server,
    capture: Capture,
    wire: NetNs,
    // What serves ends before its namespace does.
    _services: [Service; 2],
    _servers: NetNs,
    _files: tempfile::TempDir,
}

impl Lab {
    /// Sets it up.
    pub fn set(linux: &Linux) -> Result<Self> {
        let (servers, wire) = (NetNs::new("s")?, NetNs::new("c")?);
        // The wire is a bridge, on which a capture sees the kernel's replies as well.
        servers.ip(&format!("link add eth1 type veth peer name c0 netns {}", wire.name()))?;
        servers.ip("address add 10.9.0.2/24 dev eth1")?;
        servers.ip("address add fd00:9::2/64 dev eth1 nodad")?;
        servers.ip("link set eth1 up")?;
        wire.ip("link add br0 up type bridge")?;
        wire.ip("tuntap add t0 mode tap")?;
        for port in ["c0", "t0"] {
            wire.ip(&format!("link set {port} master br0 up"))?;
        }

        let files = tempfile::tempdir()?;
        put_files(files.path(), linux)?;
        let services = [tftp(&servers, files.path())?, http(&servers, files.path())?];
        let (_, networks) = CONFIG.split_once("networks:\n").context("the example has networks")?;
        let server = Server::start(&servers, networks)?;
        let capture = Capture::start(&wire, "c0")?;
        Ok(Self { server, capture, wire, _services: services, _servers: servers, _files: files })
    }

    /// Switches the machine on.
    pub fn boot(&self, boot: Boot<'_>) -> Result<Guest> {
        Machine::new(boot).with("-uuid", UUID).card("t0", MAC).start(&self.wire)
    }

    /// Ends the capture, and gives what was on the wire.
    pub fn captured(self) -> Result<Captured> {
        self.capture.finish()
    }
}

/// What the two servers serve, in the folders `tftp` and `http`.
fn put_files(folder: &Path, linux: &Linux) -> Result<()> {
    let [tftp, http] = ["tftp", "http"].map(|name| folder.join(name));
    for folder in [&tftp, &http] {
        fs::create_dir(folder)?;
    }
    for (file, to) in [("undionly.kpxe", &tftp), ("ipxe.efi", &tftp), ("ipxe.efi", &http)] {
        fs::copy(Path::new(IPXE).join(file), to.join(file)).with_context(|| format!("copying {file}"))?;
    }
    fs::write(http.join("boot.ipxe"), SCRIPT)?;
    fs::copy(linux.kernel(), http.join("vmlinuz"))?;
    let initramfs = linux.initramfs(&["virtio_pci", "virtio_net"], LINUX)?;
    fs::write(http.join("initrd"), initramfs.finish()).context("writing the initramfs")
}

/// dnsmasq with its DHCP off; but it is an IPv6 router, for iPXE waits 13 seconds where there is none.
fn tftp(servers: &NetNs, folder: &Path) -> Result<Service> {
    let root = format!("--tftp-root={}", folder.join("tftp").display());
    let tftp = ["--no-daemon", "--conf-file=/dev/null", "--user=root", "--port=0", "--enable-tftp", &root];
    let router = ["--interface=eth1", "--enable-ra", "--dhcp-range=fd00:9::,ra-only"];
    Service::start(servers, "dnsmasq", &[&tftp[..], &router].concat())
}

fn http(servers: &NetNs, folder: &Path) -> Result<Service> {
    let root = folder.join("http").display().to_string();
    Service::start(servers, "busybox", &["httpd", "-f", "-p", "10.9.0.2:80", "-h", &root])
}

/// A process that serves until it is dropped.
struct Service(Child);

impl Service {
    fn start(servers: &NetNs, program: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = servers.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("starting {program}"))?))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
