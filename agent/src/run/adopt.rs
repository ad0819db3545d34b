//! Taking over what an earlier run left: leases on disk, entries in the kernel's map.
//!
//! The file says what may have been promised (the horizon), the map what the kernel has promised
//! since. Where the map has an entry for a lease, that entry is the truth; where it has none (after a
//! reboot, or without the program), the lease counts as running up to its horizon, for the kernel
//! may have renewed it that far.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use tracing::info;
use xdhcpd_common::maps::{self, LeaseKey, LeaseState, Server, ServerFlags};

use crate::clock::{Moment, Now};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::served::Place;
use crate::engine::templates::Templates;
use crate::fastpath::{FastPath, FastPathError};
use crate::lease::{AnsweredBy, Lease, State, Table};

use super::claims::Share;

/// Slots for templates where there is no map to ask.
const TEMPLATES: u32 = 1024;

/// Tells one configuration from another: what decides over replies, and where we are. Another
/// version of the agent may write the same reply otherwise.
pub fn fingerprint(config: &Config, places: &[Place]) -> u64 {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    format!("{:?} {:?} {:?}", config.networks, config.leases.horizon, places).hash(&mut hasher);
    hasher.finish()
}

/// An engine on its own, without a kernel that answers.
pub fn alone(config: &Config, places: &[Place]) -> Engine {
    Engine::new(config, places, 1, Templates::new(TEMPLATES))
}

/// The engine to start with: table and map are brought together, and the kernel knows the
/// configuration.
pub fn begin(
    fast: &mut FastPath,
    config: &Config,
    places: &[Place],
    table: &mut Table,
    now: Now,
    mut share: Option<&mut Share>,
) -> Result<Engine, FastPathError> {
    // What the kernel did while nobody looked is told by the map itself, once an entry that was written
    // while it was renewed is put right.
    let mut events = Vec::new();
    loop {
        let more = fast.drain(&mut events);
        events.drain(..).try_for_each(|event| fast.keep_renewal(&event).map(drop))?;
        if !more {
            break;
        }
    }
    let mut entries = fast.leases()?;
    // As the table has them, which are looked up there, and they here.
    entries.sort_unstable_by_key(|(_, entry)| entry.ip);
    let (engine, fingerprint) = engine(fast, &entries, config, places)?;
    let orphans = remove_orphans(table, &engine, fast, &entries)?;
    entries.retain(|(key, _)| !orphans.contains(key));
    let term = match &share {
        Some(share) => share.until(now.moment).unwrap_or(Moment::NEVER),
        None => Moment::FOREVER,
    };
    for (key, ip, until) in reconcile(table, &entries, now) {
        fast.extend_lease(key, ip, until.min(term))?;
    }
    if let Some(share) = &mut share {
        share.take_entries(table, &entries);
    }
    publish(fast, &engine, config, fingerprint)?;
    Ok(engine)
}

/// The engine of another configuration, which the kernel knows then.
pub fn change(
    fast: &mut FastPath,
    config: &Config,
    places: &[Place],
    table: &Table,
) -> Result<Engine, FastPathError> {
    let entries = fast.leases()?;
    let (engine, fingerprint) = engine(fast, &entries, config, places)?;
    remove_orphans(table, &engine, fast, &entries)?;
    publish(fast, &engine, config, fingerprint)?;
    Ok(engine)
}

fn engine(
    fast: &FastPath,
    entries: &[(LeaseKey, maps::Lease)],
    config: &Config,
    places: &[Place],
) -> Result<(Engine, u64), FastPathError> {
    let fingerprint = fingerprint(config, places);
    let servers: Vec<Server> = fast.servers()?.into_iter().map(|(_, server)| server).collect();
    let newest = entries.iter().map(|(_, entry)| entry.generation).max().unwrap_or(0);
    let (generation, is_kept) = generation(&servers, newest, fingerprint);
    let mut templates = Templates::new(fast.template_capacity());
    if is_kept {
        for slot in slots(entries, generation) {
            let template = fast.template(slot)?;
            if template.generation == generation {
                templates.adopt(slot, &template);
            }
        }
    }
    Ok((Engine::new(config, places, generation, templates), fingerprint))
}

/// The generation to go on with, and whether it is the last run's, with its templates: that needs
/// the same configuration on every wire. Else it is one that no entry has (`newest`: the latest of
/// theirs), so that none answers with what it meant before.
fn generation(servers: &[Server], newest: u32, fingerprint: u64) -> (u32, bool) {
    let served = servers.iter().map(|server| server.generation).max();
    let is_last = |server: &Server| server.config == fingerprint && Some(server.generation) == served;
    match served {
        Some(served) if newest <= served && servers.iter().all(is_last) => (served, true),
        _ => (newest.max(served.unwrap_or(0)).wrapping_add(1).max(1), false),
    }
}

/// The slots that entries point at.
pub fn used_slots(fast: &FastPath) -> Result<HashSet<u32>, FastPathError> {
    let servers = fast.servers()?;
    let newest = servers.iter().map(|(_, server)| server.generation).max().unwrap_or(0);
    Ok(slots(&fast.leases()?, newest))
}

