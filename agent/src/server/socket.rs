//! The packet socket of one interface: whole frames in, whole frames out.
//!
//! A request reaches it whatever the host's routes, addresses and firewall are, and a reply
//! reaches a client that has no address yet. The XDP program's answers never come by here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

use super::batch::{Batch, FRAMES, Slot};
use super::filter;

/// What may wait for us in the kernel: a thousand machines that start at one time, with the
/// kernel's own overhead for each frame.
const RECEIVE_BUFFER: usize = 16 << 20;
/// What may wait for the device; two batches of the longest frames.
const SEND_BUFFER: usize = 2 << 20;
/// How often one call to send waits for room, which bounds how long it holds its task up.
const SEND_PAUSES: u32 = 5;
/// For how long: a device at 1 Gbit/s sends two hundred frames in this time.
const SEND_PAUSE: Duration = Duration::from_millis(1);

/// Why an interface cannot be listened to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is none of that name.
    #[error("interface {interface}: there is none of this name here: {source}")]
    NoInterface {
        /// Its name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A capability is missing.
    #[error("interface {interface}: a packet socket needs the capability CAP_NET_RAW: {source}")]
    NotPermitted {
        /// Its name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("interface {interface}: cannot {step}: {source}")]
    Failed {
        /// Its name.
        interface: String,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What became of frames to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOutcome {
    /// How many went out.
    pub sent: usize,
    /// How many the kernel would not have, most likely too long for the interface. The others went on.
    pub refused: usize,
    /// Why the rest was not sent, if some was not.
    pub stopped: Option<Stopped>,
}

/// Why sending stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The interface is down, for now.
    LinkDown,
    /// The interface is gone: this link is of no more use.
    LinkGone,
    /// The device's queue stayed full.
    QueueFull,
}

/// Frames that never reached a batch, since the link was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// There was no room in the receive buffer.
    pub queue_full: u64,
    /// Longer than a DHCP message can be.
    pub too_long: u64,
}

/// A packet socket on one interface. Non-blocking.
#[derive(Debug)]
pub struct Link {
    name: String,
    index: u32,
    socket: Socket,
    losses: Losses,
    hears_arp: bool,
}

impl Link {
    /// Opens a socket that has every DHCP request on the interface from now on.
    ///
    /// An interface that is deleted and made again is another one: open another link then.
    pub fn open(interface: &str) -> Result<Self, LinkError> {
        let failed = |step| move |source| LinkError::Failed { interface: interface.to_owned(), step, source };
        // Of no protocol: nothing comes in until the filter is there and `bind` names one.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)
            .map_err(|source| open_error(interface, source))?;
        let index = rustix::net::netdevice::name_to_index(&socket, interface).map_err(|source| {
            LinkError::NoInterface { interface: interface.to_owned(), source: source.into() }
        })?;
        socket.attach_filter(&filter::requests()).map_err(failed("attach the filter"))?;
        set_packet_option(&socket, libc::PACKET_AUXDATA).map_err(failed("ask for VLAN tags"))?;
        // Since Linux 4.20; on older ones the filter drops them alone.
        let _ = set_packet_option(&socket, libc::PACKET_IGNORE_OUTGOING);
        enlarge_buffers(&socket).map_err(failed("enlarge the buffers"))?;
        socket.bind(&address(index)).map_err(failed("bind to the interface"))?;
        Ok(Self { name: interface.to_owned(), index, socket, losses: Losses::default(), hears_arp: false })
    }

    /// The interface's name when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Takes ARP messages too from now on, or no more: on a large link there are many, which are
    /// of use only while an address is being probed.
    pub fn hear_arp(&mut self, hears: bool) -> io::Result<()> {
        if self.hears_arp != hears {
            // One filter takes the other's place at once: no request is lost between them.
            let filter = if hears { filter::requests_and_arp() } else { filter::requests() };
            self.socket.attach_filter(&filter)?;
            self.hears_arp = hears;
        }
        Ok(())
    }

    /// The interface's MAC at present.
    pub fn mac(&self) -> io::Result<[u8; 6]> {
        let address = self.socket.local_addr()?;
        // SAFETY: an address of a packet socket is a `sockaddr_ll`, which `SockAddr` has room for.
        let link = unsafe { address.as_ptr().cast::<libc::sockaddr_ll>().read_unaligned() };
        match (link.sll_halen, link.sll_addr) {
            (6, [mac @ .., _, _]) => Ok(mac),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "the interface is gone or is not Ethernet")),
        }
    }

    /// Takes the frames that wait, up to [`FRAMES`]; `WouldBlock` where there are none.
    ///
    /// Returns how many the batch holds, which is 0 where all were too long. `NetworkDown` is
    /// reported once when the interface goes down; it works again when that comes up.
    pub fn receive(&mut self, batch: &mut Batch) -> io::Result<usize> {
        batch.filled = 0;
        let (filled, cut) = receive_into(self.socket.as_fd(), &mut batch.slots)?;
        batch.filled = filled;
        self.losses.too_long = self.losses.too_long.saturating_add(u64::try_from(cut).unwrap_or(u64::MAX));
        Ok(filled.saturating_sub(cut))
    }

    /// Sends whole frames, VLAN tags and all, in their order.
    ///
    /// Waits up to five milliseconds in all where the device's queue is full.
    pub fn send(&self, frames: &[impl AsRef<[u8]>]) -> io::Result<SendOutcome> {
        let mut outcome = SendOutcome::default();
        let mut pauses = SEND_PAUSES;
        let mut rest = frames;
        while !rest.is_empty() {
            let advance = match send_some(self.socket.as_fd(), rest) {
                Ok(sent) => {
                    outcome.sent = outcome.sent.saturating_add(sent);
                    sent
                }
                Err(Errno::MSGSIZE | Errno::INVAL) => {
                    outcome.refused = outcome.refused.saturating_add(1);
                    1
                }
                Err(Errno::INTR) => 0,
                Err(Errno::AGAIN | Errno::NOBUFS) if pauses > 0 => {
                    pauses = pauses.saturating_sub(1);
                    std::thread::sleep(SEND_PAUSE);
                    0
                }
                Err(error) => {
                    outcome.stopped = Some(stopped(error)?);
                    return Ok(outcome);
                }
            };
            rest = rest.get(advance..).unwrap_or_default();
        }
        Ok(outcome)
    }

    /// What was lost so far.
    pub fn losses(&mut self) -> io::Result<Losses> {
        // The kernel counts from zero again with each reading.
        let since = read_statistics(&self.socket)?;
        self.losses.queue_full = self.losses.queue_full.saturating_add(u64::from(since.tp_drops));
        Ok(self.losses)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn open_error(interface: &str, source: io::Error) -> LinkError {
    let interface = interface.to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied {
        LinkError::NotPermitted { interface, source }
    } else {
        LinkError::Failed { interface, step: "open a packet socket", source }
    }
}

fn stopped(error: Errno) -> io::Result<Stopped> {
    match error {
        Errno::NETDOWN => Ok(Stopped::LinkDown),
        Errno::NXIO | Errno::NODEV => Ok(Stopped::LinkGone),
        Errno::AGAIN | Errno::NOBUFS => Ok(Stopped::QueueFull),
        other => Err(other.into()),
    }
}

/// Forced, where CAP_NET_ADMIN allows it; else up to the host's limit (`net.core.rmem_max`).
fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    use rustix::net::sockopt;
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER).is_err() {
        socket.set_send_buffer_size(SEND_BUFFER)?;
    }
    Ok(())
}

