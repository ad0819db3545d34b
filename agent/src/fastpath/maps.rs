//! The maps by their types, opened from their pins: the same for the agent that owns them and for
//! a command line that looks at them while the agent is down.
//!
//! Leases are read and written under their lock (`BPF_F_LOCK`), so neither side goes by half of the
//! other's change; the program may do without the lock where `EPOCH` says that nothing was changed.

use std::os::fd::AsFd as _;
use std::path::Path;

use aya::Pod;
use aya::maps::{Array, HashMap, IterableMap as _, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use xdhcpd_common::counters::Counters;
use xdhcpd_common::maps::{
    CARRIED_COUNTERS, Event, EventKind, Lease, LeaseKey, LeaseState, PROGRAM_COUNTERS, Server, Template, Wire,
};

use crate::clock::{Moment, Now};

use super::epoch::Epoch;
use super::error::{FastPathError, errno};
use super::pins::Pins;
use super::sys::{self, Command};
use super::{batch, layout};

/// Makes or changes an entry.
pub(super) const ANY: u64 = 0;
/// Only changes an entry.
const EXIST: u64 = 2;
/// Under the value's lock, and in place.
const LOCK: u64 = 4;

/// How many 64-bit numbers a [`Counters`] is.
const COUNTS: usize = size_of::<Counters>() / size_of::<u64>();
const _: () = assert!(COUNTS * size_of::<u64>() == size_of::<Counters>());

/// A key or value as aya moves it in and out of the kernel: byte for byte.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Raw<T>(T);

// SAFETY: `repr(C)` without padding and valid whatever its bytes, as the module of the map layouts
// promises of each of its types.
unsafe impl Pod for Raw<LeaseKey> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Lease> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Template> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Server> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Wire> {}

/// An entry of `LEASES`.
pub(super) type Entry = (LeaseKey, Lease);

/// The maps that the agent reads and writes.
pub(super) struct Maps {
    leases: Leases,
    templates: Array<MapData, Raw<Template>>,
    template_capacity: u32,
    servers: HashMap<MapData, Raw<Wire>, Raw<Server>>,
    server_capacity: u32,
    epoch: Epoch,
    counters: Counted,
}

impl Maps {
    /// Opens what is pinned.
    pub fn open(pins: &Pins) -> Result<Self, FastPathError> {
        let (templates, template_capacity) = open("TEMPLATES", &pins.map("TEMPLATES"))?;
        let (servers, server_capacity) = open("SERVERS", &pins.map("SERVERS"))?;
        Ok(Self {
            leases: Leases::open(&pins.map("LEASES"))?,
            templates,
            template_capacity,
            servers,
            server_capacity,
            epoch: Epoch::open(pins)?,
            counters: Counted::open(&pins.map("COUNTERS"))?,
        })
    }

    /// The map `LEASES`.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The map `LEASES`, to be changed.
    pub fn leases_mut(&mut self) -> Result<&mut Leases, FastPathError> {
        self.epoch.change()?;
        Ok(&mut self.leases)
    }

    /// Must come before a change that is made otherwise than by the functions here.
    pub fn change(&mut self) -> Result<(), FastPathError> {
        self.epoch.change()
    }

    /// All changes are made, until the next one.
    pub fn rest(&mut self) -> Result<(), FastPathError> {
        self.epoch.rest()
    }

    /// Writes a template.
    pub fn put_template(&mut self, index: u32, template: &Template) -> Result<(), FastPathError> {
        self.within_templates(index)?;
        self.templates
            .set(index, Raw(*template), ANY)
            .map_err(|error| FastPathError::map("write", "TEMPLATES", error))
    }

    /// Reads a template; one that was never written is all zero.
    pub fn template(&self, index: u32) -> Result<Template, FastPathError> {
        self.within_templates(index)?;
        let found = self.templates.get(&index, ANY);
        found.map(|Raw(template)| template).map_err(|error| FastPathError::map("read", "TEMPLATES", error))
    }

    /// How many templates there can be.
    pub fn template_capacity(&self) -> u32 {
        self.template_capacity
    }

    /// Writes how a wire is served.
    pub fn put_server(&mut self, wire: Wire, server: &Server) -> Result<(), FastPathError> {
        self.epoch.change()?;
        let written = self.servers.insert(Raw(wire), Raw(*server), ANY);
        written.map_err(|error| write_error("SERVERS", self.server_capacity, error))
    }

    /// Reads how a wire is served.
    pub fn server(&self, wire: Wire) -> Result<Option<Server>, FastPathError> {
        Ok(found("SERVERS", self.servers.get(&Raw(wire), ANY))?.map(|Raw(server)| server))
    }

    /// Every wire that is served.
    pub fn servers(&self) -> Result<Vec<(Wire, Server)>, FastPathError> {
        let mut servers = Vec::new();
        let sizes = (size_of::<Wire>(), size_of::<Server>());
        all("SERVERS", self.servers.map(), sizes, ANY, |key, value| {
            servers.extend(pair(key, value).map(|(Raw(wire), Raw(server))| (wire, server)));
        })?;
        Ok(servers)
    }

    /// Stops serving a wire; whether it was served.
    pub fn remove_server(&mut self, wire: Wire) -> Result<bool, FastPathError> {
        self.epoch.change()?;
        removed("SERVERS", self.servers.remove(&Raw(wire)))
    }

    /// The counters, summed over all CPUs, with what was carried over from older maps.
    pub fn counters(&self) -> Result<Counters, FastPathError> {
        self.counters.total()
    }

    /// The map `COUNTERS`, to be changed.
    pub fn counted_mut(&mut self) -> &mut Counted {
        &mut self.counters
    }

    /// Whether there is such a template.
    fn within_templates(&self, index: u32) -> Result<(), FastPathError> {
        if index < self.template_capacity {
            return Ok(());
        }
        Err(FastPathError::NoTemplate { index, capacity: self.template_capacity })
    }
}

/// The map `LEASES`, or one that it is replaced by or replaces.
pub(super) struct Leases {
    map: HashMap<MapData, Raw<LeaseKey>, Raw<Lease>>,
    capacity: u32,
    /// When the last write was over, our predecessor's among them.
    written: Moment,
}

impl Leases {
    /// Opens the one that is pinned there.
    pub fn open(path: &Path) -> Result<Self, FastPathError> {
        let (map, capacity) = open("LEASES", path)?;
        Ok(Self { map, capacity, written: Now::read().moment })
    }

    /// How many entries there can be.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Makes an entry, or changes it in place.
    pub fn put(&mut self, key: LeaseKey, lease: &Lease) -> Result<(), FastPathError> {
        let written = self.map.insert(Raw(key), Raw(*lease), LOCK);
        self.written = Now::read().moment;
        written.map_err(|error| write_error("LEASES", self.capacity, error))
    }

    /// Reads an entry.
    pub fn get(&self, key: LeaseKey) -> Result<Option<Lease>, FastPathError> {
        Ok(found("LEASES", self.map.get(&Raw(key), LOCK))?.map(|Raw(lease)| lease))
    }

    /// Makes an entry answer nothing from now on; returns what it was.
    pub fn suspend(&mut self, key: LeaseKey) -> Result<Option<Lease>, FastPathError> {
        let Some(was) = self.get(key)? else { return Ok(None) };
        let suspended = Lease { state: LeaseState::SUSPENDED, ..was };
        let written = self.map.insert(Raw(key), Raw(suspended), LOCK | EXIST);
        self.written = Now::read().moment;
        match written {
            Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(None),
            written => {
                written.map_err(|error| write_error("LEASES", self.capacity, error))?;
                Ok(Some(was))
            }
        }
    }

    /// Whether the entry may be behind a renewal. Only a write that was not over when the program run began
    /// can have set its renewal back: after all others there is nothing to look for.
    pub fn may_be_behind(&self, event: &Event) -> bool {
        event.at <= self.written.0
    }

    /// Brings an entry up to a renewal; whether it was behind.
    pub fn keep_renewal(&mut self, event: &Event) -> Result<bool, FastPathError> {
        let Some(lease) = self.get(event.key)? else { return Ok(false) };
        if event.kind != EventKind::RENEWED || lease.ip != event.ip || lease.expires >= event.expires {
            return Ok(false);
        }
        let answered = lease.answered.max(event.at);
        self.put(event.key, &Lease { expires: event.expires, answered, ..lease })?;
        Ok(true)
    }

    /// Removes an entry; whether it was there.
    pub fn remove(&mut self, key: LeaseKey) -> Result<bool, FastPathError> {
        removed("LEASES", self.map.remove(&Raw(key)))
    }

    /// Every entry.
    pub fn all(&self) -> Result<Vec<Entry>, FastPathError> {
        let mut leases = Vec::new();
        let sizes = (size_of::<LeaseKey>(), size_of::<Lease>());
        all("LEASES", self.map.map(), sizes, LOCK, |key, value| leases.extend(lease(key, value)))?;
        Ok(leases)
    }
}

/// The map `COUNTERS`, or one that it takes the place of.
pub(super) struct Counted {
    map: PerCpuArray<MapData, [u64; COUNTS]>,
}

impl Counted {
    /// Opens the one that is pinned there.
    pub fn open(path: &Path) -> Result<Self, FastPathError> {
        let (map, _capacity) = open("COUNTERS", path)?;
        Ok(Self { map })
    }

    /// Sets what older maps had counted, in the element that no program counts in.
    pub fn carry(&mut self, counters: &Counters) -> Result<(), FastPathError> {
        let failed = |error| FastPathError::map("write", "COUNTERS", error);
        let mut each = vec![[0; COUNTS]; cpus().map_err(failed)?];
        if let Some(first) = each.first_mut() {
            *first = words(counters);
        }
        let each = PerCpuValues::try_from(each).map_err(|error| failed(MapError::IoError(error)))?;
        self.map.set(CARRIED_COUNTERS, each, ANY).map_err(failed)
    }

    fn total(&self) -> Result<Counters, FastPathError> {
        let failed = |error| FastPathError::map("read", "COUNTERS", error);
        let mut total = [0; COUNTS];
        for index in [PROGRAM_COUNTERS, CARRIED_COUNTERS] {
            add(&mut total, self.map.get(&index, ANY).map_err(failed)?.iter().flatten().copied());
        }
        Ok(counters(&total).unwrap_or_default())
    }
}

/// What a pinned map of counters says, of any layout: number by number, the sum of all its elements on
/// all CPUs.
pub(super) fn read_totals(path: &Path) -> Result<Vec<u64>, FastPathError> {
    let failed = |error| FastPathError::map("read", "COUNTERS", error);
    let info = layout::info("COUNTERS", path)?;
    let map = MapData::from_pin(path).map_err(failed)?;
    let count = info.value_size().div_ceil(u64::BITS / 8) as usize;
    let mut total = vec![0; count];
    let mut each = vec![0_u64; count.saturating_mul(cpus().map_err(failed)?)];
    for index in 0..info.max_entries() {
        let attributes = sys::Element {
            map: sys::number(map.fd().as_fd()),
            hole: 0,
            key: sys::address(&raw const index),
            value: sys::address(each.as_mut_ptr()),
            flags: ANY,
        };
        // SAFETY: the key is an array's; there is room for a value of each CPU; both outlive the call.
        let read = unsafe { sys::bpf(Command::MapLookup, &attributes) };
        read.map_err(|error| failed(MapError::IoError(error)))?;
        add(&mut total, each.iter().copied());
    }
    Ok(total)
}

/// Every entry of a pinned map of leases, of any layout; `entry` makes ours of its key and value.
pub(super) fn read_leases(
    path: &Path,
    entry: impl Fn(&[u8], &[u8]) -> Option<Entry>,
) -> Result<Vec<Entry>, FastPathError> {
    let info = layout::info("LEASES", path)?;
    let sizes = (info.key_size() as usize, info.value_size() as usize);
    let map = MapData::from_pin(path).map_err(|error| FastPathError::map("open", "LEASES", error))?;
    let mut found = Vec::new();
    all("LEASES", &map, sizes, LOCK, |key, value| found.extend(entry(key, value)))?;
    Ok(found)
}

/// An entry of `LEASES` from its bytes; none: they are not as many as it has.
pub(super) fn lease(key: &[u8], value: &[u8]) -> Option<Entry> {
    let (Raw(key), Raw(lease)) = pair(key, value)?;
    Some((key, lease))
}

/// Counters from their numbers; none: they are not as many as there are.
pub(super) fn counters(words: &[u64]) -> Option<Counters> {
    words.try_into().ok().map(counters_of)
}

/// How many CPUs a value is kept for.
fn cpus() -> Result<usize, MapError> {
    nr_cpus().map_err(|(_, error)| MapError::IoError(error))
}

/// Opens a pinned map, with its capacity.
pub(super) fn open<M: TryFrom<Map, Error = MapError>>(
    name: &'static str,
    path: &Path,
) -> Result<(M, u32), FastPathError> {
    let capacity = layout::info(name, path)?.max_entries();
    let map = MapData::from_pin(path)
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .map_err(|error| FastPathError::map("open", name, error))?;
    Ok((map, capacity))
}

/// Hands out every entry of a hash map.
fn all(
    name: &'static str,
    map: &MapData,
    sizes: (usize, usize),
    flags: u64,
    each: impl FnMut(&[u8], &[u8]),
) -> Result<(), FastPathError> {
    batch::entries(map.fd().as_fd(), sizes, flags, each)
        .map_err(|error| FastPathError::map("read", name, MapError::IoError(error)))
}

/// A key and its value from their bytes; none: they are not as many as these have.
fn pair<K: Pod, V: Pod>(key: &[u8], value: &[u8]) -> Option<(K, V)> {
    let is_whole = key.len() == size_of::<K>() && value.len() == size_of::<V>();
    // SAFETY: there are as many bytes as the types have, which are valid whatever their bytes.
    is_whole.then(|| unsafe {
        (key.as_ptr().cast::<K>().read_unaligned(), value.as_ptr().cast::<V>().read_unaligned())
    })
}

/// What a lookup found.
fn found<V>(name: &'static str, value: Result<V, MapError>) -> Result<Option<V>, FastPathError> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(FastPathError::map("read", name, error)),
    }
}

