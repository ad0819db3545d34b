//! The leases themselves, by address.
//!
//! They lie in chunks that never move, with an ordered index from the address to the place, so that a
//! million leases can be read a page at a time. Addresses are given in their order, so that neighbours
//! nearly always share a leaf of the index.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use super::Lease;
use super::ends::Filed;

/// Leases in one chunk: large enough to make a chunk's own cost vanish, small enough that the
/// last one, on average half empty, does not matter.
const CHUNK: usize = 512;

/// Addresses in one leaf of the index: as few as make it cheap also where a network is used sparsely.
const LEAF: u32 = 64;

/// Every lease of a table; at most one for each address.
#[derive(Debug, Default)]
pub(super) struct Records {
    chunks: Vec<Vec<Option<Lease>>>,
    /// By the first address, divided by [`LEAF`].
    leaves: BTreeMap<u32, Box<Leaf>>,
    len: usize,
    /// Places whose lease was taken out, to be used again first.
    vacant: Vec<Place>,
}

/// Where a lease lies: which one it is, counted from one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(NonZeroU32);

/// What the index knows of neighbouring addresses.
#[derive(Debug)]
struct Leaf {
    places: [Option<Place>; LEAF as usize],
    filed: [Filed; LEAF as usize],
}

impl Records {
    /// These leases, in the order of their addresses, of which no two are the same.
    pub(super) fn of(leases: Vec<Lease>) -> Self {
        let mut records = Self::default();
        let mut leaves: Vec<(u32, Box<Leaf>)> = Vec::new();
        for lease in leases {
            let (number, at) = split(lease.ip);
            let place = records.lay(lease);
            if leaves.last().is_none_or(|(last, _)| *last != number) {
                leaves.push((number, Box::new(Leaf::EMPTY)));
            }
            if let Some(slot) = leaves.last_mut().and_then(|(_, leaf)| leaf.places.get_mut(at)) {
                *slot = place;
                records.len = records.len.saturating_add(1);
            }
        }
        records.leaves = leaves.into_iter().collect();
        records
    }

    /// The lease of an address.
    pub(super) fn get(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.at(self.place_of(ip)?)
    }

    /// The lease of an address, to be changed; its address must stay what it is.
    pub(super) fn get_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Lease> {
        self.get_filed(ip).map(|(lease, _)| lease)
    }

    /// The same, with how its address is filed among the ends.
    pub(super) fn get_filed(&mut self, ip: Ipv4Addr) -> Option<(&mut Lease, &mut Filed)> {
        let (leaf, at) = split(ip);
        let Leaf { places, filed } = self.leaves.get_mut(&leaf)?.as_mut();
        let (chunk, offset) = (*places.get(at)?)?.split();
        let lease = self.chunks.get_mut(chunk)?.get_mut(offset)?.as_mut()?;
        Some((lease, filed.get_mut(at)?))
    }

    /// Shows how each address is filed, with its lease; also those of neighbours that have none.
    pub(super) fn each_filed(&mut self, mut each: impl FnMut(Option<&Lease>, &mut Filed)) {
        let Self { chunks, leaves, .. } = self;
        for Leaf { places, filed } in leaves.values_mut().map(Box::as_mut) {
            for (place, filed) in places.iter().zip(filed) {
                let lease =
                    place.map(Place::split).and_then(|(chunk, offset)| chunks.get(chunk)?.get(offset));
                each(lease.and_then(Option::as_ref), filed);
            }
        }
    }

    /// Where the lease of an address lies.
    pub(super) fn place_of(&self, ip: Ipv4Addr) -> Option<Place> {
        let (leaf, at) = split(ip);
        *self.leaves.get(&leaf)?.places.get(at)?
    }

    /// The lease at a place.
    pub(super) fn at(&self, place: Place) -> Option<&Lease> {
        let (chunk, offset) = place.split();
        self.chunks.get(chunk)?.get(offset)?.as_ref()
    }

    /// Every place that there is, of a vacant one as well.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.end()).filter_map(Place::of)
    }

    /// Puts a lease in; the address's former one comes out.
    pub(super) fn insert(&mut self, lease: Lease) -> Option<Lease> {
        if let Some(present) = self.get_mut(lease.ip) {
            return Some(std::mem::replace(present, lease));
        }
        let (leaf, at) = split(lease.ip);
        let place = self.lay(lease);
        let leaf = self.leaves.entry(leaf).or_insert_with(|| Box::new(Leaf::EMPTY));
        if let Some(slot) = leaf.places.get_mut(at) {
            *slot = place;
            self.len = self.len.saturating_add(1);
        }
        None
    }

    /// Takes a lease out.
    pub(super) fn remove(&mut self, ip: Ipv4Addr) -> Option<Lease> {
        let (number, at) = split(ip);
        let leaf = self.leaves.get_mut(&number)?;
        let place = leaf.places.get_mut(at)?.take()?;
        if leaf.places.iter().all(Option::is_none) {
            self.leaves.remove(&number);
        }
        self.len = self.len.saturating_sub(1);
        self.vacant.push(place);
        let (chunk, offset) = place.split();
        self.chunks.get_mut(chunk)?.get_mut(offset)?.take()
    }

    /// How many leases there are.
    pub(super) fn len(&self) -> usize {
        self.len
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
        let (first, last) = ips.into_inner();
        // An empty range is a panic to the map.
        let leaves = (first <= last).then(|| split(first).0..=split(last).0);
        let leaves = leaves.into_iter().flat_map(|leaves| self.leaves.range(leaves));
        let leases = leaves.flat_map(|(_, leaf)| leaf.places.iter().flatten());
        leases.filter_map(|place| self.at(*place)).filter(move |lease| (first..=last).contains(&lease.ip))
    }

    /// The leases of higher addresses than `after`, in their order.
    pub(super) fn after(&self, after: Option<Ipv4Addr>) -> impl Iterator<Item = &Lease> {
        let next = after.map_or(Some(0), |after| after.to_bits().checked_add(1)).map(Ipv4Addr::from_bits);
        next.into_iter().flat_map(|next| self.range(next..=Ipv4Addr::BROADCAST))
    }

    /// Takes every lease out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Lease> + use<> {
        std::mem::take(self).chunks.into_iter().flatten().flatten()
    }

    /// Lays a lease down at a vacant place, or at the end.
    fn lay(&mut self, lease: Lease) -> Option<Place> {
        while let Some(place) = self.vacant.pop() {
            let (chunk, offset) = place.split();
            if let Some(slot) = self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(offset)) {
                *slot = Some(lease);
                return Some(place);
            }
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let place = Place::of(self.end());
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
    /// The place of which there are so many before it.
    fn of(before: u32) -> Option<Self> {
        before.checked_add(1).and_then(NonZeroU32::new).map(Self)
    }

    /// The chunk, and the offset in it.
    fn split(self) -> (usize, usize) {
        let before = self.0.get().saturating_sub(1) as usize;
        (before / CHUNK, before % CHUNK)
    }
}

impl Leaf {
    /// No lease.
    const EMPTY: Self = Self { places: [None; LEAF as usize], filed: [Filed::NOT; LEAF as usize] };
}

/// The leaf of an address, and its place there.
fn split(ip: Ipv4Addr) -> (u32, usize) {
    let ip = ip.to_bits();
    (ip / LEAF, (ip % LEAF) as usize)
}
