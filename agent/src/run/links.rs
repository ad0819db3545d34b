//! The sockets of all interfaces, waited for together.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;
use tracing::{debug, warn};
use xdhcpd_common::maps::Wire;

use crate::engine::arp::{self, Claim};
use crate::engine::ignored::Ignored;
use crate::engine::reply::ReplyKind;
use crate::engine::request::Request;
use crate::fastpath::FastPath;
use crate::server::batch::{Batch, FRAMES, Received};
use crate::server::echo::Echo;
use crate::server::gate;
use crate::server::port::ServerPort;
use crate::server::socket::Link;

use super::batch::{Asking, Pending};
use super::core::Counts;

/// Events of the kernel are read at most this often: waking up for one costs more than reading a
/// hundred, and nobody waits for them. The ring buffer has room for many times as long.
const EVENTS_APART: Duration = Duration::from_millis(2);

/// Every link, and one descriptor that says when any of them has something to read.
pub struct Links {
    interfaces: Vec<Served>,
    ready: AsyncFd<OwnedFd>,
    /// Readable when the kernel has events; none: there is no fast path.
    events: Option<AsyncFd<OwnedFd>>,
    /// Events do not wake us before this.
    events_after: Instant,
    /// There while addresses behind routers are probed.
    echo: Option<Echo>,
}

/// What was heard on a link.
pub enum Heard {
    /// A client's message, or why it is none.
    Message(Result<Request, Ignored>),
    /// Somebody says that an address is its own.
    Claim(Claim),
}

impl Heard {
    fn of(frame: Received<'_>) -> Self {
        arp::read(frame.bytes)
            .map_or_else(|| Self::Message(gate::gate(frame.bytes, frame.checksum)), Self::Claim)
    }

    fn vlan(&self) -> [u16; 2] {
        match self {
            Self::Message(request) => request.as_ref().map_or([0; 2], |request| request.vlan),
            Self::Claim(claim) => claim.vlan,
        }
    }
}

/// An interface that is listened to.
struct Served {
    link: Link,
    frames: Batch,
    /// Held so that nobody else serves the interface, and the kernel refuses no unicast request.
    _port: ServerPort,
}

