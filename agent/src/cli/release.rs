//! `xdhcpd release`: gives a dead client's address back. Only the agent may, because the address is
//! free once that is on disk.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::client::ClientError;
use super::failure::Failure;
use super::output::{print, print_json};
use super::which::Which;
use crate::control::{Released, Target};

/// Give a dead client's address back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The address, or the client's hardware address
    #[arg(value_name = "IP|MAC")]
    target: Target,
    /// Give it back even if its client still answers, or cannot be asked
    #[arg(long, env = "XDHCPD_FORCE", value_parser = BoolishValueParser::new())]
    force: bool,
    /// Print JSON
    #[arg(long, env = "XDHCPD_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    #[command(flatten)]
    which: Which,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd release 10.9.0.100
  xdhcpd release 02:00:00:00:00:01

The client is asked first, by ARP or, behind a relay, by ping: one that still answers keeps its
address, for it would share it with the next. So does one that cannot be asked. --force does not ask.";

/// Gives the address back.
pub async fn release(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.which.client()?;
    let path = if arguments.force { "/release?force=true" } else { "/release" };
    let released: Released = client.post(path, &arguments.target).await.map_err(|error| match error {
        ClientError::NotRunning { .. } => {
            Failure::NothingThere(format!("{error}; only a running agent may give an address back"))
        }
        other => other.into(),
    })?;
    if arguments.json {
        return print_json(&released);
    }
    let Released { ip, mac, network } = released;
    print(&format!("released {ip} of {mac} on {network}\n")).map(drop)
}
