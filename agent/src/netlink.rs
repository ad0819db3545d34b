//! Questions to the kernel about interfaces, addresses and routes, and changes to them: the least of
//! rtnetlink(7) that is needed.
//!
//! Each call has a socket of its own, so that an answer can only be its own.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::retry_on_intr;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// `NLMSG_ERROR`: a refusal, or with error 0 the word that a change is made.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const DONE: u16 = 3;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_DUMP_INTR`, of an answer: what is listed changed in the meantime.
const INTERRUPTED: u16 = 0x10;
/// `NLM_F_DUMP`.
const DUMP: u16 = 0x300;
/// `NLM_F_EXCL` and `NLM_F_CREATE`: what is there already is left as it is.
pub(crate) const CREATE: u16 = 0x600;
/// `RTMGRP_LINK`: interfaces that are made, changed or removed.
pub(crate) const LINKS: u32 = 1;
/// `RTMGRP_IPV4_IFADDR`: IPv4 addresses that come and go.
pub(crate) const IPV4_ADDRESSES: u32 = 0x10;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// `NLA_TYPE_MASK`: the kernel marks attributes with the bits above.
const TYPE_MASK: u16 = 0x3fff;
/// The kernel splits lists into less, and one interface with hundreds of virtual functions is less, too.
const ANSWER_LIMIT: usize = 1 << 16;
/// How often a list is asked for again that changed while it was made.
const ATTEMPTS: usize = 5;

/// Asks for one thing; the body of the answer, which is of the kind `answer`.
pub(crate) fn ask(kind: u16, body: &[u8], answer: u16) -> io::Result<Vec<u8>> {
    let mut kernel = Kernel::told(kind, 0, body)?;
    let (message, _) = Message::first(kernel.read()?)?;
    Ok(message.expect(answer)?.to_vec())
}

/// Asks for all things of a kind; what `each` makes of the bodies of the answers.
pub(crate) fn list<T>(
    kind: u16,
    body: &[u8],
    answer: u16,
    each: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    for _ in 0..ATTEMPTS {
        if let Some(found) = list_once(kind, body, answer, &each)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("what the kernel lists keeps changing"))
}

/// Asks for a change, and waits until it is made.
pub(crate) fn change(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let mut kernel = Kernel::told(kind, flags | ACKNOWLEDGE, body)?;
    let (message, _) = Message::first(kernel.read()?)?;
    if message.kind != ERROR {
        return Err(unexpected());
    }
    message.outcome()
}

/// A socket that is readable when something of these groups (rtnetlink(7)) has changed.
pub(crate) fn changes(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Drops what was said of changes so far: who looks at the interfaces themselves need not read it, and
/// misses nothing where the socket was full.
pub(crate) fn forget_changes(socket: &OwnedFd) {
    // What came in while the socket was full is lost, which is an error of its own, said once.
    while !matches!(recv(socket, [0_u8; 1].as_mut_slice(), RecvFlags::empty()), Err(error) if error != rustix::io::Errno::NOBUFS)
    {
    }
}

/// One attempt; none: the list changed while it was made.
fn list_once<T>(
    kind: u16,
    body: &[u8],
    answer: u16,
    each: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<Vec<T>>> {
    let mut kernel = Kernel::told(kind, DUMP, body)?;
    let mut found = Vec::new();
    let mut is_whole = true;
    loop {
        let mut rest = kernel.read()?;
        // The first message of nothing is an error: empty datagrams are no endless list.
        loop {
            let (message, next) = Message::first(rest)?;
            is_whole &= message.flags & INTERRUPTED == 0;
            if message.kind == DONE {
                message.outcome()?;
                return Ok(is_whole.then_some(found));
            }
            found.extend(each(message.expect(answer)?));
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
    }
}

/// The kernel, with a question in hand.
struct Kernel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Kernel {
    fn told(kind: u16, flags: u16, body: &[u8]) -> io::Result<Self> {
        // No protocol is protocol 0, NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        send(&socket, &message(kind, flags, body)?, SendFlags::empty())?;
        Ok(Self { socket, buffer: vec![0; ANSWER_LIMIT] })
    }

    fn read(&mut self) -> io::Result<&[u8]> {
        let Self { socket, buffer } = self;
        let (_, length) = retry_on_intr(|| recv(&*socket, buffer.as_mut_slice(), RecvFlags::empty()))?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

/// A message to the kernel.
fn message(kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER.saturating_add(body.len())).map_err(io::Error::other)?;
    let fields: [&[u8]; 5] = [
        &length.to_ne_bytes(),
        &kind.to_ne_bytes(),
        &(REQUEST | flags).to_ne_bytes(),
        &[0; 8], // sequence and port
        body,
    ];
    Ok(fields.concat())
}

/// A message of the kernel.
struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The first message of a datagram, and what comes after it.
    fn first(datagram: &'a [u8]) -> io::Result<(Self, &'a [u8])> {
        Self::split(datagram).ok_or_else(cut_short)
    }

    fn split(datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let body = datagram.get(HEADER..length)?;
        let rest = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((Self { kind: u16_at(datagram, 4)?, flags: u16_at(datagram, 6)?, body }, rest))
    }

    /// The body, if it is of this kind.
    fn expect(&self, kind: u16) -> io::Result<&'a [u8]> {
        if self.kind == ERROR {
            self.outcome()?;
        }
        if self.kind == kind { Ok(self.body) } else { Err(unexpected()) }
    }

    /// What the number says with which errors and the ends of lists begin.
    fn outcome(&self) -> io::Result<()> {
        match u32_at(self.body, 0).ok_or_else(cut_short)?.cast_signed() {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut short")
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel answered something else")
}

/// The value of the first attribute of this type.
pub(crate) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(ATTRIBUTE..length)?;
        if kind & TYPE_MASK == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// An attribute of four bytes.
pub(crate) fn with_header(kind: u16, value: [u8; 4]) -> Vec<u8> {
    [&8_u16.to_ne_bytes(), &kind.to_ne_bytes(), value.as_slice()].concat()
}

/// Two bytes of a message, in the machine's order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// Four bytes of a message, in the machine's order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_kernels_own() {
        let bytes = message(ERROR, 0, &(-libc::ENODEV).to_ne_bytes()).unwrap();
        let (refusal, rest) = Message::first(&bytes).unwrap();
        assert_eq!(refusal.expect(16).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(rest.is_empty());
    }

    #[test]
    fn an_answer_of_another_kind_is_refused() {
        let bytes = message(17, 0, &[1, 2, 3, 4]).unwrap();
        let (answer, _) = Message::first(&bytes).unwrap();
        assert_eq!(answer.expect(17).unwrap(), [1, 2, 3, 4]);
        assert!(answer.expect(16).is_err());
    }

    #[test]
    fn no_prefix_of_a_message_panics() {
        let whole = message(16, 0, &with_header(3, [1, 2, 3, 4])).unwrap();
        for end in 0..whole.len() {
            assert!(Message::first(&whole[..end]).is_err(), "{end}");
        }
        assert_eq!(attribute(&[0; 8], 43), None, "a length of zero must not loop");
    }
}
