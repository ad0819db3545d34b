//! What a guest starts with: its first process, modules of its kernel, busybox, and programs of this
//! machine's with the libraries that they are linked to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::archive::Archive;
use crate::netns::succeed;

/// The first process: makes a machine of the kernel, runs the script, turns the machine off.
const INIT: &str = include_str!("init.sh");

/// A root file system to which files are added. It is unpacked into the guest's memory: what is big
/// takes a bigger machine ([`super::Machine::memory`]).
#[derive(Debug)]
pub struct Initramfs {
    archive: Archive,
    libraries: BTreeSet<PathBuf>,
}

impl Initramfs {
    /// One that runs `script` with `busybox` for a shell.
    pub(super) fn new(busybox: &Path, script: &str) -> Result<Self> {
        let mut archive = Archive::default();
        archive.program("init", INIT.as_bytes());
        archive.program("script", script.as_bytes());
        archive.program("bin/busybox", &read(busybox)?);
        Ok(Self { archive, libraries: BTreeSet::new() })
    }

    /// Adds a file; `path` has no slash in front.
    #[must_use]
    pub fn file(mut self, path: &str, contents: &[u8]) -> Self {
        self.archive.file(path, contents);
        self
    }

    /// Adds a program of this machine's, without its symbols, and the libraries that it needs. One
    /// in `bin` takes the place of busybox' own.
    pub fn executable(mut self, path: &str, file: &Path) -> Result<Self> {
        self.archive.program(path, &stripped(file)?);
        for library in libraries(file)? {
            if !self.libraries.contains(&library) {
                // Where the linker looks for it, whatever that is a link to.
                let path = library.strip_prefix("/")?.to_str().context("a library without a name")?;
                self.archive.program(path, &read(&library)?);
                self.libraries.insert(library);
            }
        }
        Ok(self)
    }

    /// The archive that a kernel takes.
    pub fn finish(self) -> Vec<u8> {
        self.archive.finish()
    }
}

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// A program without what only debuggers read: most of one that cargo built.
fn stripped(file: &Path) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let smaller = folder.path().join("stripped");
    succeed(Command::new("strip").arg("-o").arg(&smaller).arg(file))?;
    read(&smaller)
}

/// The libraries of a program, the dynamic linker among them.
fn libraries(file: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    let output = ldd.arg(file).env("LC_ALL", "C").stdin(Stdio::null()).output().context("running ldd")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !complaint.contains("not a dynamic executable") {
        bail!("ldd {}: {complaint}", file.display());
    }
    listed(&said).with_context(|| format!("ldd {}", file.display()))
}

/// The files in what ldd prints.
fn listed(printed: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in printed.lines() {
        let (name, place) = line.split_once("=>").unwrap_or(("", line));
        let place = place.trim();
        if place == "not found" {
            bail!("{} is not installed", name.trim());
        }
        let file = place.split_whitespace().next().unwrap_or_default();
        // What the kernel itself brings has no file (vdso(7)).
        if file.starts_with('/') {
            files.push(file.into());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_files_and_the_linker_is_one_of_them() {
        let printed = "\tlinux-vdso.so.1 (0x00007ffc)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let files = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(listed(printed).unwrap(), files.map(PathBuf::from));
        assert!(listed("\tstatically linked\n").unwrap().is_empty());
        let error = listed("\tlibelf.so.1 => not found\n").unwrap_err().to_string();
        assert_eq!(error, "libelf.so.1 is not installed");
    }
}
