//! A new configuration, checked and with its places found, takes the place of the old one.
//!
//! What fails leaves everything as it was: [`prepare_config`] does all that can fail for the operator's
//! sake before the core hears of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::clock::Now;
use crate::config::{self, Config, Problems};
use crate::engine::served::Place;
use crate::server::port::ServerPort;
use crate::server::socket::Link;
use crate::server::tags;

use super::core::Core;
use super::fast_path::{capacity, wants_fast_path};
use super::options::{ConfigSource, RunOptions};
use super::{adopt, own_address, places};

/// A configuration that can be served on this machine now.
pub struct Prepared {
    /// The configuration.
    pub config: Config,
    /// Where its networks are.
    pub places: Vec<Place>,
}

/// A configuration on its way to the core.
pub struct Reload {
    /// The configuration.
    pub prepared: Prepared,
    /// Where to say whether it is served, or why it is refused; none: the log is enough.
    pub answer: Option<oneshot::Sender<Result<(), String>>>,
}

/// Reads and checks the configuration; the error lists all that is wrong, a line each.
pub fn prepare(options: &RunOptions) -> Result<Prepared> {
    let prepared = prepare_config(options.load()?);
    Ok(prepared.map_err(|problems| match options.source {
        ConfigSource::File(_) | ConfigSource::Cluster(_) => problems,
        ConfigSource::Flags(_) => problems.renamed(config::flag_for),
    })?)
}

/// Checks what this machine can do of a configuration, wherever that came from. The problems have
/// places as in a file, which a source may put in its own words.
pub fn prepare_config(config: Config) -> Result<Prepared, Problems> {
    let mut problems = config::check_host(&config);
    problems.extend(own_address::check(&config));
    if let Some(problems) = Problems::of(problems) {
        return Err(problems);
    }
    match places::places(&config) {
        Ok(places) => Ok(Prepared { config, places }),
        Err(problem) => Err(problem.into()),
    }
}

impl Core {
    /// Takes a new configuration, and says what became of it to whoever wants to know.
    pub(super) fn reload(&mut self, Reload { prepared, answer }: Reload) {
        let served = self.try_reload(prepared);
        match &served {
            Ok(()) => info!(networks = self.config.networks.len(), "the configuration is served"),
            Err(fault) => error!("{fault}"),
        }
        if let Some(answer) = answer {
            // Who has gone in the meantime can read it in the log.
            let _gone = answer.send(served);
        }
    }

    /// Serves a new configuration from the next message on.
    fn try_reload(&mut self, prepared: Prepared) -> Result<(), String> {
        let new = &prepared.config;
        if new.name != self.config.name || new.leases.dir != self.config.leases.dir {
            let refused = "the new configuration changes `name` or `leases.dir`: it takes a restart; nothing is changed";
            return Err(refused.to_owned());
        }
        if new.http != self.config.http {
            warn!("`http` is changed by a restart alone: it stays as it was");
        }
        if new.log != self.config.log {
            warn!("`log` is changed by a restart alone: it stays as it was");
        }
        self.begin_anew_after_detach();
        self.change_over(prepared).map_err(|fault| format!("{fault:#}; the configuration stays as it was"))
    }

    /// Where somebody took the fast path away while we run, a new configuration brings it back.
    fn begin_anew_after_detach(&mut self) {
        if self.fast.as_ref().is_some_and(|fast| !fast.is_pinned()) {
            // What the kernel renewed before that is still told.
            self.catch_up(Now::read());
            self.fast = None;
        }
    }

