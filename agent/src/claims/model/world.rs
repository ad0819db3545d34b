//! The world: what happens, at random, and the one who watches that no address is given twice.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use super::super::rules::Rule;
use super::super::{Bounds, FOREVER, Pool, Span, Wants};
use super::agent::{Agent, Disk, Reply, key};
use super::calls::Call;
use super::client::{Asks, Client};
use super::random::Random;
use super::server::Server;

pub const BOUNDS: Bounds = Bounds { clocks: 24, travel: 3, patience: 25 };
pub(super) const TERM: u64 = 150;
const CLIENTS: usize = 6;
const ATOMS: usize = 30;
pub(super) const SOCKET: usize = 8;
pub(super) const START: u64 = 100_000;
/// Two blocks, and so few addresses that they are always wanted.
pub(super) const ADDRESSES: [Ipv4Addr; 5] = [
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(10, 0, 0, 2),
    Ipv4Addr::new(10, 0, 0, 3),
    Ipv4Addr::new(10, 0, 1, 1),
    Ipv4Addr::new(10, 0, 1, 2),
];

/// What is taken out of an agent, or of the world around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    Rule(Rule),
    /// Requests are sent before what they follow from is on disk.
    SavedCopies,
    /// Answers are sent before what they promise is on disk.
    SavedPromises,
    /// The server lets every write through.
    CompareAndSwap,
    /// A RELEASE counts from when it is read.
    ArrivalTimes,
    /// An agent that has lost its disk goes on under its name.
    NewNames,
}

/// How much of everything there was, lest the world be a quiet one.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub answers: u64,
    pub kernel: u64,
    pub late: u64,
    pub moved: u64,
    pub given_up: u64,
    pub marks: u64,
    pub cleared: u64,
    pub freed: u64,
    pub waited: u64,
    pub taken_over: u64,
    pub incarnations: u64,
    pub crashes: u64,
    pub off: u64,
}

impl Counts {
    fn each(&mut self) -> [&mut u64; 13] {
        let Self { answers, kernel, late, moved, given_up, marks, cleared, freed, waited, .. } = self;
        let Self { taken_over, incarnations, crashes, off, .. } = self;
        [
            answers,
            kernel,
            late,
            moved,
            given_up,
            marks,
            cleared,
            freed,
            waited,
            taken_over,
            incarnations,
            crashes,
            off,
        ]
    }

    pub fn add(&mut self, mut more: Self) {
        for (count, more) in self.each().into_iter().zip(more.each()) {
            *count += *more;
        }
    }

    /// Whether there was as much of everything, in so many steps of as many.
    pub fn reach(mut self, mut least: Self, steps: u64, of: u64) -> bool {
        self.each().into_iter().zip(least.each()).all(|(count, least)| *count * of >= *least * steps)
    }
}

/// An address that two clients have.
#[derive(Debug)]
#[expect(dead_code, reason = "shown where a test fails")]
pub struct Twice {
    pub ip: Ipv4Addr,
    pub clients: [usize; 2],
    pub now: u64,
}

#[derive(Clone, Copy)]
pub enum Frame {
    Ask { agent: usize, client: usize, asks: Asks },
    GiveUp { agent: usize, client: usize, ip: Ipv4Addr, rests: bool },
    Reply(Reply),
}

impl Frame {
    /// From which client to which agent.
    pub(super) fn way(&self) -> Option<(usize, usize)> {
        match self {
            Self::Ask { agent, client, .. } | Self::GiveUp { agent, client, .. } => Some((*client, *agent)),
            Self::Reply(_) => None,
        }
    }
}

