//! The task: what is asked goes to disk and to the API server, what that says to the core.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::{Api, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::calls::{Calls, Fault, Watch};
use super::clock::Compared;
use super::jobs::{Answer, Job, Of, Outcome};
use super::seen::Seen;
use super::spacing::{Key, Spacing};
use super::store::Store;
use super::swap::block_named;
use super::{Ask, Heard, Theirs};
use crate::claims::{AgentId, BlockId, Bounds, Copies, Request};
use crate::conditions::Conditions;
use crate::kube::client::Kubernetes;
use crate::kube::objects::AddressBlock;
use crate::kube::watch::{Change, changes};
use crate::notices::{Notice, Notices, What};

/// Requests of the core under way at one time.
const IN_FLIGHT: usize = 8;

/// After a disk did not take what must be on it.
const DISK_AGAIN: Duration = Duration::from_secs(1);

/// Our clock is compared at least so often while the API server answers; and what was removed and could not be
/// put back is tried again.
const COMPARE: Duration = Duration::from_mins(1);

/// What the disk is called among what can be wrong.
const DISK: &str = "disk";

/// What the task works with.
pub struct Session {
    /// The API server.
    pub kubernetes: Kubernetes,
    /// Who this agent is.
    pub me: AgentId,
    /// What is on disk.
    pub store: Store,
    /// The machine's name, for people.
    pub node: Option<String>,
    /// What is assumed.
    pub bounds: Bounds,
    /// The clock of the claims.
    pub now: Watch,
    /// The queues to the core.
    pub queues: Theirs,
    /// What keeps the agent from being ready.
    pub conditions: Conditions,
    /// What an operator should see.
    pub notices: Notices,
}

/// Asks what the core wants asked, and tells it what is heard, until it is told to stop.
///
/// An API server that is away costs nothing but its answers.
pub async fn run(session: Session, stop: CancellationToken) {
    let Session { kubernetes, me, store, node, bounds, now, queues, conditions, notices } = session;
    let calls = Calls { client: kubernetes.once(), now, bounds };
    let cluster_agent: Arc<str> = kubernetes.agent.as_str().into();
    let mut task = Task {
        jobs: JoinSet::new(),
        job: Job { calls, cluster_agent, me, node: node.map(Into::into) },
        store: Some(store),
        unsaved: None,
        waiting: VecDeque::new(),
        under_way: 0,
        spacing: Spacing::default(),
        seen: Seen::default(),
        clock: Compared::new(conditions, notices.clone()),
        said: BTreeMap::new(),
        notices,
        heard: queues.heard,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = task.keep(&kubernetes, queues.asks) => {}
    }
    // What is under way may still be carried out: nobody knows, and the next process sends it again.
    task.jobs.shutdown().await;
}

struct Task {
    jobs: JoinSet<Outcome>,
    job: Job,
    /// None while the disk is being written.
    store: Option<Store>,
    /// What the disk did not take.
    unsaved: Option<(Ask, Instant)>,
    /// What may be sent. Bounded: one of a kind and of a block.
    waiting: VecDeque<Request>,
    /// How many requests of the core are under way.
    under_way: usize,
    spacing: Spacing,
    seen: Seen,
    clock: Compared,
    /// What is wrong, by the name of what it is wrong with.
    said: BTreeMap<String, String>,
    notices: Notices,
    heard: mpsc::Sender<Heard>,
}

