//! Kea's perfdhcp: many clients at a steady rate, behind it as their relay.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::netns::{NetNs, succeed};

/// What to ask for.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// perfdhcp's own address, an alias of the relay's: it is the `giaddr`.
    pub from: &'a str,
    /// The server.
    pub server: &'a str,
    /// Four-way exchanges a second.
    pub rate: u32,
    /// How many clients take turns.
    pub clients: u32,
    /// For how many seconds.
    pub seconds: u32,
    /// So many renewals a second beside that.
    pub renewals: u32,
    /// So many clients a second give their address back.
    pub releases: u32,
}

/// What became of one of the two exchanges of a message and its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exchange {
    /// Messages sent.
    pub sent: u64,
    /// Answers that came.
    pub received: u64,
    /// Messages without one.
    pub drops: u64,
    /// Delays in milliseconds: least, mean, most.
    pub delay: [f64; 3],
}

/// What perfdhcp says at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Report {
    /// DISCOVER and OFFER.
    pub offers: Exchange,
    /// REQUEST and ACK.
    pub acks: Exchange,
    /// Replies that came, and found perfdhcp's own receive buffer full.
    pub overflowed: u64,
}

impl Report {
    /// How many messages got no reply: what came and was not read does not count.
    pub fn unanswered(&self) -> u64 {
        self.offers.drops.saturating_add(self.acks.drops).saturating_sub(self.overflowed)
    }
}

/// Runs it to its end.
pub fn run(namespace: &NetNs, load: Load<'_>) -> Result<Report> {
    let overflows = receive_overflows(namespace)?;
    let report = Running { child: command(namespace, load).spawn().context("running perfdhcp")? }.wait()?;
    Ok(Report { overflowed: receive_overflows(namespace)?.saturating_sub(overflows), ..report })
}

/// A load that goes on; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Begins it.
    pub fn start(namespace: &NetNs, load: Load<'_>) -> Result<Self> {
        Ok(Self { child: command(namespace, load).spawn().context("running perfdhcp")? })
    }

    /// Ends it before its time; what became of it until then.
    pub fn stop(self) -> Result<Report> {
        succeed(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        self.wait()
    }

    fn wait(mut self) -> Result<Report> {
        let (mut text, mut faults) = (String::new(), String::new());
        // It says little before its end, and nothing that fills a pipe.
        self.child.stdout.take().context("its stdout")?.read_to_string(&mut text)?;
        self.child.stderr.take().context("its stderr")?.read_to_string(&mut faults)?;
        // Its status tells of drops, which the report has as well.
        self.child.wait()?;
        parse(&text).with_context(|| format!("{text}\n{faults}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(namespace: &NetNs, load: Load<'_>) -> Command {
    let Load { from, server, rate, clients, seconds, renewals, releases } = load;
    let mut command = namespace.command("perfdhcp");
    // Single: two threads would take turns on the processor that the server needs.
    command.args(["-4", "-g", "single", "-l", from, "-r", &rate.to_string(), "-R", &clients.to_string()]);
    for (flag, rate) in [("-f", renewals), ("-F", releases)] {
        if rate > 0 {
            command.args([flag, &rate.to_string()]);
        }
    }
    // A second more to wait for late answers.
    command.args(["-p", &seconds.to_string(), "-W", "1000000", server]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How many datagrams found their socket's buffer full in this namespace so far (RFC 4113 has no
/// such counter; Linux calls it `RcvbufErrors`).
fn receive_overflows(namespace: &NetNs) -> Result<u64> {
    let text = namespace.run("cat", &["/proc/net/snmp"])?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = lines.next().zip(lines.next()).context("no Udp in /proc/net/snmp")?;
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = pairs.find(|(name, _)| *name == "RcvbufErrors").context("no RcvbufErrors")?;
    Ok(value.parse()?)
}

fn parse(text: &str) -> Result<Report> {
    let (offers, acks) = text
        .split_once("***Statistics for: DISCOVER-OFFER***")
        .and_then(|(_, rest)| rest.split_once("***Statistics for: REQUEST-ACK***"))
        .context("perfdhcp printed no report")?;
    Ok(Report { offers: exchange(offers)?, acks: exchange(acks)?, overflowed: 0 })
}

fn exchange(text: &str) -> Result<Exchange> {
    let field = |name: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
        let value = line.and_then(|line| line.split_whitespace().next());
        // A delay of nothing received is printed as `-nan` or left out.
        value.with_context(|| format!("no {name} in its report"))?.parse().context("not a number")
    };
    let count = |name: &str| -> Result<u64> { Ok(format!("{:.0}", field(name)?).parse()?) };
    let delay = |name: &str| field(name).unwrap_or(f64::NAN);
    Ok(Exchange {
        sent: count("sent packets")?,
        received: count("received packets")?,
        drops: count("drops")?,
        delay: [delay("min delay"), delay("avg delay"), delay("max delay")],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATISTICS: &str = "sent packets: 9999\nreceived packets: 9994\ndrops: 5\n\
        drops ratio: 0.05 %\n\nmin delay: 0.889 ms\navg delay: 14.275 ms\nmax delay: 122.709 ms\n";

    #[test]
    fn its_report_is_read() {
        let text = format!(
            "Rate: 1999.4\n***Statistics for: DISCOVER-OFFER***\n{STATISTICS}\n\
             ***Statistics for: REQUEST-ACK***\n{}",
            STATISTICS.replace("drops: 5", "drops: 7")
        );
        let report = Report { overflowed: 2, ..parse(&text).unwrap() };
        assert_eq!((report.offers.sent, report.offers.received, report.acks.drops), (9999, 9994, 7));
        assert_eq!(format!("{:?}", report.offers.delay), "[0.889, 14.275, 122.709]");
        assert_eq!(report.unanswered(), 10);
    }

    #[test]
    fn a_run_without_an_answer_has_no_delays() {
        let none = "sent packets: 9\nreceived packets: 0\ndrops: 9\nmin delay: inf ms\navg delay: n/a\n";
        let exchange = exchange(none).unwrap();
        assert_eq!((exchange.sent, exchange.drops), (9, 9));
        assert!(exchange.delay[1].is_nan());
        assert!(parse("").is_err());
    }
}
