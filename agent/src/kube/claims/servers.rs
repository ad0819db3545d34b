//! Which DHCP servers on the wire are agents of our own ClusterAgent: each notes on its AgentTerm by which
//! hardware addresses it answers, and reads what the others have noted.
//!
//! It is for what people are told alone: no promise depends on it. Terms outlast their agents, whose pinned
//! programs may go on answering.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Api;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::calls::{Calls, Fault};
use super::swap::{agent_named, read, replace};
use crate::kube::client::ask;
use crate::kube::objects::{AgentTerm, SERVERS};
use crate::report::Mac;

/// Hardware addresses that servers answer by.
pub type Servers = BTreeSet<Mac>;

/// After what could not be noted: the term is not there yet, or the API server is away.
const AGAIN: Duration = Duration::from_secs(1);

/// What was read of all agents.
#[derive(Debug, Clone)]
pub struct Read {
    /// When it was asked for: what was noted before is in it.
    pub sent: Instant,
    /// All of them, our own included.
    pub servers: Servers,
}

/// The core's ends.
#[derive(Debug)]
pub struct Neighbours {
    /// Our own.
    pub own: watch::Sender<Servers>,
    /// Where to ask for another read; one is under way from the start.
    pub asks: mpsc::Sender<()>,
    /// What was read last; none: nothing yet.
    pub read: watch::Receiver<Option<Read>>,
}

/// The task's ends.
#[derive(Debug)]
pub struct Noting {
    own: watch::Receiver<Servers>,
    asks: mpsc::Receiver<()>,
    read: watch::Sender<Option<Read>>,
}

/// Both.
pub fn neighbours() -> (Neighbours, Noting) {
    let (own, noted) = watch::channel(Servers::new());
    let (asks, asked) = mpsc::channel(1);
    let (reads, read) = watch::channel(None);
    (Neighbours { own, asks, read }, Noting { own: noted, asks: asked, read: reads })
}

/// Notes and reads until told to stop, or the core has ended.
pub async fn note(
    calls: Calls,
    cluster_agent: Arc<str>,
    me: Arc<str>,
    ends: Noting,
    stop: CancellationToken,
) {
    let Noting { own, asks, read } = ends;
    let term = format!("{cluster_agent}-{me}");
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep(&calls, &term, own) => {}
        () = answer(&calls, &cluster_agent, asks, read) => {}
    }
}

/// Keeps what our term says of us as it is.
async fn keep(calls: &Calls, name: &str, mut own: watch::Receiver<Servers>) {
    loop {
        let servers = own.borrow_and_update().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let noted = write(calls, name, &servers).await;
        if let Err(fault) = &noted {
            debug!("{name}: by what we answer is not noted: {fault}");
        }
        tokio::select! {
            changed = own.changed() => if changed.is_err() { return },
            () = sleep(AGAIN), if !matches!(noted, Ok(true)) => {}
        }
    }
}

/// Whether it is noted; it is not where there is no term yet.
async fn write(calls: &Calls, name: &str, servers: &str) -> Result<bool, Fault> {
    let mut verdict = None;
    let Some(mut term) = read::<AgentTerm>(calls, name, &mut verdict).await? else { return Ok(false) };
    if term.annotations().get(SERVERS).map(String::as_str) != Some(servers) {
        term.annotations_mut().insert(SERVERS.to_owned(), servers.to_owned());
        calls.call::<AgentTerm>(replace(name, &term), &mut verdict).await?;
    }
    Ok(true)
}

/// Reads what all have noted, when asked to.
async fn answer(
    calls: &Calls,
    cluster_agent: &str,
    mut asks: mpsc::Receiver<()>,
    read: watch::Sender<Option<Read>>,
) {
    let terms: Api<AgentTerm> = Api::all(calls.client.clone());
    loop {
        let sent = Instant::now();
        match ask(terms.list_metadata(&ListParams::default())).await {
            Ok(all) => {
                let ours =
                    all.items.iter().filter(|term| agent_named(cluster_agent, &term.name_any()).is_some());
                drop(read.send_replace(Some(Read { sent, servers: ours.flat_map(noted).collect() })));
            }
            Err(fault) => debug!("by what other agents answer cannot be read: {fault}"),
        }
        if asks.recv().await.is_none() {
            return;
        }
    }
}

/// What is noted on a term.
fn noted(term: &PartialObjectMeta<AgentTerm>) -> Servers {
    let said = term.annotations().get(SERVERS).map(String::as_str).unwrap_or_default();
    said.split(' ').filter_map(|mac| mac.parse().ok()).collect()
}
