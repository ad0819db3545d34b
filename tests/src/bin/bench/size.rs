//! What leases take: memory, time to start with many of them, and the lease file over a day.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use xdhcpd_tests::generator::{Exchange, Generator, Load, Pace};

use crate::bench::Bench;
use crate::cores;
use crate::part::{Part, Row, Wanted};
use crate::peers::servers::{Kind, Running, Start};
use crate::report::plot::{Drawing, Plot};

const ABOUT: &str = "\
Memory: a server is started with an empty lease file and asked for all of its addresses by as many clients; what its \
processes hold then beyond what they held before, divided by the leases, and for xdhcpd the kernel's lease map \
besides. Then it is killed and started again: from its start to its first answer to a client that it does not know. \
The lease file: clients renew at half of a lease of three seconds for a minute, as they would an hour's in \
twenty hours. Kea cleans its file up once an hour, xdhcpd when it is four times as long as its leases need.";

/// Leases of an hour, scaled so that a day is a minute: 2.5 s, in whole seconds.
const SHORT_LEASE: u32 = 3;
/// Long enough to make a million leases.
const LONG_LEASE: u32 = 86_400;
/// Exchanges that are under way at one time to make them: few enough for any socket's usual buffer.
const WINDOW: usize = 64;
/// Clients that are lost on the way are asked for again, if they are more than this part.
const FEW: f64 = 0.001;
const ROUNDS: usize = 3;
/// How often the lease file is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Measures both.
pub fn measure(bench: &Bench) -> Result<Part> {
    let mut part = Part { about: ABOUT.into(), ..Part::default() };
    let kinds = || [Kind::Xdhcpd, Kind::Kea].into_iter().filter(|kind| kind.is_there());
    let leases = bench.amount(1_000_000, 10_000);
    let mut sizes = Vec::new();
    for kind in kinds() {
        bench.say(&format!("{}: {leases} leases, and a start with them", kind.name()));
        sizes.push(Size::of(kind, leases)?);
    }
    add_sizes(&mut part, leases, &sizes);
    let mut days = Vec::new();
    for kind in kinds() {
        bench.say(&format!("{}: a day's renewals in a minute", kind.name()));
        days.push(Day::of(bench, kind)?);
    }
    add_days(&mut part, &days);
    if sizes.len() < 2 {
        part.notes.push("Kea is not installed: left out.".into());
    }
    Ok(part)
}

/// What many leases take.
struct Size {
    /// Of the processes, in bytes for a lease.
    processes: f64,
    /// Of the map, likewise.
    map: f64,
    /// From a start to the first answer.
    start: Duration,
    /// From a start with all these leases to the first answer.
    restart: Duration,
}

impl Size {
    fn of(kind: Kind, leases: u32) -> Result<Self> {
        // Room for the clients that wait for it to answer, too.
        let start = Start { pool: leases + 16, lease_time: LONG_LEASE };
        let (mut running, mut generator) = Running::start(kind, start)?;
        let empty = running.memory();
        lease_all(&mut generator, leases)?;
        let per_lease = |bytes: u64| as_float(bytes) / f64::from(leases);
        let processes = per_lease(running.memory().saturating_sub(empty));
        let map =
            if kind == Kind::Xdhcpd { per_lease(cores::size_of_map(&running.pin("LEASES"))?) } else { 0.0 };
        let first = running.started_in;
        running.restart(&mut generator)?;
        Ok(Self { processes, map, start: first, restart: running.started_in })
    }
}

/// Every client gets a lease, or nearly every one.
fn lease_all(generator: &mut Generator, clients: u32) -> Result<()> {
    let load = Load {
        exchange: Exchange::Lease,
        pace: Pace::Window(WINDOW),
        first: 0,
        clients,
        time: Duration::from_mins(5),
        most: clients.into(),
    };
    for _ in 0..ROUNDS {
        if generator.run(&load)?.lost() < FEW {
            return Ok(());
        }
    }
    bail!("many of {clients} clients got no lease, however often they asked")
}

fn add_sizes(part: &mut Part, leases: u32, sizes: &[Size]) {
    let Some((ours, peers)) = sizes.split_first() else { return };
    let beside = |row: Row, of: fn(&Size) -> f64| match peers {
        [kea] => row.beside("Kea", [of(kea)]),
        _ => row,
    };
    let all = |size: &Size| size.processes + size.map;
    let row = Row::new("a lease in map and agent together", "bytes", [all(ours)]);
    part.rows.push(beside(row, all).wanted(Wanted::AtMost(300.0)));
    part.rows.push(Row::new("of that, the map", "bytes", [ours.map]).beside("all of it", [all(ours)]));
    let row = Row::new("ready with no lease", "s", [ours.start.as_secs_f64()]);
    part.rows.push(beside(row, |size| size.start.as_secs_f64()));
    let row = Row::new(format!("ready with {leases} leases"), "s", [ours.restart.as_secs_f64()]);
    part.rows.push(beside(row, |size| size.restart.as_secs_f64()).wanted(Wanted::AtMost(3.0)));
}

