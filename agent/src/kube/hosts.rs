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
use super::client::RequestError;
use super::secrets::{self, SecretKey};
use crate::endpoint::{self, Credentials, Seen, Target};

/// The endpoints that are asked.
pub struct Hosts {
    client: Client,
    interval: Duration,
    targets: watch::Sender<Arc<BTreeMap<String, Target>>>,
    /// What was read last, and could be used or not.
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
        let is_due = is_new || is_old && !keys.is_empty();
        if places == self.places && !is_due {
            return;
        }
        if is_due {
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

    /// While the API server is away, what was read before holds.
    async fn read_secrets(&mut self, keys: BTreeSet<SecretKey>) {
        let mut before = std::mem::take(&mut self.credentials);
        for (key, read) in secrets::read_all(self.client.clone(), keys).await {
            let before = before.remove(&key);
            let read = match (read, before) {
                (Err(RequestError::Passing(_)), Some(before @ Ok(_))) => before,
                (Err(fault), before) => Err(tell_fault(&key, &fault.to_string(), before)),
                (Ok(credentials), _) => Ok(credentials),
            };
            self.credentials.insert(key, read);
        }
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

/// Says what is wrong with a Secret, once.
fn tell_fault(
    (namespace, name): &SecretKey,
    fault: &str,
    before: Option<Result<Arc<Credentials>, String>>,
) -> String {
    if before.and_then(Result::err).as_deref() != Some(fault) {
        warn!("Secret {namespace}/{name}: {fault}; its hosts are asked without credentials");
    }
    fault.to_owned()
}
