//! Every lease in memory: by address, by client and by end; and the addresses that are free.
//!
//! An address has at most one record: who has it, or who had it last. A client is found at the
//! address it has, or at the last one it had. A record without an occupant keeps its client until
//! the client gets another address, or the address another client.
//!
//! Promises: the indexes agree with the records after every call; no call costs more than
//! O(log n), except those that say so; an address that is occupied is never chosen. Never here:
//! a clock, the disk, a decision about what to answer. What is durable is what the journal says
//! ([`Table::mark_durable`], [`Table::load`]); `put` cannot make it so.

mod whole;

use std::net::Ipv4Addr;

use super::changes::{Changes, look_alike};
use super::clients::{Clients, KeyRef};
use super::ends::Ends;
use super::journal::Synced;
use super::pool::{Counts, Pool};
use super::records::{Place, Records};
use super::{AnsweredBy, ClientKey, Lease, NetworkId, State};
use crate::clock::Moment;
use crate::config::Identity;

/// All leases of one agent.
#[derive(Debug)]
pub struct Table {
    /// By [`NetworkId`].
    pools: Vec<Pool>,
    /// (first, last, network) of every subnet, sorted; subnets never overlap.
    subnets: Vec<(u32, u32, NetworkId)>,
    /// The leases inside a network.
    records: Records,
    /// Where each client is.
    clients: Clients,
    /// Occupied leases that end.
    ends: Ends,
    /// Leases outside of every network: not served, kept for the day the network comes back.
    aside: Records,
    /// What readers see otherwise since they looked; none: nobody looks.
    changes: Option<Changes>,
}

/// The most addresses that [`Table::due`] names at once, so that a million leases that end
/// together do not stop everything else.
pub const MAX_DUE: usize = 1024;

impl Table {
    /// Notes from now on which leases change, for [`Self::take_changes`]; all of them are new.
    pub fn note_changes(&mut self) {
        self.changes = Some(Changes::All);
    }

