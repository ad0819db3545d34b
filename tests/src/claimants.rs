//! Agents that are nothing but their claims: the protocol as it is, with its task and a real API server, and in the
//! place of the core a few lines that a test steps by hand.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xdhcpd::claims::{
    AgentId, At, Block, BlockId, Bounds, Claims, Clock, Held, Pool, Request, Slot, Span, Wants,
};
use xdhcpd::conditions::Conditions;
use xdhcpd::kube::claims::{Ask, Heard, Ours, Saved, Session, Store, Watch, queues, run};
use xdhcpd::kube::client::Kubernetes;
use xdhcpd::lease::ClientKey;
use xdhcpd::notices::{Notice, Notices, WAITING};

use crate::netns;
use crate::wait;

/// Longest wait for agents to agree: a second or two on an idle machine.
pub const AGREED: Duration = Duration::from_secs(90);

/// What is assumed here: as little as a date to the second and a busy machine allow.
pub const BOUNDS: Bounds = Bounds { clocks: 20_000, travel: 100, patience: 500 };

/// How many free addresses each agent keeps.
pub const AHEAD: usize = 3;

/// The block that all is about.
pub fn block_id() -> BlockId {
    BlockId::of(Ipv4Addr::new(10, 9, 0, 0))
}

/// A client.
pub fn client(number: u8) -> ClientKey {
    ClientKey::Mac([2, 0, 0, 0, 0, number])
}

/// One agent, and what was seen of it.
pub struct Claimant {
    /// Its claims.
    pub claims: Claims,
    /// Its name.
    pub me: AgentId,
    /// What keeps it from being ready.
    pub conditions: Conditions,
    /// Writes of the block that took effect.
    pub won: usize,
    /// Writes of the block that somebody else was before.
    pub lost: usize,
    /// Writes of the block that nobody knows the end of, or that were not made.
    pub unknown: usize,
    /// The block, as its watch has shown it.
    pub history: Vec<Arc<Block>>,
    /// What was found out about its clock.
    pub clock: Clock,
    /// What an operator was told.
    pub told: Vec<String>,
    notices: mpsc::Receiver<Notice>,
    ahead: Duration,
    asked: BTreeMap<BlockId, Arc<Block>>,
    ours: Ours,
    stop: CancellationToken,
    thread: Option<JoinHandle<Result<()>>>,
}

/// What an agent works with.
#[derive(Clone)]
pub struct Place {
    /// The network namespace from where it asks.
    pub namespace: String,
    /// Its rights.
    pub kubeconfig: PathBuf,
    /// Its ClusterAgent.
    pub cluster_agent: String,
}

impl Claimant {
    /// Starts one with what is in a folder.
    pub fn start(place: &Place, folder: &Path) -> Result<Self> {
        Self::start_with(place, folder, BTreeMap::new(), Duration::ZERO)
    }