impl Task {
    async fn keep(&mut self, kubernetes: &Kubernetes, mut asks: mpsc::Receiver<Ask>) {
        let mut watch = changes::<AddressBlock>(Api::all(kubernetes.client.clone()));
        let mut compare = Instant::now();
        loop {
            let far = later(COMPARE);
            let next = self.next().unwrap_or(far);
            let again = self.unsaved.as_ref().map_or(far, |(_, at)| *at);
            tokio::select! {
                ask = asks.recv(), if self.unsaved.is_none() => match ask {
                    Some(ask) => self.take(ask).await,
                    // The core has ended.
                    None => return,
                },
                () = sleep_until(again), if self.unsaved.is_some() => {
                    if let Some((ask, _)) = self.unsaved.take() {
                        self.take(ask).await;
                    }
                }
                Some(change) = watch.next() => self.hear(change).await,
                Some(done) = self.jobs.join_next() => match done {
                    Ok(outcome) => {
                        if outcome.verdict.is_some() {
                            compare = later(COMPARE);
                        }
                        self.done(outcome).await;
                    }
                    Err(fault) => error!("a request to the API server: {fault}"),
                },
                () = sleep_until(compare) => {
                    compare = later(COMPARE);
                    self.jobs.spawn(self.job.clone().compare());
                    self.put_back();
                }
                () = sleep_until(next) => {}
            }
            self.work();
        }
    }

    /// What is asked goes out once what must be is on disk.
    async fn take(&mut self, ask: Ask) {
        match self.save(&ask.copies).await {
            Ok(()) => {
                self.clear(DISK);
                self.waiting.extend(ask.requests);
            }
            Err(fault) => {
                self.say(
                    DISK,
                    &format!("cannot keep the claims: {fault}; nothing is published until it can"),
                );
                self.unsaved = Some((ask, later(DISK_AGAIN)));
            }
        }
    }

    async fn save(&mut self, copies: &Copies) -> io::Result<()> {
        let Some(mut store) = self.store.take() else {
            return Err(io::Error::other("writing them has failed in a way that it never should"));
        };
        let copies = copies.clone();
        let saving = spawn_blocking(move || {
            let saved = store.save(&copies);
            (store, saved)
        });
        let (store, saved) = saving.await.map_err(io::Error::other)?;
        self.store = Some(store);
        saved
    }

