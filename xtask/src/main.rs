//! What developers type: `cargo xtask …`. One file a command; this one only dispatches.
//!
//! Every command does the set-up it needs, says what it installs and why, and does nothing twice.

mod bench;
mod build;
mod build_ebpf;
mod checklist;
mod cluster;
mod crds;
mod fuzz;
mod image;
mod lab;
mod lint;
mod progress;
mod real;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::progress::Progress;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What developers of xdhcpd type", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the other commands need (they do it themselves when they have to)
    Setup(setup::Arguments),
    /// Build the XDP program: target/ebpf/xdhcpd.o
    BuildEbpf,
    /// Build the agent, with the XDP program inside
    Build(build::Arguments),
    /// Write the custom resource definitions that the types make into chart/crds
    Crds,
    /// A small network with the agent and a real client in it: who answers, and how fast
    Lab(lab::Arguments),
    /// A real Kubernetes of one node, the chart in it, and a client that gets its lease from a pod
    Cluster(cluster::Arguments),
    /// The image of a container: target/image/xdhcpd.tar, one static file and nothing else
    #[command(after_help = "It is a docker-archive of localhost/xdhcpd:VERSION. Into a node it comes by\n  \
        ctr --namespace k8s.io images import xdhcpd.tar\nand to a registry by\n  \
        buildah pull docker-archive:target/image/xdhcpd.tar\n  \
        buildah push localhost/xdhcpd:VERSION docker://REGISTRY/xdhcpd:VERSION")]
    Image,
    /// rustfmt, clippy and cargo-deny, over all there is
    Lint,
    /// The real parts that tests are run against, such as a Kubernetes API server
    Real(real::Arguments),
    /// All tests; the last line is `N passed, N failed, N skipped`
    Test(test::Arguments),
    /// The acceptance checklist: each row, its tests on both sides, and whether they pass
    Checklist(checklist::Arguments),
    /// It beside its peers on this machine: how fast, how large
    Bench(bench::Arguments),
    /// Look for bytes that break a promise, for as long as you like (takes a nightly toolchain)
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let progress = Progress::start();
    match command {
        Command::Setup(arguments) => setup::run(&workspace, &progress, &arguments)?,
        Command::BuildEbpf => build_ebpf::run(&workspace, &progress)?,
        Command::Build(arguments) => build::run(&workspace, &progress, &arguments)?,
        Command::Crds => crds::run(&workspace, &progress)?,
        Command::Lab(arguments) => lab::run(&workspace, &progress, &arguments)?,
        Command::Cluster(arguments) => cluster::run(&workspace, &progress, &arguments)?,
        Command::Image => image::run(&workspace, &progress)?,
        Command::Lint => lint::run(&workspace, &progress)?,
        Command::Real(arguments) => real::run(&workspace, &progress, &arguments)?,
        Command::Bench(arguments) => bench::run(&workspace, &progress, &arguments)?,
        Command::Fuzz(arguments) => fuzz::run(&workspace, &progress, &arguments)?,
        Command::Test(arguments) => return test::run(&workspace, &progress, &arguments),
        Command::Checklist(arguments) => {
            let progress = if arguments.json { progress.beside_output() } else { progress };
            return checklist::run(&workspace, &progress, &arguments);
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
