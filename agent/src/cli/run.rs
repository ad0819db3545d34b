//! `xdhcpd run`: the agent.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::check::DEFAULT_CONFIG;
use super::failure::Failure;
use super::logging::{self, LogArguments};
use super::which::Which;
use crate::config::{Flags, LoadError};
use crate::run::{ConfigSource, RunOptions};

/// Run the agent: serve DHCP until stopped.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration file [default: /etc/xdhcpd/config.yaml]
    #[arg(long, value_name = "FILE", env = "XDHCPD_CONFIG", conflicts_with_all = ["interface", "subnet", "range", "gateway"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    network: Network,
    /// Where health, metrics and leases are served [default: the configuration's]
    #[arg(long, value_name = "ADDR:PORT", env = "XDHCPD_HTTP")]
    http: Option<SocketAddr>,
    /// Take program, maps and link away at the end, instead of letting them answer on
    #[arg(long, env = "XDHCPD_DETACH_ON_EXIT", value_parser = BoolishValueParser::new())]
    detach_on_exit: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    log: LogArguments,
}

/// One network, in place of a file.
#[derive(Debug, Args)]
struct Network {
    /// Where requests come in; with --subnet and --range in place of a file
    #[arg(long, value_name = "NAME", env = "XDHCPD_INTERFACE", requires_all = ["subnet", "range"])]
    interface: Option<String>,
    /// The network's subnet, as in 10.9.0.0/24
    #[arg(long, value_name = "CIDR", env = "XDHCPD_SUBNET", requires = "interface")]
    subnet: Option<String>,
    /// The addresses that are handed out, as in 10.9.0.100-10.9.0.200
    #[arg(long, value_name = "FIRST-LAST", env = "XDHCPD_RANGE", requires = "interface")]
    range: Option<String>,
    /// The router that clients are told
    #[arg(long, value_name = "IP", env = "XDHCPD_GATEWAY", requires = "interface")]
    gateway: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd run
  xdhcpd run --config /etc/xdhcpd/rack1.yaml --http 127.0.0.1:9167
  xdhcpd run --interface eth1 --subnet 10.9.0.0/24 --range 10.9.0.100-10.9.0.200 --gateway 10.9.0.1

LOG_LEVEL or RUST_LOG sets the log's level too.";

/// Runs the agent.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = arguments.log;
    let options = options(arguments)?;
    let config = options.load().map_err(|error| wrong(&options.source, &error))?;
    logging::start(config.log, log)?;
    crate::run::run(&options).map_err(Failure::Failed)
}

fn options(arguments: Arguments) -> Result<RunOptions, Failure> {
    let Network { interface, subnet, range, gateway } = arguments.network;
    let source = if interface.is_some() {
        ConfigSource::Flags(Flags { interface, subnet, range, gateway, ..Flags::default() })
    } else {
        ConfigSource::File(arguments.config.unwrap_or_else(|| DEFAULT_CONFIG.into()))
    };
    Ok(RunOptions {
        source,
        name: arguments.which.given_name()?,
        http: arguments.http,
        socket: arguments.which.given_socket(),
        detach_on_exit: arguments.detach_on_exit,
    })
}

/// What is wrong on the command line is wrong usage; what is wrong in a file is a failure.
fn wrong(source: &ConfigSource, error: &LoadError) -> Failure {
    match source {
        ConfigSource::Flags(_) => Failure::Usage(error.to_string()),
        // An error of the file itself names it; problems inside of it do not.
        ConfigSource::File(path) if matches!(error, LoadError::Invalid { .. }) => {
            let what = format!("{} is not a valid configuration:\n{error}", path.display());
            Failure::Failed(anyhow::Error::msg(what))
        }
        ConfigSource::File(_) => Failure::Failed(anyhow::Error::msg(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parsed(line: &str) -> Result<RunOptions, String> {
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let Command::Run(arguments) = cli.command else { panic!("{line} runs") };
        options(arguments).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn without_flags_the_usual_file_is_read() {
        let options = parsed("xdhcpd run").unwrap();
        assert_eq!(options.source, ConfigSource::File("/etc/xdhcpd/config.yaml".into()));
        assert!(options.name.is_none() && options.http.is_none() && !options.detach_on_exit);
    }

    #[test]
    fn flags_stand_in_place_of_a_file() {
        let line = "xdhcpd run --interface eth1 --subnet 10.9.0.0/24 --range 10.9.0.100-10.9.0.200 --detach-on-exit --socket /tmp/lab.sock";
        let options = parsed(line).unwrap();
        let ConfigSource::Flags(flags) = &options.source else { panic!("{options:?}") };
        assert_eq!(flags.interface.as_deref(), Some("eth1"));
        assert_eq!(options.name.as_deref(), Some("lab"));
        assert!(options.detach_on_exit);
        assert_eq!(options.load().unwrap().name, "lab");
    }

    #[test]
    fn a_file_and_flags_exclude_each_other_and_half_a_network_is_refused() {
        for line in [
            "xdhcpd run --config a.yaml --interface eth1 --subnet 10.9.0.0/24 --range 10.9.0.1-10.9.0.2",
            "xdhcpd run --interface eth1",
            "xdhcpd run --gateway 10.9.0.1",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_wrong_address_names_its_flag() {
        let error = parsed("xdhcpd run --http 9167").unwrap_err();
        assert!(error.contains("--http"), "{error}");
        let network = "--interface eth1 --subnet 10.9.0.0/24";
        let options = parsed(&format!("xdhcpd run {network} --range 10.8.0.1-10.8.0.2")).unwrap();
        let failure = wrong(&options.source, &options.load().unwrap_err());
        let Failure::Usage(text) = failure else { panic!("{failure:?}") };
        assert!(text.contains("--range"), "{text}");
    }
}
