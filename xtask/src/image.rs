//! `cargo xtask image`: the image of a container, made without a daemon.
//!
//! One static file on nothing else: no shell, no library, nothing that would have to be kept up to
//! date beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::build_ebpf;
use crate::progress::Progress;
use crate::setup::{self, STATIC_TARGET};
use crate::workspace::Workspace;

const STEP: &str = "image";

/// The version of every crate of the workspace, and so of the image.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the image, and prints where it is.
pub fn run(workspace: &Workspace, progress: &Progress) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("an image can be made on x86_64 alone, and this is {}", std::env::consts::ARCH);
    }
    setup::for_image(workspace, progress)?;
    build_ebpf::run(workspace, progress)?;
    progress.say(STEP, "the agent as one static file (some minutes the first time)");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xdhcpd", "--release", "--target", STATIC_TARGET]);
    progress.run_or_show(STEP, cargo, &workspace.log("image"))?;

    let folder = workspace.image();
    let context = folder.join("context");
    fs::create_dir_all(&context).with_context(|| format!("cannot create {}", context.display()))?;
    fs::copy(workspace.static_agent(STATIC_TARGET), context.join("xdhcpd")).context("copying the agent")?;
    let archive = archive(workspace);
    pack(workspace, progress, &folder, &archive)?;
    for made in ["context", "storage", "run"] {
        remove(&folder.join(made))?;
    }
    progress.say(STEP, &format!("localhost/xdhcpd:{VERSION} is in {}", workspace.short(&archive)));
    Ok(())
}

/// Where the image is, once it is built.
pub fn archive(workspace: &Workspace) -> PathBuf {
    workspace.image().join("xdhcpd.tar")
}

/// Makes the image of what is in the context, and an archive of the image.
fn pack(workspace: &Workspace, progress: &Progress, folder: &Path, archive: &Path) -> Result<()> {
    let name = format!("localhost/xdhcpd:{VERSION}");
    let run = |arguments: &[&str]| {
        let mut buildah = Command::new("buildah");
        // A storage of our own: nothing of ours among the user's images. vfs asks nothing of the
        // file system.
        buildah.arg("--root").arg(folder.join("storage")).arg("--runroot").arg(folder.join("run"));
        buildah.args(["--storage-driver", "vfs"]).args(arguments);
        progress.run_or_show(STEP, buildah, &workspace.log("image"))
    };
    let containerfile = workspace.root().join("Containerfile").to_string_lossy().into_owned();
    let context = folder.join("context").to_string_lossy().into_owned();
    let version = format!("org.opencontainers.image.version={VERSION}");
    run(&[
        "bud",
        "--isolation",
        "chroot",
        "--label",
        &version,
        "--file",
        &containerfile,
        "--tag",
        &name,
        &context,
    ])?;
    // An archive is not written over: it is made beside the one before, and takes its place.
    let made = folder.join("made.tar");
    if made.exists() {
        fs::remove_file(&made).with_context(|| format!("cannot remove {}", made.display()))?;
    }
    run(&["push", &name, &format!("docker-archive:{}:{name}", made.display())])?;
    fs::rename(&made, archive).with_context(|| format!("cannot write {}", archive.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
