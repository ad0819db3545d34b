//! Images of containers, made here of what is here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::netns::succeed;

/// The image of a pod's sandbox: something that stays until it is killed.
pub fn sandbox(busybox: &Path, name: &str, folder: &Path) -> Result<PathBuf> {
    let root = empty(&folder.join("sandbox"))?;
    copy(busybox, &root.join("busybox"))?;
    pack(folder, "sandbox", name, r#"ENTRYPOINT ["/busybox", "sleep", "1000000"]"#)
}

/// An image of the agent as it was just built, with the libraries that it is linked with: what
/// `cargo xtask image` makes, but of another build.
pub fn of_agent(agent: &Path, name: &str, folder: &Path) -> Result<PathBuf> {
    let root = empty(&folder.join("agent"))?;
    // Without what debuggers need, which is most of it.
    succeed(Command::new("strip").arg("--strip-debug").arg("-o").arg(root.join("xdhcpd")).arg(agent))?;
    copy_libraries(agent, &root)?;
    pack(folder, "agent", name, "ENTRYPOINT [\"/xdhcpd\"]\nCMD [\"--help\"]")
}

/// An image of other programs of this machine, each under a name of its own at the top.
pub fn of_programs(programs: &[(&Path, &str)], kind: &str, name: &str, folder: &Path) -> Result<PathBuf> {
    let root = empty(&folder.join(kind))?;
    for (program, its_name) in programs {
        copy(program, &root.join(its_name))?;
        copy_libraries(program, &root)?;
    }
    pack(folder, kind, name, "")
}

/// The libraries that a program is linked with, where it looks for them below `root`.
fn copy_libraries(program: &Path, root: &Path) -> Result<()> {
    // It says so of a program that is linked with none, and fails.
    let linked = Command::new("ldd").arg(program).output()?;
    for library in libraries(&String::from_utf8_lossy(&linked.stdout)) {
        copy(Path::new(library), &root.join(library.trim_start_matches('/')))?;
    }
    Ok(())
}

/// The files in what ldd prints: `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld-linux.so.2 (0x…)`.
fn libraries(linked: &str) -> BTreeSet<&str> {
    linked.split_whitespace().filter(|word| word.starts_with('/')).collect()
}

/// An archive of the image that has the files of `folder/KIND`, and these lines in its Containerfile.
fn pack(folder: &Path, kind: &str, name: &str, lines: &str) -> Result<PathBuf> {
    let containerfile = folder.join(format!("{kind}.containerfile"));
    fs::write(&containerfile, format!("FROM scratch\nCOPY . /\n{lines}\n"))?;
    let archive = folder.join(format!("{kind}.tar"));
    let buildah = || {
        let mut buildah = Command::new("buildah");
        buildah.arg("--root").arg(folder.join("buildah/storage"));
        buildah.arg("--runroot").arg(folder.join("buildah/run")).args(["--storage-driver", "vfs"]);
        buildah
    };
    let mut build = buildah();
    build.args(["bud", "--isolation", "chroot", "--tag", name, "--file"]).arg(&containerfile);
    succeed(build.arg(folder.join(kind)))?;
    succeed(buildah().args(["push", name]).arg(format!("docker-archive:{}:{name}", archive.display())))?;
    fs::remove_dir_all(folder.join("buildah/storage"))?;
    Ok(archive)
}

fn empty(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_program_are_the_files_that_ldd_names() {
        let linked = "\tlinux-vdso.so.1 (0x00007)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(linked), BTreeSet::from(expected));
        assert!(libraries("\tstatically linked\n").is_empty());
    }
}
