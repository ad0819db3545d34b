//! The Rust toolchain: where it is, the LLVM inside, and the components we need of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::STEP;
use super::packages::find;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// A part of the toolchain that rustup installs.
#[derive(Debug)]
pub struct Component {
    /// What rustup calls such a part.
    kind: &'static str,
    name: &'static str,
    /// A file below the toolchain's own directory that is there when the component is.
    gives: &'static str,
    why: &'static str,
}

/// To build the XDP program.
pub const BUILD: &[Component] = &[Component {
    kind: "component",
    name: "rust-src",
    gives: "lib/rustlib/src/rust/library/core/Cargo.toml",
    why: "no `core` comes built for the BPF target",
}];

/// To lint.
pub const LINT: &[Component] = &[
    Component { kind: "component", name: "rustfmt", gives: "bin/cargo-fmt", why: "checks the formatting" },
    Component { kind: "component", name: "clippy", gives: "bin/cargo-clippy", why: "lints" },
];

/// To build one file that needs no library of the machine it runs on.
pub const STATIC: &[Component] = &[Component {
    kind: "target",
    name: STATIC_TARGET,
    gives: "lib/rustlib/x86_64-unknown-linux-musl/lib",
    why: "an image holds one file, which is linked statically",
}];

/// The target of [`STATIC`].
pub const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// The toolchain that runs us.
#[derive(Debug)]
pub struct Toolchain {
    sysroot: PathBuf,
}

impl Toolchain {
    /// The toolchain whose cargo started us, or the one of the first `rustc` there is.
    pub fn find(workspace: &Workspace) -> Result<Self> {
        // Asking the file system spares a start of rustup's proxy.
        let of_cargo =
            env::var_os("CARGO").and_then(|cargo| Some(Path::new(&cargo).parent()?.parent()?.to_path_buf()));
        let sysroot = match of_cargo {
            Some(sysroot) if sysroot.join("lib/rustlib").is_dir() => sysroot,
            _ => PathBuf::from(
                answer(Command::new("rustc").args(["--print", "sysroot"]).current_dir(workspace.root()))?
                    .trim(),
            ),
        };
        Ok(Self { sysroot })
    }

    /// The major version of the LLVM that this rustc writes bitcode with.
    pub fn llvm_major(&self) -> Result<u32> {
        let said = answer(Command::new(self.sysroot.join("bin/rustc")).arg("-vV"))?;
        llvm_major(&said).with_context(|| format!("`rustc -vV` names no LLVM version:\n{said}"))
    }

    /// Installs the components that are missing.
    pub fn ensure(&self, workspace: &Workspace, progress: &Progress, components: &[Component]) -> Result<()> {
        for component in components.iter().filter(|component| !self.sysroot.join(component.gives).exists()) {
            progress.say(STEP, &format!("needs Rust's {}: {}", component.name, component.why));
            if find("rustup").is_none() {
                bail!(
                    "there is no rustup here; add the {} {} to the toolchain in {}",
                    component.kind,
                    component.name,
                    self.sysroot.display()
                );
            }
            let mut rustup = Command::new("rustup");
            rustup.args([component.kind, "add", component.name]).current_dir(workspace.root());
            progress.run_or_show(STEP, rustup, &workspace.log("setup"))?;
        }
        Ok(())
    }
}

/// What a command prints, which must succeed.
fn answer(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The LLVM major version in what `rustc -vV` prints.
fn llvm_major(said: &str) -> Option<u32> {
    let version = said.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_names_its_llvm() {
        let said =
            "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(llvm_major(said), Some(22));
        assert_eq!(llvm_major("LLVM version: 9\n"), Some(9));
    }

    #[test]
    fn a_rustc_without_llvm_has_no_version_of_it() {
        assert_eq!(llvm_major("rustc 1.95.0\nrelease: 1.95.0\n"), None);
        assert_eq!(llvm_major("LLVM version: unknown\n"), None);
        assert_eq!(llvm_major(""), None);
    }
}
