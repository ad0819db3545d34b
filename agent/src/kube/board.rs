//! What is known of every address: its lease, its HostEndpoint, its object, what its endpoint said.
//!
//! Plain data. Facts come in, in any order and as often as they like; [`Board::action`] says what is
//! to be done about one name. It follows from the facts alone, never from what was done before: lost
//! watches, restarts and edits by hand need nothing of their own. The one thing that is remembered is
//! which objects we removed ourselves, for a removal by somebody else is a wish: [`Board::unseen`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;

use kube::ResourceExt as _;

use super::desired::{self, Action, Endpoint, Facts, Hold, Holding, Look, Reach, Settings};
use super::names;
use super::objects::{ClusterAgent, HostEndpoint, HostStatus, HostType, said};
use super::queue::Queue;
use crate::report::Mac;

/// All facts.
#[derive(Debug)]
pub struct Board {
    settings: Settings,
    holdings: BTreeMap<Ipv4Addr, Holding>,
    /// Every HostEndpoint there is, by name.
    endpoints: BTreeMap<String, HostEndpoint>,
    /// Those that we show, by address; of two with one address, the first by name.
    shown: BTreeMap<Ipv4Addr, Endpoint>,
    /// The names of all agents.
    agents: BTreeSet<String>,
    objects: HashMap<String, HostStatus>,
    looks: HashMap<String, Look>,
    /// The newest version of any object that the watch told of.
    told: u64,
    /// Objects that we wrote since the list that is being read began: it may not have them.
    written: HashSet<String>,
    /// Objects whose removal is ours.
    removing: HashSet<String>,
    /// Addresses whose object somebody removed, until it is known whether the client is alive.
    asked: BTreeSet<Ipv4Addr>,
    /// Names to be looked at.
    pub queue: Queue,
}

/// Where the endpoint of a name is, to be asked how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its address.
    pub ip: Ipv4Addr,
    /// How it is reached.
    pub reach: Reach,
}

