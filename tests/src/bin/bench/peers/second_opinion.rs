//! The same asked by Kea's perfdhcp, which knows nothing of us: as fast as it can ask without losing
//! frames itself.

use anyhow::Result;
use xdhcpd_tests::perfdhcp::{self, Load, Report};

use super::servers::{Kind, RELAY, Running, SERVER, Start, find};
use crate::bench::Bench;
use crate::cores;
use crate::part::{Part, Row};

/// New clients in a second: what Kea can take of them.
const RATE: u32 = 8_000;
/// Who of them asks next is drawn by lot: hardly one comes twice.
const CLIENTS: u32 = 10_000_000;

/// Adds what perfdhcp says of xdhcpd and of Kea.
pub fn add(bench: &Bench, part: &mut Part) -> Result<()> {
    if !Kind::Kea.is_there() || find("perfdhcp").is_none() {
        part.notes.push("perfdhcp or Kea is not installed: its opinion is left out.".into());
        return Ok(());
    }
    let (mut ours, mut keas) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs() {
        for (kind, reports) in [(Kind::Xdhcpd, &mut ours), (Kind::Kea, &mut keas)] {
            bench.say(&format!("{}, asked by perfdhcp", kind.name()));
            reports.push(report(bench, kind)?);
        }
    }
    let numbers = |reports: &[Report], of: fn(&Report) -> f64| reports.iter().map(of).collect::<Vec<_>>();
    let mut row = |what: &str, unit, of: fn(&Report) -> f64| {
        let row = Row::new(format!("perfdhcp, {RATE} new clients/s: {what}"), unit, numbers(&ours, of));
        part.rows.push(row.beside("Kea", numbers(&keas, of)));
    };
    row("leases got", "/s", leases);
    row("mean time to OFFER", "ms", |report| report.offers.delay[1]);
    row("mean time to ACK", "ms", |report| report.acks.delay[1]);
    Ok(())
}

/// Its rate counts the second in which it waits for the last answers; this one does not.
#[expect(clippy::cast_precision_loss, reason = "some ten thousand of them")]
fn leases(report: &Report) -> f64 {
    report.acks.received as f64 / report.offers.sent.max(1) as f64 * f64::from(RATE)
}

fn report(bench: &Bench, kind: Kind) -> Result<Report> {
    let (running, generator) = Running::start(kind, Start { pool: kind.pool(), lease_time: 3600 })?;
    // It wants the relay's port for itself.
    drop(generator);
    let load = Load {
        from: RELAY,
        server: SERVER,
        rate: RATE,
        clients: CLIENTS,
        seconds: bench.amount(5, 1),
        renewals: 0,
        releases: 0,
    };
    cores::on(cores::CLIENT, || perfdhcp::run(running.client(), load))?
}
