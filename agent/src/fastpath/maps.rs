//! The maps by their types, opened from their pins: the same for the agent that owns them and for
//! a command line that looks at them while the agent is down.
//!
//! Leases are read and written under their lock (`BPF_F_LOCK`), so neither side ever sees half of
//! the other's change.

use std::collections::HashSet;

use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use xdhcpd_common::counters::Counters;
use xdhcpd_common::maps::{Event, EventKind, Lease, LeaseKey, LeaseState, Server, Template, Wire};

use super::error::{FastPathError, errno};
use super::layout;
use super::pins::Pins;

/// Makes or changes an entry.
const ANY: u64 = 0;
/// Only makes an entry.
const NO_EXIST: u64 = 1;
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

/// The maps that the agent reads and writes.
pub(super) struct Maps {
    leases: Leases,
    templates: Array<MapData, Raw<Template>>,
    template_capacity: u32,
    servers: HashMap<MapData, Raw<Wire>, Raw<Server>>,
    server_capacity: u32,
    counters: PerCpuArray<MapData, [u64; COUNTS]>,
}

impl Maps {
    /// Opens what is pinned.
    pub fn open(pins: &Pins) -> Result<Self, FastPathError> {
        let (templates, template_capacity) = open(pins, "TEMPLATES")?;
        let (servers, server_capacity) = open(pins, "SERVERS")?;
        let (counters, _one) = open(pins, "COUNTERS")?;
        Ok(Self {
            leases: Leases::open(pins, "LEASES")?,
            templates,
            template_capacity,
            servers,
            server_capacity,
            counters,
        })
    }

    /// The map `LEASES`.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The map `LEASES`, to be changed.
    pub fn leases_mut(&mut self) -> &mut Leases {
        &mut self.leases
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
        self.servers
            .insert(Raw(wire), Raw(*server), ANY)
            .map_err(|error| write_error("SERVERS", self.server_capacity, error))
    }

    /// Reads how a wire is served.
    pub fn server(&self, wire: Wire) -> Result<Option<Server>, FastPathError> {
        Ok(found("SERVERS", self.servers.get(&Raw(wire), ANY))?.map(|Raw(server)| server))
    }

    /// Every wire that is served.
    pub fn servers(&self) -> Result<Vec<(Wire, Server)>, FastPathError> {
        let mut servers = Vec::new();
        for Raw(wire) in keys("SERVERS", &self.servers, self.server_capacity, |Raw(wire)| *wire)? {
            if let Some(server) = self.server(wire)? {
                servers.push((wire, server));
            }
        }
        Ok(servers)
    }

    /// Stops serving a wire; whether it was served.
    pub fn remove_server(&mut self, wire: Wire) -> Result<bool, FastPathError> {
        removed("SERVERS", self.servers.remove(&Raw(wire)))
    }

    /// The counters, summed over all CPUs.
    pub fn counters(&self) -> Result<Counters, FastPathError> {
        let each =
            self.counters.get(&0, ANY).map_err(|error| FastPathError::map("read", "COUNTERS", error))?;
        Ok(sum(each.iter()))
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
}

impl Leases {
    /// Opens the one pinned under this name.
    pub fn open(pins: &Pins, pin: &'static str) -> Result<Self, FastPathError> {
        let (map, capacity) = open(pins, pin)?;
        Ok(Self { map, capacity })
    }

    /// How many entries there can be.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Makes an entry, or changes it in place.
    pub fn put(&mut self, key: LeaseKey, lease: &Lease) -> Result<(), FastPathError> {
        let written = self.map.insert(Raw(key), Raw(*lease), LOCK);
        written.map_err(|error| write_error("LEASES", self.capacity, error))
    }

    /// Makes an entry where there is none.
    pub fn put_new(&mut self, key: LeaseKey, lease: &Lease) -> Result<(), FastPathError> {
        match self.map.insert(Raw(key), Raw(*lease), LOCK | NO_EXIST) {
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
            written => written.map_err(|error| write_error("LEASES", self.capacity, error)),
        }
    }

    /// Reads an entry.
    pub fn get(&self, key: LeaseKey) -> Result<Option<Lease>, FastPathError> {
        Ok(found("LEASES", self.map.get(&Raw(key), LOCK))?.map(|Raw(lease)| lease))
    }

    /// Makes an entry answer nothing from now on; returns what it was.
    pub fn suspend(&mut self, key: LeaseKey) -> Result<Option<Lease>, FastPathError> {
        let Some(was) = self.get(key)? else { return Ok(None) };
        let suspended = Lease { state: LeaseState::SUSPENDED, ..was };
        match self.map.insert(Raw(key), Raw(suspended), LOCK | EXIST) {
            Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(None),
            written => {
                written.map_err(|error| write_error("LEASES", self.capacity, error))?;
                Ok(Some(was))
            }
        }
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
    pub fn all(&self) -> Result<Vec<(LeaseKey, Lease)>, FastPathError> {
        let mut leases = Vec::new();
        for Raw(key) in keys("LEASES", &self.map, self.capacity, |Raw(key)| *key)? {
            if let Some(lease) = self.get(key)? {
                leases.push((key, lease));
            }
        }
        Ok(leases)
    }
}

/// Opens a pinned map, with its capacity.
fn open<M: TryFrom<Map, Error = MapError>>(
    pins: &Pins,
    name: &'static str,
) -> Result<(M, u32), FastPathError> {
    let path = pins.map(name);
    let capacity = layout::info(name, &path)?.max_entries();
    let map = MapData::from_pin(&path)
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .map_err(|error| FastPathError::map("open", name, error))?;
    Ok((map, capacity))
}

/// Every key of a map, each once.
///
/// Asking for the key after one that has just been removed begins anew. So keys come twice then, and
/// the walk ends after as many steps as two whole walks have, whatever goes on meanwhile.
fn keys<K, V, N>(
    name: &'static str,
    map: &HashMap<MapData, K, V>,
    capacity: u32,
    identity: impl Fn(&K) -> N,
) -> Result<Vec<K>, FastPathError>
where
    K: Pod,
    V: Pod,
    N: std::hash::Hash + Eq,
{
    let steps = usize::try_from(capacity).unwrap_or(usize::MAX).saturating_mul(2);
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for key in map.keys().take(steps) {
        let key = key.map_err(|error| FastPathError::map("read", name, error))?;
        if seen.insert(identity(&key)) {
            keys.push(key);
        }
    }
    Ok(keys)
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

/// Adds up what each CPU counted.
fn sum<'a>(each: impl Iterator<Item = &'a [u64; COUNTS]>) -> Counters {
    let mut total = [0_u64; COUNTS];
    for counts in each {
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum = sum.wrapping_add(*count);
        }
    }
    // SAFETY: `Counters` is `repr(C)` and made of `u64` alone; that it is `COUNTS` of them is
    // asserted above.
    unsafe { std::mem::transmute::<[u64; COUNTS], Counters>(total) }
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
        let total = sum([one, other].iter());
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
