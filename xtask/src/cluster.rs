//! `cargo xtask cluster`: a real Kubernetes of one node, the chart in it, and what happens there.
//!
//! This sets up and builds, then becomes the cluster itself (`tests/src/bin/cluster`), so that a signal
//! reaches who has to tidy up.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::{image, real, setup};

const STEP: &str = "cluster";

/// What to do with the cluster.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It needs root. The node is in namespaces of its own, and nothing is left of it; with --keep it \
    stays until --down.\n\nExample:\n  cargo xtask cluster --keep   # then it says what to type\n\nEnvironment:\n  \
    XDHCPD_REAL  a folder with Kubernetes and helm to use in place of target/real"
)]
pub struct Arguments {
    /// Leave it up, with a lease in it, and print how to look around
    #[arg(long)]
    keep: bool,
    /// Take a cluster down that was left up
    #[arg(long, conflicts_with = "keep")]
    down: bool,
    /// Take an image of the debug build, which is built sooner than the one that is released
    #[arg(long, conflicts_with = "down")]
    debug: bool,
}

/// Runs the cluster; returns only when it could not be started.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    need_root(arguments)?;
    let mut cluster = Command::new(workspace.agent("debug").with_file_name("cluster"));
    if arguments.down {
        cluster.arg("--down");
    } else {
        setup::for_cluster(workspace, progress)?;
        real::for_cluster(workspace, progress)?;
        if !arguments.debug {
            image::run(workspace, progress)?;
            cluster.arg("--image").arg(image::archive(workspace));
        }
    }
    build(workspace, progress, arguments.debug)?;
    if arguments.keep {
        cluster.arg("--keep");
    }
    // The cluster is its own: none that the user has is touched.
    cluster.env_remove("KUBECONFIG").env("XDHCPD_REAL", workspace.real());
    // It only returns when it fails.
    Err(cluster.exec()).context("cannot run the cluster")
}

fn build(workspace: &Workspace, progress: &Progress, with_agent: bool) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xdhcpd-tests", "--bin", "cluster"]);
    if with_agent {
        crate::build_ebpf::run(workspace, progress)?;
        cargo.args(["--package", "xdhcpd", "--bin", "xdhcpd"]);
    }
    // Ours are paths we know, whatever else the user's cargo builds for by default.
    cargo.env_remove("CARGO_BUILD_TARGET");
    progress.run_or_show(STEP, cargo, &workspace.log("build"))
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
    bail!("a node of Kubernetes needs root; run:\n    sudo -E env PATH=\"$PATH\" cargo xtask cluster{flag}")
}