/// The address of everything on an interface.
fn address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the platform's socket addresses.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    link.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
    link.sll_ifindex = index.cast_signed();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    // SAFETY: the storage holds a `sockaddr_ll` of this length.
    unsafe { SockAddr::new(storage, length) }
}

/// Turns an option of packet sockets on.
fn set_packet_option(socket: &Socket, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes from `on`, which is that long and outlives the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, (&raw const on).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn read_statistics(socket: &Socket) -> io::Result<libc::tpacket_stats> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = libc::socklen_t::try_from(size_of_val(&statistics)).unwrap_or_default();
    // SAFETY: the kernel writes at most `length` bytes to `statistics`, which is that long.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(statistics) } else { Err(io::Error::last_os_error()) }
}

/// Fills slots from the first on; returns how many, and how many of those were cut.
fn receive_into(socket: BorrowedFd<'_>, slots: &mut [Slot]) -> io::Result<(usize, usize)> {
    // SAFETY: C structs of integers and pointers, for which zeroes are a value.
    let (mut vectors, mut headers): ([libc::iovec; FRAMES], [libc::mmsghdr; FRAMES]) =
        unsafe { std::mem::zeroed() };
    for ((slot, vector), header) in slots.iter_mut().zip(&mut vectors).zip(&mut headers) {
        header.msg_hdr.msg_control = (&raw mut slot.control).cast();
        header.msg_hdr.msg_controllen = size_of_val(&slot.control) as _;
        let room = slot.room();
        *vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
    }
    let count = libc::c_uint::try_from(slots.len().min(FRAMES)).unwrap_or_default();
    // SAFETY: the first `count` headers each point to a vector and a control buffer with their
    // lengths, in arrays and slots that outlive the call and that nothing else touches during it.
    let received = unsafe {
        let flags = libc::MSG_DONTWAIT as _;
        libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags, std::ptr::null_mut())
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let mut cut: usize = 0;
    for (slot, header) in slots.iter_mut().zip(&headers).take(received) {
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0 {
            let noted = header.msg_hdr.msg_controllen >= size_of_val(&slot.control) as _;
            slot.fill(header.msg_len as usize, noted);
        } else {
            slot.discard();
            cut = cut.saturating_add(1);
        }
    }
    Ok((received, cut))
}

/// Sends frames from the first on, up to [`FRAMES`]; returns how many.
fn send_some(socket: BorrowedFd<'_>, frames: &[impl AsRef<[u8]>]) -> rustix::io::Result<usize> {
    let vectors: Vec<_> =
        frames.iter().take(FRAMES).map(|frame| [io::IoSlice::new(frame.as_ref())]).collect();
    let mut controls: Vec<_> = vectors.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> =
        vectors.iter().zip(&mut controls).map(|(vector, control)| MMsgHdr::new(vector, control)).collect();
    sendmmsg(socket, &mut messages, SendFlags::DONTWAIT)
}
