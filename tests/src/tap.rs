//! A packet socket on one interface: every frame that passes there in both directions, with its
//! time and its VLAN tags; and any frame sent.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

use crate::netns::NetNs;

/// Longer than any frame of these tests.
const FRAME: usize = 4096;
/// Room for a burst: tests read when they get to it.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Where the tags of IEEE 802.1Q stand in a frame.
const TAG: usize = 12;

/// A frame as it was on the wire.
#[derive(Debug, Clone)]
pub struct Frame {
    /// When the kernel saw it.
    pub at: SystemTime,
    /// All of it, from the destination's hardware address on.
    pub bytes: Vec<u8>,
}

/// A packet socket on one interface of a namespace.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
}

impl Tap {
    /// Opens it: frames are kept from here on.
    pub fn open(namespace: &NetNs, interface: &str) -> Result<Self> {
        namespace.inside(|| Self::open_here(interface))?
    }

    fn open_here(interface: &str) -> Result<Self> {
        // Of no protocol: nothing comes in until it is bound to the interface.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("opening a packet socket")?;
        let index = rustix::net::netdevice::name_to_index(&socket, interface)
            .with_context(|| format!("looking for {interface}"))?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        // Forced: what the host allows without is a few hundred frames.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)?;
        socket.bind(&address(index)).with_context(|| format!("binding to {interface}"))?;
        Ok(Self { socket })
    }

    /// Sends a whole frame, tags and all.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        self.socket.send(frame).context("sending a frame")?;
        Ok(())
    }

    /// The next frame; `None` when none comes within `limit`.
    pub fn receive(&self, limit: Duration) -> Result<Option<Frame>> {
        let limit = Timespec::try_from(limit)?;
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&limit)) {
            // A signal cuts the wait short.
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            other => other?,
        };
        Ok(Some(receive(&self.socket).context("receiving a frame")?))
    }
}

fn set_option(socket: &Socket, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length are those of a live integer.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// All protocols on this interface (packet(7)).
fn address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is an address of the family AF_PACKET, and the storage has room for any.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET.cast_unsigned().try_into().unwrap_or_default();
    link.sll_protocol = u16::to_be(libc::ETH_P_ALL.cast_unsigned().try_into().unwrap_or_default());
    link.sll_ifindex = index.cast_signed();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    // SAFETY: the length is that of the address just written.
    unsafe { SockAddr::new(storage, length) }
}

fn receive(socket: &Socket) -> io::Result<Frame> {
    let mut bytes = vec![0; FRAME];
    let mut control = [0_u64; 32];
    let mut parts = [libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }];
    // SAFETY: all of it are integers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header points to live buffers of the lengths it gives.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
    bytes.truncate(length);
    let mut at = SystemTime::now();
    // SAFETY: `recvmsg` filled the header; the macros walk its control messages within their length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: not null, so it is a control message with its data behind it.
        let (kind, data) = unsafe { (((*next).cmsg_level, (*next).cmsg_type), libc::CMSG_DATA(next)) };
        match kind {
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                // SAFETY: a message of this kind carries this structure.
                let about = unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
                put_tag_back(&mut bytes, about);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // SAFETY: a message of this kind carries this structure.
                let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                at = system_time(time).unwrap_or(at);
            }
            _ => {}
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(Frame { at, bytes })
}

/// The kernel takes the outermost tag out of the frame and tells it beside (packet(7)).
fn put_tag_back(bytes: &mut Vec<u8>, about: libc::tpacket_auxdata) {
    if about.tp_status & libc::TP_STATUS_VLAN_VALID == 0 || bytes.len() < TAG {
        return;
    }
    let has_kind = about.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let kind = if has_kind { about.tp_vlan_tpid } else { 0x8100 };
    let [a, b] = kind.to_be_bytes();
    let [c, d] = about.tp_vlan_tci.to_be_bytes();
    bytes.splice(TAG..TAG, [a, b, c, d]);
}

fn system_time(time: libc::timespec) -> Option<SystemTime> {
    let since = Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
