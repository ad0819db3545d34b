//! Hosts on one switch: a server and as many others as a test wants, each in a namespace of its own.

use anyhow::Result;

use crate::netns::NetNs;

/// A switch with the server on it, which has 10.9.0.2/24.
#[derive(Debug)]
pub struct Segment {
    /// Where the agent runs, on `s0`.
    pub server: NetNs,
    switch: NetNs,
}

impl Segment {
    /// A switch with the server alone.
    pub fn new() -> Result<Self> {
        let segment = Self { server: NetNs::new("s")?, switch: NetNs::new("w")? };
        segment.switch.ip("link add br0 type bridge")?;
        segment.switch.ip("link set br0 up")?;
        segment.plug(&segment.server, "s0")?;
        segment.server.ip("address add 10.9.0.2/24 dev s0")?;
        Ok(segment)
    }

    /// A host that is plugged in by `interface`, which has this hardware address and is up.
    pub fn host(&self, role: &str, interface: &str, mac: &str) -> Result<NetNs> {
        let host = NetNs::new(role)?;
        self.plug(&host, interface)?;
        host.ip(&format!("link set {interface} address {mac}"))?;
        Ok(host)
    }

    fn plug(&self, host: &NetNs, interface: &str) -> Result<()> {
        let port = port(interface);
        self.switch.ip(&format!("link add {port} type veth peer name {interface} netns {}", host.name()))?;
        self.switch.ip(&format!("link set {port} master br0 up"))?;
        host.ip(&format!("link set {interface} up"))?;
        Ok(())
    }

    /// Pulls the cable of the host that is plugged in by `interface`.
    pub fn pull(&self, interface: &str) -> Result<()> {
        self.switch.ip(&format!("link set {} down", port(interface))).map(drop)
    }

    /// Plugs it in again.
    pub fn plug_in_again(&self, interface: &str) -> Result<()> {
        self.switch.ip(&format!("link set {} up", port(interface))).map(drop)
    }
}

/// The switch's end of a host's cable.
fn port(interface: &str) -> String {
    format!("to-{interface}")
}
