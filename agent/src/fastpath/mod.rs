//! The kernel's side of things: the XDP program, its links and its maps. The only module that
//! knows aya.
//!
//! Two handles, for two processes. [`FastPath`] is the agent's: the maps, made or adopted from what an
//! earlier agent pinned, to be read and written. [`Program`] is the loader's: the program on those
//! maps, loaded, attached and kept attached. [`Pinned`] looks at the same maps while no agent
//! runs, and [`detach`] takes everything away.
//!
//! Promises: dropping either handle changes nothing in the kernel, known clients are answered on.
//! A [`Program`] takes the place of an older one on an attached interface without a gap, and so do
//! larger maps, or those of another layout (`moving`; migrations are written in `formers`). If the maps
//! cannot be opened, the links are removed: a program whose maps nobody can change must not answer.
//!
//! Never here: deciding what goes into a map.
//!
//! All calls block (most for microseconds, [`FastPath::settle`] for tens of milliseconds), and
//! interfaces are looked up in the network namespace of the calling thread.

mod attach;
mod batch;
mod device;
mod epoch;
mod error;
mod formers;
mod kernel_log;
mod layout;
mod link;
mod load;
mod maps;
mod moving;
mod netlink;
mod pinned;
mod pins;
mod program;
mod settle;
mod strangers;
mod sys;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};

use aya::maps::{Map, MapData, RingBuf};
use xdhcpd_common::counters::Counters;
use xdhcpd_common::maps::{Event, Lease, LeaseKey, Server, Template, Wire};

use crate::clock::Moment;

pub use error::FastPathError;
pub use load::is_built;
pub use pinned::{Detached, Pinned, detach};
pub use program::Program;
pub use strangers::Strangers;

use self::attach::Place;
use self::maps::Maps;
use self::pins::Pins;
use self::settle::Barrier;

/// The most events that one call of [`FastPath::drain`] hands out, so that a flood of renewals
/// does not keep the agent from everything else.
const EVENTS_AT_ONCE: usize = 4096;

/// What became of the program on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// The interface.
    pub name: String,
    /// `native`, `generic` or `off`; `unknown` where it is in another network namespace.
    pub mode: &'static str,
    /// Whether the program is there.
    pub attached: bool,
    /// Why it is not, where it should be.
    pub problem: Option<String>,
}

/// Whether requests that come in on this interface have UDP checksums worth verifying: on a network
/// card yes, on a virtual interface (whose other side leaves them half-made) no.
pub fn checks_udp(interface: &str) -> bool {
    device::Driver::of(interface).is_some_and(|driver| driver.is_physical())
}

/// Makes this process ready for BPF as far as that takes more than the capabilities it keeps: the BPF
/// file system is mounted if need be, and the memory of maps may be locked.
pub fn prepare() -> Result<(), FastPathError> {
    load::raise_memory_limit();
    pins::mount_bpffs()
}

/// The maps, of which the agent alone says what is in them.
pub struct FastPath {
    pins: Pins,
    maps: Maps,
    events: RingBuf<MapData>,
    barrier: Barrier,
}

impl FastPath {
    /// Opens the maps of the agent of this name: those that are pinned, or new ones.
    ///
    /// `capacity` is how many addresses there are to lease. Where the pinned maps are too small for
    /// them, or an earlier version's, others take their place; until [`Self::end_move`], which has to
    /// follow then, the program may be answering from those that were there.
    pub fn open(name: &str, capacity: u32) -> Result<Self, FastPathError> {
        let pins = Pins::new(name);
        Self::try_open(pins.clone(), capacity).inspect_err(|_| {
            if let Err(error) = attach::remove_others(&pins, &[]) {
                tracing::warn!(%error, "an older program may still answer");
            }
        })
    }

    fn try_open(pins: Pins, capacity: u32) -> Result<Self, FastPathError> {
        if !is_built() {
            return Err(FastPathError::NoProgram);
        }
        pins.prepare()?;
        moving::prepare(&pins, load::lease_entries(capacity))?;
        let mut maps = Maps::open(&pins)?;
        // Who was here before may have died amid a change, or go by other rules.
        maps.change()?;
        let events = open_events(&pins)?;
        let barrier = Barrier::new()?;
        Ok(Self { pins, maps, events, barrier })
    }