    /// What a reader sees otherwise than at the last time; nothing where it is not noted.
    pub fn take_changes(&mut self) -> Changes {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The network an address lies in.
    pub fn network_of(&self, ip: Ipv4Addr) -> Option<NetworkId> {
        let ip = ip.to_bits();
        let after = self.subnets.partition_point(|(first, _, _)| *first <= ip);
        let (_, last, network) = *self.subnets.get(after.checked_sub(1)?)?;
        (ip <= last).then_some(network)
    }

    /// What identifies the client of a message on a network.
    pub fn client_key(&self, network: NetworkId, mac: [u8; 6], client_id: Option<&[u8]>) -> ClientKey {
        let identity = self.pool(network).map_or(Identity::Mac, |pool| pool.identity);
        KeyRef::of(identity, mac, client_id).to_key()
    }

    /// Who the client of a lease is to its network; none: it is nobody's.
    pub fn client_of(&self, lease: &Lease) -> Option<ClientKey> {
        let identity = self.network_of(lease.ip).and_then(|network| self.pool(network));
        let identity = identity.map_or(Identity::Mac, |pool| pool.identity);
        KeyRef::of_lease(identity, lease).map(KeyRef::to_key)
    }

    /// Who has an address, or had it last; none: nobody ever, or it lies in no network.
    pub fn get(&self, ip: Ipv4Addr) -> Option<&Lease> {
        self.records.get(ip)
    }

    /// The client's address in a network: the one it has (the newest, if it has several), else
    /// the last one it had, as long as nobody else got that.
    pub fn of_client(&self, network: NetworkId, client: &ClientKey) -> Option<&Lease> {
        self.leases_of(network, client.into()).max_by_key(|lease| rank(lease))
    }

    /// Every address that the client has in a network, or the last one it had.
    pub fn all_of_client(&self, network: NetworkId, client: &ClientKey) -> impl Iterator<Item = &Lease> {
        self.leases_of(network, client.into())
    }

    /// Puts a binding in place of what the address had; gives the address's network.
    ///
    /// The client's memory of another, free address in this network is gone with that. What is
    /// durable stays so for the same client, and is nothing for a new one, whatever the argument
    /// says; so is whether the client ever took the address, but that the argument may say, too.
    /// A lease outside of every network is put aside.
    pub fn put(&mut self, mut lease: Lease) -> Option<NetworkId> {
        let former = self.records.get(lease.ip).or_else(|| self.aside.get(lease.ip));
        lease.durable_until = former
            .filter(|former| former.same_client(&lease))
            .map_or(Moment::NEVER, |former| former.durable_until);
        let network = self.network_of(lease.ip);
        let pool = network.and_then(|network| self.pool(network));
        let key = |lease: &Lease| KeyRef::of_lease(pool?.identity, lease).map(KeyRef::to_key);
        lease.taken |= former.is_some_and(|former| former.taken && key(former) == key(&lease));
        self.store(lease);
        network
    }

    /// Takes over what an append has put on disk; the only way in which a lease becomes durable.
    /// A promise to a client that the address is not with any more changes nothing.
    pub fn mark_durable(&mut self, synced: &Synced) {
        for promise in synced.promises() {
            if let Some(lease) = self.records.get_mut(promise.ip).filter(|lease| promise.is_for(lease)) {
                lease.durable_until = promise.until;
            }
        }
    }

    /// A renewal that the kernel answered on its own, until `expires`; an offer is bound by it.
    /// An event that is older than the lease's present end does not bring that forward.
    ///
    /// So is a lease that ran out here in the meantime: the kernel has promised it. Ignored, with
    /// `false`, when the address is not this client's any more, or was given back: the kernel had
    /// suspended it by then, so that the event is older than that.
    pub fn renewed(
        &mut self,
        ip: Ipv4Addr,
        mac: [u8; 6],
        now: Moment,
        expires: Moment,
        answered_by: AnsweredBy,
    ) -> bool {
        let found = self.records.get_filed(ip).filter(|(lease, _)| lease.mac == mac);
        let Some((lease, filed)) = found else { return false };
        let (starts, expires) = match lease.state {
            State::Bound => {
                lease.expires = expires.max(lease.expires);
                self.ends.file(lease, filed);
                lease.answered_by = answered_by;
                lease.taken = true;
                return true;
            }
            State::Offered | State::Expired => (now, expires),
            State::Declined | State::Released => return false,
        };
        self.change(ip, |lease| {
            lease.state = State::Bound;
            lease.starts = starts;
            lease.expires = expires;
            lease.answered_by = answered_by;
            lease.taken = true;
        })
    }

    /// The client gave its address back; `false`: there is no such lease.
    pub fn release(&mut self, ip: Ipv4Addr, now: Moment) -> bool {
        self.change(ip, |lease| lease.free(State::Released, now))
    }

    /// The lease ran out, the offer's hold or the quarantine is over; `false`: no such lease.
    ///
    /// The address that a quarantine kept out of use is nobody's afterwards: who declined it is
    /// not to get it back before others.
    pub fn expire(&mut self, ip: Ipv4Addr, now: Moment) -> bool {
        self.change(ip, |lease| {
            if lease.state == State::Declined {
                lease.disown();
            }
            lease.free(State::Expired, now);
        })
    }

    /// The address is nobody's from now on, also where an ended lease kept it for its client;
    /// `false`: no such lease.
    pub fn let_go(&mut self, ip: Ipv4Addr, now: Moment) -> bool {
        self.change(ip, |lease| {
            lease.disown();
            lease.free(State::Expired, now);
        })
    }

    /// The address is used by somebody unknown: out of use until then; `false`: no such lease.
    pub fn decline(&mut self, ip: Ipv4Addr, now: Moment, until: Moment) -> bool {
        self.change(ip, |lease| {
            lease.state = State::Declined;
            lease.starts = now;
            lease.expires = until;
        })
    }

    /// Takes a record out as if the address had never been used (an offer that nobody took).
    pub fn forget(&mut self, ip: Ipv4Addr) -> Option<Lease> {
        self.unindex(ip);
        let forgotten = self.records.remove(ip);
        self.note(ip, forgotten.as_ref());
        forgotten
    }

    /// The occupied addresses whose time has come, those that are overdue for longest first (to the
    /// second, where thousands are); at most [`MAX_DUE`], so ask again after these.
    pub fn due(&mut self, now: Moment) -> Vec<Ipv4Addr> {
        self.ends.due(&mut self.records, now, MAX_DUE)
    }

    /// When to ask [`Self::due`] again: not after the next end, and hardly before it. That it has no
    /// answer then, because all was renewed, is usual.
    pub fn next_due(&self) -> Option<Moment> {
        self.ends.next()
    }

    /// The address for a new client: the first never used one of the ranges in order, then the
    /// one that has been free for longest (checklist row 21).
    ///
    /// `member` says whether the client is in a class, `skip` which addresses are not to be
    /// chosen now (those being probed); each skipped one costs a step.
    pub fn next_free(
        &self,
        network: NetworkId,
        member: impl Fn(&str) -> bool,
        skip: impl Fn(Ipv4Addr) -> bool,
    ) -> Option<Ipv4Addr> {
        self.pool(network)?.next_free(member, skip)
    }

    /// Whether an address may be given to a client that has no reservation for it.
    pub fn is_dynamic(&self, network: NetworkId, ip: Ipv4Addr, member: impl Fn(&str) -> bool) -> bool {
        self.pool(network).is_some_and(|pool| pool.is_dynamic(ip, member))
    }

    /// Whether a reservation of the network names this address.
    pub fn is_reserved(&self, network: NetworkId, ip: Ipv4Addr) -> bool {
        self.pool(network).is_some_and(|pool| pool.is_reserved(ip))
    }

    /// Whether the lease of an address has ended, and keeps it for its client all the same.
    pub fn is_kept(&self, ip: Ipv4Addr) -> bool {
        let pool = self.network_of(ip).and_then(|network| self.pool(network));
        pool.zip(self.get(ip)).is_some_and(|(pool, lease)| pool.is_kept(lease))
    }

    /// Whether an address lies in a network and nobody has it.
    pub fn is_free(&self, ip: Ipv4Addr) -> bool {
        self.network_of(ip).is_some() && !self.get(ip).is_some_and(|lease| lease.state.occupies())
    }

    /// How full a network is.
    pub fn counts(&self, network: NetworkId) -> Counts {
        self.pool(network).map(Pool::counts).unwrap_or_default()
    }

    /// How many leases of a network are in a state.
    pub fn in_state(&self, network: NetworkId, state: State) -> u64 {
        self.pool(network).map_or(0, |pool| pool.in_state(state))
    }

    /// Every lease that is served, in no order.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.records.iter()
    }