/// Whether a removal found anything to remove.
fn removed(name: &'static str, result: Result<(), MapError>) -> Result<bool, FastPathError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(FastPathError::map("change", name, error)),
    }
}

/// Why a write failed, a full map told from the rest.
fn write_error(map: &'static str, capacity: u32, error: MapError) -> FastPathError {
    if errno(&error) == Some(libc::E2BIG) {
        return FastPathError::Full { map, capacity };
    }
    FastPathError::map("write", map, error)
}

/// Adds numbers to a total, in their order, over and over.
fn add(total: &mut [u64], numbers: impl Iterator<Item = u64>) {
    let places = total.len();
    for (place, number) in (0..places).cycle().zip(numbers) {
        if let Some(sum) = total.get_mut(place) {
            *sum = sum.wrapping_add(number);
        }
    }
}

fn counters_of(words: &[u64; COUNTS]) -> Counters {
    // SAFETY: `Counters` is `repr(C)` and made of `u64` alone; that it is `COUNTS` of them is
    // asserted above.
    unsafe { std::mem::transmute::<[u64; COUNTS], Counters>(*words) }
}

fn words(counters: &Counters) -> [u64; COUNTS] {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<Counters, [u64; COUNTS]>(*counters) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn counters_are_summed_field_by_field() {
        let mut one = [0; COUNTS];
        one[0] = 3;
        one[COUNTS - 1] = 100;
        let mut other = [0; COUNTS];
        other[0] = 4;
        other[1] = 5;
        let mut total = [0; COUNTS];
        add(&mut total, [one, other].into_iter().flatten());
        assert_eq!(words(&counters_of(&total)), total);
        let total = counters(&total).unwrap();
        assert_eq!((total.answered_offer, total.answered_ack), (7, 5));
        assert_eq!(total.answer_nanoseconds_sum, 100);
    }

    #[test]
    fn a_full_map_is_told_from_other_failures() {
        let full = write_error("LEASES", 1024, MapError::IoError(io::Error::from_raw_os_error(libc::E2BIG)));
        assert!(matches!(full, FastPathError::Full { map: "LEASES", capacity: 1024 }), "{full}");
        let other =
            write_error("LEASES", 1024, MapError::IoError(io::Error::from_raw_os_error(libc::EINVAL)));
        assert!(matches!(other, FastPathError::Map { .. }), "{other}");
    }

    #[test]
    fn removing_what_is_not_there_is_no_error() {
        let missing = MapError::IoError(io::Error::from_raw_os_error(libc::ENOENT));
        assert!(!removed("LEASES", Err(missing)).unwrap());
    }
}
