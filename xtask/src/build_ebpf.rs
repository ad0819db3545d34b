//! `cargo xtask build-ebpf`: builds the XDP program into `target/ebpf/xdhcpd.o`, and beside it what the
//! bench compares it with.
//!
//! The stable toolchain does it: `RUSTC_BOOTSTRAP` lets it build `core` for the BPF target, and
//! bpf-linker makes one object with BTF of what it emits.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::progress::Progress;
use crate::setup;
use crate::workspace::Workspace;

const STEP: &str = "program";
const TARGET: &str = "bpfel-unknown-none";
/// The binaries of the `ebpf` crate, and the objects that they become.
const BINARIES: [(&str, &str); 2] = [("xdhcpd-ebpf", "xdhcpd.o"), ("bench", "bench.o")];

/// Does the set-up and builds the program.
pub fn run(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let linker = setup::for_build(workspace, progress)?;
    with_linker(workspace, progress, &linker)
}

/// Builds the program with a linker that is there.
pub fn with_linker(workspace: &Workspace, progress: &Progress, linker: &Path) -> Result<()> {
    let build = cargo(workspace, "build", linker);
    progress.run_or_show(STEP, build, &workspace.log("build-ebpf"))?;
    let release = workspace.ebpf_target().join(TARGET).join("release");
    for (binary, name) in BINARIES {
        let object = workspace.ebpf_object(name);
        let changed = copy_if_changed(&release.join(binary), &object)?;
        let how = if changed { "built" } else { "unchanged" };
        progress.say(STEP, &format!("{} ({how})", workspace.short(&object)));
    }
    Ok(())
}

/// Cargo doing `what` (`build`, `clippy`) with the program's crate, on its target.
pub fn cargo(workspace: &Workspace, what: &str, linker: &Path) -> Command {
    let mut cargo = workspace.cargo();
    cargo.arg(what).arg("--manifest-path").arg(workspace.ebpf_manifest());
    cargo.args(["--release", "-Z", "build-std=core", "--target", TARGET]);
    cargo.arg("--target-dir").arg(workspace.ebpf_target());
    // Flags and wrappers that people set for the host's programs do not fit this target.
    for variable in ["RUSTC", "RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", rust_flags(linker));
    cargo
}

/// In cargo's encoded form, where a path may contain spaces.
fn rust_flags(linker: &Path) -> String {
    let linker = format!("linker={}", linker.display());
    // Addresses and MACs are bytes: without the feature they would be loaded one by one.
    let words = "target-feature=+allows-misaligned-mem-access";
    ["-C", "debuginfo=2", "-C", "link-arg=--btf", "-C", words, "-C", &linker].join("\u{1f}")
}

/// Copies unless the same bytes are there: a new time stamp would rebuild the agent. Gives
/// whether it copied.
fn copy_if_changed(from: &Path, to: &Path) -> Result<bool> {
    let new = fs::read(from).with_context(|| format!("the build left no {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(false);
    }
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    // Whole or not at all, for whoever builds the agent at this moment.
    let part = to.with_extension("part");
    fs::write(&part, new)
        .and_then(|()| fs::rename(&part, to))
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_path_with_spaces_stays_one_flag() {
        let flags = rust_flags(Path::new("/my tools/bpf-linker"));
        assert_eq!(flags.split('\u{1f}').next_back(), Some("linker=/my tools/bpf-linker"));
    }

    #[test]
    fn the_object_is_touched_only_when_its_bytes_change() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("ebpf/to.o"));
        fs::write(&from, "one").unwrap();
        assert!(copy_if_changed(&from, &to).unwrap());
        assert!(!copy_if_changed(&from, &to).unwrap());
        fs::write(&from, "two").unwrap();
        assert!(copy_if_changed(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        assert!(copy_if_changed(&directory.path().join("none"), &to).is_err());
    }
}
