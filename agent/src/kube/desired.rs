//! What the object of one address should be, and what to do so that it is. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use super::names;
use super::objects::{Basic, HostEndpoint, HostStatus, HostStatusStatus, HostType, label, said};
use crate::report::Mac;

/// The one entry that `info` always has.
const OS: &str = "os";

/// What of a ClusterAgent its HostStatus objects depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The agent's name.
    pub agent: String,
    /// How hosts with a lease are talked to.
    pub endpoint: Reach,
    /// Whether leases make and remove objects.
    pub discovery: bool,
}

/// How a host's endpoint is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// Whether it speaks HTTPS.
    pub https: bool,
    /// Its port.
    pub port: i32,
    /// The namespace and name of the Secret with its credentials.
    pub secret: Option<(String, String)>,
}

impl Reach {
    /// From the fields of an object; half a Secret's name is none.
    pub fn new(https: bool, port: i32, name: Option<&String>, namespace: Option<&String>) -> Self {
        let secret = said(namespace).zip(said(name));
        Self { https, port, secret: secret.map(|(namespace, name)| (namespace.into(), name.into())) }
    }
}

/// Who an address is with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The client.
    pub mac: Mac,
    /// How far it has it.
    pub hold: Hold,
}

/// How far a client has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It was offered, and not taken yet.
    Offered,
    /// It has a lease.
    Leased,
    /// Its lease has ended; the address is kept for it.
    Kept,
}

/// A HostEndpoint that this agent shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its address.
    pub ip: Ipv4Addr,
    /// How it is reached.
    pub reach: Reach,
    /// What an object that goes with it names.
    pub owner: OwnerReference,
}

impl Endpoint {
    /// From the object; none: it has no IPv4 address, or is not stored yet.
    pub fn of(object: &HostEndpoint) -> Option<Self> {
        let spec = &object.spec;
        Some(Self {
            ip: spec.ip_addr.parse().ok()?,
            reach: Reach::new(
                spec.https,
                spec.port,
                spec.secret_name.as_ref(),
                spec.secret_namespace.as_ref(),
            ),
            owner: OwnerReference { block_owner_deletion: Some(true), ..object.controller_owner_ref(&())? },
        })
    }
}

/// What is known of one address.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Who it is with.
    pub holding: Option<Holding>,
    /// The HostEndpoint that has it.
    pub endpoint: Option<&'a Endpoint>,
    /// What its endpoint said of itself when it was last asked.
    pub look: Option<&'a Look>,
    /// Its object as it is.
    pub observed: Option<&'a HostStatus>,
}

/// What an endpoint said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether it answered.
    pub ready: bool,
    /// What it is.
    pub info: BTreeMap<String, String>,
    /// Whether it said all that was asked; else what was known before may still hold.
    pub whole: bool,
}

impl Look {
    /// Adds what was known before and was not said now, if that may still hold.
    pub fn complete(&mut self, before: &BTreeMap<String, String>) {
        if !self.ready || self.whole {
            return;
        }
        for (name, value) in before {
            let said = self.info.entry(name.clone()).or_default();
            if said.is_empty() {
                said.clone_from(value);
            }
        }
    }
}

/// What to do with an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make it; its status follows once it is there.
    Create(Box<HostStatus>),
    /// Set its labels and its owner.
    Relabel(Box<HostStatus>),
    /// Write its status.
    WriteStatus(Box<HostStatus>),
    /// Remove this very object.
    Delete(Box<HostStatus>),
}

impl Action {
    /// The API's verbs for all of them.
    pub const VERBS: [&str; 4] = ["create", "delete", "patch", "update"];

    /// The API's verb for it.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Relabel(_) => "patch",
            Self::WriteStatus(_) => "update",
            Self::Delete(_) => "delete",
        }
    }
}

/// What to do so that the object of an address is as it should be; none: it is. `now` is the time
/// that a changed status carries.
pub fn action(settings: &Settings, ip: Ipv4Addr, facts: Facts<'_>, now: &str) -> Option<Action> {
    if facts.observed.is_some_and(|object| object.metadata.deletion_timestamp.is_some()) {
        // What is to be there again is made when this one is gone.
        return None;
    }
    let desired = desired(settings, ip, facts);
    match (desired, facts.observed) {
        (Desired::AsItIs, _) | (Desired::Nothing, None) => None,
        (Desired::Nothing, Some(object)) => Some(Action::Delete(Box::new(object.clone()))),
        (Desired::Object(wanted), None) => Some(Action::Create(wanted)),
        (Desired::Object(wanted), Some(object)) => bring_to(*wanted, object, now),
    }
}

/// What the object of an address should be.
enum Desired {
    /// It shall not be there.
    Nothing,
    /// It is none of ours to change now.
    AsItIs,
    /// This, but for the time.
    Object(Box<HostStatus>),
}

