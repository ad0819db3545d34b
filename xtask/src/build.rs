//! `cargo xtask build`: the XDP program, then the agent with the program inside.

use anyhow::Result;

use crate::build_ebpf;
use crate::progress::Progress;
use crate::workspace::Workspace;

const STEP: &str = "agent";

/// How to build.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Optimised: one binary, target/release/xdhcpd, with the program inside
    #[arg(long)]
    release: bool,
}

/// Builds both, and prints the agent's path.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    build_ebpf::run(workspace, progress)?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xdhcpd"]);
    if arguments.release {
        cargo.arg("--release");
    }
    // Ours is a path we know, whatever else the user's cargo builds for by default.
    cargo.env_remove("CARGO_BUILD_TARGET");
    progress.run_or_show(STEP, cargo, &workspace.log("build"))?;
    let profile = if arguments.release { "release" } else { "debug" };
    let agent = workspace.agent(profile);
    progress.say(STEP, &workspace.short(&agent).to_string());
    Ok(())
}
