//! Our own addresses on the network: those of `selfIP` are where clients renew, so they are on the interface of
//! the agent that answers, and on no other's.
//!
//! One that was cut off, or has crashed, may still have them: who answers says again and again that they are here.

use std::borrow::Cow;
use std::time::Duration;

use tracing::warn;
use xdhcpd_common::frame::ethernet;

use super::{Share, Word};
use crate::clock::{Moment, Now};
use crate::config::Config;
use crate::engine::arp;
use crate::engine::probes::{Ask, Probe};
use crate::run::batch::Asking;
use crate::run::core::Core;

/// How long neighbours may go by what another agent told them.
const ANNOUNCE: Duration = Duration::from_secs(5);

impl Core {
    /// A configuration as far as our interfaces' own addresses go.
    pub(in crate::run) fn for_addresses<'a>(&self, config: &'a Config) -> Cow<'a, Config> {
        if self.share.as_ref().is_none_or(|share| !matches!(share.part, Word::Anothers | Word::Lost)) {
            return Cow::Borrowed(config);
        }
        let mut config = config.clone();
        config.networks.iter_mut().for_each(|network| network.self_ip = None);
        Cow::Owned(config)
    }

    /// Takes our own addresses, or leaves them to who answers now.
    pub(super) fn move_own_addresses(&mut self) {
        let config = self.config.clone();
        if config.networks.iter().all(|network| network.self_ip.is_none()) {
            return;
        }
        if let Err(fault) = self.change_addresses(&config) {
            warn!("{fault:#}");
        }
        if self.share.as_ref().is_some_and(|share| share.part.is_ours()) {
            self.announce();
        }
    }

    /// Tells the neighbours again, where another agent may have told them otherwise.
    pub(in crate::run) fn announce_again(&mut self, now: Moment) {
        let is_due = |share: &Share| share.part.is_ours() && share.announced.after(ANNOUNCE) <= now;
        // While an interface is not there, nobody is told anything.
        if self.share.as_ref().is_some_and(is_due) && self.seen.troubles.is_empty() {
            self.announce();
        }
    }

    /// Tells the neighbours that our addresses are here now.
    fn announce(&mut self) {
        if let Some(share) = &mut self.share {
            share.announced = Now::read().moment;
        }
        let mut asking = Vec::new();
        for served in self.engine.served().iter().filter(|served| served.config.self_ip.is_some()) {
            let place = served.place;
            let Some(link) = self.links.at(place.wire.interface) else { continue };
            let tag = |id: u16| {
                let ([a, b], [c, d]) = (ethernet::VLAN.to_be_bytes(), id.to_be_bytes());
                [a, b, c, d]
            };
            let tags: Vec<[u8; 4]> = place.wire.vlan.into_iter().filter(|id| *id != 0).map(tag).collect();
            let frame = arp::announcement(place.mac, &tags, place.server);
            asking.push(Asking { link, probe: Probe { ip: place.server, ask: Ask::Arp(frame) } });
        }
        for fault in self.links.ask(&asking) {
            if !self.quiet.may_say("announcement", "") {
                continue;
            }
            warn!("{fault}; neighbours learn of the change when they ask for our address again");
        }
    }
}
