//! The table as a whole: made of all leases there are, or all of them looked at in one pass. What costs
//! O(n log n), once at the start or for another configuration, stands here; one lease at a time is
//! [`super`]'s.

use crate::config::Config;
use crate::lease::changes::Changes;
use crate::lease::clients::Clients;
use crate::lease::ends::Ends;
use crate::lease::journal::Loaded;
use crate::lease::pool::Pool;
use crate::lease::records::Records;
use crate::lease::{Lease, NetworkId};

use super::{Table, prolongs};

impl Table {
    /// A table of the configured networks, without leases.
    pub fn new(config: &Config) -> Self {
        Self::of(config, Vec::new())
    }

    /// A table of the configured networks, with what is on disk, when the agent starts.
    pub fn load(config: &Config, loaded: Loaded) -> Self {
        Self::of(config, loaded.into_leases())
    }

    /// A table of these leases, of which no two have one address. An index that is made whole takes less
    /// time, and less memory, than one that is entered into a million times.
    fn of(config: &Config, mut leases: Vec<Lease>) -> Self {
        let subnets = (0..=u16::MAX).zip(&config.networks).map(|(id, network)| {
            let subnet = network.subnet;
            (subnet.network().to_bits(), subnet.broadcast().to_bits(), NetworkId(id))
        });
        let mut table = Self {
            pools: config.networks.iter().map(Pool::new).collect(),
            subnets: subnets.collect(),
            records: Records::default(),
            clients: Clients::default(),
            ends: Ends::default(),
            aside: Records::default(),
            changes: None,
        };
        table.subnets.sort_unstable();
        leases.sort_unstable_by_key(|lease| lease.ip);
        let aside: Vec<Lease> = leases.extract_if(.., |lease| table.network_of(lease.ip).is_none()).collect();
        table.aside = Records::of(aside);
        table.records = Records::of(leases);
        table.clients.reserve(table.records.len());
        for place in table.records.places() {
            table.enter(place);
        }
        table.ends = Ends::of(&mut table.records);
        table
    }

    /// Takes a new configuration over. Every lease is kept: those outside of the new networks
    /// are put aside, those that were aside and lie in one come back. Costs O(n log n).
    pub fn reconfigure(&mut self, config: &Config) {
        // Readers see the network that an address is in, too.
        let changes = self.changes.take().map(|_| Changes::All);
        let leases = self.records.drain().chain(self.aside.drain()).collect();
        *self = Self { changes, ..Self::of(config, leases) };
    }

    /// Says of every served lease what `word` has to say anew, as [`Self::put`] would of each. Costs
    /// O(n log n), however few are changed.
    pub fn revise(&mut self, mut word: impl FnMut(&Lease) -> Option<Lease>) {
        let mut others = Vec::new();
        for lease in self.records.iter_mut() {
            match word(lease) {
                Some(new) if prolongs(lease, &new) => {
                    let (durable_until, taken) = (lease.durable_until, lease.taken || new.taken);
                    *lease = Lease { durable_until, taken, ..new };
                }
                Some(new) => others.push(new),
                None => {}
            }
        }
        self.ends = Ends::of(&mut self.records);
        for lease in others {
            self.put(lease);
        }
    }
}
