//! `selfIP`: while the agent runs, its interfaces have the addresses that the configuration says, in
//! place of their own.
//!
//! Everything is put back by [`OwnAddresses::give_back`], and by nothing else: after a crash the
//! addresses stay as they are, and the next start knows from a note what there was before. A change
//! that fails half-way leaves every interface as it was. An interface that carries a default route of
//! the host is not touched unless a flag says so, since the host would lose it with the address it goes
//! by.

mod interface;
mod note;
mod route;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::{Config, Network, Problem, host};

use self::interface::Address;
use self::note::Note;

/// What was changed, by interface.
type Interfaces = BTreeMap<String, Taken>;

/// The addresses that are set in place of others. Dropping it puts nothing back.
#[derive(Debug)]
pub struct OwnAddresses {
    interfaces: Interfaces,
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
    /// What will have been changed then, this step and all earlier ones taken together.
    taken: Taken,
}

impl OwnAddresses {
    /// Gives interfaces the addresses that the configuration has for them. Addresses that a crashed
    /// run of the same agent replaced are known, and given back in the end.
    pub fn take(config: &Config) -> Result<Self> {
        let note = Note::of(&config.leases.dir, &config.name);
        let mut own = Self { interfaces: note.read(), note };
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
                Ok(()) => drop(self.interfaces.remove(&step.name)),
                Err(fault) => warn!("{fault:#}; the next start tries again"),
            }
        }
        // An interface that is gone took its addresses with it.
        let there = host::interfaces().unwrap_or_default();
        self.interfaces.retain(|name, _| there.contains_key(name));
        self.write_note();
    }

    /// What is to be done so that interfaces have the wanted addresses, and the others their own.
    fn steps(&self, wanted: &BTreeMap<&str, Vec<Ipv4Net>>) -> Result<Vec<Step>> {
        let there = host::interfaces().context("the machine's interfaces cannot be listed")?;
        let names: BTreeSet<&str> =
            wanted.keys().copied().chain(self.interfaces.keys().map(String::as_str)).collect();
        let mut steps = Vec::new();
        for name in names {
            let Some(facts) = there.get(name) else {
                if wanted.contains_key(name) {
                    bail!("selfIP: interface {name} is gone");
                }
                continue;
            };
            let before = interface::addresses(facts.index)
                .with_context(|| format!("selfIP: the addresses of {name} cannot be listed"))?;
            // An interface that has been made anew has addresses of its own.
            let taken = self.interfaces.get(name).filter(|taken| taken.index == facts.index).cloned();
            let taken = taken.unwrap_or_else(|| Taken::nothing(facts.index));
            steps.push(match wanted.get(name) {
                Some(nets) => taken.towards(name, before, nets),
                None => taken.back(name, before),
            });
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

    /// The way from `before` to exactly these addresses.
    fn towards(mut self, name: &str, before: Vec<Address>, nets: &[Ipv4Net]) -> Step {
        let new = |net: &Ipv4Net| Address::new(self.index, *net);
        let target: Vec<Address> = nets.iter().map(new).collect();
        let strange = before.iter().filter(|there| !target.contains(there) && !self.added.contains(there));
        let removed: Vec<Address> = strange.filter(|there| !self.removed.contains(there)).cloned().collect();
        self.removed.extend(removed);
        let is_ours = |wanted: &&Address| self.added.contains(wanted) || !before.contains(wanted);
        self.added = target.iter().filter(is_ours).cloned().collect();
        Step { name: name.to_owned(), before, target, taken: self }
    }

    /// The way back: ours go, those that were removed come, and what else there is stays.
    fn back(self, name: &str, before: Vec<Address>) -> Step {
        let stays = |there: &&Address| !self.added.contains(there) && !self.removed.contains(there);
        let target = self.removed.iter().chain(before.iter().filter(stays)).cloned().collect();
        Step { name: name.to_owned(), before, target, taken: Self::nothing(self.index) }
    }
}

impl Step {
    fn refuse_default_route(&self) -> Result<()> {
        match cut_off(&self.name, self.taken.index, &self.before, &self.target)? {
            None => Ok(()),
            Some(why) => bail!("selfIP: {why}"),
        }
    }

    fn carry_out(&self) -> Result<()> {
        let name = &self.name;
        interface::set(self.taken.index, &self.target).with_context(|| format!("selfIP: {name}"))?;
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
    if before.len() == target.len() && target.iter().all(|own| before.contains(own)) {
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
