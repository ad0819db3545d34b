//! `xdhcpd leases`: a table of who has what.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::client::{ClientError, query_value};
use super::failure::Failure;
use super::offline;
use super::output::{self, Origin, Style, table};
use super::which::Which;
use crate::clock::Now;
use crate::report::{AnsweredBy, LeaseReport, LeasesReport, Timestamp};

/// Show leases: who has what, and until when.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Those of this network alone
    #[arg(long, value_name = "NAME", env = "XDHCPD_NETWORK")]
    network: Option<String>,
    /// Again each second, until interrupted; with --json a line whenever something changes
    #[arg(long, env = "XDHCPD_WATCH", value_parser = BoolishValueParser::new())]
    watch: bool,
    /// Print JSON
    #[arg(long, env = "XDHCPD_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Where networks' names are looked up while the agent is not running [default: /etc/xdhcpd/config.yaml]
    #[arg(long, value_name = "FILE", env = "XDHCPD_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd leases
  xdhcpd leases --network rack1 --watch
  xdhcpd leases --json | jq -r '.leases[] | [.ip, .mac] | @tsv'

While the agent is not running, the leases are those that it left pinned in the kernel.";

/// Shows the leases.
pub async fn leases(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.which.client()?;
    let name = arguments.which.name()?;
    let network = arguments.network.as_deref();
    let path = match network {
        Some(network) => format!("/leases?network={}", query_value(network)),
        None => "/leases".to_owned(),
    };
    let ask = async || match client.get::<LeasesReport>(&path).await {
        Ok(report) => Ok((report, Origin::Agent)),
        Err(ClientError::NotRunning { .. }) => {
            let report = offline::leases(&name, network, arguments.config.as_deref())?;
            Ok((report, Origin::Pins))
        }
        Err(error) => Err(error.into()),
    };
    let style = Style { json: arguments.json, watch: arguments.watch };
    output::report(style, ask, |report| table_of(report, Timestamp::now(Now::read()))).await
}

fn table_of(report: &LeasesReport, now: Timestamp) -> String {
    let heads = ["IP", "MAC", "STATE", "EXPIRES", "HOST", "NETWORK", "KERNEL", "LAST ANSWERED"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(report.leases.iter().map(|lease| row_of(lease, now)));
    table(&rows)
}

fn row_of(lease: &LeaseReport, now: Timestamp) -> Vec<String> {
    let or_dash = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    vec![
        lease.ip.to_string(),
        lease.mac.to_string(),
        lease.state.to_string(),
        lease.expires.map_or_else(|| "never".to_owned(), |expires| relative(expires, now)),
        or_dash(lease.host_name.as_deref()),
        or_dash(lease.network.as_deref()),
        if lease.in_kernel { "yes" } else { "no" }.to_owned(),
        or_dash(lease.last_answered_by.map(AnsweredBy::name)),
    ]
}

/// How far a time is from now: `in 11h59m`, `5m0s ago`.
fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = time.seconds().saturating_sub(now.seconds());
    if seconds >= 0 {
        format!("in {}", distance(seconds))
    } else {
        format!("{} ago", distance(seconds.saturating_neg()))
    }
}

/// A span in its two largest units.
fn distance(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let parts = |unit: i64, of: &str, part: i64, named: &str| {
        format!("{}{of}{}{named}", seconds.div_euclid(unit), seconds.rem_euclid(unit).div_euclid(part))
    };
    match seconds {
        DAY.. => parts(DAY, "d", HOUR, "h"),
        HOUR.. => parts(HOUR, "h", MINUTE, "m"),
        MINUTE.. => parts(MINUTE, "m", 1, "s"),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake::lease;

    #[test]
    fn leases_are_a_table_with_a_head() {
        let leases = vec![
            lease(1),
            LeaseReport { expires: None, host_name: None, last_answered_by: None, ..lease(2) },
        ];
        let twelve_hours_before = Timestamp::from_seconds(1_785_585_601);
        let expected = "\
IP        MAC                STATE  EXPIRES    HOST   NETWORK  KERNEL  LAST ANSWERED
10.9.0.1  02:00:00:00:00:01  bound  in 11h59m  node1  rack1    yes     kernel
10.9.0.2  02:00:00:00:00:02  bound  never      -      rack1    no      -
";
        assert_eq!(table_of(&LeasesReport { leases }, twelve_hours_before), expected);
    }

    #[test]
    fn a_distance_is_told_in_two_units() {
        let now = Timestamp::from_seconds(1_000_000);
        let at = |seconds: i64| relative(Timestamp::from_seconds(1_000_000 + seconds), now);
        assert_eq!(at(0), "in 0s");
        assert_eq!(at(59), "in 59s");
        assert_eq!(at(3_599), "in 59m59s");
        assert_eq!(at(86_399), "in 23h59m");
        assert_eq!(at(2 * 86_400 + 7_200), "in 2d2h");
        assert_eq!(at(-300), "5m0s ago");
    }
}
