//! The other agents' bindings in our table: their clients get the same addresses from us, and what an
//! operator is shown is whole.
//!
//! Such a lease is on nobody's disk here ([`AnsweredBy::Peer`]) and promises nothing: what may be promised is the
//! claims' word alone. It becomes ours when its client is answered.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::clock::seconds;
use super::recover::keeps;
use crate::claims::{Binding, BlockId, Slot};
use crate::clock::{Moment, Now};
use crate::lease::{AnsweredBy, ClientKey, Lease, State};
use crate::run::core::Core;

/// Addresses of a block.
const BLOCK: u32 = 256;

/// Blocks that the table is compared with in one turn: a thousandth of a second each at most.
const AT_ONCE: usize = 64;

/// Compares the table with blocks that changed.
pub fn follow(core: &mut Core) {
    let Some(share) = &mut core.share else { return };
    if share.seen.is_empty() {
        return;
    }
    let now = Now::read();
    for _ in 0..AT_ONCE {
        let Some(id) = core.share.as_mut().and_then(|share| share.seen.pop_first()) else { return };
        addresses(id).for_each(|ip| core.compare(ip, now));
    }
    core.more = true;
}

fn addresses(id: BlockId) -> impl Iterator<Item = Ipv4Addr> {
    (0..BLOCK).map(move |number| Ipv4Addr::from_bits(id.first().to_bits() | number))
}

impl Core {
    /// Brings the table's lease of an address to what others published of it.
    fn compare(&mut self, ip: Ipv4Addr, now: Now) {
        self.let_go_of_ours(ip, now);
        let now = now.moment;
        let Self { share: Some(share), table, config, .. } = self else { return };
        // A reservation is published before its client was ever heard of.
        if table.network_of(ip).is_none_or(|network| table.is_reserved(network, ip)) {
            return;
        }
        let lease = table.get(ip);
        let is_peers = lease.is_some_and(|lease| lease.answered_by == AnsweredBy::Peer);
        let occupies = lease.is_some_and(|lease| lease.state.occupies());
        match share.claims.slot(ip) {
            Some(Slot::Bound(binding)) if binding.mark.is_none() => {
                let client = lease.and_then(|lease| table.client_of(lease));
                let is_back = is_peers && !occupies && !keeps(table, config, ip);
                let is_known = client.as_ref() == Some(&binding.client) && !is_back;
                // What is ours is taken back first, in its time.
                if !is_known && !share.claims.is_held(ip) && (!occupies || is_peers) {
                    let lease = peers(ip, binding, now);
                    table.put(lease);
                }
            }
            // It is known when it is free.
            Some(Slot::Bound(_)) => {}
            Some(Slot::Claimed { .. }) | None => {
                if is_peers && occupies {
                    table.expire(ip, now);
                }
            }
        }
    }

    /// Ends a lease of ours whose client has given it up to another agent: nothing of it holds any more, whatever
    /// its own time is.
    fn let_go_of_ours(&mut self, ip: Ipv4Addr, now: Now) {
        let Self { share: Some(share), table, .. } = self else { return };
        let Some(lease) = table.get(ip).filter(|lease| lease.state == State::Bound) else { return };
        let Some(Slot::Bound(binding)) = share.claims.slot(ip) else { return };
        let is_its = binding.mark.is_none() && table.client_of(lease).as_ref() == Some(&binding.client);
        if is_its || lease.answered_by == AnsweredBy::Peer || share.claims.is_held(ip) {
            return;
        }
        table.expire(ip, now.moment);
        self.write(&HashMap::from([(ip, now.moment)]), now);
    }

    /// The time of another agent's lease has come: it goes on as long as it is published; false: it is ours, or
    /// ends here, for what its client keeps is published whether or not it is used.
    pub(in crate::run) fn prolong_peers(&mut self, ip: Ipv4Addr, now: Moment) -> bool {
        let Self { share: Some(share), table, config, .. } = self else { return false };
        if keeps(table, config, ip) {
            return false;
        }
        let Some(lease) = table.get(ip).filter(|lease| lease.answered_by == AnsweredBy::Peer) else {
            return false;
        };
        let binding = share.claims.slot(ip).and_then(Slot::binding);
        match binding.filter(|binding| table.client_of(lease).as_ref() == Some(&binding.client)) {
            Some(binding) => {
                let lease = Lease { starts: lease.starts, ..peers(ip, binding, now) };
                table.put(lease);
            }
            None => drop(table.expire(ip, now)),
        }
        true
    }
}

/// A lease as it is known from what is published: its client may have just got it.
fn peers(ip: Ipv4Addr, binding: &Binding, now: Moment) -> Lease {
    let (mac, client_id) = match &binding.client {
        ClientKey::Mac(mac) => (*mac, None),
        ClientKey::Id(id) => ([0; 6], Some((&**id).into())),
    };
    let longest = seconds(binding.longest);
    let expires =
        if longest == u32::MAX { Moment::FOREVER } else { now.after(Duration::from_secs(longest.into())) };
    Lease {
        ip,
        mac,
        client_id,
        host_name: None,
        state: State::Bound,
        starts: now,
        expires,
        durable_until: Moment::NEVER,
        answered_by: AnsweredBy::Peer,
        taken: true,
    }
}
