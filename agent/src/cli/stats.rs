//! `xdhcpd stats`: who answered what, what was passed and dropped, and how full the pools are.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::client::ClientError;
use super::failure::Failure;
use super::offline;
use super::output::{self, Origin, Style, table};
use super::which::Which;
use crate::report::StatsReport;

/// Show counters: who answered what, passed and dropped by reason, pools.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Again each second, until interrupted; with --json a line whenever something changes
    #[arg(long, env = "XDHCPD_WATCH", value_parser = BoolishValueParser::new())]
    watch: bool,
    /// Print JSON
    #[arg(long, env = "XDHCPD_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    #[command(flatten)]
    which: Which,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd stats --watch
  xdhcpd stats --json | jq .kernel.answered

While the agent is not running, the counters are those that the program goes on counting.";

/// Shows the counters.
pub async fn stats(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.which.client()?;
    let name = arguments.which.name()?;
    let ask = async || match client.get::<StatsReport>("/stats").await {
        Ok(report) => Ok((report, Origin::Agent)),
        Err(ClientError::NotRunning { .. }) => Ok((offline::stats(&name)?, Origin::Pins)),
        Err(error) => Err(error.into()),
    };
    let style = Style { json: arguments.json, watch: arguments.watch };
    output::report(style, ask, show).await
}

fn show(report: &StatsReport) -> String {
    let mut sections = vec![answers(report), program(report)];
    sections.extend(reasons("passed up by the kernel", &report.kernel.passed));
    sections.extend(reasons("dropped by the kernel", &report.kernel.dropped));
    sections.extend(reasons("ignored by the agent", &report.agent.ignored));
    sections.extend(networks(report));
    sections.join("\n")
}

fn answers(report: &StatsReport) -> String {
    let (kernel, agent) = (report.kernel.answered, report.agent.answered);
    let row = |cells: [&dyn ToString; 5]| cells.map(ToString::to_string).to_vec();
    let agent = if report.agent.running {
        row([&"agent", &agent.offer, &agent.ack, &agent.nak, &agent.bootp])
    } else {
        row([&"agent", &"not running", &"", &"", &""])
    };
    table(&[
        row([&"ANSWERED BY", &"OFFER", &"ACK", &"NAK", &"BOOTP"]),
        row([&"kernel", &kernel.offer, &kernel.ack, &"-", &"-"]),
        agent,
    ])
}

fn program(report: &StatsReport) -> String {
    let mut rows = vec![["INTERFACE", "MODE", "PROGRAM"].map(str::to_owned).to_vec()];
    for interface in &report.kernel.interfaces {
        let program = if interface.attached { "attached" } else { "not attached" };
        rows.push(vec![interface.name.clone(), interface.mode.clone(), program.to_owned()]);
    }
    let loader = report.loader;
    format!("{}\nLOADER  {}, restarts: {}\n", table(&rows), loader.state.name(), loader.restarts)
}

/// The reasons that occurred; none where nothing did.
fn reasons(what: &str, counts: &BTreeMap<String, u64>) -> Option<String> {
    let mut rows = vec![vec![what.to_uppercase(), "COUNT".to_owned()]];
    let occurred = counts.iter().filter(|(_, count)| **count > 0);
    rows.extend(occurred.map(|(reason, count)| vec![reason.clone(), count.to_string()]));
    (rows.len() > 1).then(|| table(&rows))
}

fn networks(report: &StatsReport) -> Option<String> {
    let heads = ["NETWORK", "TOTAL", "USED", "REMAINING", "DECLINED", "KEPT"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(report.networks.iter().map(|network| {
        let counts = [network.total, network.used, network.remaining, network.declined, network.kept];
        let mut row = vec![network.name.clone()];
        row.extend(counts.map(|count| count.to_string()));
        row
    }));
    (rows.len() > 1).then(|| table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake::snapshot;
    use crate::report::AgentReport;

    #[test]
    fn stats_are_sections_of_what_occurred() {
        let mut stats = snapshot().stats;
        stats.kernel.passed.insert("expired".into(), 0);
        let expected = "\
ANSWERED BY  OFFER  ACK  NAK  BOOTP
kernel       11     12   -    -
agent        16     17   18   31

INTERFACE  MODE     PROGRAM
eth1       generic  attached

LOADER  running, restarts: 20

PASSED UP BY THE KERNEL  COUNT
no_lease                 13
not_dhcp                 14

DROPPED BY THE KERNEL  COUNT
client_budget          15

IGNORED BY THE AGENT  COUNT
pool_empty            19

NETWORK  TOTAL  USED  REMAINING  DECLINED  KEPT
rack1    101    40    58         1         2
rack2    101    40    58         1         2
";
        assert_eq!(show(&stats), expected);
    }

    #[test]
    fn an_agent_that_is_not_running_has_no_zeroes() {
        let stats = StatsReport { agent: AgentReport::default(), networks: Vec::new(), ..snapshot().stats };
        let text = show(&stats);
        assert!(text.contains("agent        not running\n"), "{text}");
        assert!(!text.contains("IGNORED") && !text.contains("NETWORK"), "{text}");
    }
}
