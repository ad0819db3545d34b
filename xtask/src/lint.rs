//! `cargo xtask lint`: everything that a machine can say about the code without running it.
//!
//! All linters run, even after one has failed; each failure is shown in full.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::progress::Progress;
use crate::workspace::Workspace;
use crate::{build_ebpf, setup};

/// Does the set-up and runs every linter.
pub fn run(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let linker = setup::for_build(workspace, progress)?;
    let cargo_deny = setup::for_lint(workspace, progress)?;
    let mut failed = Vec::new();
    for (name, command) in linters(workspace, &linker, &cargo_deny) {
        match progress.run_or_show(name, command, &workspace.log("lint")) {
            Ok(()) => progress.say(name, "ok"),
            Err(error) => {
                progress.say(name, &format!("FAILED: {error:#}"));
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    Ok(())
}

fn linters(workspace: &Workspace, linker: &Path, cargo_deny: &Path) -> [(&'static str, Command); 6] {
    let ebpf = workspace.ebpf_manifest();

    let mut format = workspace.cargo();
    format.args(["fmt", "--all", "--check"]);

    let mut format_ebpf = workspace.cargo();
    format_ebpf.args(["fmt", "--check", "--manifest-path"]).arg(&ebpf);

    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);

    let mut clippy_ebpf = build_ebpf::cargo(workspace, "clippy", linker);
    clippy_ebpf.args(["--", "-D", "warnings"]);

    [
        ("rustfmt", format),
        ("rustfmt of the program", format_ebpf),
        ("clippy", clippy),
        ("clippy of the program", clippy_ebpf),
        ("cargo-deny", deny(workspace, cargo_deny, &workspace.root().join("Cargo.toml"))),
        ("cargo-deny of the program", deny(workspace, cargo_deny, &ebpf)),
    ]
}

/// No advisories: they come over the network, and a new one must not break yesterday's commit.
fn deny(workspace: &Workspace, cargo_deny: &Path, manifest: &Path) -> Command {
    let mut deny = Command::new(cargo_deny);
    deny.current_dir(workspace.root()).arg("--manifest-path").arg(manifest);
    deny.arg("--config").arg(workspace.root().join("deny.toml"));
    deny.args(["check", "licenses", "bans", "sources"]);
    deny
}
