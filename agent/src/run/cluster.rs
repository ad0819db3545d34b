//! An agent whose configuration is a ClusterAgent: how it begins, and how it follows changes.
//!
//! At the start the object, the addresses of the HostEndpoints and the Secret are read and checked;
//! with the API server away, what was applied last is served instead. Where the disk knows nothing, the
//! leases are found in the HostStatus objects. From then on each change of the object is served or
//! refused as a whole; refused ones are tried again, for it may be the machine that was at fault.

mod claims;
mod follow;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::claims::Publishing;
use self::follow::Follower;
use super::options::RunOptions;
use super::outlets::Outlets;
use super::reload::{Prepared, Reload, prepare_config};
use crate::clock::Now;
use crate::conditions::Conditions;
use crate::config::{Config, Problem, Problems};
use crate::control;
use crate::http::AgentMetrics;
use crate::kube::applied::{self, Applied};
use crate::kube::client::{Kubernetes, RequestError, ask_for};
use crate::kube::desired::{Reach, Settings};
use crate::kube::events::{Reason, about};
use crate::kube::going::Going;
use crate::kube::objects::{ClusterAgent, ClusterAgentSpec, HostEndpoint, HostStatus};
use crate::kube::session::{self, SYNCED, Session};
use crate::kube::{names, secrets};
use crate::lease::{Found, Journal, Loaded, journal_path, rebuild};
use crate::lease_feed::LeaseFeed;
use crate::notices::{Notice, Notices, WAITING};
use crate::report::Mac;
use crate::sources::cluster_agent;

/// How long the API server is waited for where nothing can be served without it.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same where there is a configuration that was applied before.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);

/// An event about a failed start is waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How an agent of a cluster is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// The ClusterAgent's name.
    pub agent: String,
    /// The address by which the node is known: an interface that has it keeps it.
    pub node_address: Option<Ipv4Addr>,
    /// How often endpoints are asked how they are.
    pub interval: Duration,
}

/// An agent of a cluster, about to serve.
pub struct Begun {
    /// Leases that the disk does not know.
    found: Vec<Found>,
    /// What has to be said once there is a log.
    notes: Vec<String>,
    kubernetes: Kubernetes,
    options: RunOptions,
    cluster: ClusterOptions,
    applied: Applied,
    /// The object that it was read from; none: what was applied last is served.
    read_from: Option<ObjectReference>,
}

/// Who tells, beside the object, that the agent did not start.
pub struct Witness {
    kubernetes: Kubernetes,
    about: ObjectReference,
}

impl Witness {
    /// Tells why, if the API server listens.
    pub async fn start_failed(&self, fault: &anyhow::Error) {
        let note = format!("{fault:#}");
        let telling = self.kubernetes.events.send(&self.about, Reason::StartFailed, &note);
        let _told_or_not = timeout(LAST_WORDS, telling).await;
    }
}

/// What was read at the start.
struct Read {
    about: ObjectReference,
    /// Or what is wrong with it: an older definition may have let more through.
    spec: Result<ClusterAgentSpec, String>,
    endpoints: BTreeSet<Ipv4Addr>,
    /// None: the disk knows the leases.
    statuses: Option<Vec<HostStatus>>,
}

/// Reads and checks all that an agent of this name needs to begin. An error has a line for each
/// thing that is wrong, and an event where there is an object to tie it to.
pub async fn begin(options: &RunOptions, cluster: &ClusterOptions) -> Result<(Prepared, Begun)> {
    let kubernetes = Kubernetes::connect(&cluster.agent).await?;
    let folder = lease_folder(options);
    let path = applied::path(&folder, &cluster.agent);
    let kept = applied::read(&path);
    let knows_leases = kept.is_ok() && journal_path(&folder, &cluster.agent).exists();
    let patience = if knows_leases { SHORT_PATIENCE } else { PATIENCE };
    let begun = |kubernetes, applied, read_from| Begun {
        found: Vec::new(),
        notes: Vec::new(),
        kubernetes,
        options: options.clone(),
        cluster: cluster.clone(),
        applied,
        read_from,
    };
    match read(&kubernetes, patience, knows_leases).await {
        Ok(read) => {
            let about = read.about.clone();
            let witness = Witness { kubernetes: kubernetes.clone(), about: about.clone() };
            match check(options, cluster, &kubernetes, read, patience).await {
                Ok((prepared, applied, found)) => {
                    Ok((prepared, Begun { found, ..begun(kubernetes, applied, Some(about)) }))
                }
                Err(fault) => {
                    witness.start_failed(&fault).await;
                    Err(fault)
                }
            }
        }
        Err(away @ RequestError::Passing(_)) => {
            let applied = kept.map_err(|missing| anyhow!("{away}; {missing}"))?;
            if !knows_leases {
                bail!(
                    "{away}; the lease file is missing: without the HostStatus objects, addresses that \
                     clients have could be given to others"
                );
            }
            let place = path.display();
            let prepared = prepare(options, cluster, &applied.spec, &applied.endpoints)
                .map_err(|problems| anyhow!("{away}; what {place} says cannot be served:\n{problems}"))?;
            let notes = vec![format!("{away}; serving the configuration that was applied last ({place})")];
            Ok((prepared, Begun { notes, ..begun(kubernetes, applied, None) }))
        }
        Err(RequestError::Lasting(why)) => bail!("ClusterAgent {}: {why}", cluster.agent),
    }
}

