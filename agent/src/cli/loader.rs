//! `xdhcpd loader`: the process that the agent starts to load the XDP program.

use clap::Args;

use super::failure::Failure;
use super::logging;
use crate::{loader, privileges};

/// Load the XDP program and keep it attached; started by `run` alone.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What it logs, as RUST_LOG says it
    #[arg(long, value_name = "DIRECTIVES", env = "XDHCPD_LOG_FILTER", default_value = "info")]
    log_filter: String,
}

const EXAMPLES: &str = "\
Example, of what `xdhcpd run` does:
  xdhcpd loader <<< '{\"name\": \"default\", \"log\": \"off\", \"mode\": \"auto\", \"interfaces\": [\"eth1\"], \"strangers\": []}'

It reads orders on stdin, a line each, and reports on stdout. It ends with its stdin; the
program stays attached. `xdhcpd stats` shows how it is doing.";

/// Loads the program, and looks after it.
pub fn loader(arguments: &Arguments) -> Result<(), Failure> {
    logging::start_as_child(&arguments.log_filter)?;
    privileges::keep_for_loader().map_err(|fault| Failure::failed("cannot give up privileges", fault))?;
    super::block_on(async { loader::serve().await.map_err(Failure::Failed) })
}
