//! bpf-linker, which turns rustc's bitcode into one BPF object.
//!
//! It has to read the bitcode of the LLVM inside rustc, so it is built against that LLVM. Ours
//! lies in the target directory; one on PATH will do when its version and its LLVM are right.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::packages::{find, linker_prefix, to_build_the_linker};
use super::toolchain::Toolchain;
use super::{STEP, apt};
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The version whose objects are tested.
const VERSION: &str = "0.13.0";

/// A linker for this toolchain, if there is one.
pub fn existing(workspace: &Workspace) -> Result<PathBuf> {
    let major = Toolchain::find(workspace)?.llvm_major()?;
    look(workspace, major).with_context(|| {
        format!("there is no bpf-linker {VERSION} for LLVM {major}; `cargo xtask setup build` builds one")
    })
}

/// A linker for `toolchain`, built when there is none.
pub fn ensure(workspace: &Workspace, progress: &Progress, toolchain: &Toolchain) -> Result<PathBuf> {
    let major = toolchain.llvm_major()?;
    match look(workspace, major) {
        Some(linker) => Ok(linker),
        None => install(workspace, progress, major),
    }
}

fn look(workspace: &Workspace, major: u32) -> Option<PathBuf> {
    let ours = ours(workspace, major).join("bin/bpf-linker");
    [Some(ours), find("bpf-linker")].into_iter().flatten().find(|linker| fits(linker, major))
}

fn ours(workspace: &Workspace, major: u32) -> PathBuf {
    workspace.tool(&format!("bpf-linker-{VERSION}-llvm{major}"))
}

fn install(workspace: &Workspace, progress: &Progress, major: u32) -> Result<PathBuf> {
    let no_llvm = || {
        format!(
            "bpf-linker {VERSION} needs LLVM {major}'s development files. Where apt has none, \
             https://apt.llvm.org has, or put a bpf-linker {VERSION} from its releases page on PATH"
        )
    };
    apt::install(workspace, progress, &to_build_the_linker(major)).with_context(no_llvm)?;
    progress.say(STEP, &format!("builds bpf-linker {VERSION}: it makes the BPF object (minutes, once)"));
    let prefix = linker_prefix(major);
    let mut path = prefix.join("bin").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut cargo = workspace.cargo();
    cargo.args(["install", "bpf-linker", "--locked", "--version", VERSION]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{major}")]);
    cargo.arg("--root").arg(ours(workspace, major));
    // cargo builds in a temporary directory of its own when not told otherwise.
    cargo.env_remove("CARGO_TARGET_DIR").env("LLVM_PREFIX", &prefix).env("PATH", path);
    progress.run_or_show(STEP, cargo, &workspace.log("setup"))?;
    let built = ours(workspace, major).join("bin/bpf-linker");
    fits(&built, major).then_some(built).context("the bpf-linker just built does not run")
}

/// Whether `linker` runs, is the version we want, and reads what an LLVM `major` writes.
fn fits(linker: &Path, major: u32) -> bool {
    let version = said(Command::new(linker).arg("--version"));
    // The dynamic loader names the libraries instead of running the program.
    let libraries = said(Command::new(linker).arg("--version").env("LD_TRACE_LOADED_OBJECTS", "1"));
    version.is_some_and(|said| said.trim() == format!("bpf-linker {VERSION}"))
        && libraries.is_some_and(|said| linked_llvm(&said).is_none_or(|linked| linked == major))
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// The LLVM that a program is linked to; none when it has its own inside, as the published
/// binaries do, whose LLVM is at least as new as any that `VERSION` supports.
fn linked_llvm(libraries: &str) -> Option<u32> {
    let (_, rest) = libraries.split_once("libLLVM")?;
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_names_the_llvm_a_linker_uses() {
        let debian = "\tlinux-vdso.so.1\n\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x7f)\n";
        assert_eq!(linked_llvm(debian), Some(22));
        assert_eq!(linked_llvm("\tlibLLVM-17.so.1 => /usr/lib/libLLVM-17.so.1 (0x7f)\n"), Some(17));
    }

    #[test]
    fn a_static_linker_names_none() {
        assert_eq!(linked_llvm("bpf-linker 0.13.0\n"), None);
        assert_eq!(linked_llvm("\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n"), None);
    }

    #[test]
    fn what_is_no_linker_does_not_fit() {
        assert!(!fits(Path::new("/bin/true"), 22));
        assert!(!fits(Path::new("/no/such/file"), 22));
    }
}
