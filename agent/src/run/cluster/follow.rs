//! Following the object: each change of it, or of the hosts, is served or refused as a whole.
//!
//! What is refused is tried again, for it may be the machine that was at fault; it is told once.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use super::{Begun, SHORT_PATIENCE, check_secret, prepare, settings};
use crate::kube::applied::{self, Applied};
use crate::kube::desired::Settings;
use crate::kube::events::{Reason, about};
use crate::kube::session::Wanted;
use crate::run::reload::Reload;
use crate::sources::cluster_agent;

/// A configuration that was refused is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);

/// Serves what the object says from now on.
pub(super) struct Follower {
    pub(super) begun: Begun,
    /// Where what is served is kept.
    pub(super) path: PathBuf,
    /// Where those who show leases learn of it.
    pub(super) settings: watch::Sender<Settings>,
    /// Where the core learns of it.
    pub(super) configs: mpsc::Sender<Reload>,
    /// Why what is wanted now is not served.
    pub(super) refused: Option<String>,
}

impl Follower {
    /// Follows what is wanted, until nobody wants anything.
    pub(super) async fn follow(mut self, mut wanted: watch::Receiver<Option<Wanted>>) {
        if let Some(read_from) = self.begun.read_from.clone() {
            self.keep();
            self.tell(&read_from, Reason::ConfigApplied, "the configuration is served").await;
        }
        loop {
            let changed = timeout(AGAIN, wanted.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return;
            }
            if changed.is_err() && self.refused.is_none() {
                continue;
            }
            let latest = wanted.borrow_and_update().clone();
            if let Some(wanted) = latest {
                self.serve(wanted).await;
            }
        }
    }

    async fn serve(&mut self, wanted: Wanted) {
        let next = Applied { spec: wanted.agent.spec.clone(), endpoints: wanted.endpoints };
        if next == self.begun.applied {
            self.refused = None;
            return;
        }
        let reference = about(&wanted.agent);
        let why = match self.try_to_serve(&next).await {
            Ok(()) => return self.is_served(next, &reference).await,
            Err(why) => why,
        };
        self.heed_hosts(next.endpoints).await;
        if self.refused.as_ref() == Some(&why) {
            debug!("ClusterAgent {}: still refused: {why}", self.begun.cluster.agent);
        } else {
            error!("ClusterAgent {}: {why}; the configuration stays as it was", self.begun.cluster.agent);
            self.tell(&reference, Reason::ConfigRefused, &why).await;
            self.refused = Some(why);
        }
    }

    async fn is_served(&mut self, served: Applied, reference: &ObjectReference) {
        let is_the_objects = served.spec != self.begun.applied.spec;
        self.refused = None;
        self.begun.applied = served;
        self.keep();
        self.settings.send_replace(settings(&self.begun.cluster.agent, &self.begun.applied.spec));
        if is_the_objects {
            self.tell(reference, Reason::ConfigApplied, "the configuration is served").await;
        }
    }

    /// Hosts come and go whether or not the object can be served: their addresses are kept from clients
    /// by the configuration that stays.
    async fn heed_hosts(&mut self, endpoints: BTreeSet<Ipv4Addr>) {
        let next = Applied { spec: self.begun.applied.spec.clone(), endpoints };
        // Why it does not work is why the object is refused, or in the core's log.
        if next != self.begun.applied && self.hand_over(&next).await.is_ok() {
            self.begun.applied = next;
            self.keep();
        }
    }

    async fn try_to_serve(&self, next: &Applied) -> Result<(), String> {
        // A Secret is looked at with the object that names it; what becomes of it later is a matter
        // between it and the hosts.
        if next.spec != self.begun.applied.spec {
            let problem = check_secret(&self.begun.kubernetes, &next.spec, SHORT_PATIENCE).await;
            if let Some(problem) = problem.map_err(|error| error.to_string())? {
                return Err(problem.to_string());
            }
        }
        self.hand_over(next).await
    }

    async fn hand_over(&self, next: &Applied) -> Result<(), String> {
        let Begun { options, cluster, applied, .. } = &self.begun;
        let config = |of: &Applied| cluster_agent::config(&cluster.agent, &of.spec, &of.endpoints);
        // Most hosts are in no subnet of ours; and what changes nothing costs the kernel nothing.
        if config(next).is_ok_and(|next| config(applied).is_ok_and(|served| next == served)) {
            return Ok(());
        }
        let prepared = prepare(options, cluster, &next.spec, &next.endpoints);
        let prepared = prepared.map_err(|problems| problems.to_string())?;
        let (answer, answered) = oneshot::channel();
        let gone = || "the agent is stopping".to_owned();
        self.configs.send(Reload { prepared, answer: Some(answer) }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Keeps what is served for a start without the API server.
    fn keep(&self) {
        if let Err(error) = applied::write(&self.path, &self.begun.applied) {
            warn!(
                "{}: cannot be written: {error}; a start without the API server would serve an older \
                 configuration",
                self.path.display()
            );
        }
    }

    async fn tell(&self, about: &ObjectReference, reason: Reason, note: &str) {
        info!("ClusterAgent {}: {note}", self.begun.cluster.agent);
        self.begun.kubernetes.events.send(about, reason, note).await;
    }
}