/// The slots of the entries that may answer: those of this generation.
fn slots(entries: &[(LeaseKey, maps::Lease)], generation: u32) -> HashSet<u32> {
    let answering = entries.iter().filter(|(_, entry)| entry.generation == generation);
    answering.map(|(_, entry)| entry.template).collect()
}

/// Writes how each wire is served, and stops serving those that no network is on any more. With the
/// new generation every older entry goes up; once no program run is left that knows the old one,
/// the slots of its templates are free.
pub fn publish(
    fast: &mut FastPath,
    engine: &Engine,
    config: &Config,
    fingerprint: u64,
) -> Result<(), FastPathError> {
    for (wire, _) in fast.servers()? {
        if engine.server(wire).is_none() {
            fast.remove_server(wire)?;
        }
    }
    for served in engine.served() {
        let Some(server) = engine.server(served.place.wire) else { continue };
        let checks_udp = crate::fastpath::checks_udp(&served.config.interface);
        let flags = if checks_udp { ServerFlags::CHECK_UDP } else { 0 };
        let server = Server {
            flags: server.flags | flags,
            config: fingerprint,
            wire_per_second: config.limits.interface_per_second,
            client_per_second: config.limits.client_per_second,
            ..server
        };
        fast.put_server(served.place.wire, &server)?;
    }
    fast.settle();
    Ok(())
}

/// Brings table and map together at the start: what the kernel promised while nobody looked is
/// taken over, and what it may have promised is kept until the horizon. `entries`: each with its lease,
/// in the order of addresses.
///
/// The entries that are to be let renew up to a later horizon: the last agent may have come to its end
/// between writing that to the disk and here, and nothing would be written again until it is near.
fn reconcile(
    table: &mut Table,
    entries: &[(LeaseKey, maps::Lease)],
    now: Now,
) -> Vec<(LeaseKey, Ipv4Addr, Moment)> {
    let mut behind = Vec::new();
    let answering = |(_, entry): &&(LeaseKey, maps::Lease)| entry.state != LeaseState::SUSPENDED;
    table.revise(|lease| {
        let found = entries.binary_search_by_key(&lease.ip.octets(), |(_, entry)| entry.ip);
        let entry = found.ok().and_then(|at| entries.get(at)).filter(answering);
        match entry {
            Some((key, entry)) => {
                if entry.horizon < lease.durable_until.0 {
                    behind.push((*key, lease.ip, lease.durable_until));
                }
                take_over(lease, entry, now.moment)
            }
            None => to_horizon(lease),
        }
    });
    let in_kernel = entries.iter().filter(answering).count();
    info!(leases = table.len(), in_kernel, "leases taken over");
    behind
}

/// Without a kernel that says what it promised, every lease runs up to its horizon.
pub fn keep_to_horizons(table: &mut Table) {
    table.revise(to_horizon);
}

/// A lease that no entry vouches for, up to its horizon: the kernel may have renewed it so far.
fn to_horizon(lease: &Lease) -> Option<Lease> {
    let expires = lease.expires.max(lease.durable_until);
    let may_be_bound = matches!(lease.state, State::Offered | State::Bound);
    may_be_bound.then(|| Lease { state: State::Bound, expires, ..lease.clone() })
}

/// Takes entries away that no lease stands behind: of another client, network or wire. Their keys.
fn remove_orphans(
    table: &Table,
    engine: &Engine,
    fast: &mut FastPath,
    entries: &[(LeaseKey, maps::Lease)],
) -> Result<HashSet<LeaseKey>, FastPathError> {
    let orphans = orphans(table, entries, |ip| engine.key_of(table, ip));
    if orphans.is_empty() {
        return Ok(orphans);
    }
    info!(entries = orphans.len(), "the kernel forgets entries without a lease");
    for key in &orphans {
        fast.suspend(*key)?;
    }
    fast.settle();
    for key in &orphans {
        fast.remove_lease(*key)?;
    }
    Ok(orphans)
}

/// The entries that no lease stands behind. `key_of` gives the entry that an address has.
fn orphans(
    table: &Table,
    entries: &[(LeaseKey, maps::Lease)],
    key_of: impl Fn(Ipv4Addr) -> Option<LeaseKey>,
) -> HashSet<LeaseKey> {
    let has_lease = |key: &LeaseKey, entry: &maps::Lease| {
        let ip = Ipv4Addr::from(entry.ip);
        table.get(ip).is_some_and(|lease| lease.mac == key.mac && lease.state.occupies())
            && key_of(ip) == Some(*key)
    };
    entries.iter().filter(|(key, entry)| !has_lease(key, entry)).map(|(key, _)| *key).collect()
}

/// What the kernel promised while nobody looked. What the agent promised and wrote stays promised.
fn take_over(lease: &Lease, entry: &maps::Lease, now: Moment) -> Option<Lease> {
    if lease.state == State::Declined {
        return None;
    }
    let bound = entry.state == LeaseState::BOUND || lease.state == State::Bound;
    Some(Lease {
        state: if bound { State::Bound } else { State::Offered },
        starts: if lease.starts == Moment::NEVER { now } else { lease.starts },
        expires: Moment(entry.expires).max(lease.expires),
        taken: lease.taken || entry.state == LeaseState::BOUND,
        answered_by: if entry.answered == 0 { lease.answered_by } else { AnsweredBy::Kernel },
        ..lease.clone()
    })
}

#[cfg(test)]
mod tests;
