//! The kernel's horizons, brought to where the term ends now.
//!
//! A term is extended once in half of its length, and every entry may then go on for longer. That is one pass
//! over the map, in parts, so that clients are answered meanwhile.

use std::net::Ipv4Addr;

use tracing::{info, warn};
use xdhcpd_common::maps::LeaseKey;

use crate::clock::Moment;
use crate::run::core::Core;

/// Entries that are changed in one turn: some milliseconds.
const AT_ONCE: usize = 2048;

/// A pass over the entries.
#[derive(Debug, Default)]
pub struct Pass {
    /// The term's end that all entries were told, or are being told.
    until: Option<Moment>,
    /// Entries that are still to be told.
    left: Vec<(LeaseKey, Ipv4Addr)>,
}

impl Core {
    /// Tells some entries what the term's end is, if not all of them know; whether some are left.
    pub(in crate::run) fn tell_horizons(&mut self, now: Moment) -> bool {
        let Self { share: Some(share), fast: Some(fast), table, quiet, .. } = self else { return false };
        let Some(until) = share.until(now) else { return false };
        if share.horizons.until != Some(until) {
            let entries = match fast.leases() {
                Ok(entries) => entries,
                Err(fault) => {
                    if quiet.may_say("horizons", "") {
                        warn!("{fault}; the agent answers clients whose time in the kernel runs out");
                    }
                    return false;
                }
            };
            let left = entries.iter().map(|(key, entry)| (*key, Ipv4Addr::from(entry.ip)));
            share.horizons = Pass { until: Some(until), left: left.collect() };
            info!(entries = share.horizons.left.len(), "the kernel may answer for longer");
        }
        let rest = share.horizons.left.len().saturating_sub(AT_ONCE);
        for (key, ip) in share.horizons.left.split_off(rest) {
            let Some(lease) = table.get(ip).filter(|lease| lease.mac == key.mac) else { continue };
            if let Err(fault) = fast.bound_lease(key, ip, lease.durable_until.min(until))
                && quiet.may_say("horizons", "")
            {
                warn!("{fault}; the agent answers clients whose time in the kernel runs out");
            }
        }
        rest > 0
    }
}
