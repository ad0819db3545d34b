//! `xdhcpd check`: all that is wrong with a configuration file, a line each.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;

use super::failure::Failure;
use super::output::{print, print_json};
use super::which::Which;
use crate::config::{self, Config, LoadError, Problem};
use crate::lease::{NetworkId, Table};
use crate::run::own_address;

/// The configuration file, where none is named.
pub const DEFAULT_CONFIG: &str = "/etc/xdhcpd/config.yaml";

/// Check a configuration file: all that is wrong with it, a line each.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "XDHCPD_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// For a file that is used on another machine: do not look whether this one fits it
    #[arg(long, env = "XDHCPD_NO_HOST", value_parser = BoolishValueParser::new())]
    no_host: bool,
    /// Print JSON
    #[arg(long, env = "XDHCPD_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Which agent it is for, as `run` takes it; the check is the same for all
    #[command(flatten)]
    _which: Which,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd check --config /etc/xdhcpd/config.yaml
  xdhcpd check --config rack1.yaml --no-host

An interface that is missing or down, or has no address, is an error too: `xdhcpd run` would refuse
to start. With --no-host a file is checked far from where it is used.";

/// The result, as JSON.
#[derive(Debug, Serialize)]
struct CheckReport {
    ok: bool,
    problems: Vec<ProblemReport>,
    networks: usize,
    addresses: u64,
}

#[derive(Debug, Serialize)]
struct ProblemReport {
    path: String,
    message: String,
}

/// Checks the file.
pub fn check(arguments: &Arguments) -> Result<(), Failure> {
    let config = match config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return refuse(arguments.json, &error),
    };
    let misfits = if arguments.no_host { Vec::new() } else { misfits(&config) };
    if !misfits.is_empty() {
        let lines: Vec<_> = misfits.iter().map(ToString::to_string).collect();
        return tell(arguments.json, misfits.iter().map(report_of).collect(), &lines.join("\n"));
    }
    let (networks, addresses) = (config.networks.len(), addresses(&config));
    if arguments.json {
        return print_json(&CheckReport { ok: true, problems: Vec::new(), networks, addresses });
    }
    let many = |count: u64, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    let networks = many(u64::try_from(networks).unwrap_or(u64::MAX), "network", "networks");
    print(&format!("ok: {networks}, {}\n", many(addresses, "address", "addresses"))).map(drop)
}

/// Why this machine cannot serve the configuration, as `run` would say it.
fn misfits(config: &Config) -> Vec<Problem> {
    let mut misfits = config::check_host(config);
    misfits.extend(own_address::check(config));
    misfits
}

fn refuse(json: bool, error: &LoadError) -> Result<(), Failure> {
    let problems = match error {
        LoadError::Invalid { problems } => problems.iter().map(report_of).collect(),
        other => vec![ProblemReport { path: String::new(), message: other.to_string() }],
    };
    tell(json, problems, &error.to_string())
}

fn tell(json: bool, problems: Vec<ProblemReport>, text: &str) -> Result<(), Failure> {
    if json {
        print_json(&CheckReport { ok: false, problems, networks: 0, addresses: 0 })?;
    } else {
        print(&format!("{text}\n"))?;
    }
    Err(Failure::Told)
}

fn report_of(problem: &Problem) -> ProblemReport {
    ProblemReport { path: problem.path.clone(), message: problem.message.clone() }
}

/// How many addresses can be handed out, as the pools count them.
fn addresses(config: &Config) -> u64 {
    let table = Table::new(config);
    let networks = (0..).map(NetworkId).zip(&config.networks);
    networks.map(|(network, _)| table.counts(network).total).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(ranges: &str, exclude: &str) -> u64 {
        let text = format!(
            "networks:\n  - name: rack1\n    interface: eth1\n    subnet: 10.9.0.0/24\n    ranges: {ranges}\n    exclude: {exclude}\n"
        );
        addresses(&config::parse_yaml(&text).unwrap_or_else(|problems| panic!("{problems}")))
    }

    #[test]
    fn what_is_excluded_is_not_counted_and_nothing_twice() {
        assert_eq!(count("[10.9.0.100-10.9.0.200]", "[]"), 101);
        assert_eq!(count("[10.9.0.100-10.9.0.200]", "[10.9.0.150]"), 100);
        assert_eq!(
            count("[10.9.0.10-10.9.0.19, 10.9.0.30-10.9.0.39]", "[10.9.0.15-10.9.0.32, 10.9.0.31]"),
            12
        );
    }
}