impl Board {
    /// An empty one.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            holdings: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            shown: BTreeMap::new(),
            agents: BTreeSet::new(),
            objects: HashMap::new(),
            looks: HashMap::new(),
            told: 0,
            written: HashSet::new(),
            removing: HashSet::new(),
            asked: BTreeSet::new(),
            queue: Queue::default(),
        }
    }

    /// Other settings: every object may be another.
    pub fn set_settings(&mut self, settings: Settings) {
        if self.settings != settings {
            self.settings = settings;
            self.look_at_all();
        }
    }

    /// The agent whose board it is.
    pub fn agent(&self) -> &str {
        &self.settings.agent
    }

    /// Every name is to be looked at.
    pub fn look_at_all(&mut self) {
        let ips: Vec<Ipv4Addr> = self.holdings.keys().chain(self.shown.keys()).copied().collect();
        for ip in ips {
            self.look_at(ip);
        }
        let agent = &self.settings.agent;
        let ours = self.objects.keys().filter(|name| names::address(agent, name).is_some());
        for name in ours {
            self.queue.add(name.clone());
        }
    }

    fn look_at(&mut self, ip: Ipv4Addr) {
        self.queue.add(names::name(&self.settings.agent, ip));
    }

    /// Who an address is with now; none: nobody.
    pub fn set_holding(&mut self, ip: Ipv4Addr, holding: Option<Holding>) {
        let before = self.holdings.get(&ip).copied();
        if before == holding {
            return;
        }
        if before.map(|before| before.mac) != holding.map(|holding| holding.mac) {
            // What was wished was about another client,
            self.asked.remove(&ip);
            // and what was said is another host's. That of a HostEndpoint is a host without a lease, too.
            if (before.is_some() && holding.is_some()) || !self.shown.contains_key(&ip) {
                self.looks.remove(&names::name(&self.settings.agent, ip));
            }
        }
        match holding {
            Some(holding) => drop(self.holdings.insert(ip, holding)),
            None => drop(self.holdings.remove(&ip)),
        }
        self.look_at(ip);
    }

    /// Who all addresses are with; those that are not named are with nobody.
    pub fn set_holdings(&mut self, all: &BTreeMap<Ipv4Addr, Holding>) {
        let gone: Vec<Ipv4Addr> = self.holdings.keys().filter(|ip| !all.contains_key(ip)).copied().collect();
        for ip in gone {
            self.set_holding(ip, None);
        }
        for (ip, holding) in all {
            self.set_holding(*ip, Some(*holding));
        }
    }

    /// A HostEndpoint is like this now.
    pub fn set_endpoint(&mut self, object: HostEndpoint) {
        self.endpoints.insert(object.name_any(), object);
    }

    /// A HostEndpoint is gone.
    pub fn remove_endpoint(&mut self, name: &str) {
        self.endpoints.remove(name);
    }

    /// These HostEndpoints are all there are.
    pub fn set_endpoints(&mut self, all: Vec<HostEndpoint>) {
        self.endpoints = all.into_iter().map(|object| (object.name_any(), object)).collect();
    }

    /// These agents are all there are: an endpoint that names none belongs to the only one.
    pub fn set_agents(&mut self, all: &BTreeMap<String, ClusterAgent>) {
        self.agents = all.keys().cloned().collect();
    }

    /// The addresses of all HostEndpoints, whosever they are.
    pub fn endpoint_addresses(&self) -> BTreeSet<Ipv4Addr> {
        self.endpoints.values().filter_map(|object| object.spec.ip_addr.parse().ok()).collect()
    }

    /// The HostEndpoints that name no agent while there are several: they belong to none.
    pub fn ownerless(&self) -> impl Iterator<Item = &HostEndpoint> {
        let several = self.agents.len() > 1;
        self.endpoints
            .values()
            .filter(move |object| several && said(object.spec.cluster_agent.as_ref()).is_none())
    }

    /// What was said of HostEndpoints and agents since the last time counts from here on. It goes over all
    /// of them: so it is done once after many changes.
    pub fn show_endpoints(&mut self) {
        let mut shown = BTreeMap::new();
        for object in self.endpoints.values().filter(|object| self.is_ours(object)) {
            if let Some(endpoint) = Endpoint::of(object) {
                shown.entry(endpoint.ip).or_insert(endpoint);
            }
        }
        let before = std::mem::replace(&mut self.shown, shown);
        let changed: Vec<Ipv4Addr> = before
            .keys()
            .chain(self.shown.keys())
            .filter(|ip| before.get(ip) != self.shown.get(ip))
            .copied()
            .collect();
        for ip in changed {
            self.look_at(ip);
        }
    }

    /// Whether we show it; one that is being removed is gone for us, or what goes with it would be made
    /// again as often as it is collected.
    fn is_ours(&self, object: &HostEndpoint) -> bool {
        if object.metadata.deletion_timestamp.is_some() {
            return false;
        }
        match said(object.spec.cluster_agent.as_ref()) {
            Some(agent) => agent == self.settings.agent,
            None => self.agents.len() == 1 && self.agents.contains(&self.settings.agent),
        }
    }

    /// The watch says that an object is like this now.
    pub fn set_object(&mut self, object: HostStatus) {
        let version = version(&object);
        self.told = self.told.max(version);
        let known = self.objects.get(&object.name_any());
        let is_older = |known: &HostStatus| known.uid() == object.uid() && self::version(known) > version;
        if !known.is_some_and(is_older) {
            self.insert_object(object);
        }
    }

    /// The answer to a write says that an object is like this now.
    pub fn wrote(&mut self, object: HostStatus) {
        self.written.insert(object.name_any());
        // Of all that is older, the watch has told more.
        if version(&object) > self.told {
            self.insert_object(object);
        }
    }

    fn insert_object(&mut self, object: HostStatus) {
        let name = object.name_any();
        let Some(ip) = names::address(&self.settings.agent, &name) else { return };
        self.asked.remove(&ip);
        if self.objects.get(&name) != Some(&object) {
            self.objects.insert(name.clone(), object);
            self.queue.add(name);
        }
    }

    /// The watch says that an object is gone; this was its last version.
    pub fn remove_object(&mut self, object: &HostStatus) {
        self.told = self.told.max(version(object));
        self.note_removal(&object.name_any());
    }

    fn note_removal(&mut self, name: &str) {
        let Some(object) = self.objects.remove(name) else { return };
        let ours = self.removing.remove(name);
        let ip = names::address(&self.settings.agent, name);
        if let Some(ip) = ip.filter(|ip| !ours && self.is_a_wish(*ip, &object)) {
            self.asked.insert(ip);
        }
        self.queue.add(name.to_owned());
    }

    /// Whether removing this object asks for its address: one that goes with a HostEndpoint is
    /// removed with that, and one that shows another client says nothing of this one.
    fn is_a_wish(&self, ip: Ipv4Addr, object: &HostStatus) -> bool {
        let Some(status) = &object.status else { return false };
        let is_shown = |holding: &Holding| {
            holding.hold != Hold::Offered && status.basic.mac.parse().is_ok_and(|mac: Mac| mac == holding.mac)
        };
        self.settings.discovery
            && status.basic.kind == HostType::Dhcp
            && object.owner_references().is_empty()
            && self.holdings.get(&ip).is_some_and(is_shown)
    }

    /// Something is there under this name that cannot be read.
    pub fn set_unreadable(&mut self, name: &str) {
        self.objects.remove(name);
    }

    /// A list of all objects is asked for: it says nothing of what is written from now on.
    pub fn begin_list(&mut self) {
        self.written.clear();
    }

    /// These objects are all there are: those that we knew and that are not among them were removed
    /// while nobody watched.
    pub fn set_objects(&mut self, all: Vec<HostStatus>) {
        let there: HashSet<String> = all.iter().map(kube::ResourceExt::name_any).collect();
        let gone: Vec<String> = self.objects.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in gone {
            if self.written.contains(&name) {
                // The watch that follows the list tells of it, if it is there.
                self.objects.remove(&name);
                self.queue.add(name);
            } else {
                self.note_removal(&name);
            }
        }
        for object in all {
            self.set_object(object);
        }
    }

    /// What the endpoint of a name said.
    pub fn set_look(&mut self, name: String, mut look: Look) {
        if let Some(before) = self.looks.get(&name).filter(|before| before.ready) {
            look.complete(&before.info);
        }
        if self.looks.get(&name) != Some(&look) {
            self.looks.insert(name.clone(), look);
            self.queue.add(name);
        }
    }

    /// The addresses whose object somebody removed although they are with a client: if it is dead, the
    /// address is to be given back. Until [`Self::answered`], no object is made again.
    pub fn unseen(&self) -> Vec<Ipv4Addr> {
        self.asked.iter().copied().collect()
    }

    /// It is known whether the client of an address whose object was removed is alive.
    pub fn answered(&mut self, ip: Ipv4Addr) {
        self.asked.remove(&ip);
        self.look_at(ip);
    }

    /// What is to be done about a name.
    pub fn action(&mut self, name: &str, now: &str) -> Option<Action> {
        let ip = names::address(&self.settings.agent, name)?;
        let facts = self.facts(ip, name);
        if self.asked.contains(&ip) {
            return None;
        }
        let action = desired::action(&self.settings, ip, facts, now);
        if matches!(action, Some(Action::Delete(_))) {
            self.removing.insert(name.to_owned());
        }
        action
    }

    fn facts(&self, ip: Ipv4Addr, name: &str) -> Facts<'_> {
        Facts {
            holding: self.holdings.get(&ip).copied(),
            endpoint: self.shown.get(&ip),
            look: self.looks.get(name),
            observed: self.objects.get(name),
        }
    }

    /// The endpoints of all objects that are to be there, by name. What others said is forgotten.
    pub fn places(&mut self) -> BTreeMap<String, Place> {
        let places = self.all_places();
        self.looks.retain(|name, _| places.contains_key(name));
        places
    }

    fn all_places(&self) -> BTreeMap<String, Place> {
        let leased = self
            .holdings
            .iter()
            .filter(|(_, holding)| self.settings.discovery && holding.hold != Hold::Offered);
        let leased = leased.map(|(ip, _)| (*ip, &self.settings.endpoint));
        // Where both are, the endpoint's own word wins.
        let shown = self.shown.values().map(|endpoint| (endpoint.ip, &endpoint.reach));
        leased
            .chain(shown)
            .map(|(ip, reach)| (names::name(&self.settings.agent, ip), Place { ip, reach: reach.clone() }))
            .collect()
    }
}

/// How new an object is.
fn version(object: &HostStatus) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}
