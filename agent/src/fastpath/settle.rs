//! Waiting until no run of the XDP program that began before is still going.
//!
//! The argument: a program runs inside an RCU read-side section, and the kernel makes the writer of
//! a map of maps wait until every such section that was open is closed, so that no run can still
//! see the value before (`maybe_wait_bpf_programs`, since Linux 5.0). So the wait below is the
//! kernel's own promise to user space, on a map that no program has. A run that found an entry
//! before the agent suspended it is over when the wait ends; and because the program reserves and
//! submits its event before it answers, that event can be read. A run that begins later finds
//! the entry suspended. Hence the order in which an address is taken back: suspend, settle, drain
//! the events, decide.
//!
//! membarrier(2) would do as well, but not where CPUs are kept free of interrupts (`nohz_full`), as
//! on the machines that want XDP most.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use aya::maps::MapError;

use super::error::FastPathError;
use super::sys::{self, Command};

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
const ARRAY_OF_MAPS: u32 = 12;

/// How long is waited if the kernel refuses the write, which it has no reason to: a run lasts
/// microseconds, and not even a stolen virtual CPU stays away for this long.
const FALLBACK: Duration = Duration::from_millis(100);

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` reads.
#[repr(C)]
struct Create {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    inner: u32,
}

/// A map of maps that nobody reads; writing it is what waits.
#[derive(Debug)]
pub(super) struct Barrier {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Barrier {
    /// Makes the maps.
    pub fn new() -> Result<Self, FastPathError> {
        let failed = |error| FastPathError::map("create", "of a barrier", MapError::IoError(error));
        let inner = create(ARRAY, 0).map_err(failed)?;
        let outer = create(ARRAY_OF_MAPS, sys::number(inner.as_fd())).map_err(failed)?;
        Ok(Self { outer, inner })
    }

    /// Returns once every program run that began before the call has ended.
    ///
    /// It takes tens of milliseconds and blocks the thread: suspend many, wait once.
    pub fn wait(&self) {
        if let Err(error) = self.write() {
            tracing::error!(%error, "no barrier, waiting {FALLBACK:?} in its place");
            std::thread::sleep(FALLBACK);
        }
    }

    fn write(&self) -> io::Result<()> {
        let (key, value) = (0_u32, sys::number(self.inner.as_fd()));
        let attributes = sys::Element {
            map: sys::number(self.outer.as_fd()),
            hole: 0,
            key: sys::address(&raw const key),
            value: sys::address(&raw const value),
            flags: 0,
        };
        // SAFETY: key and value have the sizes that the map was made with, and outlive the call.
        unsafe { sys::bpf(Command::MapUpdate, &attributes) }.map(drop)
    }
}

/// Makes an array of one number (or map).
fn create(kind: u32, inner: u32) -> io::Result<OwnedFd> {
    let attributes = Create { kind, key_size: 4, value_size: 4, entries: 1, flags: 0, inner };
    // SAFETY: the attributes hold no pointers.
    unsafe { sys::open(Command::MapCreate, &attributes) }
}
