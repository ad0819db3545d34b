//! `cargo xtask lab`: a small network with the agent and a real client in it, and what happens there.
//!
//! This sets up and builds, then becomes the lab itself (`tests/src/bin/lab`), so that a signal
//! reaches who has to tidy up.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::{build_ebpf, setup};

const STEP: &str = "lab";

/// What to do with the lab.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Leave it up, and print how to look around in it
    #[arg(long)]
    keep: bool,
    /// Take a lab down that was left up
    #[arg(long, conflicts_with = "keep")]
    down: bool,
}

/// Runs the lab; returns only when it could not be started.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    if !arguments.down {
        setup::for_lab(workspace, progress)?;
    }
    need_root(arguments)?;
    if !arguments.down {
        build_ebpf::run(workspace, progress)?;
    }
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--package",
        "xdhcpd",
        "--package",
        "xdhcpd-tests",
        "--bin",
        "xdhcpd",
        "--bin",
        "lab",
    ]);
    // Ours are paths we know, whatever else the user's cargo builds for by default.
    cargo.env_remove("CARGO_BUILD_TARGET");
    progress.run_or_show(STEP, cargo, &workspace.log("build"))?;
    let mut lab = Command::new(workspace.agent("debug").with_file_name("lab"));
    if arguments.keep {
        lab.arg("--keep");
    }
    if arguments.down {
        lab.arg("--down");
    }
    // It only returns when it fails.
    Err(lab.exec()).context("cannot run the lab")
}

fn need_root(arguments: &Arguments) -> Result<()> {
    if setup::is_root() {
        return Ok(());
    }
    let flag = match (arguments.keep, arguments.down) {
        (true, _) => " --keep",
        (_, true) => " --down",
        _ => "",
    };
    bail!("namespaces and XDP programs need root; run:\n    sudo -E env PATH=\"$PATH\" cargo xtask lab{flag}")
}
