//! The core: one thread that owns the lease table, the engine, the journal, the maps and the
//! sockets, so that none of them needs a lock.
//!
//! It sleeps until a frame, an event of the kernel, a question or a deadline is there, then takes
//! one turn: read all there is (bounded), decide, and carry it out as a batch (`batch`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use xdhcpd_common::maps::{Event, EventKind};

use crate::clock::{Moment, Now};
use crate::config::Config;
use crate::control::Question;
use crate::engine::ignored::Ignored;
use crate::engine::permit::Turn;
use crate::engine::probes::{MOST, ProbeCounts};
use crate::engine::served::Place;
use crate::engine::{Engine, Note, Outcome};
use crate::fastpath::FastPath;
use crate::lease::{Journal, Table};

use super::adopt;
use super::batch::Batch;
use super::claims::{self, Share, Unanswered, Word};
use super::commit::UnderWay;
use super::disk::Disk;
use super::follow::{News, Seen};
use super::links::{Heard, Links};
use super::loader::Loader;
use super::other_servers::Unjudged;
use super::outlets::Outlets;
use super::own_address::OwnAddresses;
use super::quiet::Quiet;
use super::release::Releases;
use super::reload::Reload;
use super::sync::Syncer;
use super::take_back::Leaving;
use super::warnings;

/// How often the disk and the interfaces are looked at.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// How long a search for templates that no entry uses is not repeated: it reads every entry.
const RECYCLE_AFTER: Duration = Duration::from_mins(1);

/// Rounds of reading in one turn, before questions and deadlines get their chance.
const ROUNDS: usize = 16;

/// What the core owns.
pub struct Core {
    pub(super) config: Config,
    pub(super) engine: Engine,
    pub(super) table: Table,
    pub(super) journal: Journal,
    pub(super) fast: Option<FastPath>,
    /// Why there is no fast path, where there should be one.
    pub(super) fast_fault: Option<String>,
    pub(super) loader: Loader,
    pub(super) links: Links,
    pub(super) counts: Counts,
    pub(super) outlets: Outlets,
    pub(super) leaving: Leaving,
    pub(super) releases: Releases,
    /// The last turn ended before all was read.
    pub(super) more: bool,
    pub(super) disk: Disk,
    /// Waits for the disk beside us; none: we do.
    pub(super) syncer: Option<Syncer>,
    /// What was decided and is not carried out yet; there within a turn alone.
    pub(super) under_way: Option<UnderWay>,
    pub(super) news: News,
    pub(super) seen: Seen,
    pub(super) recycle_after: Moment,
    pub(super) events: Vec<Event>,
    pub(super) quiet: Quiet,
    pub(super) unjudged: Unjudged,
    pub(super) unanswered: Unanswered,
    /// The addresses set in place of the interfaces' own; there from the first turn on.
    pub(super) addresses: Option<OwnAddresses>,
    /// Our share of the addresses, where other agents may have some; none: all are ours.
    pub(super) share: Option<Share>,
}

/// Why an agent of a cluster ends by itself: as a failure, so that whatever looks after it starts it again.
#[derive(Debug, thiserror::Error)]
#[error("the machine's clock was off and has been set: the agent ends, to begin anew by it")]
pub struct ClockWasSet;

/// What the agent counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// OFFERs sent.
    pub offers: u64,
    /// ACKs sent.
    pub acks: u64,
    /// NAKs sent.
    pub naks: u64,
    /// Replies to BOOTP sent.
    pub bootp: u64,
    /// Requests that got no answer, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Messages of other servers, by network.
    pub other_servers: BTreeMap<String, u64>,
    /// How the probes of earlier configurations ended.
    pub probes: ProbeCounts,
}

impl Core {
    /// Opens the sockets, has the program attached, and brings table and kernel together.
    ///
    /// What can stop the agent comes first: a start that fails leaves no program behind.
    pub(super) fn begin(&mut self, places: &[Place], now: Now) -> anyhow::Result<()> {
        let config = self.config.clone();
        self.open_links(&config, places)?;
        self.start_fast_path(&config);
        if let Some(mut fast) = self.fast.take() {
            let begun = adopt::begin(&mut fast, &config, places, &mut self.table, now, self.share.as_mut());
            let watched = begun.map_err(anyhow::Error::from).and_then(|engine| {
                self.links.watch_fast_path(&fast)?;
                Ok(engine)
            });
            match watched {
                Ok(engine) => {
                    self.engine = engine;
                    self.fast = Some(fast);
                    return Ok(());
                }
                Err(fault) => {
                    drop(fast);
                    self.lose_fast_path(&fault);
                }
            }
        }
        adopt::keep_to_horizons(&mut self.table);
        Ok(())
    }

