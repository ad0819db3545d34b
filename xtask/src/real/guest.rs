//! A small Linux for virtual machines: a kernel with its modules, and one program that is all the
//! rest. The tests make an initramfs of them, each with what it needs.

use anyhow::Result;

use super::STEP;
use super::debian::Suite;
use super::kernels;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The suite whose kernel and busybox they run.
const SUITE: &str = "bookworm";

/// Gets what is missing.
pub fn ensure(workspace: &Workspace, progress: &Progress) -> Result<()> {
    kernels::ensure(workspace, progress, SUITE)?;
    // Static: there is nothing else in the guest. Not installed, for it would take the place of the
    // machine's own busybox.
    let kept = workspace.real().join("busybox");
    if kept.is_dir() {
        return Ok(());
    }
    progress.say(STEP, "fetches a static busybox: it is all that runs in the tests' virtual machines");
    Suite::read(workspace, progress, SUITE)?.unpack("busybox-static", &kept, |_| Ok(()))
}