fn desired(settings: &Settings, ip: Ipv4Addr, facts: Facts<'_>) -> Desired {
    let holding = facts.holding.filter(|_| settings.discovery).and_then(|holding| shown(holding, facts));
    if facts.endpoint.is_none() && holding.is_none() {
        let leases_alone = facts.observed.is_some_and(|object| !is_endpoints(object));
        return if leases_alone && !settings.discovery { Desired::AsItIs } else { Desired::Nothing };
    }
    let is_leased = holding.is_some_and(|holding| holding.hold == Hold::Leased);
    let (kind, reach) = match facts.endpoint {
        Some(endpoint) => (HostType::HostEndpoint, &endpoint.reach),
        None => (HostType::Dhcp, &settings.endpoint),
    };
    let (secret_namespace, secret_name) = reach.secret.clone().unwrap_or_default();
    let basic = Basic {
        kind,
        ip_addr: ip.to_string(),
        https: reach.https,
        port: reach.port,
        secret_name,
        secret_namespace,
        mac: holding.map(|holding| holding.mac.to_string()).unwrap_or_default(),
        active_dhcp_client: is_leased,
    };
    let (ready, info) = health(&basic, facts);
    let mut object = HostStatus::new(&names::name(&settings.agent, ip), super::objects::HostStatusSpec {});
    object.labels_mut().extend([
        (label::IP.to_owned(), ip.to_string()),
        (label::MODE.to_owned(), kind.name().to_owned()),
        (label::ACTIVE.to_owned(), is_leased.to_string()),
    ]);
    object.metadata.owner_references = facts.endpoint.map(|endpoint| vec![endpoint.owner.clone()]);
    object.status = Some(HostStatusStatus {
        health_ready: Some(ready),
        healthy: Some(ready),
        cluster_agent: settings.agent.clone(),
        last_update_time: String::new(),
        basic,
        info,
    });
    Desired::Object(Box::new(object))
}

/// The holding that a reader sees. An offer is no lease yet; but who is offered the address that it
/// had, still is the one who had it last.
fn shown(holding: Holding, facts: Facts<'_>) -> Option<Holding> {
    if holding.hold != Hold::Offered {
        return Some(holding);
    }
    let status = facts.observed.and_then(|object| object.status.as_ref())?;
    let had_it = status.basic.mac.parse().is_ok_and(|mac: Mac| mac == holding.mac);
    had_it.then_some(Holding { hold: Hold::Kept, ..holding })
}

/// Whether an object was made for a HostEndpoint; one that has no status yet has an owner.
fn is_endpoints(object: &HostStatus) -> bool {
    match &object.status {
        Some(status) => status.basic.kind == HostType::HostEndpoint,
        None => !object.owner_references().is_empty(),
    }
}

/// What the endpoint said when it was last asked; what the object says where it was not asked since
/// we started, or did not say all, as long as that is of the same host.
fn health(basic: &Basic, facts: Facts<'_>) -> (bool, BTreeMap<String, String>) {
    let observed = facts.observed.and_then(|object| object.status.as_ref());
    let known = observed.filter(|status| is_same_host(&status.basic, basic));
    let mut look = match (facts.look, known) {
        (Some(look), _) => look.clone(),
        (None, Some(status)) => Look { ready: status.is_healthy(), info: status.info.clone(), whole: true },
        (None, None) => Look::default(),
    };
    if let Some(status) = known.filter(|status| status.is_healthy()) {
        look.complete(&status.info);
    }
    look.info.entry(OS.to_owned()).or_default();
    (look.ready, look.info)
}

/// Whether two are of one host, as far as is known: an endpoint's hardware address is not, while it
/// has no lease.
fn is_same_host(one: &Basic, other: &Basic) -> bool {
    let is_unknown = |basic: &Basic| basic.kind == HostType::HostEndpoint && basic.mac.is_empty();
    one.kind == other.kind
        && (is_unknown(one) || is_unknown(other) || one.mac.eq_ignore_ascii_case(&other.mac))
}

/// The next step from an object to the one wanted: first labels and owner, then the status.
fn bring_to(wanted: HostStatus, object: &HostStatus, now: &str) -> Option<Action> {
    let has = |(key, value): (&String, &String)| object.labels().get(key) == Some(value);
    let is_labelled = wanted.labels().iter().all(has);
    if !is_labelled || wanted.owner_references() != object.owner_references() {
        let mut changed = wanted;
        changed.metadata.resource_version = object.resource_version();
        return Some(Action::Relabel(Box::new(changed)));
    }
    let mut status = wanted.status?;
    if let Some(found) = &object.status {
        status.last_update_time.clone_from(&found.last_update_time);
        if status == *found {
            return None;
        }
    }
    now.clone_into(&mut status.last_update_time);
    let mut changed = object.clone();
    // Not of use to a writer of the status, and much.
    changed.metadata.managed_fields = None;
    changed.status = Some(status);
    Some(Action::WriteStatus(Box::new(changed)))
}
