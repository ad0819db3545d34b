//! `selfIP`: while the agent runs, its interfaces have the addresses that the configuration says, in
//! place of those that they had when it began with them.
//!
//! What other programs change after that is followed ([`OwnAddresses::keep`]). Everything is put back by
//! [`OwnAddresses::give_back`], and by nothing else: after a crash the addresses stay as they are, and the
//! next start knows from a note what there was before. A change that fails half-way leaves every interface
//! as it was. An interface that carries a default route of the host is not touched unless a flag says so,
//! since the host would lose it with the address it goes by.

mod contest;
mod interface;
mod keep;
mod note;
mod route;

use std::collections::BTreeMap;
use std::io;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::{Config, Network, Problem, host};

use self::interface::Address;
use self::keep::Held;
use self::note::Note;

/// What was changed, by interface.
type Interfaces = BTreeMap<String, Taken>;

/// The addresses that are set in place of others. Dropping it puts nothing back.
#[derive(Debug)]
pub struct OwnAddresses {
    interfaces: Interfaces,
    /// Those that this run has begun with, by their indexes.
    held: BTreeMap<u32, Held>,
    note: Note,
}

/// What was changed on an interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    index: u32,
    /// Set by us; what was there already is not among them.
    added: Vec<Address>,
    /// To be put back.
    removed: Vec<Address>,
}

/// What is to be done on an interface.
struct Step {
    name: String,
    before: Vec<Address>,
    target: Vec<Address>,
    /// How many of the target are ours: the first ones.
    own: usize,
    /// What will have been changed then, this step and all earlier ones taken together.
    taken: Taken,
}

impl OwnAddresses {
    /// Gives interfaces the addresses that the configuration has for them. Addresses that a crashed
    /// run of the same agent replaced are known, and given back in the end.
    pub fn take(config: &Config) -> Result<Self> {
        let note = Note::of(&config.leases.dir, &config.name);
        let mut own = Self { interfaces: note.read(), held: BTreeMap::new(), note };
        own.change(config)?;
        Ok(own)
    }

    /// Goes over to the addresses of another configuration; an error: nothing is changed.
    pub fn change(&mut self, config: &Config) -> Result<()> {
        let wanted = wanted(config);
        let steps = self.steps(&wanted)?;
        for step in &steps {
            if wanted.contains_key(step.name.as_str()) && !config.replace_node_addresses {
                step.refuse_default_route()?;
            }
        }
        let next: Interfaces = steps
            .iter()
            .filter(|step| !step.taken.is_nothing())
            .map(|step| (step.name.clone(), step.taken.clone()))
            .collect();
        // Noted first: a crash in between must not lose what was there.
        let done = self.note.write(&both(&self.interfaces, &next)).and_then(|()| carry_out(&steps));
        if done.is_ok() {
            self.interfaces = next;
            let mut before = std::mem::take(&mut self.held);
            let ours = steps.iter().filter(|step| wanted.contains_key(step.name.as_str()));
            self.held = ours
                .map(|step| step.taken.index)
                .map(|index| (index, before.remove(&index).unwrap_or_default()))
                .collect();
        }
        self.write_note();
        done
    }

    /// Puts everything back as it was, as far as that is possible, and says what is not.
    pub fn give_back(mut self) {
        let steps = match self.steps(&BTreeMap::new()) {
            Ok(steps) => steps,
            Err(fault) => return warn!("the interfaces keep the addresses of selfIP: {fault:#}"),
        };
        for step in steps {
            match step.carry_out() {
                Ok(()) => self.interfaces.retain(|_, taken| taken.index != step.taken.index),
                Err(fault) => warn!("{fault:#}; the next start tries again"),
            }
        }
        // An interface that is gone took its addresses with it.
        let there = host::interfaces().unwrap_or_default();
        self.interfaces.retain(|_, taken| there.values().any(|facts| facts.index == taken.index));
        self.write_note();
    }

