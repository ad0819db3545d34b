//! Real DHCP clients in a namespace.
//!
//! Each runs in the foreground with files and, but for systemd-networkd, a script of ours: the scripts and folders that come
//! with them would write the host's `/etc/resolv.conf`, and clients on one machine would share
//! their leases. The script notes each event of the client in a file, and gives the interface its
//! address as far as a renewal by unicast needs it.
//!
//! A client that is dropped is killed, so it releases nothing.

mod networkd;
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};

pub use self::program::{Care, Program};
use crate::netns::NetNs;
use crate::wait;

/// How the scripts tell us: one file an event, complete once it has its name.
const SCRIPT: &str = include_str!("script.sh");

/// What a client said it got.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Who gave it (option 54).
    pub server: Ipv4Addr,
    /// For how many seconds (option 51).
    pub seconds: u32,
    /// The gateway (option 3), if there is one.
    pub router: Option<Ipv4Addr>,
    /// Name servers (option 6).
    pub dns: Vec<Ipv4Addr>,
    /// Every variable of the client's script, under the client's own names.
    pub variables: BTreeMap<String, String>,
}

/// A client that runs on an interface.
#[derive(Debug)]
pub struct Client {
    program: Program,
    interface: String,
    child: Child,
    folder: tempfile::TempDir,
    events: usize,
}

impl Client {
    /// Starts a client that knows of no earlier lease, on an interface without an address.
    pub fn start(program: Program, namespace: &NetNs, interface: &str) -> Result<Self> {
        Self::start_with(program, namespace, interface, &[])
    }

