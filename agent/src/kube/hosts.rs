//! Asking hosts how they are: which ones, and with whose credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::board::Place;
use super::secrets::{self, SecretKey};
use crate::endpoint::{self, Credentials, Seen, Target};

/// The endpoints that are asked.
pub struct Hosts {
    client: Client,
    interval: Duration,
    targets: watch::Sender<Arc<BTreeMap<String, Target>>>,
    credentials: BTreeMap<SecretKey, Result<Arc<Credentials>, String>>,
    read: Option<Instant>,
    places: BTreeMap<String, Place>,
}

impl Hosts {
    /// None yet.
    pub fn new(client: Client, interval: Duration) -> Self {
        let (targets, _) = watch::channel(Arc::default());
        Self { client, interval, targets, credentials: BTreeMap::new(), read: None, places: BTreeMap::new() }
    }

    /// Asks those that are chosen, each once an interval, until it is told to stop.
    pub fn ask(
        &self,
        seen: mpsc::Sender<(String, Seen)>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        endpoint::watch(self.targets.subscribe(), self.interval, seen, stop)
    }

    /// These are to be asked. Their Secrets are read when one is new, and again once an interval.
    pub async fn choose(&mut self, places: BTreeMap<String, Place>) {
        let keys: BTreeSet<SecretKey> =
            places.values().filter_map(|place| place.reach.secret.clone()).collect();
        let is_new = keys.iter().any(|key| !self.credentials.contains_key(key));
        let is_old = self.read.is_some_and(|read| read.elapsed() >= self.interval);
        if places == self.places && !is_new && !(is_old && !keys.is_empty()) {
            return;
        }
        if is_new || is_old {
            self.read_secrets(keys).await;
        }
        let targets: BTreeMap<String, Target> =
            places.iter().map(|(name, place)| (name.clone(), self.target(place))).collect();
        self.places = places;
        self.targets.send_if_modified(|before| {
            let is_other = **before != targets;
            if is_other {
                *before = Arc::new(targets);
            }
            is_other
        });
    }

    async fn read_secrets(&mut self, keys: BTreeSet<SecretKey>) {
        let read = secrets::read_all(self.client.clone(), keys).await;
        for (key, fault) in read.iter().filter_map(|(key, read)| Some((key, read.as_ref().err()?))) {
            if self.credentials.get(key).and_then(|before| before.as_ref().err()) != Some(fault) {
                let (namespace, name) = key;
                warn!("Secret {namespace}/{name}: {fault}; its hosts are asked without credentials");
            }
        }
        self.credentials = read;
        self.read = Some(Instant::now());
    }

    fn target(&self, Place { ip, reach }: &Place) -> Target {
        let credentials = reach.secret.as_ref().and_then(|key| self.credentials.get(key));
        Target {
            ip: *ip,
            // The schema lets no other through.
            port: u16::try_from(reach.port).unwrap_or_default(),
            https: reach.https,
            credentials: credentials.and_then(|read| read.as_ref().ok()).cloned(),
        }
    }
}