pub struct World {
    pub random: Random,
    pub now: u64,
    pub counts: Counts,
    pub(super) without: Option<Without>,
    pub(super) agents: Vec<Agent>,
    pub(super) clients: Vec<Client>,
    pub(super) server: Server,
    pub(super) away: bool,
    pub(super) frames: Vec<(u64, Frame)>,
    pub(super) calls: Vec<Call>,
    pub(super) configs: Vec<Wants>,
    pub(super) last: BTreeMap<Ipv4Addr, usize>,
    pub(super) transactions: u64,
    /// How seldom things break, and heal.
    pub(super) calm: usize,
    pub(super) haste: usize,
    pub(super) mends: usize,
    /// Before the end of its term by so much, an agent is likely to be stopped with an answer.
    pub(super) lateness: u64,
    /// The first agent has the slowest clock, and loses the API server again and again.
    pub(super) doomed: bool,
    pub(super) trace: bool,
}

impl World {
    pub fn new(seed: u64, without: Option<Without>, trace: bool) -> Self {
        let mut random = Random(seed);
        let count = 2 + random.below(3);
        let calm = random.one_of(&[3, 10, 30]);
        let haste = random.one_of(&[1, 2, 6]);
        let count_of_addresses = 1 + random.below(ADDRESSES.len());
        let mends = random.one_of(&[4, 60]);
        let doomed = random.chance(2);
        let lateness = random.one_of(&[3, 15]);
        let term = random.one_of(&[80, TERM]);
        let longest: &[u64] = random.one_of(&[&[5][..], &[20], &[80], &[5, 20, 80]]);
        let configs = (0..3).map(|_| config(&mut random, count_of_addresses, term, longest)).collect();
        let clients = 2 + random.below(CLIENTS - 1);
        let mut world = Self {
            random,
            now: START,
            counts: Counts::default(),
            without,
            agents: Vec::new(),
            clients: (0..clients).map(|_| Client::default()).collect(),
            server: Server { swaps_blindly: without == Some(Without::CompareAndSwap), ..Server::default() },
            away: false,
            frames: Vec::new(),
            calls: Vec::new(),
            configs,
            last: BTreeMap::new(),
            transactions: 0,
            calm,
            haste,
            mends,
            lateness,
            doomed,
            trace,
        };
        for number in 0..count {
            let most = (BOUNDS.clocks / 2) as i64 - 2;
            let offset = match number {
                0 if doomed => -most,
                _ if doomed => most,
                _ => world.offset(),
            };
            world.agents.push(Agent {
                id: format!("agent-{number}").into(),
                offset,
                claims: None,
                paused: false,
                wakes: 0,
                stuck: None,
                gone: false,
                cut: false,
                disk: Disk::default(),
                kernel: BTreeMap::new(),
                ring: Vec::new(),
                kernel_lives: false,
                inbox: VecDeque::new(),
                process: 0,
                config: 0,
            });
            world.start(number, false);
        }
        world
    }

