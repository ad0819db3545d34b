//! The claims at work: what the core feeds to the protocol ([`crate::claims`]), and what it does at its word.
//!
//! An agent of a cluster has a [`Share`]; one with a file of its own has none, and promises what it will.
//!
//! # The order that the protocol counts on
//!
//! 1. *Read, then the time, then decide.* Frames are taken off the socket before the clock is read by which the
//!    engine is allowed to promise anything ([`permit`]). What was heard of other agents is told first.
//! 2. *Decided, disk, kernel, wire, sent.* [`Share::decided`] comes with the engine's outcome; the journal has
//!    the lease, up to its horizon, before the kernel or the client hears of it; [`Share::sent`] comes after the
//!    frame has left, by a clock that is read then. A start makes of the journal what was promised ([`recover`]):
//!    of each lease no more than that it was decided before its horizon.
//!    One batch is carried out before the next is decided: *sent* says of an address that nothing is on its way any
//!    more, and must not say so of an answer decided meanwhile. So an agent of a cluster waits for its disk
//!    itself, where one on its own decides on what comes in. A batch that is not written is never sent; that it was
//!    decided stays known.
//! 3. *The journal forgets last.* The end of a lease is written only when nothing is held of it any more
//!    ([`Share::is_held`]): until then the next start has to know of it. That the table shows it as free does
//!    no harm, for what is held decides.
//! 4. *Silence before confirmation.* What the kernel did is taken over before the protocol is asked. An address
//!    that has to fall silent is suspended, program runs under way are waited for, their events are read and
//!    told, then it is said to be silent ([`tend`]). A RELEASE or DECLINE is told after that, with a time at
//!    which it had not come yet: when its socket was last seen empty.
//! 5. *Copies, then requests.* An ask carries what has to be on disk; whoever sends it puts that there first. One
//!    without requests is for the next process alone.
//! 6. *The kernel's horizon is the nearer one* of what is on disk and the term's end. A term that was extended is
//!    told to all entries ([`horizons`]). An entry never outlasts what its template may promise: a client whose
//!    lease is limited has none.
//!
//! Which agent answers is an election's word, which may be wrong for a while: any agent may answer, as far as the
//! protocol goes. One that stands by knows the others' bindings ([`peers`]) and says nothing, unless nobody can be
//! asked and clients are heard that nobody answers ([`unanswered`]).

mod clock;
mod horizons;
mod own;
mod peers;
mod permit;
mod recover;
mod tend;
#[cfg(test)]
pub(super) mod tests;
mod told;
mod unanswered;
mod wants;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::sync::watch;

use crate::claims::{AgentId, At, BlockId, Bounds, Claims, Copies};
use crate::clock::{Moment, Now};
use crate::config::Config;
use crate::engine::permit::{Alone, Permits};
use crate::engine::served::Place;
use crate::kube::claims::servers::{Neighbours, Servers};
use crate::kube::claims::{Heard, Ours};
use crate::lease::{AnsweredBy, ClientKey, Lease, State, Table};
use crate::report::Mac;

use self::clock::span;
use self::horizons::Pass;
use self::permit::Permit;
use self::wants::{Part, wants};

pub use self::clock::Offset;
pub use self::unanswered::Unanswered;

/// The claims are tended again after this where something happened: a write takes about as long.
const AGAIN: Duration = Duration::from_millis(20);

/// The same where nothing did.
const QUIETLY: Duration = Duration::from_secs(1);

/// How many times as long as tending the claims took they are left alone then: it looks at all of them, and
/// clients wait meanwhile.
const PAUSE: u32 = 10;

/// A wall clock that has moved by so much against boot time was set.
const SET: Duration = Duration::from_secs(1);

/// What an agent of a cluster begins with.
#[derive(Debug)]
pub struct Beginning {
    /// Who we are to the others.
    pub me: AgentId,
    /// What was kept on disk.
    pub copies: Copies,
    /// The claims' clock.
    pub offset: Offset,
    /// The way to the API server and back.
    pub ours: Ours,
    /// Whether this agent is the one that answers.
    pub word: watch::Receiver<Word>,
    /// Who else answers on the wire as one of us.
    pub neighbours: Neighbours,
}

/// Who answers clients, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Word {
    /// Nobody has said yet: this agent is silent, and its kernel goes on.
    #[default]
    Unknown,
    /// This agent.
    Ours,
    /// Another one.
    Anothers,
    /// Another one did; whether it still does cannot be seen. Whom nobody answers we do.
    Lost,
}

impl Word {
    /// Whether it is us.
    pub fn is_ours(self) -> bool {
        self == Self::Ours
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "it is not known yet who answers clients",
            Self::Ours => "this agent answers clients",
            Self::Anothers => "another agent answers clients",
            Self::Lost => {
                "whether another agent answers clients cannot be seen: whom nobody answers this one does"
            }
        })
    }
}