/// A day's renewals.
struct Day {
    kind: Kind,
    renewals: u64,
    /// So many were asked for.
    asked: u64,
    /// The file's length over time, in seconds and bytes.
    lengths: Vec<(f64, f64)>,
    /// What the server ran for, in all.
    time: Duration,
}

impl Day {
    fn of(bench: &Bench, kind: Kind) -> Result<Self> {
        let clients = bench.amount(10_000, 1_000);
        let minute = bench.amount(Duration::from_mins(1), Duration::from_secs(4));
        let (running, mut generator) =
            Running::start(kind, Start { pool: clients + 16, lease_time: SHORT_LEASE })?;
        lease_all(&mut generator, clients)?;
        let load = Load {
            exchange: Exchange::Renewal,
            pace: Pace::Rate(f64::from(clients) * 2.0 / f64::from(SHORT_LEASE)),
            first: 0,
            clients,
            time: minute,
            most: u64::MAX,
        };
        let before = running.time()?;
        let is_over = AtomicBool::new(false);
        let (outcome, lengths) = thread::scope(|scope| {
            let watching = scope.spawn(|| watch(&running, &is_over));
            let outcome = generator.run(&load);
            is_over.store(true, Ordering::Release);
            (outcome, watching.join().unwrap_or_default())
        });
        let outcome = outcome?;
        ensure!(outcome.done() > 0, "{} answered no renewal", kind.name());
        Ok(Self {
            kind,
            renewals: outcome.done(),
            asked: outcome.begun,
            lengths,
            time: running.time()?.saturating_sub(before),
        })
    }

    /// How many bytes were appended in all.
    fn grown(&self) -> f64 {
        self.steps().fold(0.0, |sum, step| sum + step.max(0.0))
    }

    /// How often the file was replaced by a shorter one.
    fn compactions(&self) -> usize {
        self.steps().filter(|step| *step < 0.0).count()
    }

    fn steps(&self) -> impl Iterator<Item = f64> {
        self.lengths.windows(2).filter_map(|pair| match pair {
            [(_, before), (_, after)] => Some(after - before),
            _ => None,
        })
    }

    fn longest(&self) -> f64 {
        self.lengths.iter().map(|(_, length)| *length).fold(0.0, f64::max)
    }
}

/// The length of the lease file over time.
fn watch(running: &Running, is_over: &AtomicBool) -> Vec<(f64, f64)> {
    let began = Instant::now();
    let mut lengths = Vec::new();
    while !is_over.load(Ordering::Acquire) {
        lengths.push((began.elapsed().as_secs_f64(), as_float(running.lease_file_length())));
        thread::sleep(LOOK);
    }
    lengths
}

fn add_days(part: &mut Part, days: &[Day]) {
    let Some((ours, peers)) = days.split_first() else { return };
    let beside = |row: Row, of: fn(&Day) -> f64| match peers {
        [kea] => row.beside("Kea", [of(kea)]),
        _ => row,
    };
    let written = |day: &Day| day.grown() / as_float(day.renewals);
    part.rows.push(beside(Row::new("written for a renewal", "bytes", [written(ours)]), written));
    let longest = |day: &Day| day.longest() / 1e6;
    part.rows.push(beside(Row::new("the lease file at its longest", "MB", [longest(ours)]), longest));
    let time = |day: &Day| day.time.as_secs_f64() * 1e6 / as_float(day.renewals);
    part.rows.push(beside(Row::new("CPU for 1,000 of these renewals", "ms", [time(ours)]), time));
    for day in days {
        part.notes.push(format!(
            "{}: {} of {} renewals were answered; its file was compacted {} times.",
            day.kind.name(),
            day.renewals,
            day.asked,
            day.compactions()
        ));
    }
    let line = |day: &Day| {
        let points = day.lengths.iter().map(|(at, length)| (*at, length / 1e6)).collect();
        (day.kind.name().to_owned(), points)
    };
    part.plots.push(Plot {
        name: "lease-file",
        title: "The lease file, a day's renewals in a minute".into(),
        unit: "MB",
        logarithmic: false,
        drawing: Drawing::Lines { across: "seconds", lines: days.iter().map(line).collect() },
    });
}

#[expect(clippy::cast_precision_loss, reason = "bytes and counts far below 2^52")]
fn as_float(count: u64) -> f64 {
    count as f64
}
