//! cargo-deny, which checks licences, sources and duplicates of what we depend on.

use std::path::PathBuf;

use anyhow::Result;

use super::STEP;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The version that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// cargo-deny in our target directory, built when it is not there.
pub fn ensure(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    let root = workspace.tool(&format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    progress.say(STEP, &format!("builds cargo-deny {VERSION}: it checks licences (a minute, once)"));
    let mut cargo = workspace.cargo();
    // Unoptimised it is built in half the time, and still checks within a second or two.
    cargo.args(["install", "cargo-deny", "--locked", "--debug", "--version", VERSION]);
    cargo.arg("--root").arg(&root).env_remove("CARGO_TARGET_DIR");
    progress.run_or_show(STEP, cargo, &workspace.log("setup"))?;
    Ok(program)
}
