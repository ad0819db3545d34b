//! ISC's dhcpd, on a lease file of its own or of ours.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::netns::{NetNs, succeed};
use crate::{skip, wait};

/// A dhcpd that serves; killed when it is dropped.
#[derive(Debug)]
pub struct Dhcpd {
    child: Child,
    folder: PathBuf,
}

/// Whether it is installed; else the test is noted as skipped.
pub fn is_there(test: &str) -> bool {
    skip::is_there(test, "dhcpd", "isc-dhcp-server")
}

/// Writes its configuration into `folder`: one /24 with a range, and one lease time.
pub fn configure(folder: &Path, range: [Ipv4Addr; 2], lease_time: u32) -> Result<PathBuf> {
    let [first, last] = range;
    let [a, b, c, _] = first.octets();
    let path = folder.join("dhcpd.conf");
    let text = format!(
        "authoritative;\ndefault-lease-time {lease_time};\nmax-lease-time {lease_time};\nping-check off;\n\
         dhcp-cache-threshold 0;\n\
         subnet {a}.{b}.{c}.0 netmask 255.255.255.0 {{ range {first} {last}; }}\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// Has it read a lease file, of which it changes nothing; what it says.
pub fn test(namespace: &NetNs, config: &Path, leases: &Path) -> Result<String> {
    let mut command = namespace.command("dhcpd");
    let output = succeed(command.args(["-4", "-T", "-cf"]).arg(config).arg("-lf").arg(leases))?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Dhcpd {
    /// Starts it and waits until it serves; its log and what else it writes goes into `folder`.
    pub fn start(
        namespace: &NetNs,
        interface: &str,
        folder: &Path,
        config: &Path,
        leases: &Path,
    ) -> Result<Self> {
        let log = fs::File::create(folder.join("dhcpd.log"))?;
        let mut command = namespace.command("dhcpd");
        command.args(["-4", "-f", "-d", "-cf"]).arg(config).arg("-lf").arg(leases);
        command.arg("-pf").arg(folder.join("dhcpd.pid")).arg(interface);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut dhcpd = Self { child, folder: folder.to_owned() };
        let child = &mut dhcpd.child;
        let serves = wait::until_true("dhcpd to serve", wait::SOON, || {
            if let Some(status) = child.try_wait()? {
                bail!("it ended with {status}");
            }
            Ok(fs::read_to_string(folder.join("dhcpd.log"))?.contains("Server starting service"))
        });
        serves.with_context(|| dhcpd.log())?;
        Ok(dhcpd)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("dhcpd.log")).unwrap_or_default()
    }
}

impl Drop for Dhcpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
