//! A server under load: new clients, known ones and renewals, each as fast as it can and at one slow,
//! steady rate.

use std::time::Duration;

use anyhow::{Result, ensure};
use xdhcpd_tests::generator::{Exchange, Generator, Load, Outcome, Pace};

use super::servers::{Kind, Running, Start};

/// More losses than this, and a rate does not count.
const MOST_LOST: f64 = 0.01;
/// Exchanges that are under way at one time: what suits a server best is tried. With more than some
/// hundred messages the socket's usual buffer overflows.
pub const WINDOWS: [usize; 4] = [16, 64, 256, 1024];
/// A rate that every server can take.
const STEADY: f64 = 100.0;
/// Seconds of a lease, too long to matter here.
const LEASE_TIME: u32 = 3600;
/// Clients that come again: many more than any cache holds, where a server has met so many.
const KNOWN: u64 = 50_000;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// They come for the first time.
    New,
    /// They boot again: DISCOVER to ACK.
    Known,
    /// They extend their lease: REQUEST and ACK, through the relay (REBINDING).
    Renewal,
}

impl Work {
    /// All of them, in the order in which they can be done.
    pub const ALL: [Self; 3] = [Self::New, Self::Known, Self::Renewal];

    /// In the plural.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new clients",
            Self::Known => "known clients",
            Self::Renewal => "renewals",
        }
    }

    fn exchange(self) -> Exchange {
        match self {
            Self::New | Self::Known => Exchange::Lease,
            Self::Renewal => Exchange::Renewal,
        }
    }
}

/// What a server did under one kind of load.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Exchanges a second.
    pub rate: f64,
    /// Seconds that it ran for a thousand of them.
    pub time_per_thousand: f64,
    /// With how many under way.
    pub window: usize,
    /// How long they took, and how many there were.
    pub outcome: Outcome,
}

/// What a server did: by the kind of work, in its order. None: it lost too much.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// As fast as it can.
    pub highest: [Option<Figures>; 3],
    /// At the steady rate.
    pub steady: [Option<Figures>; 3],
}

/// Starts a server afresh and loads it with so many exchanges at one time: of each kind of work, for this
/// long.
pub fn session(kind: Kind, windows: [usize; 3], time: Duration, steady: Option<Duration>) -> Result<Session> {
    let start = Start { pool: kind.pool(), lease_time: LEASE_TIME };
    let (running, mut generator) = Running::start(kind, start)?;
    let mut session = Session::default();
    let mut met = 0;
    for (at, (work, window)) in Work::ALL.into_iter().zip(windows).enumerate() {
        let known = met.min(KNOWN);
        let (clients, most) = match work {
            Work::New => (u64::from(kind.pool()) / 2, u64::from(kind.pool()) / 2),
            Work::Known | Work::Renewal => (known, u64::MAX),
        };
        let load = Load {
            exchange: work.exchange(),
            pace: Pace::Window(window),
            first: 0,
            clients: u32::try_from(clients)?.max(1),
            time,
            most,
        };
        let (outcome, figures) = run(&running, &mut generator, &load, window)?;
        if work == Work::New {
            met = outcome.begun;
        }
        if let Some(place) = session.highest.get_mut(at) {
            *place = figures;
        }
        let Some(steady_time) = steady else { continue };
        let first = if work == Work::New { load.clients } else { 0 };
        let slow = Load { pace: Pace::Rate(STEADY), time: steady_time, first, ..load };
        let (_, figures) = run(&running, &mut generator, &slow, 1)?;
        if let Some(place) = session.steady.get_mut(at) {
            *place = figures;
        }
    }
    Ok(session)
}

/// Loads a server; none: it lost too many.
fn run(
    running: &Running,
    generator: &mut Generator,
    load: &Load,
    window: usize,
) -> Result<(Outcome, Option<Figures>)> {
    let before = running.time()?;
    let outcome = generator.run(load)?;
    let time = running.time()?.saturating_sub(before);
    if outcome.done() == 0 || outcome.lost() > MOST_LOST {
        return Ok((outcome, None));
    }
    // Who answers runs: else it was somebody else who did.
    ensure!(!time.is_zero(), "{} answered without running", running.kind.name());
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let time_per_thousand = time.as_secs_f64() / outcome.done() as f64 * 1000.0;
    let figures = Figures { rate: outcome.rate(), time_per_thousand, window, outcome: outcome.clone() };
    Ok((outcome, Some(figures)))
}