    /// What is to be done so that interfaces have the wanted addresses, and the others their own.
    ///
    /// An interface is known again by its index: it may have been given another name, and one of the same
    /// name that has been made anew has addresses of its own. Of one that is gone there is nothing to be done.
    fn steps(&self, wanted: &BTreeMap<&str, Vec<Ipv4Net>>) -> Result<Vec<Step>> {
        let there = host::interfaces().context("the machine's interfaces cannot be listed")?;
        let mut steps = Vec::new();
        for (name, facts) in &there {
            let index = facts.index;
            let taken = self.interfaces.values().find(|taken| taken.index == index).cloned();
            let addresses = || {
                interface::addresses(index)
                    .with_context(|| format!("selfIP: the addresses of {name} cannot be listed"))
            };
            if let Some(nets) = wanted.get(name.as_str()) {
                let is_held = self.held.contains_key(&index);
                // One that is being made is left to who makes it until it is up.
                if is_held || facts.up {
                    let taken = taken.unwrap_or_else(|| Taken::nothing(index));
                    steps.push(taken.towards(name, addresses()?, nets, is_held));
                }
            } else if let Some(taken) = taken {
                steps.push(taken.back(name, addresses()?));
            }
        }
        Ok(steps)
    }

    fn write_note(&self) {
        if let Err(fault) = self.note.write(&self.interfaces) {
            warn!("{fault:#}");
        }
    }
}

impl Taken {
    fn nothing(index: u32) -> Self {
        Self { index, added: Vec::new(), removed: Vec::new() }
    }

    fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// The way from `before` to these addresses, and to no others but those that came while the interface
    /// was held.
    fn towards(mut self, name: &str, before: Vec<Address>, nets: &[Ipv4Net], is_held: bool) -> Step {
        let new = |net: &Ipv4Net| Address::new(self.index, *net);
        let mut target: Vec<Address> = nets.iter().map(new).collect();
        let own = target.len();
        let is_known = |there: &&Address| {
            [&target, &self.added, &self.removed].iter().any(|known| known.contains(there))
        };
        let strangers: Vec<Address> = before.iter().filter(|there| !is_known(there)).cloned().collect();
        let is_ours = |wanted: &&Address| self.added.contains(wanted) || !before.contains(wanted);
        self.added = target.iter().filter(is_ours).cloned().collect();
        let others = if is_held { &mut target } else { &mut self.removed };
        others.extend(strangers);
        Step { name: name.to_owned(), before, target, own, taken: self }
    }

    /// The way back: ours go, those that were removed come, and what else there is stays.
    fn back(self, name: &str, before: Vec<Address>) -> Step {
        let stays = |there: &&Address| !self.added.contains(there) && !self.removed.contains(there);
        let target = self.removed.iter().chain(before.iter().filter(stays)).cloned().collect();
        Step { name: name.to_owned(), before, target, own: 0, taken: Self::nothing(self.index) }
    }
}

impl Step {
    fn would_cut_off(&self) -> Result<Option<String>> {
        cut_off(&self.name, self.taken.index, &self.before, &self.target)
    }

    fn refuse_default_route(&self) -> Result<()> {
        self.would_cut_off()?.map_or(Ok(()), |why| bail!("selfIP: {why}"))
    }

    fn set(&self) -> io::Result<()> {
        interface::set(self.taken.index, &self.target)
    }

    fn carry_out(&self) -> Result<()> {
        let name = &self.name;
        self.set().with_context(|| format!("selfIP: {name}"))?;
        for address in self.before.iter().filter(|address| !self.target.contains(address)) {
            if self.taken.removed.contains(address) {
                info!(interface = name, "{address} is removed until the agent stops");
            } else {
                info!(interface = name, "{address} is removed again");
            }
        }
        for address in self.target.iter().filter(|address| !self.before.contains(address)) {
            info!(interface = name, "{address} is set");
        }
        Ok(())
    }

    fn undo(&self) {
        if let Err(fault) = interface::set(self.taken.index, &self.before) {
            warn!("selfIP: {} does not have all of its addresses back: {fault}", self.name);
        }
    }
}

