//! `xdhcpd detach`: takes away what an agent left in the kernel.

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;

use super::failure::{Failure, note};
use super::output::{print, print_json};
use super::which::Which;
use crate::fastpath::{self, Detached};

/// Take program, maps and link away; clients are no longer answered.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Also while the agent runs, which then answers alone until it is restarted or reloads (SIGHUP)
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
  xdhcpd detach
  xdhcpd detach --name rack1
  xdhcpd detach --force

Stop the agent first; an agent started with `run --detach-on-exit` does this by itself. With --force a
running agent loses its fast path: it serves all clients alone until it is restarted, or reloads its
configuration (SIGHUP).";

/// What was taken away, as JSON.
#[derive(Debug, Serialize)]
struct DetachReport {
    interfaces: Vec<String>,
    pins: Vec<String>,
}

/// Takes it away.
pub async fn detach(arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.which.name()?;
    let is_running = match arguments.which.client()?.is_running().await {
        // It is to be done whatever is wrong with the agent.
        Err(_) if arguments.force => false,
        other => other?,
    };
    if is_running && !arguments.force {
        return Err(Failure::Failed(anyhow::anyhow!(
            "the agent {name} is running: stop it first, or start it with --detach-on-exit; \
             --force takes the program from under it, and it answers alone then"
        )));
    }
    let detached = fastpath::detach(&name)
        .map_err(|error| Failure::failed(format!("cannot take away what {name} pinned"), error))?;
    if detached.pins.is_empty() {
        return Err(Failure::NothingThere(format!("nothing of {name} is pinned")));
    }
    if arguments.json {
        return print_json(&report_of(detached));
    }
    let interfaces = if detached.interfaces.is_empty() {
        "no interface".to_owned()
    } else {
        detached.interfaces.join(", ")
    };
    print(&format!("detached from {interfaces}; removed {} pins\n", detached.pins.len())).map(drop)?;
    if is_running {
        note(format_args!(
            "the agent {name} runs on without a fast path, until it is restarted or reloads its configuration (SIGHUP)"
        ));
    }
    Ok(())
}

fn report_of(detached: Detached) -> DetachReport {
    let pins = detached.pins.iter().map(|pin| pin.display().to_string()).collect();
    DetachReport { interfaces: detached.interfaces, pins }
}
