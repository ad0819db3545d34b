//! The leases themselves, by address.
//!
//! They lie in chunks that never move, with a small ordered index from the address to the place, so
//! that a million leases can be read a page at a time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::Lease;

/// Leases in one chunk: large enough to make a chunk's own cost vanish, small enough that the
/// last one, on average half empty, does not matter.
const CHUNK: usize = 512;

/// Every lease of a table; at most one for each address.
#[derive(Debug, Default)]
pub(super) struct Records {
    chunks: Vec<Vec<Option<Lease>>>,
    places: BTreeMap<Ipv4Addr, u32>,
    /// Places whose lease was taken out, to be used again first.
    vacant: Vec<u32>,
}

impl Records {
    /// The lease of an address.
    pub(super) fn get(&self, ip: Ipv4Addr) -> Option<&Lease> {
        let (chunk, offset) = split(*self.places.get(&ip)?);
        self.chunks.get(chunk)?.get(offset)?.as_ref()
    }

    /// The lease of an address, to be changed; its address must stay what it is.
    pub(super) fn get_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Lease> {
        let (chunk, offset) = split(*self.places.get(&ip)?);
        self.chunks.get_mut(chunk)?.get_mut(offset)?.as_mut()
    }

    /// Puts a lease in; the address's former one comes out.
    pub(super) fn insert(&mut self, lease: Lease) -> Option<Lease> {
        if let Some(present) = self.get_mut(lease.ip) {
            return Some(std::mem::replace(present, lease));
        }
        let ip = lease.ip;
        let place = self.place(lease);
        self.places.insert(ip, place);
        None
    }

    /// Takes a lease out.
    pub(super) fn remove(&mut self, ip: Ipv4Addr) -> Option<Lease> {
        let place = self.places.remove(&ip)?;
        self.vacant.push(place);
        let (chunk, offset) = split(place);
        self.chunks.get_mut(chunk)?.get_mut(offset)?.take()
    }

    /// How many leases there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Every lease, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.chunks.iter().flatten().flatten()
    }

    /// The leases of these addresses, in their order; a range that ends before it begins has none.
    pub(super) fn range(&self, ips: RangeInclusive<Ipv4Addr>) -> impl Iterator<Item = &Lease> {
        // An empty range is a panic to the map.
        let ips = (ips.start() <= ips.end()).then_some(ips);
        ips.into_iter().flat_map(|ips| self.places.range(ips)).filter_map(|(ip, _)| self.get(*ip))
    }

    /// Takes every lease out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Lease> + use<> {
        std::mem::take(self).chunks.into_iter().flatten().flatten()
    }

    /// Lays a lease down at a vacant place, or at the end.
    fn place(&mut self, lease: Lease) -> u32 {
        while let Some(place) = self.vacant.pop() {
            let (chunk, offset) = split(place);
            if let Some(slot) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(offset)) {
                *slot = Some(lease);
                return place;
            }
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = self.chunks.len().saturating_sub(1).saturating_mul(CHUNK);
        let Some(chunk) = self.chunks.last_mut() else { return u32::MAX };
        chunk.push(Some(lease));
        u32::try_from(full.saturating_add(chunk.len()).saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

/// A place's chunk, and the offset in it.
fn split(place: u32) -> (usize, usize) {
    let place = place as usize;
    (place / CHUNK, place % CHUNK)
}
