//! Addresses being probed: asking again, answering those for which nobody spoke up, and saying who
//! did (checklist row 24).

use std::net::Ipv4Addr;

use tracing::warn;

use crate::clock::{Moment, Now};
use crate::engine::permit::Turn;
use crate::engine::probes::Probed;

use super::batch::Batch;
use super::claims;
use super::core::Core;

impl Core {
    /// Asks again, or answers, where a probe's time has come.
    pub(super) fn look_at_probes(&mut self) {
        let now = Now::read();
        let mut batch = Batch::default();
        let permit = self.share.as_ref().map(|share| share.permit(now.moment));
        let turn = Turn { now: now.moment, permits: claims::permits(permit.as_ref()) };
        for probed in self.engine.probed(&mut self.table, turn) {
            self.take_on_probed(&mut batch, probed, now.moment);
        }
        self.commit(batch, now);
        if !self.engine.is_probing() && self.releases.is_empty() {
            self.links.stop_asking();
        }
    }

    /// Adds what became of a probe to a batch.
    pub(super) fn take_on_probed(&mut self, batch: &mut Batch, probed: Probed, now: Moment) {
        match (self.links.at(probed.wire.interface), probed.outcome) {
            (Some(link), Ok(outcome)) => self.take_on(batch, link, outcome, now),
            (None, Ok(_)) => {}
            (_, Err(reason)) => self.counts.ignore(reason.name()),
        }
    }

    /// Who has to find out why, or to exclude the address, needs to know where it is.
    pub(super) fn log_in_use(&self, ip: Ipv4Addr, by: Option<[u8; 6]>) {
        let network = self.table.network_of(ip).and_then(|id| self.config.networks.get(usize::from(id.0)));
        let network = network.map_or("", |network| network.name.as_str());
        let by = by.map_or_else(|| "somebody who answers pings".to_owned(), super::mac_text);
        warn!(network, "{ip} is used by {by}, who has no lease for it: not given to anybody for a while");
    }
}
