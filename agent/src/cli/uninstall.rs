//! `xdhcpd uninstall`: ends all agents of a cluster and removes what they wrote. The chart's hook runs it before
//! the rest is removed.

use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::logging::{self, LogArguments};
use super::output::print;
use crate::config;
use crate::kube::client::Kubernetes;
use crate::kube::uninstall;

/// End all agents of a cluster: delete ClusterAgents, wait for their pods, and remove what agents wrote.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// How long the agents' pods may take to end
    #[arg(long, value_name = "DURATION", env = "XDHCPD_TIMEOUT", default_value = "4m", value_parser = timeout)]
    timeout: Duration,
    #[command(flatten)]
    log: LogArguments,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd uninstall
  xdhcpd uninstall --timeout 10m

`helm uninstall` runs this first. All ClusterAgents, HostStatuses, AddressBlocks and AgentTerms are removed; the
agents take their programs away from the nodes' interfaces as they end. HostEndpoints and lease files stay.
$KUBECONFIG or the pod's service account leads to the API server.";

fn timeout(text: &str) -> Result<Duration, String> {
    config::parse_duration(text, 1..=86_400)
}

/// Ends and removes them.
pub async fn uninstall(arguments: &Arguments) -> Result<(), Failure> {
    logging::start(config::idle("").log, arguments.log)?;
    let kubernetes = Kubernetes::connect("uninstall").await.map_err(Failure::Failed)?;
    let removed = uninstall::uninstall(kubernetes.client, arguments.timeout).await;
    let removed = removed.map_err(|fault| Failure::Failed(fault.into()))?;
    let said = match removed.as_slice() {
        [] => "no ClusterAgent was there; what agents wrote is removed\n".to_owned(),
        names => format!("removed ClusterAgent {}, and what agents wrote\n", names.join(", ")),
    };
    print(&said).map(drop)
}
