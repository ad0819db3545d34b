//! UDP port 67 of an interface, held so that two things do not happen: another DHCP server on
//! this host answers the same clients, and the kernel tells clients who renew by unicast that
//! nobody listens (ICMP port unreachable).
//!
//! Nothing is read from it: requests come by a [`super::socket::Link`], and a filter drops these
//! copies before they are queued.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use xdhcpd_common::frame::udp;

use super::filter;

/// Why the port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody else has it.
    #[error(
        "UDP port {} on {interface} is held by another process, most likely another DHCP server; \
         `ss -ulpn sport = :{}` shows which one: stop it first",
        udp::SERVER,
        udp::SERVER
    )]
    InUse {
        /// The interface.
        interface: String,
    },
    /// There is no such interface.
    #[error("interface {interface}: there is none of this name here")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// A capability is missing.
    #[error("UDP port {} on {interface}: {step} needs the capability {capability}", udp::SERVER)]
    NotPermitted {
        /// The interface.
        interface: String,
        /// What was tried.
        step: &'static str,
        /// What would allow it.
        capability: &'static str,
    },
    /// Anything else.
    #[error("UDP port {} on {interface}: cannot {step}: {source}", udp::SERVER)]
    Failed {
        /// The interface.
        interface: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// UDP port 67 of an interface, for as long as this lives.
///
/// A VLAN's own interface, where the host has one, needs one of its own.
#[derive(Debug)]
pub struct ServerPort {
    _socket: Socket,
}

impl ServerPort {
    /// Takes the port.
    ///
    /// Without `SO_REUSEADDR`: with it, another server that sets it too would go unnoticed.
    pub fn claim(interface: &str) -> Result<Self, PortError> {
        let error = |step| move |source| port_error(interface, step, source);
        let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), None)
            .map_err(error("open a socket"))?;
        socket.attach_filter(&filter::nothing()).map_err(error("attach the filter"))?;
        socket.bind_device(Some(interface.as_bytes())).map_err(error(BIND_DEVICE))?;
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, udp::SERVER));
        socket.bind(&address.into()).map_err(error(BIND))?;
        Ok(Self { _socket: socket })
    }
}

const BIND: &str = "bind to the port";
const BIND_DEVICE: &str = "bind to the interface";

fn port_error(interface: &str, step: &'static str, source: io::Error) -> PortError {
    let interface = interface.to_owned();
    match source.kind() {
        io::ErrorKind::AddrInUse => PortError::InUse { interface },
        io::ErrorKind::PermissionDenied => {
            let capability = if step == BIND { "CAP_NET_BIND_SERVICE" } else { "CAP_NET_RAW" };
            PortError::NotPermitted { interface, step, capability }
        }
        _ if step == BIND_DEVICE && source.raw_os_error() == Some(libc::ENODEV) => {
            PortError::NoInterface { interface }
        }
        _ => PortError::Failed { interface, step, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let error = ServerPort::claim("nosuch0").unwrap_err();
        assert_eq!(error.to_string(), "interface nosuch0: there is none of this name here");
    }

    #[test]
    fn a_port_in_use_tells_how_to_find_who_has_it() {
        let error = port_error("eth1", BIND, io::ErrorKind::AddrInUse.into()).to_string();
        assert!(error.contains("port 67 on eth1"), "{error}");
        assert!(error.contains("ss -ulpn sport = :67"), "{error}");
    }

    #[test]
    fn a_missing_capability_is_named() {
        let missing = |step| port_error("eth1", step, io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(missing(BIND).contains("CAP_NET_BIND_SERVICE"));
        assert!(missing(BIND_DEVICE).contains("CAP_NET_RAW"));
    }
}