    /// Goes over to another configuration, or other places; an error: nothing is changed.
    pub(super) fn change_over(&mut self, prepared: Prepared) -> Result<()> {
        let Prepared { mut config, places } = prepared;
        self.change_addresses(&config)?;
        if let Err(fault) = self.open_links(&config, &places) {
            let served = self.config.clone();
            if let Err(fault) = self.change_addresses(&served) {
                error!("{fault:#}");
            }
            return Err(fault);
        }
        // What the kernel renewed by the old configuration counts by that.
        self.catch_up(Now::read());
        let had_fast_path = self.fast.is_some();
        self.change_fast_path(&config);
        self.engine.forget_probes(&mut self.table);
        self.give_up_releases();
        self.counts.probes = self.counts.probes.plus(self.engine.probe_counts());
        self.table.reconfigure(&config);
        self.publish(&config, &places);
        if had_fast_path && self.fast.is_none() {
            // The last that the kernel did is not known.
            adopt::keep_to_horizons(&mut self.table);
        }
        let keep: Vec<u32> = places.iter().map(|place| place.wire.interface).collect();
        self.links.retain(|index| keep.contains(&index));
        // These two are as they were at the start.
        config.http = self.config.http;
        config.log = self.config.log;
        self.config = config;
        if let Some(share) = &mut self.share {
            share.reconfigured(&self.config, &places, Now::read().moment);
        }
        Ok(())
    }

    /// Has the program attached as the new configuration wants it.
    fn change_fast_path(&mut self, config: &Config) {
        let is_missing = self.fast.is_none() && wants_fast_path(config);
        if is_missing || needs_other_fast_path(&self.config, config) {
            self.start_fast_path(config);
        } else if self.fast.is_some() {
            // Its rule and limits may be others.
            self.loader.want(config);
        }
    }

    pub(super) fn change_addresses(&mut self, config: &Config) -> Result<()> {
        let config = self.for_addresses(config);
        self.addresses.as_mut().map_or(Ok(()), |addresses| addresses.change(&config))
    }

    /// Links for interfaces that have none yet.
    pub(super) fn open_links(&mut self, config: &Config, places: &[Place]) -> Result<()> {
        let interfaces: BTreeMap<u32, &str> = config
            .networks
            .iter()
            .zip(places)
            .map(|(network, place)| (place.wire.interface, network.interface.as_str()))
            .collect();
        let mut opened = Vec::new();
        for (index, name) in interfaces {
            if !self.links.has(index) {
                opened.push((Link::open(name)?, ServerPort::claim(name)?));
            }
        }
        for (link, port) in opened {
            self.links.add(link, port)?;
        }
        hear_tags(config, places);
        Ok(())
    }

    /// A new engine, in the kernel too; without the kernel where that does not take it.
    fn publish(&mut self, config: &Config, places: &[Place]) {
        if let Some(mut fast) = self.fast.take() {
            let changed = adopt::change(&mut fast, config, places, &self.table);
            let watched = changed.map_err(anyhow::Error::from).and_then(|engine| {
                self.links.watch_fast_path(&fast)?;
                Ok(engine)
            });
            match watched {
                Ok(engine) => {
                    self.engine = engine;
                    self.fast = Some(fast);
                    return;
                }
                Err(fault) => {
                    drop(fast);
                    self.lose_fast_path(&fault);
                }
            }
        }
        self.engine = adopt::alone(config, places);
    }
}

/// Has interfaces hear the tags that networks are behind.
fn hear_tags(config: &Config, places: &[Place]) {
    let tagged = config.networks.iter().zip(places).filter(|(_, place)| place.wire.vlan != [0; 2]);
    let interfaces: BTreeMap<u32, &str> =
        tagged.map(|(network, place)| (place.wire.interface, network.interface.as_str())).collect();
    for (index, interface) in interfaces {
        if let Err(fault) = tags::hear_all(index) {
            warn!(
                interface,
                "promiscuous mode cannot be switched on, so the card may drop tagged requests: {fault}"
            );
        }
    }
}

/// Whether the program has to be attached elsewhere, or otherwise, or to know more clients.
fn needs_other_fast_path(old: &Config, new: &Config) -> bool {
    let interfaces = |config: &Config| -> BTreeSet<String> {
        config.networks.iter().map(|network| network.interface.clone()).collect()
    };
    old.fast_path != new.fast_path || interfaces(old) != interfaces(new) || capacity(old) < capacity(new)
}
