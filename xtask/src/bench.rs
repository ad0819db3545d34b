//! `cargo xtask bench`: xdhcpd beside its peers on this machine, and a report of it.
//!
//! This sets up and builds, then becomes the bench itself (`tests/src/bin/bench`), which says what it
//! is at.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::{build_ebpf, setup};

const STEP: &str = "bench";

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench                 all of it, with release builds: about a quarter of an hour
  cargo xtask bench --quick         with the builds of the tests, in under two minutes: whether it works
  cargo xtask bench --only peers    one part: kernel, live, peers or size
The report, with its plots, is target/bench/report.md.")]
pub struct Arguments {
    /// Short runs, with debug builds: shows that the bench works, not how fast anything is
    #[arg(long)]
    quick: bool,
    /// This part alone; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
}

/// Runs the bench; returns only when it could not be started.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    if !setup::is_root() {
        bail!(
            "namespaces and XDP programs need root; run:\n    sudo -E env PATH=\"$PATH\" cargo xtask bench"
        );
    }
    setup::for_bench(workspace, progress)?;
    build_ebpf::run(workspace, progress)?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xdhcpd", "--package", "xdhcpd-tests"]);
    cargo.args(["--bin", "xdhcpd", "--bin", "bench"]);
    let profile = if arguments.quick { "debug" } else { "release" };
    if !arguments.quick {
        progress.say(STEP, "building with --release: minutes, the first time");
        cargo.arg("--release");
    }
    // Ours are paths we know, whatever else the user's cargo builds for by default.
    cargo.env_remove("CARGO_BUILD_TARGET");
    progress.run_or_show(STEP, cargo, &workspace.log("build"))?;
    let mut bench = Command::new(workspace.agent(profile).with_file_name("bench"));
    if arguments.quick {
        bench.arg("--quick");
    }
    for part in &arguments.only {
        bench.args(["--only", part]);
    }
    // It only returns when it fails.
    Err(bench.arg(workspace.bench()).exec()).context("cannot run the bench")
}
