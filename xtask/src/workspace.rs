//! Where things lie in the workspace, and cargo as every command here calls it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The workspace and its target directory, both absolute.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
    real: PathBuf,
}

impl Workspace {
    /// The workspace this xtask was built from.
    pub fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask lies in no workspace")?.to_path_buf();
        let target = target_directory(&root, env::var_os("CARGO_TARGET_DIR").map(PathBuf::from));
        let real = real_directory(&root, &target, env::var_os("XDHCPD_REAL").map(PathBuf::from));
        Ok(Self { root, target, real })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The manifest of the XDP program's crate, which is no member of the workspace.
    pub fn ebpf_manifest(&self) -> PathBuf {
        self.root.join("ebpf/Cargo.toml")
    }

    /// The crate whose tests need root.
    pub fn privileged_tests(&self) -> PathBuf {
        self.root.join("tests")
    }

    /// Where an object of the `ebpf` crate is left; `agent/build.rs` knows the place of the program's.
    pub fn ebpf_object(&self, name: &str) -> PathBuf {
        self.target.join("ebpf").join(name)
    }

    /// Cargo's own target directory for the program: other flags, so never shared.
    pub fn ebpf_target(&self) -> PathBuf {
        self.target.join("bpf-build")
    }

    /// The agent's binary, as built with `profile`.
    pub fn agent(&self, profile: &str) -> PathBuf {
        self.target.join(profile).join("xdhcpd")
    }

    /// The agent as one static file, built for `target`.
    pub fn static_agent(&self, target: &str) -> PathBuf {
        self.target.join(target).join("release/xdhcpd")
    }

    /// Where the image of a container is made and left.
    pub fn image(&self) -> PathBuf {
        self.target.join("image")
    }

    /// Where a tool of ours is installed; `name` carries its version.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.target.join("tools").join(name)
    }

    /// Where the real parts are pinned that tests are run against, a folder each.
    pub fn pinned(&self) -> PathBuf {
        self.privileged_tests().join("real")
    }

    /// Where those parts are kept once they are built; the tests know the same place.
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Where the bench writes its report.
    pub fn bench(&self) -> PathBuf {
        self.target.join("bench")
    }

    /// Where fuzzing builds, and keeps what it finds.
    pub fn fuzz(&self) -> PathBuf {
        self.target.join("fuzz")
    }

    /// The log of one kind of work, such as `test-logs/compile`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.target.join(format!("{name}.log"))
    }

    /// `path` as people type it from the root.
    pub fn short<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Cargo, at the root, without what `cargo run` said about xtask itself.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).env("CARGO_TERM_COLOR", "never");
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(describes_xtask) {
                command.env_remove(name);
            }
        }
        command
    }
}

/// A relative `CARGO_TARGET_DIR` counts from the root, where all of our cargo commands run.
fn target_directory(root: &Path, set: Option<PathBuf>) -> PathBuf {
    root.join(set.unwrap_or_else(|| "target".into()))
}

/// A relative `XDHCPD_REAL` counts from the root, too.
fn real_directory(root: &Path, target: &Path, set: Option<PathBuf>) -> PathBuf {
    set.filter(|set| !set.as_os_str().is_empty()).map_or_else(|| target.join("real"), |set| root.join(set))
}

/// Whether `cargo run` sets this variable to describe the package it runs: build scripts and
/// tests further down would take it for their own.
fn describes_xtask(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_")
        || variable.starts_with("CARGO_MANIFEST_")
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_target_directory_counts_from_the_root() {
        let root = Path::new("/src/xdhcpd");
        assert_eq!(target_directory(root, None), root.join("target"));
        assert_eq!(target_directory(root, Some("out".into())), root.join("out"));
        assert_eq!(target_directory(root, Some("/var/out".into())), Path::new("/var/out"));
    }

    #[test]
    fn real_parts_are_kept_in_the_target_directory_or_where_people_say() {
        let (root, target) = (Path::new("/src/xdhcpd"), Path::new("/out"));
        assert_eq!(real_directory(root, target, None), Path::new("/out/real"));
        assert_eq!(real_directory(root, target, Some("".into())), Path::new("/out/real"));
        assert_eq!(real_directory(root, target, Some("../real".into())), root.join("../real"));
        assert_eq!(real_directory(root, target, Some("/var/real".into())), Path::new("/var/real"));
    }

    #[test]
    fn what_cargo_run_says_of_xtask_is_told_from_what_people_set() {
        assert!(describes_xtask("CARGO_PKG_NAME"));
        assert!(describes_xtask("CARGO_MANIFEST_DIR"));
        assert!(!describes_xtask("CARGO_TARGET_DIR"));
        assert!(!describes_xtask("CARGO_HOME"));
    }
}