    /// Within the bound, and mostly at its ends.
    pub(super) fn offset(&mut self) -> i64 {
        let half = (BOUNDS.clocks / 2) as i64;
        let most = half - 2;
        match self.random.below(3) {
            0 => most,
            1 => -most,
            _ => self.random.below(2 * BOUNDS.clocks as usize) as i64 % most,
        }
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>6} {}", self.now - START, what());
        }
    }

    /// A little of everything happens, in any order.
    pub fn step(&mut self) -> Result<(), Twice> {
        for _ in 0..ATOMS {
            match self.random.below(32) {
                0..3 => self.tick_of_the_clock()?,
                3 if self.random.chance(25) => self.pass_time(),
                3..11 => self.client_acts(),
                11..18 => self.deliver_frame()?,
                18..25 => self.call_goes_on(),
                25..27 => self.watch(),
                27..31 => {
                    let agent = self.random.below(self.agents.len());
                    self.tick(agent);
                }
                _ => self.something_breaks_or_heals(),
            }
        }
        Ok(())
    }

    /// A second passes. What a stopped agent had decided likes to go out at the last moment.
    pub(super) fn tick_of_the_clock(&mut self) -> Result<(), Twice> {
        self.now += 1;
        for number in 0..self.agents.len() {
            let Some(reply) = self.agents[number].stuck else { continue };
            if self.last_chance(&reply) == Some(self.now + 1) && self.random.chance(2) {
                self.resume(number);
                self.client_hears(reply)?;
            }
        }
        Ok(())
    }

    /// When a client stops waiting for an answer.
    pub(super) fn last_chance(&self, reply: &Reply) -> Option<u64> {
        let client = &self.clients[reply.client];
        let asks = client.asks.filter(|asks| asks.transaction == reply.transaction)?;
        if asks.renews { client.has.map(|(_, end)| end) } else { Some(asks.since + BOUNDS.patience + 1) }
    }

    /// Time passes: up to a moment at which something ends, or for a while.
    pub(super) fn pass_time(&mut self) {
        let now = self.now;
        let mut ends: Vec<u64> = Vec::new();
        for client in &self.clients {
            ends.extend(client.has.map(|(_, end)| end));
            ends.extend(client.asks.map(|asks| asks.since + BOUNDS.patience));
        }
        for agent in &self.agents {
            let until = agent.disk.copies.granted.as_ref().map(|granted| granted.until.0);
            ends.extend(until.and_then(|until| until.checked_add_signed(-agent.offset)));
        }
        ends.retain(|end| *end > now && *end < now + 2 * TERM);
        if ends.is_empty() || self.random.chance(3) {
            self.now += self.random.below(40) as u64;
        } else {
            let end = self.random.one_of(&ends);
            self.now = (end - self.random.below(3) as u64).max(now);
        }
        let stuck = self.agents.iter().filter_map(|agent| self.last_chance(&agent.stuck?));
        if let Some(first) = stuck.filter(|at| *at > now + 2).min() {
            self.now = self.now.min(first - 2);
        }
    }

    pub(super) fn client_acts(&mut self) {
        let number = self.random.below(self.clients.len());
        let now = self.now;
        self.clients[number].look(now, BOUNDS.patience);
        // It is heard by one agent at a time: by any, or for a while by the same one alone.
        if self.random.chance(200) {
            let only = if self.doomed { 0 } else { self.random.below(self.agents.len()) };
            self.clients[number].only = self.random.chance(2).then_some(only);
        }
        let any = self.random.below(self.agents.len());
        let client = &self.clients[number];
        let agent = client.only.unwrap_or(any);
        match (client.has, client.asks) {
            (_, Some(asks)) => self.send(Frame::Ask { agent, client: number, asks }),
            (Some((ip, _)), None) => match self.random.below(12) {
                0..5 => self.ask(number, true, Some(ip)),
                5 => self.ask(number, false, Some(ip)),
                6 => self.ask(number, false, None),
                7 => {
                    self.counts.given_up += 1;
                    self.say(|| format!("client {number} gives {ip} up to {agent}"));
                    self.clients[number].has = None;
                    let rests = self.random.chance(3);
                    self.send(Frame::GiveUp { agent, client: number, ip, rests });
                    if self.random.chance(2) {
                        self.clients[number].only = Some(any);
                        self.ask(number, false, Some(ip));
                    }
                }
                _ => {}
            },
            (None, None) => {
                if self.random.chance(3) {
                    let wanted = self.random.chance(2).then(|| self.random.one_of(&ADDRESSES));
                    self.ask(number, false, wanted);
                }
            }
        }
    }

    pub(super) fn ask(&mut self, client: usize, renews: bool, wanted: Option<Ipv4Addr>) {
        self.transactions += 1;
        let asks = Asks { transaction: self.transactions, since: self.now, renews, wanted };
        self.clients[client].asks = Some(asks);
    }

    pub(super) fn send(&mut self, frame: Frame) {
        self.frames.push((self.now, frame));
    }

    pub(super) fn deliver_frame(&mut self) -> Result<(), Twice> {
        let now = self.now;
        // What is on the wire for longer than that is lost.
        self.frames.retain(|(sent, _)| now <= sent + BOUNDS.travel);
        if self.frames.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.frames.len());
        // What a client says to one agent comes in its order.
        let way = self.frames[at].1.way();
        let at = self.frames.iter().position(|(_, frame)| way.is_some() && frame.way() == way).unwrap_or(at);
        let (_, frame) = self.frames.remove(at);
        if self.random.chance(15) {
            return Ok(());
        }
        match frame {
            Frame::Ask { agent, .. } | Frame::GiveUp { agent, .. } => {
                // The kernel hears it first, whatever becomes of the process.
                match frame {
                    Frame::Ask { client, asks, .. } => {
                        let answer = self.agents[agent].kernel_answers(client, asks.wanted, now);
                        if let Some((ip, lease)) = answer {
                            self.counts.kernel += 1;
                            self.say(|| {
                                format!("the kernel of {agent} promises {ip} to {client} for {lease}")
                            });
                            let reply = Reply { client, transaction: asks.transaction, ip, lease };
                            self.send(Frame::Reply(reply));
                            return Ok(());
                        }
                    }
                    Frame::GiveUp { client, ip, .. } => {
                        self.agents[agent].kernel_hears_of_the_end(client, ip);
                    }
                    Frame::Reply(_) => {}
                }
                let arrived = self.agents[agent].clock(now);
                if self.agents[agent].claims.is_some() && self.agents[agent].inbox.len() < SOCKET {
                    self.agents[agent].inbox.push_back((arrived, frame));
                }
                self.read_socket(agent);
            }
            Frame::Reply(reply) => return self.client_hears(reply),
        }
        Ok(())
    }

    pub(super) fn client_hears(&mut self, reply: Reply) -> Result<(), Twice> {
        let now = self.now;
        let Reply { client, transaction, ip, lease } = reply;
        self.clients[client].look(now, BOUNDS.patience);
        if !self.clients[client].hears(transaction, ip, lease, now) {
            return Ok(());
        }
        self.say(|| format!("client {client} has {ip} until {}", now.saturating_add(lease) - START));
        self.counts.answers += 1;
        self.counts.moved += u64::from(self.last.insert(ip, client).is_some_and(|last| last != client));
        for (other, has) in self.clients.iter().enumerate() {
            if other != client && has.has.is_some_and(|(its, end)| its == ip && end > now) {
                return Err(Twice { ip, clients: [other, client], now: now - START });
            }
        }
        Ok(())
    }
}

