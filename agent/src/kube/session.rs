//! The one task that keeps HostStatus objects as the lease table and the HostEndpoints want them.
//!
//! It owns the [`Board`] and everything that happens to it: what the API server tells, which leases
//! changed, what endpoints say. It writes at a bounded pace, and never in the way of a packet: the
//! core is asked, and does not wait. A server that is away costs nothing but time: watches and writes
//! are tried again, and what is to be written follows from the facts when it is back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::board::Board;
use super::client::Kubernetes;
use super::desired::{Action, Look, Settings};
use super::events::{Reason, about};
use super::going::Going;
use super::hosts::Hosts;
use super::leases;
use super::objects::{ClusterAgent, HostEndpoint, HostStatus};
use super::watch::{Change, Heard, watches};
use super::writes::{IN_FLIGHT, Pace, Written, write};
use crate::clock::Now;
use crate::conditions::Conditions;
use crate::control::{self, Probe, Target};
use crate::endpoint::Seen;
use crate::http::AgentMetrics;
use crate::lease::Changes;
use crate::lease_feed::LeaseFeed;
use crate::notices::{Notice, WAITING};
use crate::report::Timestamp;

/// Everything is looked at again so often, whatever happened or did not.
const REPAIR: Duration = Duration::from_mins(10);

/// Objects come and go in swarms: the hosts that are asked are chosen anew at most so often.
const CHOOSE: Duration = Duration::from_secs(1);

/// Changes that are taken in at one time, where so many are there: what follows from HostEndpoints is looked
/// for among all of them.
const HEARD: usize = 1024;

/// Clients whose object was removed that are asked at one time.
const ASKED: usize = 16;

/// After the core gave no answer.
const CORE_AGAIN: Duration = Duration::from_secs(1);

/// What keeps the agent from being ready until the objects are known.
pub const SYNCED: &str = "kubernetes";

/// The agent's object, and what else its configuration follows from.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The object.
    pub agent: ClusterAgent,
    /// The addresses of all HostEndpoints.
    pub endpoints: BTreeSet<Ipv4Addr>,
}

/// What a session works with.
pub struct Session {
    /// The API server.
    pub kubernetes: Kubernetes,
    /// What the objects depend on, as it is served; another when another configuration is.
    pub settings: watch::Receiver<Settings>,
    /// Where to say what the API server wants served.
    pub wanted: watch::Sender<Option<Wanted>>,
    /// The core.
    pub core: control::Handle,
    /// Which leases changed.
    pub feed: Arc<LeaseFeed>,
    /// What an operator should see.
    pub notices: mpsc::Receiver<Notice>,
    /// Where to say when the objects are known.
    pub conditions: Conditions,
    /// Where to note that the agent's object goes.
    pub going: Going,
    /// Where writes are counted.
    pub metrics: Arc<AgentMetrics>,
    /// How often endpoints are asked how they are.
    pub interval: Duration,
    /// Whether this agent is the one that shows what there is.
    pub shows: watch::Receiver<bool>,
}

/// Keeps the objects as they should be until it is told to stop.
pub async fn run(session: Session, stop: CancellationToken) {
    session.metrics.writes.expect(&Action::VERBS);
    let (looks, seen) = mpsc::channel(WAITING);
    let hosts = Hosts::new(session.kubernetes.client.clone(), session.interval);
    let asking = hosts.ask(looks, stop.clone());
    let board = Board::new(session.settings.borrow().clone());
    let mut keeper = Keeper {
        board,
        hosts,
        writes: JoinSet::new(),
        pace: Pace::new(Instant::now()),
        answers: JoinSet::new(),
        asked: BTreeSet::new(),
        agents: BTreeMap::new(),
        reported: BTreeSet::new(),
        known: Known::default(),
        missed: false,
        session,
    };
    tokio::join!(asking, keeper.keep(seen, stop));
}

/// What has been read once.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each kind of fact is known or not, free of the others")]
struct Known {
    agents: bool,
    endpoints: bool,
    objects: bool,
    leases: bool,
}

impl Known {
    fn all(&self) -> bool {
        self.agents && self.endpoints && self.objects && self.leases
    }
}

struct Keeper {
    session: Session,
    board: Board,
    hosts: Hosts,
    writes: JoinSet<(String, Written)>,
    pace: Pace,
    /// Clients that are asked whether they are alive, by the core.
    answers: JoinSet<(Ipv4Addr, bool)>,
    asked: BTreeSet<Ipv4Addr>,
    agents: BTreeMap<String, ClusterAgent>,
    /// HostEndpoints without an agent that an event told of.
    reported: BTreeSet<String>,
    known: Known,
    /// Whether the API server was missed when it was last heard of.
    missed: bool,
}

