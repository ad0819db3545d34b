//! ICMP echo (RFC 792): asking an address that no ARP request reaches whether somebody has it.
//!
//! The requests take the host's own routes, so that an address behind a relay is asked as anybody
//! on this host would ask it.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use super::layers::sum;

/// ICMP's types.
const REPLY: u8 = 0;
const REQUEST: u8 = 8;
/// Longer than the headers, which is all that is looked at.
const HEADERS: usize = 128;
/// Level and name of the option that keeps other types from a raw socket (raw(7)).
const SOL_RAW: libc::c_int = 255;
const ICMP_FILTER: libc::c_int = 1;

/// A socket that sends echo requests and hears every echo reply that this host gets. Non-blocking.
#[derive(Debug)]
pub struct Echo {
    socket: Socket,
}

impl Echo {
    /// Opens it; takes `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4))?;
        hear_replies_alone(&socket)?;
        Ok(Self { socket })
    }

    /// Asks an address.
    pub fn ask(&self, ip: Ipv4Addr) -> io::Result<()> {
        self.socket.send_to(&request(), &SocketAddrV4::new(ip, 0).into())?;
        Ok(())
    }

    /// Who answered next; `WouldBlock` where nobody did. Whoever asked: an address that answers is
    /// somebody's.
    pub fn answered(&self) -> io::Result<Ipv4Addr> {
        loop {
            let mut buffer = [MaybeUninit::uninit(); HEADERS];
            let length = self.socket.recv(&mut buffer)?;
            // SAFETY: the kernel has filled this many bytes.
            let packet: Vec<u8> =
                buffer.iter().take(length).map(|byte| unsafe { byte.assume_init() }).collect();
            if let Some(ip) = replier(&packet) {
                return Ok(ip);
            }
        }
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An echo request without data: type, code, checksum, identifier, sequence number.
fn request() -> [u8; 8] {
    let [high, low] = sum(&[REQUEST, 0, 0, 0, 0, 0, 0, 0]).bytes();
    [REQUEST, 0, high, low, 0, 0, 0, 0]
}

/// The source of an IP packet that is an echo reply.
fn replier(packet: &[u8]) -> Option<Ipv4Addr> {
    let header = usize::from(packet.first()? & 0x0f).saturating_mul(4);
    let source = <[u8; 4]>::try_from(packet.get(12..16)?).ok()?;
    (packet.get(header) == Some(&REPLY)).then(|| source.into())
}

/// Keeps every other type of ICMP away from the socket.
fn hear_replies_alone(socket: &Socket) -> io::Result<()> {
    let others: u32 = !(1 << REPLY);
    let length = libc::socklen_t::try_from(size_of_val(&others)).unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes from `others`, which is that long and outlives the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), SOL_RAW, ICMP_FILTER, (&raw const others).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_an_echo_request_has_a_right_checksum() {
        assert_eq!(request(), [8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn c24_only_the_source_of_an_echo_reply_has_answered() {
        let mut packet =
            [&[0x46, 0, 0, 32, 0, 0, 0, 0, 64, 1, 0, 0][..], &[10, 8, 0, 100, 10, 9, 0, 2]].concat();
        packet.extend([1; 4]);
        packet.extend([REPLY, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(replier(&packet), Some(Ipv4Addr::new(10, 8, 0, 100)));
        for length in 0..=24 {
            assert_eq!(replier(&packet[..length]), None, "{length} bytes");
        }
        packet[24] = REQUEST;
        assert_eq!(replier(&packet), None);
    }
}