async fn read(kubernetes: &Kubernetes, patience: Duration, knows_leases: bool) -> Result<Read, RequestError> {
    let name = kubernetes.agent.as_str();
    let agents: Api<DeserializeGuard<ClusterAgent>> = Api::all(kubernetes.client.clone());
    let agent = ask_for(patience, || agents.get_opt(name)).await?;
    let agent = agent.ok_or_else(|| RequestError::Lasting("there is no such object".into()))?;
    let endpoints = list::<HostEndpoint>(kubernetes, patience).await?;
    let statuses = if knows_leases { None } else { Some(list(kubernetes, patience).await?) };
    Ok(Read {
        about: about(&agent),
        spec: agent.0.map(|agent| agent.spec).map_err(|fault| fault.error),
        endpoints: endpoints.iter().filter_map(|object| object.spec.ip_addr.parse().ok()).collect(),
        statuses,
    })
}

/// All objects of a kind. One that cannot be read is one less, and stops no start.
async fn list<K>(kubernetes: &Kubernetes, patience: Duration) -> Result<Vec<K>, RequestError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<DeserializeGuard<K>> = Api::all(kubernetes.client.clone());
    let everything = ListParams::default();
    let all = ask_for(patience, || api.list(&everything)).await?;
    Ok(all.items.into_iter().filter_map(|object| object.0.ok()).collect())
}

async fn check(
    options: &RunOptions,
    cluster: &ClusterOptions,
    kubernetes: &Kubernetes,
    read: Read,
    patience: Duration,
) -> Result<(Prepared, Applied, Vec<Found>)> {
    let spec = read.spec.map_err(|why| anyhow!("spec: {why}"))?;
    if let Some(problem) = check_secret(kubernetes, &spec, patience).await? {
        bail!("{problem}");
    }
    let prepared = prepare(options, cluster, &spec, &read.endpoints)?;
    let found = read.statuses.iter().flatten().filter_map(|object| found(&cluster.agent, object)).collect();
    Ok((prepared, Applied { spec, endpoints: read.endpoints }, found))
}

/// What is wrong with the Secret that an object names. An object that says nothing of endpoints
/// names none.
async fn check_secret(
    kubernetes: &Kubernetes,
    spec: &ClusterAgentSpec,
    patience: Duration,
) -> Result<Option<Problem>, RequestError> {
    match &spec.endpoint {
        Some(endpoint) => secrets::check(&kubernetes.client, endpoint, patience).await,
        None => Ok(None),
    }
}

/// The configuration that an object makes, checked against this machine; problems have the object's
/// own places.
fn prepare(
    options: &RunOptions,
    cluster: &ClusterOptions,
    spec: &ClusterAgentSpec,
    endpoints: &BTreeSet<Ipv4Addr>,
) -> Result<Prepared, Problems> {
    let mut config = cluster_agent::config(&cluster.agent, spec, endpoints)?;
    options.override_config(&mut config);
    if !options.replace_node_addresses {
        check_node_address(&config, cluster.node_address)?;
    }
    prepare_config(config).map_err(|problems| problems.renamed(cluster_agent::place))
}

/// The node's own address is not taken away, or the node is lost to its cluster.
fn check_node_address(config: &Config, node: Option<Ipv4Addr>) -> Result<(), Problems> {
    let Some(node) = node else { return Ok(()) };
    for (at, network) in config.networks.iter().enumerate() {
        let Some(own) = network.self_ip.filter(|own| own.addr() != node) else { continue };
        let facts = crate::config::host::interface(&network.interface);
        if facts.is_some_and(|facts| facts.addresses.iter().any(|address| address.addr() == node)) {
            let path = cluster_agent::place(&format!("networks[{at}].selfIP"));
            let interface = &network.interface;
            return Err(Problems::one(
                path,
                format!(
                    "{own} would replace {node}, by which the cluster knows this node, on {interface}: serve \
                     on another interface, or let it be so (--replace-node-addresses)"
                ),
            ));
        }
    }
    Ok(())
}