impl Links {
    /// No links yet. Needs a running tokio.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned by the AsyncFd, and stays open and the same until that
        // drops it.
        let ready = unsafe { AsyncFd::register(epoll) }?;
        let events_after = Instant::now();
        Ok(Self { interfaces: Vec::new(), ready, events: None, events_after, echo: None })
    }

    /// Adds the link of an interface.
    pub fn add(&mut self, link: Link, port: ServerPort) -> io::Result<()> {
        self.watch(link.as_fd())?;
        self.interfaces.push(Served { link, frames: Batch::new(), _port: port });
        Ok(())
    }

    /// Whether an interface has its link already.
    pub fn has(&self, index: u32) -> bool {
        self.interfaces.iter().any(|served| served.link.index() == index)
    }

    /// The link of an interface.
    pub fn at(&self, index: u32) -> Option<usize> {
        self.interfaces.iter().position(|served| served.link.index() == index)
    }

    /// Closes the links of interfaces that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.interfaces.retain(|served| keep(served.link.index()));
    }

    /// Wakes up for the kernel's events too: those of this fast path, and no other's any more.
    pub fn watch_fast_path(&mut self, fast: &FastPath) -> io::Result<()> {
        self.events = None;
        let events = fast.events_poll_fd()?;
        // SAFETY: the descriptor is owned by the AsyncFd, and stays open and the same until that
        // drops it.
        self.events = Some(unsafe { AsyncFd::register(events) }?);
        Ok(())
    }

    /// Events were read: the next ones may wait a moment for each other.
    pub fn pause_events(&mut self) {
        self.events_after = Instant::now().checked_add(EVENTS_APART).unwrap_or(self.events_after);
    }

    fn watch(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match epoll::add(&self.ready, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Returns when there may be something to read. All of it must be read after that.
    pub async fn readable(&self) {
        // Forgotten before the reading: what comes in during it wakes us again.
        tokio::select! {
            ready = self.ready.readable() => if let Ok(mut guard) = ready {
                guard.clear_ready();
            },
            () = self.events() => {}
        }
    }

    async fn events(&self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        tokio::time::sleep_until(self.events_after).await;
        if let Ok(mut guard) = events.readable().await {
            guard.clear_ready();
        }
    }

    /// Reads a batch off every link and shows what was heard, with its link and wire. Whether any had
    /// something: then more may wait there.
    pub fn receive(&mut self, mut each: impl FnMut(usize, Wire, Heard)) -> bool {
        let mut more = false;
        for (at, served) in self.interfaces.iter_mut().enumerate() {
            match served.link.receive(&mut served.frames) {
                // Also where all of it was too long to be shown.
                Ok(_) => more = true,
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => continue,
                // Said once by the kernel; what had come in before is still there.
                Err(fault) if fault.kind() == io::ErrorKind::NetworkDown => {
                    warn!(interface = served.link.name(), "the interface went down");
                    more = true;
                    continue;
                }
                Err(fault) => {
                    warn!("reading from {}: {fault}", served.link.name());
                    continue;
                }
            }
            let interface = served.link.index();
            for frame in served.frames.frames() {
                let heard = Heard::of(frame);
                each(at, Wire { interface, vlan: heard.vlan() }, heard);
            }
        }
        more
    }

    /// Asks for addresses; the answers are heard from now on. Says why, where questions were
    /// not put: silence is no answer to those.
    pub fn ask(&mut self, probes: &[Asking]) -> Vec<String> {
        let mut faults = Vec::new();
        for (at, served) in self.interfaces.iter_mut().enumerate() {
            let mine = probes.iter().filter(|asking| asking.link == at);
            let frames: Vec<&[u8]> = mine.filter_map(|asking| asking.frame()).collect();
            if frames.is_empty() {
                continue;
            }
            // First, or an answer could be missed.
            let heard = served.link.hear_arp(true);
            let sent = heard.and_then(|()| served.link.send(&frames));
            let name = served.link.name();
            let why = match sent {
                Ok(outcome) if outcome.sent == frames.len() => continue,
                Ok(_) => format!("interface {name} takes no frames"),
                Err(fault) => {
                    warn!("probing on {name}: {fault}");
                    format!("interface {name} takes no frames: {fault}")
                }
            };
            faults.push(why);
        }
        let far = probes.iter().filter(|asking| asking.frame().is_none()).map(|asking| asking.probe.ip);
        for ip in far {
            if let Err(fault) = self.ask_far(ip) {
                debug!("probing {ip}: {fault}");
                faults.push(format!("no ping can be sent there: {fault}"));
            }
        }
        faults
    }

    fn ask_far(&mut self, ip: Ipv4Addr) -> io::Result<()> {
        if self.echo.is_none() {
            let echo = Echo::open()?;
            self.watch(echo.as_fd())?;
            self.echo = Some(echo);
        }
        self.echo.as_ref().map_or(Ok(()), |echo| echo.ask(ip))
    }

    /// The addresses that answered from behind routers, up to [`FRAMES`].
    pub fn echoes(&self) -> Vec<Ipv4Addr> {
        let answered = self.echo.iter().flat_map(|echo| std::iter::from_fn(|| echo.answered().ok()));
        answered.take(FRAMES).collect()
    }

    /// No probe is out: the answers are of no use any more.
    pub fn stop_asking(&mut self) {
        self.echo = None;
        for served in &mut self.interfaces {
            if let Err(fault) = served.link.hear_arp(false) {
                warn!("the filter of {}: {fault}", served.link.name());
            }
        }
    }

    /// Sends replies, each on its link; how many went out, and `each` of them.
    pub fn send<'a>(
        &mut self,
        replies: &'a [Pending],
        counts: &mut Counts,
        mut each: impl FnMut(&'a Pending),
    ) -> usize {
        let mut sent = 0_usize;
        for (at, served) in self.interfaces.iter_mut().enumerate() {
            let mine: Vec<&Pending> = replies.iter().filter(|pending| pending.link == at).collect();
            if mine.is_empty() {
                continue;
            }
            let frames: Vec<&[u8]> = mine.iter().map(|pending| pending.reply.frame.as_slice()).collect();
            match served.link.send(&frames) {
                Ok(outcome) => {
                    for pending in mine.iter().take(outcome.sent) {
                        counts.answered(pending.reply.kind);
                        each(pending);
                    }
                    sent = sent.saturating_add(outcome.sent);
                    if outcome.sent < frames.len() {
                        warn!(
                            "{} of {} replies went out on {}: {outcome:?}",
                            outcome.sent,
                            frames.len(),
                            served.link.name()
                        );
                    }
                }
                Err(fault) => warn!("sending on {}: {fault}", served.link.name()),
            }
        }
        sent
    }
}

impl Counts {
    fn answered(&mut self, kind: ReplyKind) {
        let count = match kind {
            ReplyKind::Offer => &mut self.offers,
            ReplyKind::Ack => &mut self.acks,
            ReplyKind::Nak => &mut self.naks,
            ReplyKind::Bootp => &mut self.bootp,
        };
        *count = count.saturating_add(1);
    }
}
