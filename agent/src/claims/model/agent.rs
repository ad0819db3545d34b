//! An agent's machine: a process that can stop anywhere, a disk that keeps what was synced, a kernel that
//! goes on alone.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use super::super::{AgentId, At, Claims, Copies, Held};
use super::world::Frame;
use crate::lease::ClientKey;

/// One machine.
#[expect(clippy::struct_excessive_bools, reason = "each can be so while the others are or are not")]
pub struct Agent {
    pub id: AgentId,
    /// Its clock, against the server's.
    pub offset: i64,
    /// None: the process is down.
    pub claims: Option<Claims>,
    /// Stopped, and continued later where it was.
    pub paused: bool,
    /// Not before this.
    pub wakes: u64,
    /// Decided, and not sent when it was stopped.
    pub stuck: Option<Reply>,
    /// Never comes back.
    pub gone: bool,
    /// No API server for it, while others have one.
    pub cut: bool,
    pub disk: Disk,
    pub kernel: BTreeMap<Ipv4Addr, Entry>,
    /// What the kernel did and nobody was told of.
    pub ring: Vec<Event>,
    /// The kernel's part has outlived the process.
    pub kernel_lives: bool,
    /// What came to its socket, and when.
    pub inbox: VecDeque<(At, Frame)>,
    /// Which process: answers to an earlier one are nobody's.
    pub process: u64,
    /// The configuration it has seen.
    pub config: usize,
}

#[derive(Default, Clone)]
pub struct Disk {
    pub copies: Copies,
    pub held: BTreeMap<Ipv4Addr, Held>,
}

/// An answer on its way out.
#[derive(Clone, Copy)]
pub struct Reply {
    pub client: usize,
    pub transaction: u64,
    pub ip: Ipv4Addr,
    pub lease: u64,
}

/// What the kernel answers one client from.
#[derive(Clone)]
pub struct Entry {
    pub client: usize,
    pub until: At,
    pub lease: u64,
    /// The last renewal: it stands in the entry.
    pub last: Option<At>,
}

/// A renewal by the kernel.
#[derive(Clone, Copy)]
pub struct Event {
    pub ip: Ipv4Addr,
    pub client: usize,
    pub at: At,
    pub lease: u64,
}

pub fn key(client: usize) -> ClientKey {
    ClientKey::Mac([2, 0, 0, 0, 0, client as u8])
}

impl Agent {
    pub fn clock(&self, now: u64) -> At {
        At(now.saturating_add_signed(self.offset))
    }

    /// Whether its process does anything now.
    pub fn runs(&self) -> bool {
        self.claims.is_some() && !self.paused
    }

    /// Tells what the kernel did alone.
    pub fn drain(&mut self) {
        let Some(claims) = &mut self.claims else { return };
        for Event { ip, client, at, lease } in self.ring.drain(..) {
            claims.renewed(at, ip, &key(client), lease);
        }
    }

    /// A RELEASE or DECLINE passes the kernel before anybody else.
    pub fn kernel_hears_of_the_end(&mut self, client: usize, ip: Ipv4Addr) {
        self.kernel.retain(|its, entry| *its != ip || entry.client != client);
    }

    /// The kernel's own answer, whatever the process does: to who asks for this address, or for any.
    pub fn kernel_answers(
        &mut self,
        client: usize,
        wanted: Option<Ipv4Addr>,
        now: u64,
    ) -> Option<(Ipv4Addr, u64)> {
        let at = self.clock(now);
        let its = |ip: &Ipv4Addr, entry: &Entry| {
            entry.client == client
                && wanted.is_none_or(|wanted| wanted == *ip)
                && at.after(entry.lease) <= entry.until
        };
        let (ip, entry) = self.kernel.iter_mut().find(|(ip, entry)| its(ip, entry))?;
        self.ring.push(Event { ip: *ip, client, at, lease: entry.lease });
        entry.last = Some(at);
        Some((*ip, entry.lease))
    }
}