    /// Whether the maps are still pinned, so that a program on them is found again.
    pub fn is_pinned(&self) -> bool {
        self.pins.have_maps()
    }

    /// Whether a program may still be answering from maps that others took the place of.
    pub fn is_moving(&self) -> bool {
        moving::is_under_way(&self.pins)
    }

    /// Ends a move to other maps, after the loader had time to exchange the program: from now on nothing
    /// answers from the old ones, and what was changed in them meanwhile is carried over.
    ///
    /// Nothing may be written into the maps between [`Self::open`] and this.
    pub fn end_move(&mut self) -> Result<(), FastPathError> {
        if self.is_moving() {
            let entries = moving::end(&self.pins, &mut self.maps, &self.barrier)?;
            tracing::info!(entries, "the old maps answer no more; what they said last is carried over");
        }
        Ok(())
    }

    /// Where the program is on an interface, as the kernel says; by name, none: nowhere.
    pub fn mode(&self, interface: &str) -> Option<&'static str> {
        attach::held(&self.pins, interface).map(Place::name)
    }

    /// Writes a lease: a new entry, or in place of the one there is.
    pub fn put_lease(&mut self, key: LeaseKey, value: &Lease) -> Result<(), FastPathError> {
        self.maps.leases_mut()?.put(key, value)
    }

    /// Reads a lease.
    pub fn lease(&self, key: LeaseKey) -> Result<Option<Lease>, FastPathError> {
        self.maps.leases().get(key)
    }

    /// Lets the kernel renew an address up to a later horizon, now that it is on disk.
    ///
    /// A renewal by the kernel between the reading and the writing is set back by this, until its event
    /// is read and [`FastPath::keep_renewal`] puts it right.
    pub fn extend_lease(&mut self, key: LeaseKey, ip: Ipv4Addr, until: Moment) -> Result<(), FastPathError> {
        match self.lease(key)? {
            Some(entry) if entry.ip == ip.octets() && entry.horizon < until.0 => {
                self.put_lease(key, &Lease { horizon: until.0, ..entry })
            }
            _ => Ok(()),
        }
    }

    /// Lets the kernel renew the lease of `ip` on its own up to `until`, be that later or earlier than before.
    ///
    /// A program that is running at this moment may still go by the former horizon.
    pub fn bound_lease(&mut self, key: LeaseKey, ip: Ipv4Addr, until: Moment) -> Result<(), FastPathError> {
        match self.lease(key)? {
            Some(entry) if entry.ip == ip.octets() && entry.horizon != until.0 => {
                self.put_lease(key, &Lease { horizon: until.0, ..entry })
            }
            _ => Ok(()),
        }
    }

    /// Makes an entry answer nothing from now on; returns what it was, or none when there is no
    /// entry.
    ///
    /// A program that is running at this moment may have renewed the lease since it was read here;
    /// that renewal is among the events once [`FastPath::settle`] has returned.
    pub fn suspend(&mut self, key: LeaseKey) -> Result<Option<Lease>, FastPathError> {
        self.maps.leases_mut()?.suspend(key)
    }

    /// Brings an entry up to a renewal that the kernel reports; whether it was behind.
    ///
    /// An entry that the agent reads, changes and writes may have been renewed in between, and the
    /// write sets that back. The renewal's event comes all the same: passing each one here makes the
    /// entry say no less than the client was promised, which is what the next start goes by.
    pub fn keep_renewal(&mut self, event: &Event) -> Result<bool, FastPathError> {
        if !self.maps.leases().may_be_behind(event) {
            return Ok(false);
        }
        self.maps.leases_mut()?.keep_renewal(event)
    }

    /// All that was to be changed is changed, until the next change: where this is not said, the program takes
    /// more care than it has to.
    pub fn rest(&mut self) -> Result<(), FastPathError> {
        self.maps.rest()
    }

    /// Removes an entry; whether it was there.
    pub fn remove_lease(&mut self, key: LeaseKey) -> Result<bool, FastPathError> {
        self.maps.leases_mut()?.remove(key)
    }

    /// Every entry.
    pub fn leases(&self) -> Result<Vec<(LeaseKey, Lease)>, FastPathError> {
        self.maps.leases().all()
    }

    /// How many entries there can be.
    pub fn lease_capacity(&self) -> u32 {
        self.maps.leases().capacity()
    }

    /// Writes a template. Not atomic: no lease may name the index yet, or any more.
    pub fn put_template(&mut self, index: u32, template: &Template) -> Result<(), FastPathError> {
        self.maps.put_template(index, template)
    }

    /// Reads a template; one that was never written is all zero.
    pub fn template(&self, index: u32) -> Result<Template, FastPathError> {
        self.maps.template(index)
    }

    /// How many templates there can be.
    pub fn template_capacity(&self) -> u32 {
        self.maps.template_capacity()
    }

    /// Writes how a wire is served.
    pub fn put_server(&mut self, wire: Wire, server: &Server) -> Result<(), FastPathError> {
        self.maps.put_server(wire, server)
    }

    /// Reads how a wire is served.
    pub fn server(&self, wire: Wire) -> Result<Option<Server>, FastPathError> {
        self.maps.server(wire)
    }

    /// Every wire that is served.
    pub fn servers(&self) -> Result<Vec<(Wire, Server)>, FastPathError> {
        self.maps.servers()
    }

    /// Stops serving a wire; whether it was served.
    pub fn remove_server(&mut self, wire: Wire) -> Result<bool, FastPathError> {
        self.maps.remove_server(wire)
    }

    /// The counters, summed over all CPUs.
    pub fn counters(&self) -> Result<Counters, FastPathError> {
        self.maps.counters()
    }

    /// Appends events that wait, oldest first; whether the limit of one call was reached, so that
    /// more may be there.
    pub fn drain(&mut self, into: &mut Vec<Event>) -> bool {
        for _ in 0..EVENTS_AT_ONCE {
            let Some(record) = self.events.next() else { return false };
            if let Some(event) = read_event(&record) {
                into.push(event);
            } else {
                tracing::error!(length = record.len(), "an event of unknown length was left out");
            }
        }
        true
    }

    /// Readable when events wait; to be polled by a task that does not hold this value. Edge-triggered
    /// polling works if each readiness is followed by [`FastPath::drain`] until it says `false`.
    pub fn events_poll_fd(&self) -> io::Result<OwnedFd> {
        self.events.as_fd().try_clone_to_owned()
    }

    /// Returns once every program run that began before has ended, and its event can be read.
    ///
    /// This is what lets an address be taken back before it is given away: suspend, settle, drain
    /// the events, decide. It blocks for tens of milliseconds: suspend many, settle once.
    pub fn settle(&self) {
        self.barrier.wait();
    }
}

