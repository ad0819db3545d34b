//! Leases that are known from elsewhere, taken over where the disk knows nothing.
//!
//! Whoever shows leases elsewhere has a copy of them: not until when each was promised, but who has
//! which address. After the lease file was lost, that is what new addresses must not collide with.
//! What the file knows, it knows better.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::journal::{Disk, Journal, JournalError, Loaded};
use super::{AnsweredBy, Lease, State};
use crate::clock::{Moment, Now};
use crate::config::{Config, LeaseTimes, Network};

/// Leases that are written together.
const AT_ONCE: usize = 4096;

/// A lease that is known from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its client.
    pub mac: [u8; 6],
    /// Whether the client had it when that was written down; else it had it last.
    pub active: bool,
}

/// Writes leases that `loaded` knows nothing of, and adds them to it; how many there were.
///
/// An active one may have been renewed a moment ago, for the longest time there is and by the kernel
/// up to its horizon: so long it is its client's. Of two for one address the active one counts. What
/// lies in no network, or names no client, is left out.
pub fn rebuild<D: Disk>(
    config: &Config,
    journal: &mut Journal<D>,
    loaded: &mut Loaded,
    found: &[Found],
    now: Now,
) -> Result<usize, JournalError> {
    let mut known: HashSet<Ipv4Addr> = loaded.leases().iter().map(|lease| lease.ip).collect();
    let (active, ended) = (found.iter().filter(|it| it.active), found.iter().filter(|it| !it.active));
    let leases: Vec<Lease> = active
        .chain(ended)
        .filter_map(|found| lease(config, found, now.moment))
        .filter(|lease| known.insert(lease.ip))
        .collect();
    for some in leases.chunks(AT_ONCE) {
        let batch: Vec<(&Lease, Moment)> = some.iter().map(|lease| (lease, lease.expires)).collect();
        let synced = journal.append(&batch, now)?;
        loaded.add(some, &synced);
    }
    Ok(leases.len())
}

/// The lease as it has to be assumed; none: it lies in no network, or names no client.
fn lease(config: &Config, found: &Found, now: Moment) -> Option<Lease> {
    let network = config.networks.iter().find(|network| network.subnet.contains(&found.ip))?;
    // Neither nothing nor a group of machines is a client.
    if found.mac == [0; 6] || found.mac[0] & 1 != 0 {
        return None;
    }
    let (state, expires) =
        if found.active { (State::Bound, latest_end(config, network, now)) } else { (State::Expired, now) };
    Some(Lease {
        ip: found.ip,
        mac: found.mac,
        client_id: None,
        host_name: None,
        state,
        starts: now,
        expires,
        durable_until: Moment::NEVER,
        answered_by: AnsweredBy::Agent,
        taken: true,
    })
}

/// The latest horizon that any lease of a network can have had.
fn latest_end(config: &Config, network: &Network, now: Moment) -> Moment {
    if network.times.max == LeaseTimes::INFINITE {
        return Moment::FOREVER;
    }
    let longest = Duration::from_secs(network.times.max.into()).saturating_mul(config.leases.horizon);
    now.after(network.offer_hold.saturating_add(longest))
}