/// All steps, or none.
fn carry_out(steps: &[Step]) -> Result<()> {
    for (at, step) in steps.iter().enumerate() {
        if let Err(fault) = step.carry_out() {
            steps.iter().take(at.saturating_add(1)).for_each(Step::undo);
            return Err(fault);
        }
    }
    Ok(())
}

/// What may have been changed while one gives way to the other.
fn both(before: &Interfaces, next: &Interfaces) -> Interfaces {
    let mut both = before.clone();
    for (name, taken) in next {
        let known = both.entry(name.clone()).or_insert_with(|| Taken::nothing(taken.index));
        if known.index != taken.index {
            *known = Taken::nothing(taken.index);
        }
        for (known, next) in [(&mut known.added, &taken.added), (&mut known.removed, &taken.removed)] {
            let new: Vec<Address> = next.iter().filter(|address| !known.contains(address)).cloned().collect();
            known.extend(new);
        }
    }
    both
}

/// The addresses that interfaces shall have in place of their own.
pub(super) fn wanted(config: &Config) -> BTreeMap<&str, Vec<Ipv4Net>> {
    let mut wanted: BTreeMap<&str, Vec<Ipv4Net>> = BTreeMap::new();
    for network in &config.networks {
        if let Some(own) = network.self_ip {
            let of_interface = wanted.entry(&network.interface).or_default();
            if !of_interface.contains(&own) {
                of_interface.push(own);
            }
        }
    }
    wanted
}

/// Why this machine cannot have the addresses that the configuration wants it to have.
pub(crate) fn check(config: &Config) -> Vec<Problem> {
    let wanted = wanted(config);
    let about = |(at, network): (usize, &Network)| {
        let own = wanted.get(network.interface.as_str())?;
        let problem = |key, message| Problem { path: format!("networks[{at}].{key}"), message };
        if let Some(message) = unserved(network, own) {
            return Some(problem("interface", message));
        }
        let refused = if config.replace_node_addresses { None } else { would_cut_off(network, own) };
        refused.map(|message| problem("selfIP", message))
    };
    config.networks.iter().enumerate().filter_map(about).collect()
}

/// A network that would lose the address it is served from to another network's selfIP.
fn unserved(network: &Network, own: &[Ipv4Net]) -> Option<String> {
    let is_served = !network.relays.is_empty() || own.iter().any(|own| network.subnet.contains(&own.addr()));
    (!is_served).then(|| {
        format!(
            "another network's selfIP replaces the addresses of {}, so this network needs a selfIP, too",
            network.interface
        )
    })
}

/// A network whose selfIP would cost the host its way out.
fn would_cut_off(network: &Network, own: &[Ipv4Net]) -> Option<String> {
    network.self_ip?;
    let name = &network.interface;
    // One that is not there is another's to complain about.
    let index = host::interface(name)?.index;
    let target: Vec<Address> = own.iter().map(|net| Address::new(index, *net)).collect();
    let before =
        interface::addresses(index).with_context(|| format!("the addresses of {name} cannot be listed"));
    match before.and_then(|before| cut_off(name, index, &before, &target)) {
        Ok(why) => why,
        Err(fault) => Some(format!("{fault:#}")),
    }
}

/// Why an interface cannot go from these addresses to those: the host would lose its default route with
/// them. None: it can.
fn cut_off(name: &str, index: u32, before: &[Address], target: &[Address]) -> Result<Option<String>> {
    // What comes beside what is there cuts nobody off.
    if before.iter().all(|there| target.contains(there)) {
        return Ok(None);
    }
    let route = route::default_through(index)
        .with_context(|| format!("selfIP: the routes through {name} cannot be listed"))?;
    Ok(route.map(|route| {
        format!(
            "{name} carries a default route of the host ({route} dev {name}), which would be \
             cut off if its addresses ({}) were replaced by {}: serve on another interface, or leave \
             selfIP out and give {name} an address in the subnet beside those it has, or let it be so \
             (--replace-node-addresses)",
            listed(before),
            listed(target)
        )
    }))
}

fn listed(addresses: &[Address]) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
