//! Which agent is looked at when: whenever it or a part of it changed, after a failure, and now and then.
//!
//! The watches run in every controller, so that one that begins to lead knows whom to look after; only
//! who leads looks. One agent is looked at at a time: the ports of all follow from those that are taken.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::keep::{Keeper, Looked};
use super::metrics::Metrics;
use super::watch::{Heard, WATCHES, watches};
use crate::conditions::Conditions;
use crate::kube::client::RequestError;
use crate::kube::queue::Queue;

/// Without any change: what watches missed is made good.
const ANYWAY: Duration = Duration::from_mins(5);

/// What keeps a controller from being ready until the objects are known.
const SYNCED: &str = "kubernetes";

/// Looks after all agents.
pub struct Work {
    keeper: Keeper,
    leading: watch::Receiver<bool>,
    metrics: Metrics,
    conditions: Conditions,
    /// All agents there are.
    agents: BTreeSet<String>,
    /// Others, of which something may be left: until a look has found that nothing is.
    left: BTreeSet<String>,
    queue: Queue,
    /// Watches that have not told yet what there is.
    silent: usize,
    /// Whether a watch was broken when it was last heard of.
    broken: bool,
}

type Ended = (String, Result<Looked, RequestError>);

impl Work {
    /// Nothing is known yet.
    pub fn new(
        keeper: Keeper,
        leading: watch::Receiver<bool>,
        metrics: Metrics,
        conditions: Conditions,
    ) -> Self {
        conditions.wait_for(SYNCED, "the objects of the cluster have not been read yet");
        Self {
            keeper,
            leading,
            metrics,
            conditions,
            agents: BTreeSet::new(),
            left: BTreeSet::new(),
            queue: Queue::default(),
            silent: WATCHES,
            broken: false,
        }
    }

    /// Looks after them while we lead, until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut watches = watches(&self.keeper.kubernetes.client, &self.keeper.settings.namespace);
        let mut anyway = interval(ANYWAY);
        anyway.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: JoinSet<Ended> = JoinSet::new();
        loop {
            let leads = *self.leading.borrow();
            let due = self.due();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(heard) = watches.next() => self.hear(heard),
                Some(ended) = looks.join_next() => if let Ok((name, looked)) = ended {
                    self.looked(&name, looked);
                },
                changed = self.leading.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.lead(&mut looks).await;
                }
                _ = anyway.tick() => self.look_at_all(),
                () = sleep_until(due), if leads && looks.is_empty() => {
                    if let Some(name) = self.queue.take(Instant::now()) {
                        let keeper = self.keeper.clone();
                        looks.spawn(async move {
                            let looked = keeper.look(&name).await;
                            (name, looked)
                        });
                    }
                }
            }
        }
        // What is under way may still be done; what is not follows from the objects the next time.
        looks.shutdown().await;
    }

    /// When there is somebody to look at.
    fn due(&self) -> Instant {
        let now = Instant::now();
        if self.queue.has_ready() {
            return now;
        }
        self.queue.next().or_else(|| now.checked_add(ANYWAY)).unwrap_or(now)
    }

    /// We lead, or do no more.
    async fn lead(&mut self, looks: &mut JoinSet<Ended>) {
        let leads = *self.leading.borrow_and_update();
        self.metrics.leads(leads);
        looks.shutdown().await;
        self.queue = Queue::default();
        if leads {
            info!(agents = self.agents.len(), "looking after agents");
            self.look_at_all();
        }
    }

    fn look_at_all(&mut self) {
        for name in self.agents.union(&self.left) {
            self.queue.add(name.clone());
        }
    }

    fn hear(&mut self, heard: Heard) {
        if let Heard::Broken(why) = &heard {
            if !std::mem::replace(&mut self.broken, true) {
                warn!("the API server cannot be watched: {why}");
            }
            return;
        }
        if std::mem::replace(&mut self.broken, false) {
            info!("the API server is watched again");
        }
        match heard {
            Heard::Agent(name) => {
                self.agents.insert(name.clone());
                self.queue.add(name);
            }
            Heard::Gone(name) => {
                self.agents.remove(&name);
                self.left.insert(name.clone());
                self.queue.add(name);
            }
            Heard::Agents(all) => {
                let gone = std::mem::replace(&mut self.agents, all);
                self.left.extend(gone.difference(&self.agents).cloned());
                self.look_at_all();
                self.listed();
            }
            Heard::Part(name) => {
                if !self.agents.contains(&name) {
                    self.left.insert(name.clone());
                }
                self.queue.add(name);
            }
            Heard::Parts => self.listed(),
            Heard::Broken(_) => {}
        }
        self.metrics.agents(self.agents.len());
    }

    /// A watch has told what there is, for the first time or again.
    fn listed(&mut self) {
        self.silent = self.silent.saturating_sub(1);
        if self.silent == 0 {
            self.conditions.met(SYNCED);
        }
    }

    fn looked(&mut self, name: &str, looked: Result<Looked, RequestError>) {
        match &looked {
            Ok(Looked::Done | Looked::Refused) => {
                self.left.remove(name);
                self.queue.done(name);
            }
            Ok(Looked::Failed | Looked::Waiting) => self.queue.failed(name, Instant::now()),
            Err(error) => {
                warn!(agent = name, "{error}");
                self.queue.failed(name, Instant::now());
            }
        }
        self.metrics.looked(looked.ok());
    }
}
