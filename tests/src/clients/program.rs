//! How each client is run, told to renew and to release, and what its script's variables are called.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::Result;

use super::networkd;
use crate::netns::{NetNs, succeed};
use crate::skip;

/// A DHCP client that people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// ISC's.
    Dhclient,
    /// busybox's.
    Udhcpc,
    /// Roy Marples'.
    Dhcpcd,
    /// systemd's.
    Networkd,
}

/// Whether a client looks if its address is somebody else's before it uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// It uses it at once.
    Trusts,
    /// It asks by ARP, each client in its own way; dhclient leaves that to its script.
    Probes,
}

/// What a client calls what it got.
#[derive(Debug)]
pub(super) struct Variables {
    pub(super) ip: &'static str,
    pub(super) server: &'static str,
    pub(super) seconds: &'static str,
    pub(super) router: &'static str,
    pub(super) dns: &'static str,
}

impl Program {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhclient => "dhclient",
            Self::Udhcpc => "udhcpc",
            Self::Dhcpcd => "dhcpcd",
            Self::Networkd => "systemd-networkd",
        }
    }

    /// Whether it is installed; else the test is noted as skipped.
    pub fn is_there(self, test: &str) -> bool {
        let (program, package) = match self {
            Self::Dhclient => ("dhclient", "isc-dhcp-client"),
            Self::Udhcpc => ("udhcpc", "udhcpc"),
            Self::Dhcpcd => ("dhcpcd", "dhcpcd-base"),
            Self::Networkd => (networkd::PROGRAM, "systemd"),
        };
        skip::is_there(test, program, package)
    }

    pub(super) const fn variables(self) -> Variables {
        match self {
            Self::Dhclient | Self::Dhcpcd => Variables {
                ip: "new_ip_address",
                server: "new_dhcp_server_identifier",
                seconds: "new_dhcp_lease_time",
                router: "new_routers",
                dns: "new_domain_name_servers",
            },
            Self::Udhcpc => {
                Variables { ip: "ip", server: "serverid", seconds: "lease", router: "router", dns: "dns" }
            }
            Self::Networkd => Variables {
                ip: "ADDRESS",
                server: "SERVER_ADDRESS",
                seconds: "LIFETIME",
                router: "ROUTER",
                dns: "DNS",
            },
        }
    }

    /// The client in the foreground, with all its files in `folder`.
    pub(super) fn command(
        self,
        namespace: &NetNs,
        interface: &str,
        folder: &Path,
        care: Care,
    ) -> Result<Command> {
        let mut command;
        match self {
            Self::Dhclient => {
                command = namespace.command("dhclient");
                dhclient_files(&mut command, folder)?;
                command.args(["-4", "-d", "-v", interface]);
            }
            Self::Udhcpc => {
                command = namespace.command("udhcpc");
                command.args(["-f", "-i", interface, "-t", "5", "-T", "1", "-A", "1", "-s"]);
                command.arg(folder.join("script"));
                // For so many milliseconds.
                command.args((care == Care::Probes).then_some("-a200"));
            }
            Self::Dhcpcd => {
                command = namespace.command("unshare");
                // Folders of its own, which nobody else sees.
                command.args(["--mount", "sh", "-c", &dhcpcd_shell(folder), "sh"]);
                fs::write(folder.join("config"), "noipv6rs\nnoipv6\nnohook *\nduid ll\n")?;
                command.args(["dhcpcd", "-4", "-B", "-d", "-f"]).arg(folder.join("config"));
                command.args((care == Care::Trusts).then_some("--noarp"));
                command.arg("-c").arg(folder.join("script")).arg(interface);
            }
            Self::Networkd => {
                command = namespace.command("unshare");
                let shell = networkd::shell(folder, interface, care)?;
                command.args(["--mount", "sh", "-c", &shell, "sh", networkd::PROGRAM]);
                command.env("SYSTEMD_LOG_LEVEL", "debug").env("SYSTEMD_LOG_TARGET", "console");
            }
        }
        Ok(command)
    }

    /// Tells the running client to renew. dhclient cannot be told, nor can systemd-networkd without a
    /// bus: they have a short lease time instead, and this only waits for it.
    pub(super) fn renew(self, child: &Child) -> Result<()> {
        match self {
            Self::Dhclient | Self::Networkd => {}
            Self::Udhcpc | Self::Dhcpcd => signal(child, "USR1")?,
        }
        Ok(())
    }

    /// Tells the client to send a RELEASE.
    pub(super) fn release(
        self,
        namespace: &NetNs,
        interface: &str,
        folder: &Path,
        child: &Child,
    ) -> Result<()> {
        match self {
            Self::Dhclient => {
                let mut command = namespace.command("dhclient");
                dhclient_files(&mut command, folder)?;
                succeed(command.args(["-4", "-r", "-v", interface]))?;
            }
            Self::Udhcpc => signal(child, "USR2")?,
            Self::Dhcpcd => signal(child, "ALRM")?,
            Self::Networkd => signal(child, "TERM")?,
        }
        Ok(())
    }

    /// Whether it ends once it has released its lease.
    pub(super) const fn ends_after_release(self) -> bool {
        !matches!(self, Self::Udhcpc)
    }
}

fn dhclient_files(command: &mut Command, folder: &Path) -> Result<()> {
    let config = folder.join("config");
    let asked = "subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, host-name, \
        interface-mtu, ntp-servers";
    fs::write(&config, format!("initial-interval 1;\ntimeout 10;\nrequest {asked};\n"))?;
    command.arg("-cf").arg(config);
    command.arg("-sf").arg(folder.join("script"));
    command.arg("-lf").arg(folder.join("leases"));
    command.arg("-pf").arg(folder.join("pid"));
    Ok(())
}

/// A script that mounts folders of the client's own over those that dhcpcd insists on (its leases,
/// and its sockets, which may not be there yet), and becomes its arguments.
fn dhcpcd_shell(folder: &Path) -> String {
    format!(
        "set -e
        mkdir -p {folder}/leases
        mount --bind {folder}/leases /var/lib/dhcpcd
        mount -t tmpfs run /run
        mkdir /run/dhcpcd
        exec \"$@\"",
        folder = folder.display()
    )
}

fn signal(child: &Child, signal: &str) -> Result<()> {
    succeed(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]))?;
    Ok(())
}