impl Keeper {
    async fn keep(&mut self, mut seen: mpsc::Receiver<(String, Seen)>, stop: CancellationToken) {
        let mut watches = watches(&self.session.kubernetes).ready_chunks(HEARD);
        let mut repair = interval(REPAIR);
        repair.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut choose = interval(CHOOSE);
        choose.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let feed = Arc::clone(&self.session.feed);
        loop {
            let due = self.next_write();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(heard) = watches.next() => self.hear(heard).await,
                () = feed.changed() => self.read_leases(feed.take()).await,
                Some((name, seen)) = seen.recv() => {
                    let whole = seen.fault.is_none();
                    self.board.set_look(name, Look { ready: seen.ready, info: seen.info, whole });
                }
                Some(Ok((name, written))) = self.writes.join_next() => self.written(&name, written),
                Some(Ok((ip, given_back))) = self.answers.join_next() => {
                    self.asked.remove(&ip);
                    if given_back {
                        // Not to be shown once more before that is heard.
                        self.read_leases(Changes::Of([ip].into())).await;
                    }
                    self.board.answered(ip);
                }
                Some(notice) = self.session.notices.recv() => self.show(&notice).await,
                Ok(()) = self.session.settings.changed() => {
                    let settings = self.session.settings.borrow_and_update().clone();
                    self.board.set_settings(settings);
                }
                _ = choose.tick() => self.hosts.choose(self.board.places()).await,
                // The first comes at once: the leases are read then.
                _ = repair.tick() => {
                    feed.tell(Changes::All);
                    self.board.look_at_all();
                }
                Ok(()) = self.session.shows.changed() => {
                    // What is due by now was another's to write.
                    self.session.shows.borrow_and_update();
                    self.board.look_at_all();
                }
                () = sleep_until(due), if self.known.all() && *self.session.shows.borrow() => {}
            }
            self.work();
        }
        // What is under way may still be done; what is not follows from the facts at the next start.
        self.writes.shutdown().await;
    }

    /// When there is something to write, and room to.
    fn next_write(&self) -> Instant {
        let now = Instant::now();
        let far = now.checked_add(REPAIR).unwrap_or(now);
        if self.writes.len() >= IN_FLIGHT {
            return far;
        }
        if self.board.queue.has_ready() {
            return now.checked_add(self.pace.wait(now)).unwrap_or(now);
        }
        self.board.queue.next().unwrap_or(far)
    }

    /// Begins what is due.
    fn work(&mut self) {
        if !self.known.all() || !*self.session.shows.borrow() {
            return;
        }
        self.ask_clients();
        let now = Timestamp::now(Now::read()).to_string();
        while self.writes.len() < IN_FLIGHT && self.pace.wait(Instant::now()).is_zero() {
            let Some(name) = self.board.queue.take(Instant::now()) else { break };
            let Some(action) = self.board.action(&name, &now) else {
                self.board.queue.done(&name);
                continue;
            };
            debug!("{} {name}", action.verb());
            self.pace.spend(Instant::now());
            let (api, metrics) = (self.session.kubernetes.statuses(), Arc::clone(&self.session.metrics));
            self.writes.spawn(async move { (name, write(api, action, &metrics.writes).await) });
        }
    }

    fn written(&mut self, name: &str, written: Written) {
        match written {
            Written::Done(object) => {
                self.pace.taken();
                self.board.queue.done(name);
                if let Some(object) = object {
                    self.board.wrote(*object);
                }
            }
            Written::Failed(why) => {
                debug!("{name}: {why}");
                self.pace.taken();
                self.board.queue.failed(name, Instant::now());
            }
            Written::Away(why) => {
                debug!("{name}: {why}");
                self.pace.refused(Instant::now());
                self.board.queue.put_back(name);
            }
        }
    }

    /// An object that somebody removed is a wish: the client is asked whether it is alive, and its
    /// address given back if it is not.
    fn ask_clients(&mut self) {
        for ip in self.board.unseen() {
            if self.answers.len() >= ASKED || !self.asked.insert(ip) {
                continue;
            }
            let core = self.session.core.clone();
            self.answers.spawn(async move {
                match core.release(Target::Ip(ip), Probe::First).await {
                    Ok(Ok(_)) => {
                        info!("{ip}: its HostStatus was removed and its client is silent: given back");
                        (ip, true)
                    }
                    Ok(Err(refused)) => {
                        info!("its HostStatus was removed, but {refused}");
                        (ip, false)
                    }
                    Err(fault) => {
                        warn!("{ip}: its HostStatus was removed: {fault}");
                        (ip, false)
                    }
                }
            });
        }
    }

    async fn read_leases(&mut self, changes: Changes) {
        let read = match &changes {
            Changes::All => leases::all(&self.session.core).await.map(|all| self.board.set_holdings(&all)),
            Changes::Of(ips) => leases::of(&self.session.core, ips).await.map(|some| {
                for (ip, holding) in some {
                    self.board.set_holding(ip, holding);
                }
            }),
        };
        match read {
            Ok(()) => {
                self.known.leases |= changes == Changes::All;
                self.note_known();
            }
            Err(fault) => {
                debug!("{fault}");
                self.session.feed.tell(changes);
                sleep(CORE_AGAIN).await;
            }
        }
    }

    /// Takes in what was heard, and looks at what follows from it once.
    async fn hear(&mut self, all: Vec<Heard>) {
        let mut is_of_statuses_alone = true;
        for heard in all {
            if let Some(word) = heard.word() {
                self.note_word(word);
            }
            is_of_statuses_alone &= matches!(heard, Heard::Status(_));
            match heard {
                Heard::Status(change) => self.hear_status(change),
                Heard::Agent(change) => self.hear_agent(change),
                Heard::Endpoint(change) => self.hear_endpoint(change),
            }
        }
        if is_of_statuses_alone {
            return;
        }
        self.board.show_endpoints();
        self.note_known();
        self.tell_wanted();
        self.report_ownerless().await;
    }

    fn hear_status(&mut self, change: Change<HostStatus>) {
        match change {
            Change::Is(object) => self.board.set_object(object),
            Change::Gone(object) => self.board.remove_object(&object),
            Change::Begins => self.board.begin_list(),
            Change::All(all) => {
                self.known.objects = true;
                self.board.set_objects(all);
                self.note_known();
            }
            Change::Unreadable(name, why) => {
                warn!("HostStatus {name}: {why}");
                self.board.set_unreadable(&name);
            }
            Change::Broken(_) => {}
        }
    }

    fn hear_endpoint(&mut self, change: Change<HostEndpoint>) {
        match change {
            Change::Is(object) => self.board.set_endpoint(object),
            Change::Gone(object) => self.board.remove_endpoint(&object.name_any()),
            Change::All(all) => {
                self.known.endpoints = true;
                self.board.set_endpoints(all);
            }
            Change::Unreadable(name, why) => warn!("HostEndpoint {name} is not shown: {why}"),
            Change::Begins | Change::Broken(_) => {}
        }
    }

    fn hear_agent(&mut self, change: Change<ClusterAgent>) {
        let (own, going) = (self.session.kubernetes.agent.as_str(), &self.session.going);
        match change {
            Change::Is(object) => {
                if object.name_any() == own {
                    going.is(&object);
                }
                self.agents.insert(object.name_any(), object);
            }
            Change::Gone(object) => {
                let name = object.name_any();
                self.agents.remove(&name);
                if name == own {
                    going.is_gone();
                    warn!("ClusterAgent {name} was removed: its configuration is served on");
                }
            }
            Change::All(all) => {
                self.known.agents = true;
                self.agents = all.into_iter().map(|object| (object.name_any(), object)).collect();
                going.listed(self.agents.get(own));
            }
            Change::Unreadable(name, why) => {
                if name == own {
                    going.is_unreadable();
                }
                warn!("ClusterAgent {name}: {why}");
            }
            Change::Begins | Change::Broken(_) => {}
        }
        self.board.set_agents(&self.agents);
    }

    /// Says once that the API server is missed, and once that it is back.
    fn note_word(&mut self, word: Result<(), &str>) {
        match word {
            Err(why) if !self.missed => {
                warn!(
                    "the API server is missed: {why}; leases are served, and objects follow when it is back"
                );
            }
            Ok(()) if self.missed => info!("the API server answers again"),
            _ => {}
        }
        self.missed = word.is_err();
    }

    fn note_known(&mut self) {
        if self.known.all() {
            self.session.conditions.met(SYNCED);
        }
    }

    /// Says what shall be served, once all that it follows from is known.
    fn tell_wanted(&mut self) {
        let Some(agent) = self.agents.get(&self.session.kubernetes.agent) else { return };
        if !self.known.endpoints {
            return;
        }
        let wanted = Some(Wanted { agent: agent.clone(), endpoints: self.board.endpoint_addresses() });
        self.session.wanted.send_if_modified(|before| {
            let is_other = match (&*before, &wanted) {
                (Some(before), Some(wanted)) => {
                    before.agent.spec != wanted.agent.spec
                        || before.agent.metadata.uid != wanted.agent.metadata.uid
                        || before.endpoints != wanted.endpoints
                }
                _ => true,
            };
            if is_other {
                before.clone_from(&wanted);
            }
            is_other
        });
    }

    /// Of several agents, the first by name says that an endpoint belongs to none.
    async fn report_ownerless(&mut self) {
        if self.agents.keys().next() != Some(&self.session.kubernetes.agent) || !self.known.endpoints {
            return;
        }
        let ownerless: Vec<ObjectReference> = self.board.ownerless().map(about).collect();
        let names = |reference: &ObjectReference| reference.name.clone().unwrap_or_default();
        let new: Vec<&ObjectReference> =
            ownerless.iter().filter(|reference| !self.reported.contains(&names(reference))).collect();
        for reference in new {
            let note =
                "spec.clusterAgent: is missing; there are several agents, so that none shows this host";
            warn!("HostEndpoint {}: {note}", names(reference));
            self.session.kubernetes.events.send(reference, Reason::NoAgentNamed, note).await;
        }
        self.reported = ownerless.iter().map(names).collect();
    }

    async fn show(&mut self, notice: &Notice) {
        let Some(agent) = self.agents.get(&self.session.kubernetes.agent) else { return };
        self.session.kubernetes.events.send(&about(agent), Reason::Noticed(notice.what), &notice.text).await;
    }
}