    /// The leases of higher addresses than `after`, in their order; of one network, or of all.
    pub fn leases_after(
        &self,
        after: Option<Ipv4Addr>,
        network: Option<NetworkId>,
    ) -> impl Iterator<Item = &Lease> {
        let of_network = |id| self.subnets.iter().find(|(_, _, other)| *other == id);
        let (first, last) = match network {
            None => (0, u32::MAX),
            // Nothing lies in a network that there is not.
            Some(id) => of_network(id).map_or((1, 0), |(first, last, _)| (*first, *last)),
        };
        let next = match after.map(Ipv4Addr::to_bits) {
            None => Some(first),
            Some(after) => after.checked_add(1).map(|next| next.max(first)),
        };
        let ips = next.map(|next| Ipv4Addr::from_bits(next)..=Ipv4Addr::from_bits(last));
        ips.into_iter().flat_map(|ips| self.records.range(ips))
    }

    /// Every lease, those put aside among them, in no order: what a journal has to keep.
    pub fn all_leases(&self) -> impl Iterator<Item = &Lease> {
        self.records.iter().chain(self.aside.iter())
    }

    /// The same, of higher addresses than `after`, in their order: for a journal that writes a part of them
    /// at a time.
    pub fn all_leases_after(&self, after: Option<Ipv4Addr>) -> impl Iterator<Item = &Lease> {
        let mut served = self.records.after(after).peekable();
        let mut aside = self.aside.after(after).peekable();
        std::iter::from_fn(move || {
            let is_aside = match (served.peek(), aside.peek()) {
                (Some(served), Some(aside)) => aside.ip < served.ip,
                (served, _) => served.is_none(),
            };
            if is_aside { aside.next() } else { served.next() }
        })
    }

    /// How many leases are served.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many leases are put aside because they lie in no network.
    pub fn aside(&self) -> usize {
        self.aside.len()
    }

    /// How many ends are filed that are still to come, right or not.
    #[cfg(test)]
    pub(super) fn filed_ends(&self) -> usize {
        self.ends.len()
    }

    fn pool(&self, network: NetworkId) -> Option<&Pool> {
        self.pools.get(usize::from(network.0))
    }