    /// When there is something to send, and room to.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = self.waiting.iter().map(|request| self.spacing.due(Key::of(request), now)).min();
        due.filter(|_| self.under_way < IN_FLIGHT)
    }

    /// Sends what is due.
    fn work(&mut self) {
        let now = Instant::now();
        let mut rest = VecDeque::new();
        while let Some(request) = self.waiting.pop_front() {
            if self.under_way >= IN_FLIGHT || self.spacing.due(Key::of(&request), now) > now {
                rest.push_back(request);
                continue;
            }
            self.under_way = self.under_way.saturating_add(1);
            let seen = match &request {
                Request::WriteBlock(id, _) => self.seen.object(*id).cloned(),
                _ => None,
            };
            self.jobs.spawn(self.job.clone().carry_out(request, seen));
        }
        self.waiting = rest;
    }

    async fn done(&mut self, Outcome { of, verdict, answer }: Outcome) {
        if let Some(clock) = verdict.and_then(|verdict| self.clock.note(verdict)) {
            // Before the answer: what that allows depends on it.
            self.tell(Heard::Clock(clock)).await;
        }
        match of {
            Of::Clock => {}
            Of::Removed(id) => self.tried_to_put_back(id, answer),
            Of::Asked(key) => {
                self.under_way = self.under_way.saturating_sub(1);
                let heard = self.heard_of(key, answer);
                self.spacing.answered(key, Instant::now(), heard.is_known());
                self.tell(heard).await;
            }
        }
    }

    fn heard_of(&mut self, key: Key, answer: Result<Answer, Fault>) -> Heard {
        let name = self.name(key);
        match answer {
            Ok(answer) => {
                self.clear(&name);
                match answer {
                    Answer::Terms(terms) => return Heard::Terms(Some(terms)),
                    Answer::Term(term) => return Heard::TermWritten(Some(term)),
                    Answer::Block(id, object) => {
                        let block = self.seen.note(id, *object);
                        return Heard::BlockWritten(id, self.readable(&name, block));
                    }
                    Answer::Blocks(objects) => {
                        let mut blocks = Vec::new();
                        for (id, object) in objects {
                            let (name, block) = (object.name_any(), self.seen.note(id, object));
                            if let Err(problem) = &block {
                                self.say(&name, problem);
                            }
                            blocks.push((id, self.seen.block_or_nothing(id)));
                        }
                        return Heard::Blocks(Some(blocks));
                    }
                    Answer::Done => {}
                }
            }
            Err(Fault::Away(why)) => debug!("{name}: {why}"),
            Err(fault) => self.say(&name, &fault.to_string()),
        }
        match key {
            Key::Terms => Heard::Terms(None),
            Key::Blocks => Heard::Blocks(None),
            Key::Term => Heard::TermWritten(None),
            Key::Block(id) => Heard::BlockWritten(id, None),
        }
    }

    async fn hear(&mut self, change: Change<AddressBlock>) {
        match change {
            Change::Is(object) => self.show(object).await,
            Change::All(objects) => {
                self.seen.keep(&objects, &self.job.cluster_agent);
                for object in objects {
                    self.show(object).await;
                }
            }
            Change::Gone(object) => {
                let Some(id) = block_named(&self.job.cluster_agent, &object.name_any()) else { return };
                self.seen.remove(id, object);
                self.put_back();
            }
            Change::Unreadable(name, why) => {
                if block_named(&self.job.cluster_agent, &name).is_some() {
                    self.say(&name, &why);
                }
            }
            Change::Broken(why) => debug!("the watch of blocks: {why}"),
            Change::Begins => {}
        }
    }

    async fn show(&mut self, object: AddressBlock) {
        let name = object.name_any();
        let Some(id) = block_named(&self.job.cluster_agent, &name) else { return };
        let block = self.seen.note(id, object);
        if let Some(block) = self.readable(&name, block) {
            self.tell(Heard::Block(id, block)).await;
        }
    }

    /// Blocks that somebody has removed in spite of their guard are made again as they were.
    fn put_back(&mut self) {
        for (id, object) in self.seen.removed() {
            self.jobs.spawn(self.job.clone().put_back(id, object));
        }
    }

    fn tried_to_put_back(&mut self, id: BlockId, answer: Result<Answer, Fault>) {
        let name = self.job.name(id);
        match answer {
            Ok(Answer::Block(id, object)) => {
                let text =
                    format!("AddressBlock {name} was removed, and agents rely on it: it is there again");
                warn!("{text}");
                self.notices.tell(Notice { what: What::ClaimsFault, text });
                let _is_as_it_was = self.seen.note(id, *object);
            }
            // Another agent was there before.
            Ok(_) | Err(Fault::Refused(409, _)) => self.seen.forget(id),
            Err(Fault::Nonsense(why)) => {
                info!("AddressBlock {name} was removed, and is not made again: {why}");
                self.seen.forget(id);
            }
            Err(fault) => debug!("AddressBlock {name} cannot be made again now: {fault}"),
        }
    }

    /// What an object says, if that can be read; what is wrong with it is said.
    fn readable<T>(&mut self, name: &str, read: Result<T, String>) -> Option<T> {
        match read {
            Ok(block) => {
                self.clear(name);
                Some(block)
            }
            Err(problem) => {
                self.say(name, &problem);
                None
            }
        }
    }

    fn name(&self, key: Key) -> String {
        match key {
            Key::Terms => "all AgentTerms".to_owned(),
            Key::Blocks => "all AddressBlocks".to_owned(),
            Key::Term => format!("{}-{}", self.job.cluster_agent, self.job.me),
            Key::Block(id) => self.job.name(id),
        }
    }

    /// Says what is wrong, once.
    fn say(&mut self, name: &str, why: &str) {
        if self.said.get(name).is_some_and(|said| said == why) {
            return;
        }
        warn!("{name}: {why}");
        self.notices.tell(Notice { what: What::ClaimsFault, text: format!("{name}: {why}") });
        self.said.insert(name.to_owned(), why.to_owned());
    }

    fn clear(&mut self, name: &str) {
        if self.said.remove(name).is_some() {
            info!("{name}: all is well again");
        }
    }

    /// A core that has ended hears nothing.
    async fn tell(&self, heard: Heard) {
        let _has_ended = self.heard.send(heard).await;
    }
}

fn later(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}