    /// The same with more arguments on its command line.
    pub fn start_with(
        program: Program,
        namespace: &NetNs,
        interface: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, program, namespace, interface, arguments, Care::Trusts)
    }

    /// Starts a client that asks whether its address is somebody else's before it uses it.
    pub fn start_probing(program: Program, namespace: &NetNs, interface: &str) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, program, namespace, interface, &[], Care::Probes)
    }

    /// Starts a client that remembers what `self` knew: it asks for its old lease again
    /// (INIT-REBOOT) where it is one that keeps leases. systemd-networkd asks again only after its
    /// cable was pulled, which is for the switch to do.
    pub fn start_again(mut self, namespace: &NetNs) -> Result<Self> {
        self.kill();
        let interface = self.interface.clone();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir()?);
        for event in 1..=self.events {
            fs::remove_file(folder.path().join(format!("event.{event}")))?;
        }
        Self::start_in(folder, self.program, namespace, &interface, &[], Care::Trusts)
    }

    fn start_in(
        folder: tempfile::TempDir,
        program: Program,
        namespace: &NetNs,
        interface: &str,
        arguments: &[&str],
        care: Care,
    ) -> Result<Self> {
        namespace.ip(&format!("address flush dev {interface}"))?;
        let script = folder.path().join("script");
        fs::write(&script, SCRIPT.replace("@FOLDER@", &folder.path().display().to_string()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        if care == Care::Probes {
            fs::write(folder.path().join("probe"), "")?;
        }
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = program.command(namespace, interface, folder.path(), care)?;
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", program.name()))?;
        Ok(Self { program, interface: interface.to_owned(), child, folder, events: 0 })
    }

    /// Which client it is.
    pub fn program(&self) -> Program {
        self.program
    }

    /// Waits until it says that it got or renewed a lease.
    pub fn lease(&mut self) -> Result<Lease> {
        let program = self.program.name();
        let lease = wait::until(&format!("{program} to get a lease"), wait::SOON, || {
            while let Some(event) = self.next_event() {
                if event.brings_a_lease() {
                    return Ok(Some(event.lease()?));
                }
            }
            match self.child.try_wait()? {
                Some(status) => bail!("{program} ended with {status}"),
                None => Ok(None),
            }
        });
        lease.with_context(|| format!("what {program} said:\n{}", self.log()))
    }

    /// Waits until it gives up and ends, or says that it failed.
    pub fn failure(&mut self) -> Result<()> {
        let program = self.program.name();
        let failed = wait::until_true(&format!("{program} to get nothing"), wait::SOON, || {
            while let Some(event) = self.next_event() {
                if event.brings_a_lease() {
                    bail!("{program} got {}", event.lease()?.ip);
                }
                if event.is_failure() {
                    return Ok(true);
                }
            }
            Ok(self.child.try_wait()?.is_some())
        });
        failed.with_context(|| format!("what {program} said:\n{}", self.log()))
    }

    /// Has it renew by unicast, and waits for the new lease. (dhclient renews when its time comes.)
    pub fn renew(&mut self) -> Result<Lease> {
        while self.next_event().is_some() {}
        self.program.renew(&self.child)?;
        self.lease()
    }

    /// Has it send a RELEASE and end.
    ///
    /// dhcpcd can lose a signal that comes while it waits for its script, so the script ends first.
    pub fn release(&mut self, namespace: &NetNs) -> Result<()> {
        let script = self.folder.path().join("script").display().to_string();
        wait::until_true("the script to end", wait::SOON, || {
            Ok(!namespace.processes().iter().any(|process| runs(process, &script)))
        })?;
        self.program.release(namespace, &self.interface, self.folder.path(), &self.child)?;
        if self.program.ends_after_release() {
            let child = &mut self.child;
            let ended =
                wait::until("the client to end after its release", wait::SOON, || Ok(child.try_wait()?));
            ended.with_context(|| format!("what {} said:\n{}", self.program.name(), self.log()))?;
        }
        Ok(())
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Has its script refuse the address it is given next; dhclient then declines it.
    pub fn refuse_next(&self) -> Result<()> {
        Ok(fs::write(self.folder.path().join("refuse"), "")?)
    }

    fn next_event(&mut self) -> Option<Event> {
        let next = self.events.saturating_add(1);
        let text = if self.program == Program::Networkd {
            networkd::event(self.folder.path(), self.events)?
        } else {
            let text = fs::read(self.folder.path().join(format!("event.{next}"))).ok()?;
            String::from_utf8_lossy(&text).into_owned()
        };
        self.events = next;
        Some(Event::read(self.program, &text))
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a client until it has its first lease, then kills it: the lease stays.
pub fn obtain(program: Program, namespace: &NetNs, interface: &str) -> Result<Lease> {
    Client::start(program, namespace, interface)?.lease()
}

/// Whether a process is a shell that runs this script; a client only names it among its arguments.
fn runs(process: &str, script: &str) -> bool {
    let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1) == Some(script.as_bytes())
}

/// One call of the script.
struct Event {
    program: Program,
    reason: String,
    variables: BTreeMap<String, String>,
}

impl Event {
    fn read(program: Program, text: &str) -> Self {
        let variables: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let reason = variables.get("event").cloned().unwrap_or_default();
        Self { program, reason, variables }
    }

    fn brings_a_lease(&self) -> bool {
        ["BOUND", "RENEW", "REBIND", "REBOOT", "bound", "renew"].contains(&self.reason.as_str())
    }

    fn is_failure(&self) -> bool {
        ["FAIL", "TIMEOUT", "leasefail"].contains(&self.reason.as_str())
    }

    fn lease(&self) -> Result<Lease> {
        let names = self.program.variables();
        Ok(Lease {
            ip: self.required(names.ip)?,
            server: self.required(names.server)?,
            seconds: self.required(names.seconds)?,
            router: self.list(names.router).first().copied(),
            dns: self.list(names.dns),
            variables: self.variables.clone(),
        })
    }

    fn required<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
        &self,
        name: &str,
    ) -> Result<T> {
        let value = self.variables.get(name).with_context(|| format!("no {name} in {:?}", self.variables))?;
        value.parse().with_context(|| format!("{name}={value}"))
    }

    fn list(&self, name: &str) -> Vec<Ipv4Addr> {
        let value = self.variables.get(name).map(String::as_str).unwrap_or_default();
        value.split_whitespace().filter_map(|address| address.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_clients_own_names_are_understood() {
        let dhclient = "event=BOUND\nnew_ip_address=10.9.0.100\nnew_dhcp_server_identifier=10.9.0.2\n\
            new_dhcp_lease_time=3600\nnew_routers=10.9.0.1\nnew_domain_name_servers=10.9.0.53 10.9.0.54\n";
        let udhcpc = "event=bound\nip=10.9.0.100\nserverid=10.9.0.2\nlease=3600\nrouter=10.9.0.1\n\
            dns=10.9.0.53 10.9.0.54\n";
        for (program, text) in
            [(Program::Dhclient, dhclient), (Program::Dhcpcd, dhclient), (Program::Udhcpc, udhcpc)]
        {
            let event = Event::read(program, text);
            assert!(event.brings_a_lease());
            let lease = event.lease().unwrap();
            assert_eq!((lease.ip, lease.seconds), (Ipv4Addr::new(10, 9, 0, 100), 3600));
            assert_eq!((lease.server, lease.router), ([10, 9, 0, 2].into(), Some([10, 9, 0, 1].into())));
            assert_eq!(lease.dns, [Ipv4Addr::new(10, 9, 0, 53), Ipv4Addr::new(10, 9, 0, 54)]);
        }
    }

    #[test]
    fn an_event_without_an_address_is_no_lease() {
        assert!(Event::read(Program::Udhcpc, "event=bound\nlease=5\n").lease().is_err());
        assert!(!Event::read(Program::Udhcpc, "event=deconfig\n").brings_a_lease());
        assert!(Event::read(Program::Udhcpc, "event=leasefail\n").is_failure());
    }
}