/// The longest leases: of the network of the first block, and of the other's.
pub(super) fn longest(first: Span, other: Span) -> BTreeMap<Ipv4Addr, (Ipv4Addr, Span)> {
    let network =
        |number, longest| (Ipv4Addr::new(10, 0, number, 0), (Ipv4Addr::new(10, 0, number, 255), longest));
    BTreeMap::from([network(0, first), network(1, other)])
}

fn config(random: &mut Random, count: usize, term: u64, lengths: &[u64]) -> Wants {
    let count = count.min(ADDRESSES.len());
    let addresses = &ADDRESSES[..count];
    let (first, other) = (random.one_of(lengths), random.one_of(lengths));
    let of_networks = longest(first, if random.chance(24) { FOREVER } else { other });
    let mut wants = Wants {
        pools: vec![Pool {
            ranges: addresses.iter().map(|ip| *ip..=*ip).collect(),
            ahead: 1 + random.below(2),
        }],
        reserved: BTreeMap::new(),
        longest: of_networks,
        unpublished: 80,
        read_again: 5,
        term,
        ..Wants::default()
    };
    for _ in 0..random.below(6).saturating_sub(3) {
        let ip = random.one_of(&ADDRESSES[..count]);
        wants.reserved.insert(ip, key(random.below(CLIENTS)));
        if random.chance(8) {
            wants.without_end.insert(ip);
        }
    }
    wants
}