    /// The leases of a client that it is known by.
    fn leases_of<'a, 'k>(
        &'a self,
        network: NetworkId,
        client: KeyRef<'k>,
    ) -> impl Iterator<Item = &'a Lease> + use<'a, 'k> {
        let identity = self.pool(network).map(|pool| pool.identity);
        let hash = self.clients.hash(network, client);
        self.clients.addresses(hash).filter_map(|ip| self.records.get(ip)).filter(move |lease| {
            identity.and_then(|identity| KeyRef::of_lease(identity, lease)) == Some(client)
                && self.network_of(lease.ip) == Some(network)
        })
    }

    /// Changes a lease and all that follows from it; `false`: there is no such lease.
    fn change(&mut self, ip: Ipv4Addr, change: impl FnOnce(&mut Lease)) -> bool {
        self.unindex(ip);
        let Some(lease) = self.records.get_mut(ip) else { return false };
        let before = self.changes.is_some().then(|| lease.clone());
        change(lease);
        self.index(ip);
        self.note(ip, before.as_ref());
        true
    }

    /// Lays a lease down as it is.
    fn store(&mut self, lease: Lease) {
        let ip = lease.ip;
        if self.network_of(ip).is_none() {
            self.aside.insert(lease);
            return;
        }
        if self.prolong(&lease) {
            return;
        }
        self.unindex(ip);
        let before = self.records.insert(lease);
        self.index(ip);
        self.note(ip, before.as_ref());
    }

    /// Lays a lease down that says no more than until when the address is its client's; `false`: it says
    /// more. Of the indexes, only that of ends sees a difference, if any.
    fn prolong(&mut self, lease: &Lease) -> bool {
        let Some((former, filed)) = self.records.get_filed(lease.ip) else { return false };
        if !prolongs(former, lease) {
            return false;
        }
        former.expires = lease.expires;
        self.ends.file(former, filed);
        former.durable_until = lease.durable_until;
        former.answered_by = lease.answered_by;
        former.taken = lease.taken;
        true
    }

    /// Notes that the lease of an address, once `before`, is what it is now: every change of a
    /// record comes by here.
    fn note(&mut self, ip: Ipv4Addr, before: Option<&Lease>) {
        let Some(changes) = &mut self.changes else { return };
        let same = match (before, self.records.get(ip)) {
            (Some(before), Some(after)) => look_alike(before, after),
            (None, None) => true,
            _ => false,
        };
        if !same {
            changes.add(ip);
        }
    }

    /// Enters a record into every index.
    fn index(&mut self, ip: Ipv4Addr) {
        if let Some((lease, filed)) = self.records.get_filed(ip) {
            self.ends.file(lease, filed);
        }
        if self.ends.is_stale(self.records.len()) {
            self.ends = Ends::of(&mut self.records);
        }
        if let Some(place) = self.records.place_of(ip) {
            self.enter(place);
        }
    }

    /// Enters a record into every index but that of ends.
    fn enter(&mut self, place: Place) {
        let Some(lease) = self.records.at(place) else { return };
        let ip = lease.ip;
        let Some(network) = self.network_of(ip) else { return };
        let Some(pool) = self.pools.get_mut(usize::from(network.0)) else { return };
        pool.add(lease);
        let client = KeyRef::of_lease(pool.identity, lease).filter(|_| lease.state != State::Declined);
        let Some(client) = client else { return };
        // A client is known by all that it occupies; if that is nothing, by the last it had.
        let others = self.leases_of(network, client).filter(|other| other.ip != ip);
        let (outranked, outranking): (Vec<&Lease>, Vec<&Lease>) =
            others.partition(|other| rank(other) < rank(lease));
        let forgotten: Vec<Ipv4Addr> =
            outranked.iter().filter(|other| !other.state.occupies()).map(|other| other.ip).collect();
        let known = lease.state.occupies() || outranking.is_empty();
        let hash = self.clients.hash(network, client);
        for other in forgotten {
            self.clients.unlink(hash, other);
        }
        if known {
            self.clients.link(hash, ip);
        }
    }

    /// Takes a record out of every index but that of ends, which sees for itself.
    fn unindex(&mut self, ip: Ipv4Addr) {
        let Some(network) = self.network_of(ip) else { return };
        let Some(lease) = self.records.get(ip) else { return };
        let Some(pool) = self.pools.get_mut(usize::from(network.0)) else { return };
        pool.remove(lease);
        if let Some(client) = KeyRef::of_lease(pool.identity, lease) {
            self.clients.unlink(self.clients.hash(network, client), ip);
        }
    }
}

impl Lease {
    /// Whose it was is forgotten.
    fn disown(&mut self) {
        self.mac = [0; 6];
        self.client_id = None;
        self.host_name = None;
    }

    /// Ended, and not occupied from now on.
    fn free(&mut self, state: State, now: Moment) {
        self.state = state;
        self.starts = now;
        self.expires = now;
    }
}

/// Whether a lease says no more than `former` but until when the address is its client's.
fn prolongs(former: &Lease, lease: &Lease) -> bool {
    former.state == lease.state
        && former.state.occupies()
        && former.starts == lease.starts
        && former.same_client(lease)
        && former.host_name == lease.host_name
}

/// Which of a client's addresses is the one it is known by: what it has before what it had, the
/// newer before the older.
fn rank(lease: &Lease) -> (bool, Moment, Ipv4Addr) {
    (lease.state.occupies(), lease.starts, lease.ip)
}