/// An agent's share of the addresses, and what it knows of the others'.
#[derive(Debug)]
pub struct Share {
    pub(super) claims: Claims,
    pub(super) offset: Offset,
    ours: Ours,
    /// Who answers, as the election has it.
    word: watch::Receiver<Word>,
    pub(super) neighbours: Neighbours,
    part: Word,
    /// Since when it is so.
    since: At,
    /// When our own addresses were last said to be here.
    announced: Moment,
    /// The kernel may still have entries of the time when we answered.
    may_have_entries: bool,
    /// Came, and is not told yet.
    waiting: Vec<Heard>,
    /// Blocks that the table has not been compared with.
    seen: BTreeSet<BlockId>,
    /// Addresses that their client gave up, with a time before that came.
    given_up: BTreeMap<Ipv4Addr, At>,
    /// Addresses that are declined: who has to be silent first.
    declined: Vec<Declined>,
    /// Leases that ended, and whose end is not written because something is held of them.
    unwritten: BTreeSet<Ipv4Addr>,
    /// When all sockets were last seen empty.
    pub(super) empty: Moment,
    horizons: Pass,
    /// Something was heard since the copies were last handed over to be saved.
    is_unsaved: bool,
    saved_at: Moment,
    /// All that is wanted was published once, be it by an earlier process.
    is_provided: bool,
    /// When the claims are tended next, and not before when.
    next: Moment,
    rests_until: Moment,
}

/// An address that a client found in use.
#[derive(Debug)]
struct Declined {
    ip: Ipv4Addr,
    client: ClientKey,
    at: At,
    until: At,
}

impl Share {
    /// Begins with what is on disk and in the journal.
    pub(super) fn begin(
        beginning: Beginning,
        config: &Config,
        places: &[Place],
        table: &Table,
        now: Now,
    ) -> Self {
        let Beginning { me, copies, offset, ours, mut word, neighbours } = beginning;
        let at = offset.at(now.moment);
        let held = recover::held(table, config, &copies, offset, now.moment);
        let part = *word.borrow_and_update();
        let blocks = copies.blocks.keys().copied().collect();
        let is_provided = copies.granted.is_some();
        let wants = wants(config, places, Part::of(part, at));
        let claims = Claims::new(me, Bounds::DEFAULT, wants, copies, held, at);
        let mut share = Self {
            claims,
            offset,
            ours,
            word,
            neighbours,
            part,
            since: at,
            announced: Moment::NEVER,
            may_have_entries: true,
            waiting: Vec::new(),
            seen: blocks,
            given_up: BTreeMap::new(),
            declined: Vec::new(),
            unwritten: BTreeSet::new(),
            empty: now.moment,
            horizons: Pass::default(),
            is_unsaved: false,
            saved_at: Moment::NEVER,
            is_provided,
            next: Moment::NEVER,
            rests_until: Moment::NEVER,
        };
        share.take_former(table);
        share.answers_by(places);
        share
    }

    /// Our places are these: other agents are not to take us for a stranger there.
    fn answers_by(&self, places: &[Place]) {
        let servers: Servers = places.iter().map(|place| Mac(place.mac)).collect();
        self.neighbours.own.send_if_modified(|own| std::mem::replace(own, servers.clone()) != servers);
    }

    /// Whether this agent is the one that answers clients.
    pub fn answers(&self) -> bool {
        self.part.is_ours()
    }

    /// Who answers clients, as far as is known.
    pub(super) fn word(&self) -> Word {
        self.part
    }

