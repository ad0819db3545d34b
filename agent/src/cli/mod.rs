//! The command line: parses, calls, prints. One file a subcommand.
//!
//! Data goes to stdout, everything said about it to stderr. A command ends with 0: done, 1: failed,
//! 2: wrong usage, 3: the agent is not running and nothing is pinned.

mod check;
mod client;
mod controller;
mod crds;
mod detach;
mod failure;
mod leases;
mod loader;
mod logging;
mod offline;
mod output;
mod release;
mod run;
mod stats;
#[cfg(test)]
mod tests;
mod uninstall;
mod which;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::failure::Failure;

/// A DHCPv4 server that answers the clients it knows straight from the kernel.
#[derive(Debug, Parser)]
#[command(name = "xdhcpd", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  xdhcpd check --config /etc/xdhcpd/config.yaml
  xdhcpd run --config /etc/xdhcpd/config.yaml
  xdhcpd leases

Each flag has a variable: XDHCPD_ and its name, as in XDHCPD_CONFIG.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 agent not running and nothing pinned.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Check(check::Arguments),
    Leases(leases::Arguments),
    Stats(stats::Arguments),
    Release(release::Arguments),
    Detach(detach::Arguments),
    Loader(loader::Arguments),
    Controller(controller::Arguments),
    Crds(crds::Arguments),
    Uninstall(uninstall::Arguments),
}

/// Does what the arguments say; the first is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with 0. Nobody is left to tell of a closed stderr.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE));
        }
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Leases(arguments) => block_on(leases::leases(&arguments)),
        Command::Stats(arguments) => block_on(stats::stats(&arguments)),
        Command::Release(arguments) => block_on(release::release(&arguments)),
        Command::Detach(arguments) => block_on(detach::detach(&arguments)),
        Command::Loader(arguments) => loader::loader(&arguments),
        Command::Controller(arguments) => block_on(controller::controller(arguments)),
        Command::Crds(arguments) => crds::crds(&arguments),
        Command::Uninstall(arguments) => block_on(uninstall::uninstall(&arguments)),
    }
}

/// Waits for a command that asks the agent; one thread does.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed("cannot start", error))?.block_on(command)
}
