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
    places: BTreeMap<Ipv4Addr, Place>,
    /// Places whose lease was taken out, to be used again first.
    vacant: Vec<Place>,
}

/// Where a lease lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(u32);

impl Records {
    /// These leases, of which no two have one address; fastest, and the index smallest, where they come in
    /// the order of their addresses.
    pub(super) fn of(leases: Vec<Lease>) -> Self {
        let mut records = Self::default();
        let places: Vec<(Ipv4Addr, Place)> =
            leases.into_iter().map(|lease| (lease.ip, records.lay(lease))).collect();
        records.places = places.into_iter().collect();
        records
    }

    /// The lease of an address.
    pub(super) fn get(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.at(self.place_of(ip)?)
    }

    /// The lease of an address, to be changed; its address must stay what it is.
    pub(super) fn get_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Lease> {
        let (chunk, offset) = self.place_of(ip)?.split();
        self.chunks.get_mut(chunk)?.get_mut(offset)?.as_mut()
    }

    /// Where the lease of an address lies.
    pub(super) fn place_of(&self, ip: Ipv4Addr) -> Option<Place> {
        self.places.get(&ip).copied()
    }

    /// The lease at a place.
    pub(super) fn at(&self, place: Place) -> Option<&Lease> {
        let (chunk, offset) = place.split();
        self.chunks.get(chunk)?.get(offset)?.as_ref()
    }

    /// Every place that there is, of a vacant one as well.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.end()).map(Place)
    }

    /// Puts a lease in; the address's former one comes out.
    pub(super) fn insert(&mut self, lease: Lease) -> Option<Lease> {
        if let Some(present) = self.get_mut(lease.ip) {
            return Some(std::mem::replace(present, lease));
        }
        let ip = lease.ip;
        let place = self.lay(lease);
        self.places.insert(ip, place);
        None
    }

    /// Takes a lease out.
    pub(super) fn remove(&mut self, ip: Ipv4Addr) -> Option<Lease> {
        let place = self.places.remove(&ip)?;
        self.vacant.push(place);
        let (chunk, offset) = place.split();
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

    /// Every lease, in no order, to be changed; their addresses must stay what they are.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lease> {
        self.chunks.iter_mut().flatten().flatten()
    }

    /// The leases of these addresses, in their order; a range that ends before it begins has none.
    pub(super) fn range(&self, ips: RangeInclusive<Ipv4Addr>) -> impl Iterator<Item = &Lease> {
        // An empty range is a panic to the map.
        let ips = (ips.start() <= ips.end()).then_some(ips);
        ips.into_iter().flat_map(|ips| self.places.range(ips)).filter_map(|(_, place)| self.at(*place))
    }

    /// Takes every lease out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Lease> + use<> {
        std::mem::take(self).chunks.into_iter().flatten().flatten()
    }

    /// Lays a lease down at a vacant place, or at the end.
    fn lay(&mut self, lease: Lease) -> Place {
        while let Some(place) = self.vacant.pop() {
            let (chunk, offset) = place.split();
            if let Some(slot) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(offset)) {
                *slot = Some(lease);
                return place;
            }
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let place = Place(self.end());
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(Some(lease));
        }
        place
    }

    /// The place behind the last one.
    fn end(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1).saturating_mul(CHUNK);
        let last = self.chunks.last().map_or(0, Vec::len);
        u32::try_from(full.saturating_add(last)).unwrap_or(u32::MAX)
    }
}

impl Place {
    /// The chunk, and the offset in it.
    fn split(self) -> (usize, usize) {
        let place = self.0 as usize;
        (place / CHUNK, place % CHUNK)
    }
}
