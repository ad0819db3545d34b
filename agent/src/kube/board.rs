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
        ips.into_iter().for_each(|ip| self.look_at(ip));
        let agent = &self.settings.agent;
        let ours = self.objects.keys().filter(|name| names::address(agent, name).is_some());
        ours.for_each(|name| self.queue.add(name.clone()));
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
            // What was said is another host's.
            self.looks.remove(&names::name(&self.settings.agent, ip));
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
        gone.into_iter().for_each(|ip| self.set_holding(ip, None));
        all.iter().for_each(|(ip, holding)| self.set_holding(*ip, Some(*holding)));
    }

    /// A HostEndpoint is like this now.
    pub fn set_endpoint(&mut self, object: HostEndpoint) {
        self.endpoints.insert(object.name_any(), object);
        self.show_endpoints();
    }

    /// A HostEndpoint is gone.
    pub fn remove_endpoint(&mut self, name: &str) {
        self.endpoints.remove(name);
        self.show_endpoints();
    }

    /// These HostEndpoints are all there are.
    pub fn set_endpoints(&mut self, all: Vec<HostEndpoint>) {
        self.endpoints = all.into_iter().map(|object| (object.name_any(), object)).collect();
        self.show_endpoints();
    }

    /// These agents are all there are: an endpoint that names none belongs to the only one.
    pub fn set_agents(&mut self, all: &BTreeMap<String, ClusterAgent>) {
        self.agents = all.keys().cloned().collect();
        self.show_endpoints();
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

    fn show_endpoints(&mut self) {
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
        changed.into_iter().for_each(|ip| self.look_at(ip));
    }

    fn is_ours(&self, object: &HostEndpoint) -> bool {
        match said(object.spec.cluster_agent.as_ref()) {
            Some(agent) => agent == self.settings.agent,
            None => self.agents.len() == 1 && self.agents.contains(&self.settings.agent),
        }
    }

    /// An object is like this now.
    pub fn set_object(&mut self, object: HostStatus) {
        let name = object.name_any();
        let Some(ip) = names::address(&self.settings.agent, &name) else { return };
        self.asked.remove(&ip);
        if self.objects.get(&name) != Some(&object) {
            self.objects.insert(name.clone(), object);
            self.queue.add(name);
        }
    }

    /// An object is gone.
    pub fn remove_object(&mut self, name: &str) {
        let Some(object) = self.objects.remove(name) else { return };
        let ours = self.removing.remove(name);
        let ip = names::address(&self.settings.agent, name);
        if let Some(ip) = ip.filter(|_| !ours && self.is_a_wish(&object)) {
            self.asked.insert(ip);
        }
        self.queue.add(name.to_owned());
    }

    /// Whether removing this object asks for its address: one that goes with a HostEndpoint is
    /// removed with that.
    fn is_a_wish(&self, object: &HostStatus) -> bool {
        let kind = object.status.as_ref().map(|status| status.basic.kind);
        self.settings.discovery && kind == Some(HostType::Dhcp) && object.owner_references().is_empty()
    }

    /// These objects are all there are: those that we knew and that are not among them were removed
    /// while nobody watched.
    pub fn set_objects(&mut self, all: Vec<HostStatus>) {
        let there: HashSet<String> = all.iter().map(kube::ResourceExt::name_any).collect();
        let gone: Vec<String> = self.objects.keys().filter(|name| !there.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| self.remove_object(name));
        all.into_iter().for_each(|object| self.set_object(object));
    }

    /// What the endpoint of a name said.
    pub fn set_look(&mut self, name: String, look: Look) {
        if self.looks.get(&name) != Some(&look) {
            self.looks.insert(name.clone(), look);
            self.queue.add(name);
        }
    }

    /// The addresses whose object somebody removed although they are with a client: if it is dead, the
    /// address is to be given back. Until [`Self::answered`], no object is made again.
    pub fn unseen(&self) -> Vec<Ipv4Addr> {
        let is_with_a_client =
            |ip: &&Ipv4Addr| self.holdings.get(ip).is_some_and(|holding| holding.hold != Hold::Offered);
        self.asked.iter().filter(is_with_a_client).copied().collect()
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
        if self.asked.contains(&ip) && facts.holding.is_some() {
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

    /// The endpoints of all objects that are to be there, by name.
    pub fn places(&self) -> BTreeMap<String, Place> {
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
