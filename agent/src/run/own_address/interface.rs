//! The IPv4 addresses of an interface, read and changed.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::netlink::{self, attribute, u32_at, with_header};

/// `RTM_NEWADDR`.
const NEW: u16 = 20;
/// `RTM_DELADDR`.
const REMOVE: u16 = 21;
/// `RTM_GETADDR`.
const GET: u16 = 22;
/// Length of `struct ifaddrmsg`.
const HEADER: usize = 8;
/// `AF_INET`.
const IPV4: u8 = 2;
/// `IFA_ADDRESS`: the other end's where there is one, else our own.
const PEER: u16 = 1;
/// `IFA_LOCAL`.
const LOCAL: u16 = 2;
/// `IFA_BROADCAST`.
const BROADCAST: u16 = 4;

/// An address of an interface, with all that the kernel says of it (label, scope, lifetime, metric), so
/// that it can be put back as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Address {
    ip: Ipv4Addr,
    prefix: u8,
    /// `struct ifaddrmsg` and its attributes.
    message: Vec<u8>,
}

/// Two are the same when address and prefix are: what else is known of one does not set it apart.
impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        (self.ip, self.prefix) == (other.ip, other.prefix)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl Address {
    /// A new address for an interface.
    pub(super) fn new(index: u32, net: Ipv4Net) -> Self {
        let mut message = vec![IPV4, net.prefix_len(), 0, 0];
        message.extend(index.to_ne_bytes());
        message.extend(with_header(LOCAL, net.addr().octets()));
        message.extend(with_header(PEER, net.addr().octets()));
        // A /31 and a /32 have no broadcast address (RFC 3021).
        if net.prefix_len() < 31 {
            message.extend(with_header(BROADCAST, net.broadcast().octets()));
        }
        Self { ip: net.addr(), prefix: net.prefix_len(), message }
    }

    /// Reads the kernel's word on an address; none: it is another interface's.
    fn read(body: &[u8], index: u32) -> Option<Self> {
        let is_ours = body.first() == Some(&IPV4) && u32_at(body, 4) == Some(index);
        let local = attribute(body.get(HEADER..)?, LOCAL)?.first_chunk::<4>().filter(|_| is_ours)?;
        Some(Self { ip: Ipv4Addr::from(*local), prefix: *body.get(1)?, message: body.to_vec() })
    }

    /// Whether both are of one subnet.
    fn is_beside(&self, other: &Self) -> bool {
        let subnet = |address: &Self| Ipv4Net::new(address.ip, address.prefix).ok().map(|net| net.trunc());
        subnet(self) == subnet(other)
    }
}

/// The addresses of an interface, in the kernel's order.
pub(super) fn addresses(index: u32) -> io::Result<Vec<Address>> {
    netlink::list(GET, &[IPV4, 0, 0, 0, 0, 0, 0, 0], NEW, |body| Address::read(body, index))
}

/// Gives the interface exactly these addresses.
///
/// New ones come before old ones go, so that the interface is never without an address and the kernel
/// does not drop its routes. Within a subnet it is the other way round: a new address would come
/// second there, and the kernel removes those with the first.
pub(super) fn set(index: u32, target: &[Address]) -> io::Result<()> {
    let present = addresses(index)?;
    let leaving: Vec<&Address> = present.iter().filter(|address| !target.contains(address)).collect();
    let missing = |present: &[Address]| -> Vec<&Address> {
        target.iter().filter(|address| !present.contains(address)).collect()
    };
    for address in missing(&present) {
        if !leaving.iter().any(|other| other.is_beside(address)) {
            add(address)?;
        }
    }
    for address in leaving.iter().rev() {
        remove(address)?;
    }
    for address in missing(&addresses(index)?) {
        add(address)?;
    }
    Ok(())
}

fn add(address: &Address) -> io::Result<()> {
    unless(netlink::change(NEW, netlink::CREATE, &address.message), libc::EEXIST)
        .map_err(|fault| io::Error::new(fault.kind(), format!("{address} cannot be set: {fault}")))
}

fn remove(address: &Address) -> io::Result<()> {
    unless(netlink::change(REMOVE, 0, &address.message), libc::EADDRNOTAVAIL)
        .map_err(|fault| io::Error::new(fault.kind(), format!("{address} cannot be removed: {fault}")))
}

/// An error that says that what was wanted is so already is none.
fn unless(outcome: io::Result<()>, already: i32) -> io::Result<()> {
    match outcome {
        Err(fault) if fault.raw_os_error() == Some(already) => Ok(()),
        other => other,
    }
}
