//! The addresses of an interface between its start and its end with us, when other programs change
//! them too.
//!
//! An address of ours that is removed is put back, and one that we replaced and that is set again is
//! removed again: at once, then less and less often, so that two programs that disagree do not keep a
//! machine busy ([`Contest`]). An address that was not there at the start is left alone, then and in the end:
//! somebody added it to an interface that was being served, and our answers name ours all the same.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::contest::{AT_ONCE, Contest};
use super::interface::Address;
use super::{OwnAddresses, Step, listed, wanted};
use crate::clock::Moment;
use crate::config::Config;

/// An interface that has our addresses since we began with it.
#[derive(Debug, Default)]
pub(super) struct Held {
    contest: Contest,
    /// Addresses of others that came later.
    strangers: Vec<Address>,
}

impl OwnAddresses {
    /// Puts right what others have changed of the interfaces since the last look. What cannot be put right
    /// now: where, and why.
    pub fn keep(&mut self, config: &Config, now: Moment) -> BTreeMap<String, String> {
        let wanted = wanted(config);
        if wanted.is_empty() && self.interfaces.is_empty() {
            return BTreeMap::new();
        }
        let steps = match self.steps(&wanted) {
            Ok(steps) => steps,
            Err(fault) => return BTreeMap::from([("selfIP".to_owned(), format!("{fault:#}"))]),
        };
        let mut troubles = BTreeMap::new();
        let is_wanted = |step: &Step| wanted.contains_key(step.name.as_str());
        if steps.iter().any(|step| is_wanted(step) && !self.held.contains_key(&step.taken.index)) {
            // One has come (back), and is begun with.
            match self.change(config) {
                Ok(()) => return troubles,
                Err(fault) => drop(troubles.insert("selfIP".to_owned(), format!("{fault:#}"))),
            }
        }
        for step in steps {
            let about = format!("selfIP on {}", step.name);
            let trouble = if is_wanted(&step) {
                self.keep_one(step, config.replace_node_addresses, now)
            } else {
                self.let_go(&step)
            };
            troubles.extend(trouble.map(|trouble| (about, trouble)));
        }
        troubles
    }

    /// An interface that has lost the name by which it was ours.
    fn let_go(&mut self, step: &Step) -> Option<String> {
        if let Err(fault) = step.carry_out() {
            return Some(format!("{fault:#}"));
        }
        let index = step.taken.index;
        self.held.remove(&index);
        self.interfaces.retain(|_, taken| taken.index != index);
        self.write_note();
        None
    }

    fn keep_one(&mut self, mut step: Step, may_cut_off: bool, now: Moment) -> Option<String> {
        let held = self.held.get_mut(&step.taken.index)?;
        held.see_strangers(&step);
        if step.is_done() {
            return None;
        }
        let trouble = if may_cut_off { Ok(None) } else { step.would_cut_off() };
        let trouble = trouble.unwrap_or_else(|fault| Some(format!("{fault:#}")));
        if trouble.is_some() {
            step.remove_nothing();
        }
        let contest = held.contest;
        if now < contest.due() {
            let wait = contest.wait();
            return Some(format!(
                "another program keeps changing the addresses of {}, which are {} now; {} is set again \
                 {wait:?} after the last time",
                step.name,
                listed(&step.before),
                listed(&step.target),
            ));
        }
        if step.is_done() {
            return trouble;
        }
        held.contest.put_right(now);
        step.tell_what_others_did();
        held.contest.tell(&step.name);
        self.interfaces.retain(|_, taken| taken.index != step.taken.index);
        if !step.taken.is_nothing() {
            self.interfaces.insert(step.name.clone(), step.taken.clone());
        }
        self.write_note();
        step.set().err().map(|fault| fault.to_string()).or(trouble)
    }
}

impl Held {
    /// Says once of each address that it is not ours and stays.
    fn see_strangers(&mut self, step: &Step) {
        let strangers: Vec<Address> = step.strangers().cloned().collect();
        for address in strangers.iter().filter(|address| !self.strangers.contains(address)) {
            info!(
                interface = step.name,
                "{address} was added by another program, and stays: selfIP replaces what is there at the start"
            );
        }
        self.strangers = strangers;
    }
}

impl Contest {
    fn tell(self, interface: &str) {
        if self.times >= AT_ONCE {
            warn!(
                interface,
                times = self.times,
                "another program keeps changing its addresses: they are put right again in {:?} at the \
                 earliest; have that program leave {interface} alone (with NetworkManager: `nmcli device set \
                 {interface} managed no`), or leave selfIP out and give {interface} the address there",
                self.wait()
            );
        }
    }
}

impl Step {
    /// Addresses that are neither ours nor replaced by ours, and stay.
    fn strangers(&self) -> impl Iterator<Item = &Address> {
        let taken = &self.taken;
        self.target.iter().skip(self.own).filter(|address| !taken.removed.contains(address))
    }

    fn is_done(&self) -> bool {
        self.before.len() == self.target.len() && self.target.iter().all(|own| self.before.contains(own))
    }

    fn remove_nothing(&mut self) {
        let stays = self.before.iter().filter(|there| !self.target.contains(there));
        let stays: Vec<Address> = stays.cloned().collect();
        self.target.extend(stays);
    }

    fn tell_what_others_did(&self) {
        let interface = &self.name;
        for address in self.target.iter().filter(|own| !self.before.contains(own)) {
            warn!(interface, "{address} was removed by another program: it is put back");
        }
        for address in self.before.iter().filter(|there| !self.target.contains(there)) {
            warn!(interface, "{address} was set again by another program: it is removed again");
        }
    }
}
