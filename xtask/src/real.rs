//! `cargo xtask real`: the real parts that tests are run against, built or fetched once and kept.
//!
//! What is built is pinned in `tests/real/`, which also names its version; what is fetched is of a named
//! suite of Debian's. All lies in `target/real/`, a folder a version, where the tests look for it;
//! `XDHCPD_REAL` names another folder in its place.

mod debian;
mod go;
mod guest;
mod helm;
pub mod kernels;
mod kube;

use std::fs::{self, File};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::progress::Progress;
use crate::workspace::Workspace;

const STEP: &str = "real";

/// Which parts to get.
#[derive(Debug, clap::Args)]
#[command(after_help = "Environment:\n  \
    XDHCPD_REAL  a folder to use in place of target/real: several checkouts can share one\n  \
    KUBECONFIG   tests take this cluster and start no servers; `cargo xtask test` then builds none")]
pub struct Arguments {
    /// What to get; everything, when nothing is named
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
}

/// Something real that tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kubernetes' API server and controllers, and etcd, from Go modules (needs Go)
    Kube,
    /// helm, which installs the chart, from a Go module (needs Go)
    Helm,
    /// What makes a node of this machine: Kubernetes' scheduler and kubelet (needs Go)
    Node,
    /// A small Linux for virtual machines: a kernel of Debian's and a static busybox (needs apt-get)
    Guest,
    /// That small Linux with the kernels of three releases of Debian: 5.10, 6.1 and 6.12
    Kernels,
}

impl Part {
    fn ensure(self, workspace: &Workspace, progress: &Progress) -> Result<()> {
        match self {
            Self::Kube => kube::ensure(workspace, progress),
            Self::Helm => helm::ensure(workspace, progress),
            Self::Node => {
                kube::ensure(workspace, progress)?;
                kube::ensure_node(workspace, progress)?;
                // Its busybox is all that is in the sandbox of a pod.
                guest::ensure(workspace, progress)
            }
            Self::Guest => guest::ensure(workspace, progress),
            Self::Kernels => {
                guest::ensure(workspace, progress)?;
                kernels::SUITES.iter().try_for_each(|(suite, _)| kernels::ensure(workspace, progress, suite))
            }
        }
    }
}

/// Gets the named parts that are not there yet.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<()> {
    let named = &arguments.parts;
    let _held = hold_lock(workspace, progress)?;
    for part in if named.is_empty() { Part::value_variants() } else { named } {
        part.ensure(workspace, progress)?;
    }
    progress.say(STEP, &format!("all is in {}", workspace.short(workspace.real())));
    Ok(())
}

/// Gets what the tests use.
pub fn for_tests(workspace: &Workspace, progress: &Progress) {
    if kube::is_given() {
        progress.say(STEP, "KUBECONFIG is set: tests take that cluster");
    } else {
        ensure_or_warn(workspace, progress, Part::Kube, "a real Kubernetes");
    }
    ensure_or_warn(workspace, progress, Part::Helm, "helm");
    ensure_or_warn(workspace, progress, Part::Guest, "virtual machines");
    if !kube::is_given() {
        ensure_or_warn(workspace, progress, Part::Node, "a node of Kubernetes");
    }
}

/// Gets what `cargo xtask cluster` uses.
pub fn for_cluster(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let _held = hold_lock(workspace, progress)?;
    [Part::Node, Part::Helm].into_iter().try_for_each(|part| part.ensure(workspace, progress))
}

/// Gets what the tests on all kernels use.
pub fn for_kernels(workspace: &Workspace, progress: &Progress) {
    ensure_or_warn(workspace, progress, Part::Kernels, "other kernels");
}

/// Gets a part. What cannot be had is a warning: the tests that need it skip themselves and say so.
fn ensure_or_warn(workspace: &Workspace, progress: &Progress, part: Part, what: &str) {
    let ensured = hold_lock(workspace, progress).and_then(|_held| part.ensure(workspace, progress));
    if let Err(reason) = ensured {
        progress.say(STEP, &format!("warning: tests with {what} will be skipped: {reason:#}"));
    }
}

/// Held while parts are built: several checkouts may share one folder.
fn hold_lock(workspace: &Workspace, progress: &Progress) -> Result<File> {
    let folder = workspace.real();
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = folder.join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
    if lock.try_lock().is_err() {
        progress.say(STEP, "waiting for another build of real parts to finish");
        lock.lock()?;
    }
    Ok(lock)
}
