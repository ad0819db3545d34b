//! A turn of the claims: what was heard is told, what has to be silent falls silent, then the protocol says
//! what to ask.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use tracing::{info, warn};

use super::peers;
use super::wants::{Part, wants};
use super::{Declined, PAUSE, QUIETLY, Share, Word};
use crate::claims::BlockId;
use crate::clock::{Moment, Now};
use crate::config::Config;
use crate::engine::served::Place;
use crate::engine::{Ending, TakeBack};
use crate::kube::claims::{Ask, HEARD, Heard};
use crate::lease::MAX_DUE;
use crate::run::core::Core;

impl Share {
    /// Tells the protocol what came since the last time.
    fn hear(&mut self) {
        while self.waiting.len() < HEARD
            && let Ok(heard) = self.ours.heard.try_recv()
        {
            self.waiting.push(heard);
        }
        if self.waiting.is_empty() {
            return;
        }
        let now = Now::read().moment;
        let at = self.offset.at(now);
        for heard in std::mem::take(&mut self.waiting) {
            self.seen.extend(blocks_of(&heard));
            self.is_unsaved |= heard.is_known();
            heard.tell(&mut self.claims, at);
        }
        self.wake(now);
    }

    /// Takes over who answers, if that is another now; whether it is.
    fn take_part(&mut self, config: &Config, places: impl FnOnce() -> Vec<Place>) -> bool {
        let word = *self.word.borrow_and_update();
        if word == self.part {
            return false;
        }
        let now = Now::read().moment;
        (self.part, self.since) = (word, self.offset.at(now));
        self.claims.want(wants(config, &places(), Part::of(word, self.since)));
        self.may_have_entries |= matches!(word, Word::Ours | Word::Lost);
        self.next = now;
        true
    }

    /// Hands over what there is to ask, if there is room.
    fn ask(&mut self, now: Moment) {
        let at = self.offset.at(now);
        if let Ok(place) = self.ours.asks.try_reserve() {
            let ask = Ask::of(&mut self.claims, at);
            // What was acknowledged may be used by the next process if it is on disk, too: it may have to do
            // without the API server. What others write is not worth a write of ours each time.
            let is_worth_it = self.part.is_ours() || self.saved_at.after(QUIETLY) <= now;
            let copies = || Ask { copies: self.claims.copies().clone(), requests: Vec::new() };
            if let Some(ask) = ask.or_else(|| (self.is_unsaved && is_worth_it).then(copies)) {
                (self.is_unsaved, self.saved_at) = (false, now);
                place.send(ask);
            }
        }
        self.is_provided |= self.claims.is_settled(at);
    }

    /// The claims were tended from `began` on: when they are again.
    fn rest(&mut self, began: Moment) {
        let ended = Now::read().moment;
        let pause = ended.since(began).saturating_mul(PAUSE);
        self.rests_until = ended.after(pause);
        self.next = ended.after(QUIETLY.max(pause.saturating_mul(PAUSE)));
    }
}

/// The blocks that something says what is in.
fn blocks_of(heard: &Heard) -> Vec<BlockId> {
    match heard {
        Heard::Block(id, _) | Heard::BlockWritten(id, Some(_)) => vec![*id],
        Heard::Blocks(Some(blocks)) => blocks.iter().map(|(id, _)| *id).collect(),
        _ => Vec::new(),
    }
}

impl Core {
    /// Takes in what others published, and who is to answer.
    pub(in crate::run) fn hear_claims(&mut self) {
        let Some(share) = &mut self.share else { return };
        share.hear();
        let places = || -> Vec<Place> { self.engine.served().iter().map(|served| served.place).collect() };
        if share.take_part(&self.config, places) {
            let (answers, word) = (share.answers(), share.word());
            self.move_own_addresses();
            self.unanswered.forget();
            info!("{word}");
            if answers {
                // Whoever shows leases was told nothing meanwhile.
                self.table.note_changes();
            }
        }
        peers::follow(self);
    }

    /// Does what the claims want done, if it is time to.
    pub(in crate::run) fn tend_claims(&mut self) {
        let began = Now::read();
        if self.share.as_ref().is_none_or(|share| began.moment < share.next()) {
            return;
        }
        self.leave_to_another(began);
        self.fall_silent(began);
        // What the kernel did until now is told before anything follows from it.
        self.catch_up(began);
        let now = Now::read();
        let Some(share) = &mut self.share else { return };
        share.ask(now.moment);
        self.write_ends(now);
        if let Some(share) = &mut self.share {
            share.rest(began.moment);
        }
        self.more |= self.tell_horizons(now.moment);
    }

    /// Where another agent answers, the kernel has no entries: they would be told no more of what changes.
    fn leave_to_another(&mut self, now: Now) {
        let Some(share) = self.share.as_ref() else { return };
        if share.part != Word::Anothers || !share.may_have_entries {
            return;
        }
        if let Err(fault) = self.remove_all_entries(now) {
            if self.quiet.may_say("standing by", "") {
                warn!("{fault}; clients that the kernel knows are answered by it for a while");
            }
        } else if let Some(share) = &mut self.share {
            share.may_have_entries = false;
        }
    }

    fn remove_all_entries(&mut self, now: Now) -> Result<(), crate::fastpath::FastPathError> {
        let Some(fast) = &mut self.fast else { return Ok(()) };
        let entries = fast.leases()?;
        if entries.is_empty() {
            return Ok(());
        }
        for (key, _) in &entries {
            fast.suspend(*key)?;
        }
        fast.settle();
        self.catch_up(now);
        let Some(fast) = &mut self.fast else { return Ok(()) };
        entries.iter().try_for_each(|(key, _)| fast.remove_lease(*key).map(drop))
    }

    /// Has the kernel let go of what is being taken back, and says so: suspend, settle, read what it did, then
    /// tell.
    fn fall_silent(&mut self, now: Now) {
        let Some(share) = &mut self.share else { return };
        let declined = std::mem::take(&mut share.declined);
        let at = share.offset.at(now.moment);
        let mut addresses: Vec<Ipv4Addr> = declined.iter().map(|declined| declined.ip).collect();
        addresses.extend(share.claims.to_silence(at).into_iter().take(MAX_DUE));
        if addresses.is_empty() {
            return;
        }
        let mut silent = Vec::new();
        let mut with_entry = Vec::new();
        for ip in addresses {
            match self.engine.key_of(&self.table, ip) {
                Some(key) => with_entry.push(TakeBack { ip, key, into: Ending::Expired, seen: None }),
                None => silent.push(ip),
            }
        }
        silent.extend(self.silence(with_entry, now));
        let Some(share) = &mut self.share else { return };
        for ip in &silent {
            share.claims.silenced(*ip);
        }
        for declined in declined {
            if silent.contains(&declined.ip) {
                let Declined { ip, client, at, until } = &declined;
                share.claims.given_up(*at, *ip, client, *until);
            } else {
                share.declined.push(declined);
            }
        }
        share.wake(now.moment);
    }

    /// Writes the ends of leases of which nothing is held any more.
    pub(super) fn write_ends(&mut self, now: Now) {
        let Self { share: Some(share), table, .. } = self else { return };
        let over: Vec<Ipv4Addr> =
            share.unwritten.iter().copied().filter(|ip| !share.claims.is_held(*ip)).collect();
        let mut ends = HashMap::new();
        for ip in over {
            share.unwritten.remove(&ip);
            ends.extend(
                table.get(ip).filter(|lease| !lease.state.occupies()).map(|lease| (ip, lease.expires)),
            );
        }
        self.write(&ends, now);
    }
}