/// The lease that a HostStatus of this agent shows.
fn found(agent: &str, object: &HostStatus) -> Option<Found> {
    let ip = names::address(agent, object.metadata.name.as_deref()?)?;
    let basic = &object.status.as_ref()?.basic;
    let mac: Mac = basic.mac.parse().ok()?;
    // What an older operator wrote says nothing of ended leases: it removed their objects.
    let active = object.metadata.labels.as_ref().is_none_or(|labels| {
        labels.get(crate::kube::objects::label::ACTIVE).is_none_or(|active| active != "false")
    });
    Some(Found { ip, mac: mac.0, active: active || basic.active_dhcp_client })
}

fn lease_folder(options: &RunOptions) -> PathBuf {
    let mut config = crate::config::idle("");
    options.override_config(&mut config);
    config.leases.dir
}

/// What HostStatus objects depend on, of an object's word.
fn settings(agent: &str, spec: &ClusterAgentSpec) -> Settings {
    let endpoint = spec.endpoint.clone().unwrap_or_default();
    let server = cluster_agent::server(spec).ok().flatten();
    Settings {
        agent: agent.to_owned(),
        endpoint: Reach::new(
            endpoint.https,
            endpoint.port,
            endpoint.secret_name.as_ref(),
            endpoint.secret_namespace.as_ref(),
        ),
        discovery: server.is_some_and(|server| server.enable_dhcp_discovery),
    }
}

/// Where what the core tells comes out.
#[derive(Default)]
pub struct Ends {
    feed: Arc<LeaseFeed>,
    notices: Option<mpsc::Receiver<Notice>>,
}

/// What the core of an agent of a cluster tells, and where it comes out.
pub fn outlets() -> (Outlets, Ends) {
    let feed = Arc::new(LeaseFeed::default());
    let (sender, notices) = mpsc::channel(WAITING);
    let outlets =
        Outlets { leases: Some(Arc::clone(&feed)), notices: Notices::to(sender), ..Outlets::default() };
    (outlets, Ends { feed, notices: Some(notices) })
}

/// What ties the cluster's side to the rest of the agent.
pub struct Wires {
    /// The core.
    pub core: control::Handle,
    /// What it tells.
    pub ends: Ends,
    /// Where writes are counted.
    pub metrics: Arc<AgentMetrics>,
    /// What the agent waits for before it is ready.
    pub conditions: Conditions,
    /// Where new configurations go.
    pub configs: mpsc::Sender<Reload>,
    /// Where it is noted that the object goes.
    pub going: Going,
    /// Where faults are told.
    pub notices: Notices,
}

impl Begun {
    /// Who can tell of what fails from now on; none: the API server is away.
    pub fn witness(&self) -> Option<Witness> {
        let about = self.read_from.clone()?;
        Some(Witness { kubernetes: self.kubernetes.clone(), about })
    }

    /// Writes the leases that the objects show and the disk does not know, before any is given.
    pub fn rebuild_leases(&self, config: &Config, leases: &mut (Journal, Loaded)) -> Result<()> {
        for note in &self.notes {
            warn!("{note}");
        }
        let (journal, loaded) = leases;
        let rebuilt = rebuild(config, journal, loaded, &self.found, Now::read())?;
        if rebuilt > 0 {
            info!(leases = rebuilt, "the lease file did not know leases that HostStatus objects show");
        }
        Ok(())
    }

    /// Shows leases and hosts, and follows the object, until it is told to stop.
    pub fn follow(
        self,
        tasks: &mut JoinSet<()>,
        publishing: Publishing,
        wires: Wires,
        stop: &CancellationToken,
    ) {
        let Wires { core, ends, metrics, conditions, configs, going, notices } = wires;
        let shows = publishing.shows();
        let (wanted_sender, wanted) = watch::channel(None);
        publishing.go_on(tasks, &self.kubernetes, (conditions.clone(), notices, wanted.clone()), stop);
        if self.read_from.is_some() {
            conditions.wait_for(SYNCED, "the objects of the cluster have not been read yet");
        }
        let (settings_sender, settings) = watch::channel(settings(&self.cluster.agent, &self.applied.spec));
        let session = Session {
            kubernetes: self.kubernetes.clone(),
            settings,
            wanted: wanted_sender,
            core,
            feed: ends.feed,
            notices: ends.notices.unwrap_or_else(|| mpsc::channel(1).1),
            conditions,
            going,
            metrics,
            interval: self.cluster.interval,
            shows,
        };
        tasks.spawn(session::run(session, stop.clone()));
        let follower = Follower {
            path: applied::path(&lease_folder(&self.options), &self.cluster.agent),
            begun: self,
            settings: settings_sender,
            configs,
            refused: None,
        };
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follower.follow(wanted) => {}
            }
        });
    }
}
