//! `cargo xtask setup`: what each command needs, installed once, with the reason said.
//!
//! The commands call this themselves. It looks before it acts, so it costs next to nothing when
//! all is there; without root or apt it prints what to run and stops. No package it installs gets
//! to start a service.

pub mod bpffs;
pub mod linker;

mod apt;
mod deny;
mod packages;
mod toolchain;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

pub use self::packages::find;
pub use self::toolchain::STATIC_TARGET;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// What the set-up calls itself on the screen.
const STEP: &str = "set-up";

/// What people can set up by hand.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to prepare for; everything, when nothing is named
    groups: Vec<Group>,
}

/// A kind of work, with needs of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Building the XDP program
    Build,
    /// rustfmt, clippy and cargo-deny
    Lint,
    /// A network to try things in
    Lab,
    /// All tests
    Tests,
    /// The image of a container
    Image,
    /// A Kubernetes of one node
    Cluster,
}

/// Sets up for the named groups.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    let named = &arguments.groups;
    for group in if named.is_empty() { Group::value_variants() } else { named } {
        match group {
            Group::Build => for_build(workspace, progress).map(drop)?,
            Group::Lint => for_lint(workspace, progress).map(drop)?,
            Group::Lab => for_lab(workspace, progress)?,
            Group::Tests => for_tests(workspace, progress),
            Group::Image => for_image(workspace, progress)?,
            Group::Cluster => for_cluster(workspace, progress)?,
        }
    }
    progress.say(STEP, "done");
    Ok(())
}

/// Makes sure that the XDP program can be built; gives the linker.
pub fn for_build(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    let toolchain = toolchain::Toolchain::find(workspace)?;
    toolchain.ensure(workspace, progress, toolchain::BUILD)?;
    linker::ensure(workspace, progress, &toolchain)
}

/// Makes sure that all linters are there; gives cargo-deny.
pub fn for_lint(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    let toolchain = toolchain::Toolchain::find(workspace)?;
    toolchain.ensure(workspace, progress, toolchain::LINT)?;
    deny::ensure(workspace, progress)
}

/// Makes sure that a network can be laid out and looked into.
pub fn for_lab(workspace: &Workspace, progress: &Progress) -> Result<()> {
    apt::install(workspace, progress, packages::LAB)?;
    bpffs::ensure(progress)
}

/// Makes sure that one static file can be built, and an image made of it.
pub fn for_image(workspace: &Workspace, progress: &Progress) -> Result<()> {
    toolchain::Toolchain::find(workspace)?.ensure(workspace, progress, toolchain::STATIC)?;
    apt::install(workspace, progress, packages::IMAGE)
}

/// Makes sure that a network can be laid out, and gets what is measured beside xdhcpd: what cannot be
/// had is a warning, and left out of the report.
pub fn for_bench(workspace: &Workspace, progress: &Progress) -> Result<()> {
    for_lab(workspace, progress)?;
    apt::install_what_there_is(workspace, progress, packages::PEERS);
    Ok(())
}

/// Makes sure that this machine can be a node, and a network be laid out beside it.
pub fn for_cluster(workspace: &Workspace, progress: &Progress) -> Result<()> {
    for_lab(workspace, progress)?;
    for packages in [packages::IMAGE, packages::CLUSTER] {
        apt::install(workspace, progress, packages)?;
    }
    Ok(())
}

/// Gets what the tests use beside the program. What cannot be had is a warning: the tests that
/// need it skip themselves and say so.
pub fn for_tests(workspace: &Workspace, progress: &Progress) {
    for packages in [packages::LAB, packages::TESTS, packages::IMAGE, packages::CLUSTER] {
        apt::install_what_there_is(workspace, progress, packages);
    }
    if let Err(missing) = bpffs::ensure(progress) {
        progress.say(STEP, &format!("warning: {missing:#}"));
    }
}

/// Whether this process may do anything.
pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

/// The second of the four user ids in `/proc/self/status` (proc_pid_status(5)).
fn effective_user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_decides() {
        assert_eq!(effective_user("Name:\txtask\nUid:\t1000\t0\t0\t0\nGid:\t5\t6\t7\t8\n"), Some(0));
        assert_eq!(effective_user("Uid:\t0\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_user("Name:\txtask\n"), None);
    }
}
