//! The number in the map `EPOCH`, by which the program sees that the agent changed nothing meanwhile.
//!
//! It is 0 from before the first change until the agent has come to rest; then it is one that it never was before.
//! A program run that found the same number at its beginning and at its end, and not 0, has read entries that
//! are whole, as if it had held all locks: a change between would have to be over, with another number, or
//! under way, with 0. That takes loads and stores that others see in their order, which x86 promises and
//! others do not; there the number says nothing of leases, and the program takes locks.

use aya::maps::{Array, MapData};
use xdhcpd_common::maps::COVERS_LEASES;

use super::error::FastPathError;
use super::maps::{ANY, open};
use super::pins::Pins;
use crate::clock::Now;

/// What the number is while changes are made. Who dies meanwhile leaves it so, and the program looks into
/// `SERVERS` for each request and takes the lock for each ACK, until the next start.
const CHANGING: u64 = 0;

/// The number's map.
pub(super) struct Epoch {
    /// None where an earlier release left maps without it, of which nothing is written then.
    map: Option<Array<MapData, u64>>,
    is_changing: bool,
}

impl Epoch {
    /// Opens what is pinned; whatever the number is, changes may be under way.
    pub fn open(pins: &Pins) -> Result<Self, FastPathError> {
        let pin = pins.map("EPOCH");
        let map = pin.exists().then(|| open("EPOCH", &pin)).transpose()?.map(|(map, _capacity)| map);
        Ok(Self { map, is_changing: false })
    }

    /// Must come before a change of what programs read.
    pub fn change(&mut self) -> Result<(), FastPathError> {
        if !self.is_changing {
            self.set(CHANGING)?;
            self.is_changing = true;
        }
        Ok(())
    }

    /// All changes are made, until the next one.
    pub fn rest(&mut self) -> Result<(), FastPathError> {
        if self.is_changing {
            let leases = if cfg!(target_arch = "x86_64") { COVERS_LEASES } else { 0 };
            // No moment comes twice while the maps exist.
            self.set(Now::read().moment.0 | leases)?;
            self.is_changing = false;
        }
        Ok(())
    }

    fn set(&mut self, number: u64) -> Result<(), FastPathError> {
        let Some(map) = &mut self.map else { return Ok(()) };
        map.set(0, number, ANY).map_err(|error| FastPathError::map("write", "EPOCH", error))
    }
}
