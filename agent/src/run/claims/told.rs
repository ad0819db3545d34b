//! What the core tells its share as it happens: answers that were decided and sent, renewals by the kernel,
//! addresses that were given up.

use std::net::Ipv4Addr;
use std::time::Duration;

use xdhcpd_common::maps::Event;

use super::recover::keeps;
use crate::clock::{Moment, Now};
use crate::engine::reply::ReplyKind;
use crate::engine::{Ending, Note, Outcome};
use crate::lease::{ClientKey, State};
use crate::run::core::Core;

impl Core {
    /// Whose an address is by the table.
    fn client_at(&self, ip: Ipv4Addr) -> Option<ClientKey> {
        self.table.client_of(self.table.get(ip)?)
    }

    /// An answer was decided at `now`, or an address given up by then.
    pub(in crate::run) fn share_outcome(&mut self, outcome: &Outcome, now: Moment) {
        if self.share.is_none() {
            return;
        }
        if let Some((ip, client)) = outcome.granted.and_then(|ip| Some((ip, self.client_at(ip)?))) {
            let is_taken = self.table.get(ip).is_some_and(|lease| lease.taken);
            let kept = is_taken && keeps(&self.table, &self.config, ip);
            if let Some(share) = &mut self.share {
                share.decided(now, ip, &client, kept);
            }
        }
        if let Some(Note::Declined(ip)) = outcome.note
            && let Some((client, lease)) = self.client_at(ip).zip(self.table.get(ip))
            && let Some(share) = &mut self.share
        {
            share.declines(now, ip, client, lease.expires);
        }
        let out_of_use = outcome.write.filter(|_| matches!(outcome.note, Some(Note::InUse { .. })));
        let Some(share) = &mut self.share else { return };
        if let Some(write) = out_of_use {
            share.set_aside(write.ip, write.until);
        }
        if let Some(take_back) = outcome.take_back.filter(|take_back| take_back.into == Ending::Released) {
            share.gives_up(take_back.ip, share.empty);
        }
    }

    /// Answers have left.
    pub(in crate::run) fn share_sent(&mut self, promises: Vec<(ReplyKind, Duration, Ipv4Addr)>) {
        if self.share.is_none() || promises.is_empty() {
            return;
        }
        let now = Now::read().moment;
        for (kind, lease, ip) in promises {
            let Some(client) = self.client_at(ip) else { continue };
            // Who was made an offer may take it as long as it is held.
            let held = || self.network_at(ip).map_or(Duration::ZERO, |network| network.offer_hold);
            let lease = if kind == ReplyKind::Offer { held() } else { lease };
            if let Some(share) = &mut self.share {
                share.sent(now, ip, &client, lease);
            }
        }
    }

    /// The kernel renewed a lease.
    pub(in crate::run) fn share_renewed(&mut self, event: &Event) {
        let Some(share) = &mut self.share else { return };
        let ip = Ipv4Addr::from(event.ip);
        let Some(lease) = self.table.get(ip).filter(|lease| lease.mac == event.key.mac) else { return };
        // One that was declined was suspended before that was said.
        if lease.state == State::Declined {
            return;
        }
        if let Some(client) = self.table.client_of(lease) {
            let kept = keeps(&self.table, &self.config, ip);
            share.renewed(Moment(event.at), Moment(event.expires), ip, &client, kept);
        }
    }

    /// A lease of the table has ended; whether its end may be written.
    pub(in crate::run) fn share_ended(
        &mut self,
        ip: Ipv4Addr,
        client: Option<&ClientKey>,
        now: Moment,
    ) -> bool {
        let kept = self.table.is_kept(ip);
        self.share.as_mut().is_none_or(|share| share.ended(now, ip, client, kept))
    }
}
