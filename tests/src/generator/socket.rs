//! The socket that all clients share: many messages with one system call.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use socket2::{Domain, Socket, Type};

/// Messages of one system call.
pub(super) const BATCH: usize = 64;
/// The same as the kernel wants it.
const COUNT: libc::c_uint = 64;
const _: () = assert!(COUNT as usize == BATCH);
/// A reply is shorter than this (RFC 2131 §2: 576 unless the client takes more).
const LONGEST: usize = 1024;
/// Room for replies that come while we send: more than any server can give in a tenth of a second.
const BUFFER: usize = 64 << 20;

/// A UDP socket between a relay's address and a server's, both at port 67.
#[derive(Debug)]
pub(super) struct Messages {
    socket: Socket,
    inbox: Vec<[u8; LONGEST]>,
}

impl Messages {
    /// Opens it in the namespace of the calling thread.
    pub(super) fn open(relay: Ipv4Addr, server: Ipv4Addr) -> Result<Self> {
        let socket = open(relay, server).context("cannot open the generator's socket")?;
        Ok(Self { socket, inbox: vec![[0; LONGEST]; BATCH] })
    }

    /// Shows the messages that wait, up to a batch of them.
    pub(super) fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        // SAFETY: C structs of integers and pointers, for which zeroes are a value.
        let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { std::mem::zeroed() };
        for ((room, vector), header) in self.inbox.iter_mut().zip(&mut vectors).zip(&mut headers) {
            *vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: LONGEST };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header points to a vector, and that to a buffer of its length; all outlive the call.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                COUNT,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return nothing_now(&io::Error::last_os_error());
        };
        for (room, header) in self.inbox.iter().zip(&headers).take(received) {
            each(&room[..(header.msg_len as usize).min(LONGEST)]);
        }
        Ok(received)
    }

    /// Sends messages; how many of them the kernel took.
    pub(super) fn send(&self, messages: &[Vec<u8>]) -> Result<usize> {
        // SAFETY: C structs of integers and pointers, for which zeroes are a value.
        let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { std::mem::zeroed() };
        for ((message, vector), header) in messages.iter().zip(&mut vectors).zip(&mut headers) {
            *vector = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        let count = libc::c_uint::try_from(messages.len()).unwrap_or(COUNT).min(COUNT);
        // SAFETY: the first `count` headers point to vectors, and those to messages; all outlive the call.
        let sent = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT)
        };
        usize::try_from(sent).or_else(|_| nothing_now(&io::Error::last_os_error()))
    }
}

/// A full or an empty queue, and a server that is not there (any more), are no errors here.
fn nothing_now(error: &io::Error) -> Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted => Ok(0),
        _ => Err(io::Error::from(error.kind())).context("the generator's socket"),
    }
}

fn open(relay: Ipv4Addr, server: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, BUFFER)?;
    socket.bind(&SocketAddrV4::new(relay, 67).into())?;
    socket.connect(&SocketAddrV4::new(server, 67).into())?;
    Ok(socket)
}
