//! Debian's kernels for virtual machines, a suite's each, in `kernels/SUITE/`: `boot/` and
//! `lib/modules/` as they are on a machine that has it installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::STEP;
use super::debian::Suite;
use crate::progress::Progress;
use crate::setup::find;
use crate::workspace::Workspace;

/// The suites whose kernels the tests run on, and which Linux that is; the oldest first.
pub const SUITES: [(&str, &str); 3] = [("bullseye", "5.10"), ("bookworm", "6.1"), ("trixie", "6.12")];

/// The newest kernel of a suite without drivers for hardware: it boots a virtual machine in seconds.
const NEWEST: &str = "linux-image-cloud-amd64";

/// Gets the kernel of a suite, if it is not there.
pub fn ensure(workspace: &Workspace, progress: &Progress, suite: &str) -> Result<()> {
    let kept = workspace.real().join("kernels").join(suite);
    if kept.is_dir() {
        return Ok(());
    }
    progress.say(STEP, &format!("fetches the kernel of {suite}: the tests' virtual machines run it"));
    let suite = Suite::read(workspace, progress, suite)?;
    let kernel = suite.dependency(NEWEST)?;
    suite.unpack(&kernel, &kept, |unpacked| index_modules(workspace, progress, unpacked))
}

/// Writes what an installation would write: which module needs which (depmod(8)).
fn index_modules(workspace: &Workspace, progress: &Progress, unpacked: &Path) -> Result<()> {
    let modules = unpacked.join("lib/modules");
    // Where they are since trixie.
    let newer = unpacked.join("usr/lib/modules");
    if newer.is_dir() {
        fs::create_dir_all(unpacked.join("lib")).context("cannot create lib")?;
        fs::rename(&newer, &modules).with_context(|| format!("cannot move {}", newer.display()))?;
    }
    let release = fs::read_dir(&modules)
        .with_context(|| format!("cannot read {}", modules.display()))?
        .next()
        .with_context(|| format!("{} is empty", modules.display()))??;
    let depmod = find("depmod").context("there is no depmod here; `cargo xtask setup tests` installs it")?;
    let mut command = Command::new(depmod);
    command.arg("-b").arg(unpacked).arg(release.file_name());
    progress.run_or_show(STEP, command, &workspace.log("real"))
}
