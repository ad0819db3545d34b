//! Relay agents that people use, between a client's link and the server's.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::netns::{CLIENT_MAC, NetNs, Pair};
use crate::server::Server;
use crate::skip;

/// A relay agent, and how it is told to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ISC's, plain.
    Isc,
    /// ISC's that adds option 82 with the circuit that the client is on: its interface's name.
    IscWithCircuit,
    /// ISC's with a `giaddr` on the server's link; the client's link is in sub-option 5 (RFC 3527).
    IscWithLinkSelection,
    /// dnsmasq's.
    Dnsmasq,
}

impl Kind {
    /// Whether it is installed; else the test is noted as skipped.
    pub fn is_there(self, test: &str) -> bool {
        match self {
            Self::Dnsmasq => skip::is_there(test, "dnsmasq", "dnsmasq-base"),
            _ => skip::is_there(test, "dhcrelay", "isc-dhcp-relay"),
        }
    }
}

/// A server, a relay's host and a client, in a row: `s0` — `c0` `r0` — `far0`.
#[derive(Debug)]
pub struct Row {
    /// The server's and the relay's host, and the link between them.
    pub near: Pair,
    /// Where the client runs, on `far0`.
    pub client: NetNs,
    relay: Option<Child>,
}

/// The relay's address towards its clients.
pub const RELAY: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
/// And towards the server.
pub const RELAY_NEAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

impl Row {
    /// The three of them, with no relay agent yet.
    pub fn new() -> Result<Self> {
        let near = Pair::new()?;
        let client = NetNs::new("far")?;
        let relay = &near.client;
        relay.ip(&format!("link add r0 type veth peer name far0 netns {}", client.name()))?;
        relay.ip(&format!("address add {RELAY}/24 dev r0"))?;
        relay.ip("link set r0 up")?;
        relay.ip(&format!("address add {RELAY_NEAR}/24 dev c0"))?;
        relay.run("sysctl", &["-q", "-w", "net.ipv4.ip_forward=1"])?;
        // In a pair `c0` has the client's hardware address, which is `far0`'s here.
        relay.ip("link set c0 address 02:00:00:00:00:99")?;
        client.ip(&format!("link set far0 address {CLIENT_MAC} up"))?;
        near.server.ip(&format!("route add 10.8.0.0/24 via {RELAY_NEAR}"))?;
        Ok(Self { near, client, relay: None })
    }

    /// Starts the relay agent; one that is there ends first.
    pub fn relay(&mut self, kind: Kind) -> Result<()> {
        self.stop();
        let server = "10.9.0.2";
        let relay = &self.near.client;
        let mut command =
            if kind == Kind::Dnsmasq { dnsmasq(relay, server) } else { isc(relay, kind, server) };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.relay = Some(command.spawn().with_context(|| format!("starting {kind:?}"))?);
        Ok(())
    }

    /// Starts the agent with these networks.
    pub fn serve(&self, networks: &str) -> Result<Server> {
        Server::start(&self.near.server, networks)
    }

    fn stop(&mut self) {
        if let Some(mut relay) = self.relay.take() {
            let _ = relay.kill();
            let _ = relay.wait();
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        self.stop();
    }
}

fn dnsmasq(host: &NetNs, server: &str) -> Command {
    let mut command = host.command("dnsmasq");
    command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file"]);
    command.args(["--dhcp-leasefile=/dev/null", &format!("--dhcp-relay={RELAY},{server}")]);
    command
}

fn isc(host: &NetNs, kind: Kind, server: &str) -> Command {
    let mut command = host.command("dhcrelay");
    command.args(["-4", "-d", "--no-pid"]);
    command.args((kind == Kind::IscWithCircuit).then_some("-a"));
    let up = if kind == Kind::IscWithLinkSelection { "-U" } else { "-iu" };
    command.args(["-id", "r0", up, "c0", server]);
    command
}