/// Opens the ring buffer where its reader left off.
fn open_events(pins: &Pins) -> Result<RingBuf<MapData>, FastPathError> {
    MapData::from_pin(pins.map("EVENTS"))
        .and_then(Map::from_map_data)
        .and_then(RingBuf::try_from)
        .map_err(|error| FastPathError::map("open", "EVENTS", error))
}

/// An event from a record of the ring buffer.
fn read_event(record: &[u8]) -> Option<Event> {
    if record.len() != size_of::<Event>() {
        return None;
    }
    // SAFETY: the record is as long as an event, which is `repr(C)` without padding and valid
    // whatever its bytes.
    Some(unsafe { record.as_ptr().cast::<Event>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_only_from_a_record_of_its_length() {
        let mut record = [0_u8; size_of::<Event>()];
        record[0..4].copy_from_slice(&2_u32.to_ne_bytes());
        assert_eq!(read_event(&record).unwrap().kind, 2);
        assert!(read_event(&record[1..]).is_none());
        assert!(read_event(&[]).is_none());
    }

    #[test]
    fn the_handle_can_be_moved_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<FastPath>();
        is_send::<Program>();
        is_send::<Pinned>();
    }

    #[test]
    fn the_loopback_interfaces_checksums_are_not_verified() {
        assert!(!checks_udp("lo"));
    }
}