    /// The same with what it has promised, and a clock that is ahead of everybody else's.
    pub fn start_with(
        place: &Place,
        folder: &Path,
        held: BTreeMap<Ipv4Addr, Held>,
        ahead: Duration,
    ) -> Result<Self> {
        let (store, saved) = Store::open(folder, &place.cluster_agent, true, None)?;
        let Saved { me, copies } = saved;
        let now: Watch = Arc::new(move || read_clock(ahead));
        let claims = Claims::new(Arc::clone(&me), BOUNDS, wants(), copies, held, now());
        let (ours, theirs) = queues();
        let (sender, notices) = mpsc::channel(WAITING);
        let (stop, conditions) = (CancellationToken::new(), Conditions::default());
        let task = {
            let (place, stop, conditions) = (place.clone(), stop.clone(), conditions.clone());
            let me = Arc::clone(&me);
            move || -> Result<()> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let kubernetes = Kubernetes::connect_by(&place.cluster_agent, &place.kubeconfig).await?;
                    let node = Some("a-node".to_owned());
                    let (queues, notices) = (theirs, Notices::to(sender));
                    let bounds = BOUNDS;
                    let session =
                        Session { kubernetes, me, store, node, bounds, now, queues, conditions, notices };
                    run(session, stop).await;
                    Ok(())
                })
            }
        };
        let namespace = place.namespace.clone();
        let thread = std::thread::spawn(move || netns::inside(&namespace, task)?);
        Ok(Self {
            claims,
            me,
            conditions,
            won: 0,
            lost: 0,
            unknown: 0,
            history: Vec::new(),
            clock: Clock::Unknown,
            told: Vec::new(),
            notices,
            ahead,
            asked: BTreeMap::new(),
            ours,
            stop,
            thread: Some(thread),
        })
    }

    /// What its clock shows.
    pub fn now(&self) -> At {
        read_clock(self.ahead)
    }

    /// What a core does from time to time.
    pub fn step(&mut self) {
        while let Ok(heard) = self.ours.heard.try_recv() {
            self.note(&heard);
            let now = self.now();
            heard.tell(&mut self.claims, now);
        }
        while let Ok(notice) = self.notices.try_recv() {
            self.told.push(notice.text);
        }
        let now = self.now();
        // There is no kernel that would answer.
        for ip in self.claims.to_silence(now) {
            self.claims.silenced(ip);
        }
        if let Ok(place) = self.ours.asks.try_reserve()
            && let Some(ask) = Ask::of(&mut self.claims, now)
        {
            for request in &ask.requests {
                if let Request::WriteBlock(id, block) = request {
                    self.asked.insert(*id, Arc::clone(block));
                }
            }
            place.send(ask);
        }
    }

    fn note(&mut self, heard: &Heard) {
        match heard {
            Heard::Block(id, block) if *id == block_id() => self.history.push(Arc::clone(block)),
            Heard::BlockWritten(id, Some(block)) => {
                if self.asked.remove(id).as_ref() == Some(block) {
                    self.won += 1;
                } else {
                    self.lost += 1;
                }
            }
            Heard::BlockWritten(_, None) => self.unknown += 1,
            Heard::Clock(clock) => self.clock = *clock,
            _ => {}
        }
    }

    /// The addresses that it may give to anybody.
    pub fn free(&self) -> Vec<Ipv4Addr> {
        self.claims.free(self.now()).collect()
    }

    /// Gives a client the first of them.
    pub fn give(&mut self, client: &ClientKey, lease: Duration) -> Result<Ipv4Addr> {
        let ip = *self.free().first().context("a free address")?;
        self.answer(ip, client, lease)?;
        Ok(ip)
    }

    /// Answers a client, if it may.
    pub fn answer(&mut self, ip: Ipv4Addr, client: &ClientKey, lease: Duration) -> Result<()> {
        let now = self.now();
        self.claims.allowance(now, ip, client).context("it may not")?;
        self.claims.decided(now, ip, client);
        self.claims.sent(self.now(), ip, client, lease.as_millis().try_into()?);
        Ok(())
    }

    /// What it has read of an address.
    pub fn slot(&self, ip: Ipv4Addr) -> Option<Slot> {
        self.claims.copies().blocks.get(&BlockId::of(ip))?.copy.slots.get(&ip).cloned()
    }

    /// Ends its process on the spot: what is under way is under way. What it has promised is on its disk.
    pub fn kill(mut self) -> Result<BTreeMap<Ipv4Addr, Held>> {
        self.stop.cancel();
        let thread = self.thread.take().context("its thread")?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(self.claims.held().clone())
    }
}

impl Drop for Claimant {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_clock(ahead: Duration) -> At {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(ahead);
    At(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Leases of the one network are that long.
pub fn network(longest: Span) -> BTreeMap<Ipv4Addr, (Ipv4Addr, Span)> {
    BTreeMap::from([(Ipv4Addr::new(10, 9, 0, 0), (Ipv4Addr::new(10, 9, 0, 255), longest))])
}

/// What all of them want.
pub fn wants() -> Wants {
    let ranges = vec![Ipv4Addr::new(10, 9, 0, 100)..=Ipv4Addr::new(10, 9, 0, 199)];
    Wants {
        pools: vec![Pool { ranges, ahead: AHEAD }],
        reserved: BTreeMap::new(),
        longest: network(600_000),
        unpublished: Wants::UNPUBLISHED,
        read_again: 100,
        term: 600_000,
        ..Wants::default()
    }
}

/// Steps all of them until a condition holds.
pub fn until(
    what: &str,
    all: &mut [Claimant],
    mut holds: impl FnMut(&[Claimant]) -> Result<bool>,
) -> Result<()> {
    let reached = wait::until_true(what, AGREED, || {
        all.iter_mut().for_each(Claimant::step);
        holds(all)
    });
    reached.with_context(|| {
        let told = all.iter().map(|one| {
            let copy = one.claims.copies().blocks.get(&block_id()).map(|known| &known.copy);
            format!(
                "{}: {} unknown, clock {:?}, told {:?}, {copy:?}\n",
                one.me, one.unknown, one.clock, one.told
            )
        });
        told.collect::<String>()
    })
}
