//! Whether pinned maps are laid out as this version expects.
//!
//! Sizes of keys and values are compared with what this version would create. What sizes cannot
//! tell (a field that means something else) is told by [`LAYOUT`], which is pinned beside the maps:
//! in a map of one number, because a BPF file system holds nothing but BPF objects.

use std::path::Path;

use aya::maps::{Array, Map, MapData, MapInfo, MapType};
use xdhcpd_common::counters::Counters;
use xdhcpd_common::maps::{Budget, Lease, LeaseKey, Server, Template, Wire};

use super::error::FastPathError;
use super::pins::{self, Pins};

/// The number of the layout. To be raised when the meaning of a key or value changes, together
/// with a migration from the one before.
const LAYOUT: u32 = 1;

/// The map that holds [`LAYOUT`].
const MARKER: &str = "LAYOUT";

/// What kind of map a name stands for, and how large its keys and values are.
pub(super) struct Shape {
    /// The name of the map, in the object and in the folder of pins.
    pub name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
}

/// The maps that are pinned.
pub(super) const SHAPES: [Shape; 6] = [
    Shape { name: "LEASES", kind: MapType::Hash, key: size_of::<LeaseKey>(), value: size_of::<Lease>() },
    Shape { name: "TEMPLATES", kind: MapType::Array, key: size_of::<u32>(), value: size_of::<Template>() },
    Shape { name: "SERVERS", kind: MapType::Hash, key: size_of::<Wire>(), value: size_of::<Server>() },
    Shape { name: "EVENTS", kind: MapType::RingBuf, key: 0, value: 0 },
    Shape {
        name: "COUNTERS",
        kind: MapType::PerCpuArray,
        key: size_of::<u32>(),
        value: size_of::<Counters>(),
    },
    Shape { name: "LIMITS", kind: MapType::LruHash, key: size_of::<LeaseKey>(), value: size_of::<Budget>() },
];

/// Checks that every pinned map can be used by this version; marks a folder without maps as its own.
pub(super) fn adopt(pins: &Pins) -> Result<(), FastPathError> {
    let mut maps = 0_usize;
    for shape in &SHAPES {
        let path = pins.map(shape.name);
        if !path.exists() {
            continue;
        }
        maps = maps.saturating_add(1);
        let info = info(shape.name, &path)?;
        if let Some(what) = shape.difference(&info) {
            return Err(unknown(pins, what));
        }
    }
    let marker = pins.map(MARKER);
    if marker.exists() {
        return match read(&marker)? {
            Some(LAYOUT) => Ok(()),
            Some(other) => Err(unknown(pins, format!("layout {other}, this is {LAYOUT}"))),
            None => Err(unknown(pins, format!("{MARKER} holds no number"))),
        };
    }
    if maps > 0 {
        return Err(unknown(pins, format!("there is no {MARKER}")));
    }
    write(&marker)
}

/// What the kernel says of a pinned map.
pub(super) fn info(name: &'static str, path: &Path) -> Result<MapInfo, FastPathError> {
    MapInfo::from_pin(path).map_err(|error| FastPathError::map("open", name, error))
}

impl Shape {
    /// How a map differs from what is expected under this name.
    fn difference(&self, found: &MapInfo) -> Option<String> {
        let name = self.name;
        if found.map_type().ok() != Some(self.kind) {
            return Some(format!("{name} is another kind of map"));
        }
        different("keys", name, found.key_size(), self.key)
            .or_else(|| different("values", name, found.value_size(), self.value))
    }
}

/// How one size differs from another.
fn different(what: &str, name: &str, found: u32, expected: usize) -> Option<String> {
    (usize::try_from(found) != Ok(expected))
        .then(|| format!("{what} of {name} have {found} bytes, expected are {expected}"))
}

/// Pins the number of the layout.
fn write(marker: &Path) -> Result<(), FastPathError> {
    let failed = |error| FastPathError::map("create", MARKER, error);
    let mut map = Array::<MapData, u32>::create(1, 0).map_err(failed)?;
    map.set(0, LAYOUT, 0).map_err(failed)?;
    map.pin(marker).map_err(|error| FastPathError::map("pin", MARKER, pins::map_error(error)))
}

/// Reads the number of the layout; none when the marker is some other map.
fn read(marker: &Path) -> Result<Option<u32>, FastPathError> {
    let failed = |error| FastPathError::map("open", MARKER, error);
    let map = MapData::from_pin(marker).and_then(Map::from_map_data).map_err(failed)?;
    Ok(Array::<_, u32>::try_from(map).ok().and_then(|map| map.get(&0, 0).ok()))
}

/// The error for maps that this version cannot use.
fn unknown(pins: &Pins, what: String) -> FastPathError {
    FastPathError::Layout { name: pins.name.clone(), folder: pins.folder.clone(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_is_said_with_both_numbers() {
        assert_eq!(different("keys", "LEASES", 16, 16), None);
        assert_eq!(
            different("values", "LEASES", 72, 80).as_deref(),
            Some("values of LEASES have 72 bytes, expected are 80")
        );
    }
}
