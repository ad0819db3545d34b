//! `xdhcpd run`: the agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::check::DEFAULT_CONFIG;
use super::failure::Failure;
use super::logging::{self, LogArguments};
use super::which::Which;
use crate::config::{Flags, LoadError};
use crate::run::cluster::ClusterOptions;
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
    #[command(flatten)]
    cluster: Cluster,
    /// Where leases are kept [default: the configuration's]
    #[arg(long, value_name = "DIR", env = "XDHCPD_LEASE_DIR")]
    lease_dir: Option<PathBuf>,
    /// Where health, metrics and leases are served [default: the configuration's]
    #[arg(long, value_name = "ADDR:PORT", env = "XDHCPD_HTTP")]
    http: Option<SocketAddr>,
    /// Take program, maps and link away at the end, instead of letting them answer on
    #[arg(long, env = "XDHCPD_DETACH_ON_EXIT", value_parser = BoolishValueParser::new())]
    detach_on_exit: bool,
    /// Let selfIP replace the addresses of an interface that carries the host's default route or its
    /// node's address: the host is cut off there, and its routes do not come back by themselves
    #[arg(long, env = "XDHCPD_REPLACE_NODE_ADDRESSES", value_parser = BoolishValueParser::new())]
    replace_node_addresses: bool,
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

/// An object of a cluster, in place of a file.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "clap names the flags by the fields")]
struct Cluster {
    /// The ClusterAgent to be [env: CLUSTERAGENT_NAME too]
    #[arg(long, value_name = "NAME", env = "XDHCPD_CLUSTER_AGENT", conflicts_with_all = ["config", "interface"])]
    cluster_agent: Option<String>,
    /// How often hosts are asked how they are, in seconds [env: HOST_STATUS_UPDATE_INTERVAL too]
    #[arg(long, value_name = "SECONDS", env = "XDHCPD_HOST_STATUS_UPDATE_INTERVAL", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    host_status_update_interval: Option<u32>,
    /// The address by which the cluster knows this node: selfIp replaces it on no interface
    #[arg(long, value_name = "IP", env = "XDHCPD_NODE_IP")]
    node_ip: Option<Ipv4Addr>,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd run
  xdhcpd run --config /etc/xdhcpd/rack1.yaml --http 127.0.0.1:9167
  xdhcpd run --interface eth1 --subnet 10.9.0.0/24 --range 10.9.0.100-10.9.0.200 --gateway 10.9.0.1
  xdhcpd run --cluster-agent bmc --http 0.0.0.0:8000

With --cluster-agent, $KUBECONFIG or the pod's service account leads to the API server.
LOG_LEVEL or RUST_LOG sets the log's level too.";

/// Runs the agent.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = arguments.log;
    let options = options(arguments, |name| std::env::var(name).ok())?;
    // What is wrong with a file or flags is told by its kind.
    options.load().map_err(|error| wrong(&options.source, &error))?;
    logging::check(log)?;
    let start_log = |said| logging::start(said, log).map_err(Failure::into_error);
    crate::run::run(&options, start_log).map_err(Failure::Failed)
}

fn options(arguments: Arguments, variable: impl Fn(&str) -> Option<String>) -> Result<RunOptions, Failure> {
    let Network { interface, subnet, range, gateway } = arguments.network;
    let name = arguments.which.given_name()?;
    let source = if interface.is_some() {
        ConfigSource::Flags(Flags { interface, subnet, range, gateway, ..Flags::default() })
    } else if let Some(path) = arguments.config {
        ConfigSource::File(path)
    } else if let Some(cluster) = cluster(arguments.cluster, variable)? {
        if let Some(name) = name.as_ref().filter(|name| **name != cluster.agent) {
            let agent = &cluster.agent;
            return Err(Failure::Usage(format!(
                "--name: the agent of ClusterAgent {agent} has its name, not {name}"
            )));
        }
        ConfigSource::Cluster(cluster)
    } else {
        ConfigSource::File(DEFAULT_CONFIG.into())
    };
    Ok(RunOptions {
        source,
        name,
        http: arguments.http,
        lease_dir: arguments.lease_dir,
        socket: arguments.which.given_socket(),
        detach_on_exit: arguments.detach_on_exit,
        replace_node_addresses: arguments.replace_node_addresses,
    })
}

/// What the flags say of a cluster, or the variables that the BMC operator sets; none: neither names
/// an agent. One that is named, but by nothing, is a mistake.
fn cluster(
    flags: Cluster,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<ClusterOptions>, Failure> {
    let Some(agent) = flags.cluster_agent.or_else(|| variable("CLUSTERAGENT_NAME")) else { return Ok(None) };
    if agent.is_empty() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "CLUSTERAGENT_NAME: is empty; it names the ClusterAgent"
        )));
    }
    let seconds = match (flags.host_status_update_interval, variable("HOST_STATUS_UPDATE_INTERVAL")) {
        (Some(seconds), _) => seconds,
        (None, Some(text)) if !text.is_empty() => {
            let wrong = || {
                anyhow::anyhow!(
                    "HOST_STATUS_UPDATE_INTERVAL: expected seconds from 1 to 86400, found {text:?}"
                )
            };
            let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
            seconds.ok_or_else(|| Failure::Failed(wrong()))?
        }
        (None, _) => 60,
    };
    let interval = Duration::from_secs(seconds.into());
    Ok(Some(ClusterOptions { agent, node_address: flags.node_ip, interval }))
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
        ConfigSource::File(_) | ConfigSource::Cluster(_) => {
            Failure::Failed(anyhow::Error::msg(error.to_string()))
        }
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
        options(arguments, |_| None).map_err(|failure| format!("{failure:?}"))
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