    /// Why clients cannot be served as they should be.
    pub(super) fn problem(&self, now: Moment) -> Option<&'static str> {
        if self.until(now).is_none() {
            return Some("it takes the API server to say which addresses are ours: none is given until then");
        }
        let is_known = self.part != Word::Unknown;
        (!is_known || !self.is_provided).then_some("addresses are being claimed")
    }

    /// What may be promised at a moment that was read after the message came in.
    pub(super) fn permit(&self, now: Moment) -> Permit<'_> {
        Permit { claims: &self.claims, offset: self.offset, now: self.offset.at(now) }
    }

    /// Returns when something was heard, or another agent is to answer.
    pub(super) async fn come(&mut self) {
        tokio::select! {
            Some(heard) = self.ours.heard.recv() => self.waiting.push(heard),
            Ok(()) = self.word.changed() => {}
            else => std::future::pending().await,
        }
    }

    /// Whether a clock that was found to be off was set since: times are counted anew by another process alone.
    pub(super) fn must_begin_anew(&self, now: Now) -> bool {
        self.claims.is_clock_off() && self.offset.drift(now) > SET
    }

    /// When the claims have to be tended.
    pub(super) fn next(&self) -> Moment {
        self.next
    }

    /// Something happened that the protocol may act on.
    fn wake(&mut self, now: Moment) {
        self.next = self.next.min(now.after(AGAIN).max(self.rests_until));
    }

    /// An answer was decided at `now`, and is about to be written: an address for a client, for good or
    /// not (`kept`: it stays the client's when the lease ends).
    pub(super) fn decided(&mut self, now: Moment, ip: Ipv4Addr, client: &ClientKey, kept: bool) {
        let is_new = !self.claims.is_held(ip);
        self.claims.decided(self.offset.at(now), ip, client);
        if kept {
            self.claims.keeps(ip);
        }
        self.given_up.remove(&ip);
        self.unwritten.remove(&ip);
        if is_new {
            self.wake(now);
        }
    }

    /// It has left by `now`, for a lease of that length.
    pub(super) fn sent(&mut self, now: Moment, ip: Ipv4Addr, client: &ClientKey, lease: Duration) {
        self.claims.sent(self.offset.at(now), ip, client, span(lease));
    }

    /// The kernel renewed a lease alone.
    pub(super) fn renewed(
        &mut self,
        at: Moment,
        expires: Moment,
        ip: Ipv4Addr,
        client: &ClientKey,
        kept: bool,
    ) {
        let lease = if expires == Moment::FOREVER { Duration::MAX } else { expires.since(at) };
        self.claims.renewed(self.offset.at(at), ip, client, span(lease));
        if kept {
            self.claims.keeps(ip);
        }
        self.unwritten.remove(&ip);
    }

    /// A client asks for an address of its own that is being taken back.
    pub(super) fn asked(&mut self, now: Moment, ip: Ipv4Addr, client: &ClientKey) {
        self.claims.asked(ip, client);
        self.wake(now);
    }

    /// A client gives an address up, which is told when the kernel has let go of it.
    pub(super) fn gives_up(&mut self, ip: Ipv4Addr, at: Moment) {
        self.given_up.insert(ip, self.offset.at(at));
    }

    /// Somebody uses an address of ours: it is given to nobody until then.
    pub(super) fn set_aside(&mut self, ip: Ipv4Addr, until: Moment) {
        self.claims.set_aside(ip, self.offset.at(until));
    }

    /// A client found an address in use, which is told likewise.
    pub(super) fn declines(&mut self, now: Moment, ip: Ipv4Addr, client: ClientKey, until: Moment) {
        let (at, until) = (self.offset.at(self.empty), self.offset.at(until));
        self.declined.push(Declined { ip, client, at, until });
        self.wake(now);
    }

    /// A lease of the table has ended, and the kernel has let go of its address, which is its client's no
    /// more unless `kept`. Whether the end may be written.
    pub(super) fn ended(
        &mut self,
        now: Moment,
        ip: Ipv4Addr,
        client: Option<&ClientKey>,
        kept: bool,
    ) -> bool {
        self.claims.silenced(ip);
        if let Some((at, client)) = self.given_up.remove(&ip).zip(client)
            && !kept
        {
            self.claims.given_up(at, ip, client, At::NEVER);
        }
        self.wake(now);
        let may_be_written = !self.claims.is_held(ip);
        if !may_be_written {
            self.unwritten.insert(ip);
        }
        may_be_written
    }

    /// Whether a promise of an address may still hold.
    pub(super) fn is_held(&self, ip: Ipv4Addr) -> bool {
        self.claims.is_held(ip)
    }

    /// The latest that the kernel may go on alone; none: nothing may be promised.
    pub(super) fn until(&self, now: Moment) -> Option<Moment> {
        self.claims.until(self.offset.at(now)).map(|until| self.offset.moment(until))
    }

    /// Another configuration is served.
    pub(super) fn reconfigured(&mut self, config: &Config, places: &[Place], now: Moment) {
        self.claims.want(wants(config, places, Part::of(self.part, self.since)));
        self.answers_by(places);
        self.seen = self.claims.copies().blocks.keys().copied().collect();
        self.wake(now);
    }
}

/// Leases of the table as a new file has to have them: those that have ended and of which something may still
/// hold are as they were, and what other agents promised is none of ours.
pub(super) fn for_disk<'a>(
    leases: impl Iterator<Item = &'a Lease>,
    share: Option<&Share>,
) -> impl Iterator<Item = Cow<'a, Lease>> {
    let ours = leases.filter(|lease| lease.answered_by != AnsweredBy::Peer);
    ours.map(move |lease| {
        if is_held_back(lease, share) {
            Cow::Owned(Lease { state: State::Bound, ..lease.clone() })
        } else {
            Cow::Borrowed(lease)
        }
    })
}

/// Whether a lease may be written to the file as the table has it.
pub(super) fn may_be_written(lease: &Lease, share: Option<&Share>) -> bool {
    lease.answered_by != AnsweredBy::Peer && !is_held_back(lease, share)
}

/// Whether a lease has ended, and its end is not to be on disk yet.
fn is_held_back(lease: &Lease, share: Option<&Share>) -> bool {
    let has_ended = matches!(lease.state, State::Released | State::Expired);
    has_ended && share.is_some_and(|share| share.is_held(lease.ip))
}

/// Whom to ask what may be promised: an agent with a share, or one on its own.
pub(super) fn permits<'a>(permit: Option<&'a Permit<'a>>) -> &'a dyn Permits {
    match permit {
        Some(permit) => permit,
        None => &Alone,
    }
}
