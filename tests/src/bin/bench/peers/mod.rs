//! xdhcpd beside Kea, ISC's dhcpd and dnsmasq: new clients, known ones and renewals.
//!
//! Each server runs alone on one core, and who asks on another. They take turns, each time started
//! afresh with an empty lease file.

mod load;
mod second_opinion;
pub mod servers;

use std::time::Duration;

use anyhow::Result;

use self::load::{Figures, Session, WINDOWS, Work};
use self::servers::Kind;
use crate::bench::Bench;
use crate::part::{Part, Row, Wanted};
use crate::report::plot::{Drawing, Plot};

const ABOUT: &str = "\
Each server alone on one core, with one network of 260,000 addresses (dhcpd, which takes minutes to start \
with that many: 16,000) and a lease of an hour; who asks, a relay for all clients, on another core. They take turns, and \
each begins with an empty lease file. \"New\" and \"known\" clients go from DISCOVER to ACK, renewals are a \
REQUEST and its ACK. A rate is the highest with under 1 % lost, with as many exchanges under way as suit the server best. \
Only xdhcpd and dhcpd have each lease on disk (fsync) before the client hears of it; Kea and dnsmasq write without \
waiting for the disk. Only xdhcpd logs a line for each address that it gives. CPU is all time that the server's \
processes ran, and the XDP program's own time in the kernel; what the kernel does for a packet before that is \
counted for nobody. The program is attached in generic mode here, as it is on a veth pair by itself.";

/// All rounds of one server.
struct Rounds {
    kind: Kind,
    sessions: Vec<Session>,
}

/// Measures them, one beside the other.
pub fn measure(bench: &Bench) -> Result<Part> {
    let (here, missing): (Vec<Kind>, Vec<Kind>) = Kind::ALL.into_iter().partition(|kind| kind.is_there());
    let mut all: Vec<Rounds> = here.iter().map(|kind| Rounds { kind: *kind, sessions: Vec::new() }).collect();
    let mut part = Part { about: ABOUT.into(), ..Part::default() };
    let time = bench.amount(Duration::from_secs(4), Duration::from_millis(700));
    let steady = bench.amount(Duration::from_secs(4), Duration::from_millis(700));
    for round in 0..bench.runs() {
        for rounds in &mut all {
            bench.say(&format!("{}, round {} of {}", rounds.kind.name(), round + 1, bench.runs()));
            let session = if round == 0 {
                search(bench, rounds.kind, time, steady)
            } else {
                load::session(rounds.kind, rounds.best(), time, Some(steady))
            };
            match session {
                Ok(session) => rounds.sessions.push(session),
                Err(fault) if rounds.kind == Kind::Xdhcpd => return Err(fault),
                Err(fault) => part.notes.push(format!("{}: {fault:#}", rounds.kind.name())),
            }
        }
    }
    for (at, work) in Work::ALL.into_iter().enumerate() {
        add(&mut part, &all, at, work);
    }
    second_opinion::add(bench, &mut part)?;
    for kind in missing {
        part.notes.push(format!("{} is not installed: left out.", kind.name()));
    }
    for rounds in &all {
        let [new, known, renewals] = rounds.best();
        part.notes.push(format!(
            "{}: {new} new clients under way at one time, {known} known ones, {renewals} renewals.",
            rounds.kind.name()
        ));
    }
    Ok(part)
}

/// The first round: with each number of exchanges under way, the best of each kind of work.
fn search(bench: &Bench, kind: Kind, time: Duration, steady: Duration) -> Result<Session> {
    let mut best = Session::default();
    let windows = bench.amount(&WINDOWS[..], &WINDOWS[1..2]);
    for (n, window) in windows.iter().enumerate() {
        let session = load::session(kind, [*window; 3], time, (n == 0).then_some(steady))?;
        for (best, tried) in best.highest.iter_mut().zip(session.highest) {
            let rate = |figures: &Option<Figures>| figures.as_ref().map_or(0.0, |figures| figures.rate);
            if rate(&tried) > rate(best) {
                *best = tried;
            }
        }
        if n == 0 {
            best.steady = session.steady;
        }
    }
    Ok(best)
}

impl Rounds {
    /// With how many under way each kind of work went best.
    fn best(&self) -> [usize; 3] {
        let first = self.sessions.first();
        std::array::from_fn(|at| {
            let figures = first.and_then(|session| session.highest.get(at)?.as_ref());
            figures.map_or(WINDOWS[1], |figures| figures.window)
        })
    }

    /// One number of each round, of this kind of work.
    fn runs(&self, at: usize, number: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.sessions.iter().filter_map(|session| session.highest.get(at)?.as_ref()).map(number).collect()
    }

    /// The same at the steady rate.
    fn steady(&self, at: usize, number: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.sessions.iter().filter_map(|session| session.steady.get(at)?.as_ref()).map(number).collect()
    }
}

/// Rows and plots for one kind of work.
fn add(part: &mut Part, all: &[Rounds], at: usize, work: Work) {
    let Some((ours, peers)) = all.split_first() else { return };
    let name = work.name();
    for peer in peers {
        let beside = peer.kind.name();
        let wanted = |ratio| if peer.kind == Kind::Kea { Some(ratio) } else { None };
        let row = |what: &str, unit, number: fn(&Figures) -> f64| {
            Row::new(format!("{name}: {what}"), unit, ours.runs(at, number))
                .beside(beside, peer.runs(at, number))
        };
        let rate = row("highest rate", "/s", |figures| figures.rate);
        let time = row("CPU for 1,000", "ms", |figures| figures.time_per_thousand * 1e3);
        part.rows.push(match (work, wanted(2.0)) {
            (Work::New, Some(times)) => rate.wanted(Wanted::RatioAtLeast(times)),
            _ => rate,
        });
        part.rows.push(match (work, wanted(0.01)) {
            (Work::Known, Some(times)) => time.wanted(Wanted::RatioAtMost(times)),
            _ => time,
        });
        for (what, number) in [("p50", P50), ("p99", P99)] {
            let figures = ours.steady(at, number);
            let row = Row::new(format!("{name}: {what} at 100/s"), "ms", figures);
            part.rows.push(row.beside(beside, peer.steady(at, number)));
        }
    }
    let bars = |number: fn(&Figures) -> f64| {
        Drawing::Bars(
            all.iter().map(|rounds| (rounds.kind.name().to_owned(), rounds.runs(at, number))).collect(),
        )
    };
    let [rates, times] = PLOTS[at];
    part.plots.push(Plot {
        name: rates,
        title: format!("{name}: highest rate"),
        unit: "exchanges/s",
        logarithmic: true,
        drawing: bars(|figures| figures.rate),
    });
    part.plots.push(Plot {
        name: times,
        title: format!("{name}: CPU for 1,000"),
        unit: "ms",
        logarithmic: true,
        drawing: bars(|figures| figures.time_per_thousand * 1e3),
    });
}

/// Files of the plots, by the kind of work: rates, CPU.
const PLOTS: [[&str; 2]; 3] =
    [["new-rate", "new-cpu"], ["known-rate", "known-cpu"], ["renewals-rate", "renewals-cpu"]];

const P50: fn(&Figures) -> f64 = |figures| quantile(figures, 0.5);
const P99: fn(&Figures) -> f64 = |figures| quantile(figures, 0.99);

/// In milliseconds.
fn quantile(figures: &Figures, part: f64) -> f64 {
    figures.outcome.quantile(part).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
