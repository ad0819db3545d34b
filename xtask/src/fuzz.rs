//! `cargo xtask fuzz`: looks for bytes that break a promise, from the corpus on.
//!
//! Not part of the tests: it takes a nightly toolchain, and has no end. What it finds is kept under
//! `target/fuzz`; a finding belongs into `tests/corpus`, which the tests replay on each change.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::progress::Progress;
use crate::workspace::Workspace;

/// The version that was tried.
const VERSION: &str = "0.13.2";

/// What there is to fuzz: its target, and its folder in the corpus.
const TARGETS: [(&str, &str); 4] =
    [("frame", "frames"), ("options", "options"), ("journal", "journal"), ("config", "config")];

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One of frame, options, journal, config; all of them without it
    #[arg(value_parser = TARGETS.map(|(target, _)| target))]
    target: Option<String>,
    /// Seconds for each
    #[arg(long, default_value = "60")]
    seconds: u32,
}

/// Fuzzes; fails when something was found.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    let program = cargo_fuzz(workspace, progress)?;
    for (target, folder) in TARGETS {
        if arguments.target.as_ref().is_some_and(|wanted| wanted != target) {
            continue;
        }
        let found = workspace.fuzz().join(target);
        fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let mut fuzz = nightly(workspace, &program);
        fuzz.args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", "--target-dir"]);
        fuzz.arg(workspace.fuzz().join("build")).arg(target).arg(&found);
        fuzz.arg(workspace.root().join("tests/corpus").join(folder));
        fuzz.arg("--").arg(format!("-max_total_time={}", arguments.seconds)).arg("-rss_limit_mb=4096");
        fuzz.arg(format!("-artifact_prefix={}/found-", workspace.fuzz().display()));
        progress.run_or_show(&format!("fuzz {target}"), fuzz, &workspace.log(&format!("fuzz/{target}")))?;
        progress.say("fuzz", &format!("{target}: nothing found in {} s", arguments.seconds));
    }
    Ok(())
}

/// Cargo of the nightly toolchain, with cargo-fuzz on its path.
fn nightly(workspace: &Workspace, program: &std::path::Path) -> Command {
    let mut path = program.parent().unwrap_or(program).as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo"]).current_dir(workspace.root());
    cargo.env("PATH", path).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO_TARGET_DIR");
    cargo
}

/// cargo-fuzz in our target directory, built when it is not there.
fn cargo_fuzz(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    let has_nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    if !has_nightly.is_ok_and(|output| output.status.success()) {
        bail!("fuzzing takes a nightly toolchain; run: rustup toolchain install nightly");
    }
    let root = workspace.tool(&format!("cargo-fuzz-{VERSION}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        progress.say("set-up", &format!("builds cargo-fuzz {VERSION}: it drives libFuzzer (a minute, once)"));
        let mut cargo = workspace.cargo();
        cargo.args(["install", "cargo-fuzz", "--locked", "--debug", "--version", VERSION]);
        cargo.arg("--root").arg(&root).env_remove("CARGO_TARGET_DIR");
        progress.run_or_show("set-up", cargo, &workspace.log("setup"))?;
    }
    Ok(program)
}