    /// Runs until it is told to stop; then what came in is answered and the journal is closed. An error: it has to
    /// begin anew.
    pub async fn run(
        mut self,
        mut questions: mpsc::Receiver<Question>,
        mut configs: mpsc::Receiver<Reload>,
        stop: CancellationToken,
    ) -> (Self, Result<(), ClockWasSet>) {
        let mut look = tokio::time::interval(LOOK_AFTER);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let ended = loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(reload) = configs.recv() => self.reload(reload),
                _ = look.tick() => {
                    self.look();
                    if self.share.as_ref().is_some_and(|share| share.must_begin_anew(Now::read())) {
                        break Err(ClockWasSet);
                    }
                }
                Some(question) = questions.recv() => self.answer_question(question),
                () = self.news.come() => {}
                () = come(&mut self.share) => {}
                () = self.links.readable() => {}
                () = tokio::time::sleep(deadline) => {}
            }
            self.follow_news();
            self.turn();
        };
        self.turn();
        self.take_back(Now::read());
        self.tell_changes();
        (self, ended)
    }

    /// Reads and answers what there is, and frees what is due.
    fn turn(&mut self) {
        self.hear_claims();
        for _ in 0..ROUNDS {
            let now = Now::read();
            let mut batch = Batch::default();
            let events = self.read_events(&mut batch, now.moment);
            let frames = self.read_frames(&mut batch, now.moment);
            if let Some(share) = self.share.as_mut().filter(|_| !frames) {
                share.empty = now.moment;
            }
            // What came in before is on its way to the disk meanwhile.
            self.end_commit();
            self.begin_commit(batch, now);
            self.more = events || frames;
            if !self.more {
                break;
            }
        }
        self.end_commit();
        self.compact_some();
        self.look_at_releases();
        self.look_at_probes();
        let now = Now::read();
        if self.leaving.next(self.table.next_due()).is_some_and(|at| at <= now.moment) {
            self.take_back(now);
        }
        self.tend_claims();
        self.tell_changes();
        if let Some(fault) = self.fast.as_mut().and_then(|fast| fast.rest().err())
            && self.quiet.may_say("rest", "")
        {
            warn!("{fault}; the kernel takes more care than it has to");
        }
    }

    /// How long to sleep if nothing happens.
    fn deadline(&self) -> Duration {
        if self.more || self.journal.is_rewriting() {
            return Duration::ZERO;
        }
        let now = Now::read().moment;
        let next = self.leaving.next(self.table.next_due());
        let claims = self.share.as_ref().map(Share::next);
        let next = [next, self.engine.next_probe(), self.releases.next(), self.news.due(), claims]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.since(now));
        next.unwrap_or(LOOK_AFTER).min(LOOK_AFTER)
    }

    /// What the kernel did on its own since the last turn; whether there may be more.
    pub(super) fn read_events(&mut self, batch: &mut Batch, now: Moment) -> bool {
        let Some(fast) = &mut self.fast else { return false };
        let mut events = std::mem::take(&mut self.events);
        let more = fast.drain(&mut events);
        if !events.is_empty() {
            self.links.pause_events();
        }
        // What we write into an entry while the kernel renews it must not set the renewal back.
        let kept = events.iter().filter(|event| event.kind == EventKind::RENEWED);
        let fault = kept.filter_map(|event| fast.keep_renewal(event).err()).last();
        for event in events.drain(..) {
            match event.kind {
                EventKind::RENEWED => {
                    self.share_renewed(&event);
                    if let Some(write) = self.engine.renewed(&mut self.table, &event, now) {
                        batch.write(write);
                    }
                }
                EventKind::OTHER_SERVER => self.other_server(&event, Instant::now()),
                // The message itself comes up and says what it wants.
                _ => {}
            }
        }
        self.events = events;
        if let Some(fault) = fault.filter(|_| self.quiet.may_say("renewal", "")) {
            warn!("{fault}; a lease may end early in the kernel, and is then renewed by the agent");
        }
        more
    }

    /// Takes frames off every link, as many as one batch holds, and decides on them; whether there
    /// may be more.
    fn read_frames(&mut self, batch: &mut Batch, began: Moment) -> bool {
        let Self { links, engine, table, counts, quiet, releases, outlets, seen, share, unanswered, .. } =
            self;
        let mut outcomes = Vec::new();
        let mut probed = Vec::new();
        let mut asked = Vec::new();
        let word = share.as_ref().map_or(Word::Ours, Share::word);
        let ours: Vec<Ipv4Addr> = engine.served().iter().map(|served| served.place.server).collect();
        let is_shared = share.is_some();
        // After the frame came in: what may be promised of a share ends at a time.
        let time = || if is_shared { Now::read().moment } else { began };
        let more = links.receive(|link, wire, heard| {
            if seen.strayed.contains(&wire.interface) {
                return;
            }
            let now = time();
            let permit = share.as_ref().map(|share| share.permit(now));
            let turn = Turn { now, permits: claims::permits(permit.as_ref()) };
            let request = match heard {
                Heard::Message(Ok(request)) => request,
                Heard::Message(Err(refused)) => return counts.ignore(refused.name()),
                Heard::Claim(claim) => {
                    releases.claimed(wire, claim.ip, claim.mac);
                    let claimed = engine.claimed(table, wire, claim.ip, claim.mac, turn);
                    return probed.extend(claimed.into_iter().map(|probed| (probed, now)));
                }
            };
            let answers = match word {
                Word::Ours => true,
                Word::Unknown | Word::Anothers => false,
                Word::Lost => unanswered.hears(wire, &request.facts, &ours, now),
            };
            if !answers {
                return counts.ignore(Ignored::StandingBy.name());
            }
            match engine.handle(table, &request, wire, turn) {
                Ok(outcome) => outcomes.push((link, outcome, now)),
                Err(reason) => {
                    counts.ignore(reason.name());
                    if reason == Ignored::NotClaimed {
                        asked.extend(engine.addresses_of(table, &request, wire));
                    }
                    if let Some(notice) = warnings::of_ignored(quiet, engine, wire, reason, &request) {
                        warn!("{notice}");
                        outlets.notices.tell(notice);
                    }
                }
            }
        });
        let echoes = links.echoes();
        let more = more || !echoes.is_empty();
        for ip in &echoes {
            releases.heard(*ip);
        }
        let now = time();
        let permit = share.as_ref().map(|share| share.permit(now));
        let turn = Turn { now, permits: claims::permits(permit.as_ref()) };
        for ip in echoes {
            probed.extend(engine.echoed(table, ip, turn).into_iter().map(|probed| (probed, now)));
        }
        for (link, outcome, at) in outcomes {
            self.take_on(batch, link, outcome, at);
        }
        for (probed, at) in probed {
            self.take_on_probed(batch, probed, at);
        }
        if let Some(share) = &mut self.share {
            for (ip, client) in asked {
                share.asked(now, ip, &client);
            }
        }
        more
    }

    /// Adds an outcome to a batch, with what it means for addresses on their way back.
    pub(super) fn take_on(&mut self, batch: &mut Batch, link: usize, outcome: Outcome, now: Moment) {
        self.share_outcome(&outcome, now);
        if let Some(ip) = outcome.granted {
            self.leaving.keep(ip);
            self.releases.heard(ip);
        }
        if let Some(take_back) = outcome.take_back {
            self.leaving.add(take_back, now);
        }
        if outcome.unprobed && self.quiet.may_say("probes", "") {
            warn!("{MOST} addresses are being probed: others are offered without a probe meanwhile");
        }
        batch.add(link, outcome);
    }

    /// What a release comes to is said when the address is free.
    pub(super) fn log(&self, note: Note) {
        let what = match note {
            Note::Allocated(_) => "allocated",
            Note::Declined(_) => "declined",
            Note::Released(_) => return,
            Note::InUse { ip, by } => return self.log_in_use(ip, by),
        };
        if let Some(lease) = self.table.get(note.ip()) {
            self.log_line(what, lease.ip, lease.mac);
            if let Note::Declined(ip) = note {
                self.outlets.notices.tell(warnings::of_declined(ip, lease.mac));
            }
        }
    }

    /// Looks after what changes by itself: does the disk take leases again, are the interfaces still
    /// where they were, is there room for templates?
    fn look(&mut self) {
        let now = Now::read();
        self.try_disk_again(now);
        self.look_for_templates(now.moment);
        self.judge_servers(Instant::now());
        self.announce_again(now.moment);
        self.follow();
    }

    fn look_for_templates(&mut self, now: Moment) {
        let Some(fast) = &mut self.fast else { return };
        if !self.engine.templates().is_full() || now < self.recycle_after {
            return;
        }
        self.recycle_after = now.after(RECYCLE_AFTER);
        match adopt::used_slots(fast) {
            Ok(used) => {
                self.engine.templates().recycle(&used);
                // A program run may still be reading a template that lost its last entry.
                fast.settle();
            }
            Err(fault) => warn!("{fault}"),
        }
    }
}

/// Returns when there is something to hear of other agents.
async fn come(share: &mut Option<Share>) {
    match share {
        Some(share) => share.come().await,
        None => std::future::pending().await,
    }
}

impl Counts {
    pub(super) fn ignore(&mut self, reason: &'static str) {
        let count = self.ignored.entry(reason).or_default();
        *count = count.saturating_add(1);
    }
}
