//! Which addresses a client has, on each network.
//!
//! The index knows a client by a keyed hash of 32 bits, so that it costs a few bytes a lease
//! whatever clients send as their id. Two clients may share a hash: whoever asks compares the
//! lease that is found with the client that was meant.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::net::Ipv4Addr;

use super::{ClientKey, Lease, NetworkId};
use crate::config::Identity;

/// From a client on a network to its addresses.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// The key of the hash, so that no client can choose its hash.
    hasher: RandomState,
    /// The first address with this hash: nearly always the only one.
    first: HashMap<u32, Ipv4Addr, Hashed>,
    /// Further addresses with the same hash; never an empty list.
    more: HashMap<u32, Vec<Ipv4Addr>, Hashed>,
}

/// Maps whose keys are good hashes already: each stands for itself.
type Hashed = BuildHasherDefault<AsItIs>;

/// A hash that is the number it is made of, in both halves: a map takes a few bits from either end.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (u64::from(number) << 32) | u64::from(number);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A client, as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientHash(u32);

/// What identifies a client, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyRef<'a> {
    /// The hardware address.
    Mac([u8; 6]),
    /// The client-id.
    Id(&'a [u8]),
}

impl<'a> KeyRef<'a> {
    /// The client of a lease, as its network sees it.
    pub(super) fn of(identity: Identity, mac: [u8; 6], client_id: Option<&'a [u8]>) -> Self {
        match (identity, client_id) {
            (Identity::ClientId, Some(id)) => Self::Id(id),
            (Identity::ClientId, None) | (Identity::Mac, _) => Self::Mac(mac),
        }
    }

    /// The client of a lease; none: it belongs to nobody.
    pub(super) fn of_lease(identity: Identity, lease: &'a Lease) -> Option<Self> {
        (!lease.is_nobodys()).then(|| Self::of(identity, lease.mac, lease.client_id.as_deref()))
    }

    /// An owned copy.
    pub(super) fn to_key(self) -> ClientKey {
        match self {
            Self::Mac(mac) => ClientKey::Mac(mac),
            Self::Id(id) => ClientKey::Id(id.into()),
        }
    }
}

impl<'a> From<&'a ClientKey> for KeyRef<'a> {
    fn from(key: &'a ClientKey) -> Self {
        match key {
            ClientKey::Mac(mac) => Self::Mac(*mac),
            ClientKey::Id(id) => Self::Id(id),
        }
    }
}

impl Clients {
    /// Makes room for as many clients at once.
    pub(super) fn reserve(&mut self, clients: usize) {
        self.first.reserve(clients);
    }

    /// The hash of a client on a network.
    #[expect(clippy::cast_possible_truncation, reason = "half of a good hash is a good hash")]
    pub(super) fn hash(&self, network: NetworkId, key: KeyRef<'_>) -> ClientHash {
        ClientHash(self.hasher.hash_one((network, key)) as u32)
    }

    /// Every address under this hash: the client's, and those of clients that share the hash.
    pub(super) fn addresses(&self, client: ClientHash) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let more = self.more.get(&client.0).map(Vec::as_slice).unwrap_or_default();
        self.first.get(&client.0).into_iter().chain(more).copied()
    }

    /// Adds an address that is not there yet.
    pub(super) fn link(&mut self, client: ClientHash, ip: Ipv4Addr) {
        if self.addresses(client).any(|linked| linked == ip) {
            return;
        }
        match self.first.entry(client.0) {
            Entry::Occupied(_) => self.more.entry(client.0).or_default().push(ip),
            Entry::Vacant(vacant) => {
                vacant.insert(ip);
            }
        }
    }

    /// Takes an address away, if it is there.
    pub(super) fn unlink(&mut self, client: ClientHash, ip: Ipv4Addr) {
        if let Some(more) = self.more.get_mut(&client.0) {
            let replacement = if self.first.get(&client.0) == Some(&ip) {
                more.pop().map(|next| (client.0, next))
            } else {
                more.retain(|linked| *linked != ip);
                None
            };
            if more.is_empty() {
                self.more.remove(&client.0);
            }
            self.first.extend(replacement);
        } else if self.first.get(&client.0) == Some(&ip) {
            self.first.remove(&client.0);
        }
    }
}
