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
use super::formers::{FORMERS, Former};
use super::pins::{self, Pins};

/// The number of the layout. To be raised when a key, a value or its meaning changes, or how many
/// entries a map has; what becomes of maps of the one before is said in [`super::formers`].
pub(super) const LAYOUT: u32 = 2;

/// The map that holds [`LAYOUT`].
pub(super) const MARKER: &str = "LAYOUT";

/// What kind of map a name stands for, and how large its keys and values are.
pub(super) struct Shape {
    /// The name of the map, in the object and in the folder of pins.
    pub name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
}

/// The maps that are pinned.
pub(super) const SHAPES: [Shape; 7] = [
    Shape { name: "LEASES", kind: MapType::Hash, key: size_of::<LeaseKey>(), value: size_of::<Lease>() },
    Shape { name: "TEMPLATES", kind: MapType::Array, key: size_of::<u32>(), value: size_of::<Template>() },
    Shape { name: "SERVERS", kind: MapType::Hash, key: size_of::<Wire>(), value: size_of::<Server>() },
    Shape { name: "EPOCH", kind: MapType::Array, key: size_of::<u32>(), value: size_of::<u64>() },
    Shape { name: "EVENTS", kind: MapType::RingBuf, key: 0, value: 0 },
    Shape {
        name: "COUNTERS",
        kind: MapType::PerCpuArray,
        key: size_of::<u32>(),
        value: size_of::<Counters>(),
    },
    Shape { name: "LIMITS", kind: MapType::LruHash, key: size_of::<LeaseKey>(), value: size_of::<Budget>() },
];

/// What is pinned.
pub(super) enum Found {
    /// No maps.
    Nothing,
    /// Maps of this layout; some may be missing.
    Ours,
    /// Maps of an earlier one.
    Former(&'static Former),
}

/// Looks at what is pinned; an error where it is what this version cannot use.
pub(super) fn found(pins: &Pins) -> Result<Found, FastPathError> {
    let marker = pins.map(MARKER);
    if !marker.exists() {
        let is_empty = SHAPES.iter().all(|shape| !pins.map(shape.name).exists());
        return if is_empty {
            Ok(Found::Nothing)
        } else {
            Err(unusable(pins, format!("there is no {MARKER}")))
        };
    }
    let (shapes, found) = match read(pins, &marker)? {
        LAYOUT => (SHAPES, Found::Ours),
        older if older < LAYOUT => {
            let former = former(pins, older)?;
            (SHAPES.map(|shape| shape.of(former)), Found::Former(former))
        }
        later => {
            return Err(unusable(
                pins,
                format!("layout {later} is a later version's (this one has {LAYOUT})"),
            ));
        }
    };
    let difference = |shape: &Shape| {
        let path = pins.map(shape.name);
        path.exists().then(|| info(shape.name, &path)).transpose().map(|info| shape.difference(&info?))
    };
    for shape in &shapes {
        if let Some(what) = difference(shape)? {
            return Err(unusable(pins, what));
        }
    }
    Ok(found)
}

/// The layout before ours that a marker names.
pub(super) fn former_at(pins: &Pins, marker: &Path) -> Result<&'static Former, FastPathError> {
    former(pins, read(pins, marker)?)
}

/// What the kernel says of a pinned map.
pub(super) fn info(name: &'static str, path: &Path) -> Result<MapInfo, FastPathError> {
    MapInfo::from_pin(path).map_err(|error| FastPathError::map("open", name, error))
}

/// Marks maps as being of this layout.
pub(super) fn mark(marker: &Path) -> Result<(), FastPathError> {
    let failed = |error| FastPathError::map("create", MARKER, error);
    let mut map = Array::<MapData, u32>::create(1, 0).map_err(failed)?;
    map.set(0, LAYOUT, 0).map_err(failed)?;
    map.pin(marker).map_err(|error| FastPathError::map("pin", MARKER, pins::map_error(error)))
}

impl Shape {
    /// The shape that the map had in a former layout, as far as anything is read from it.
    fn of(self, former: &Former) -> Self {
        match self.name {
            "LEASES" => Self { key: former.key, value: former.lease, ..self },
            "COUNTERS" => Self { value: former.counters, ..self },
            _ => self,
        }
    }

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

/// Reads the number of a layout.
fn read(pins: &Pins, marker: &Path) -> Result<u32, FastPathError> {
    let failed = |error| FastPathError::map("open", MARKER, error);
    let map = MapData::from_pin(marker).and_then(Map::from_map_data).map_err(failed)?;
    let number = Array::<_, u32>::try_from(map).ok().and_then(|map| map.get(&0, 0).ok());
    number.ok_or_else(|| unusable(pins, format!("{MARKER} holds no number")))
}

fn former(pins: &Pins, layout: u32) -> Result<&'static Former, FastPathError> {
    let former = FORMERS.iter().find(|former| former.layout == layout);
    former.ok_or_else(|| unusable(pins, format!("layout {layout} was never released")))
}

/// The error for maps that this version cannot use.
pub(super) fn unusable(pins: &Pins, what: String) -> FastPathError {
    FastPathError::Layout { folder: pins.folder.clone(), what }
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

    #[test]
    fn every_former_layout_is_an_earlier_one_and_there_once() {
        let mut layouts: Vec<u32> = FORMERS.iter().map(|former| former.layout).collect();
        assert!(layouts.iter().all(|layout| *layout < LAYOUT));
        let count = layouts.len();
        layouts.dedup();
        assert_eq!(layouts.len(), count);
    }
}
