//! An initramfs: a cpio archive of the kind that Linux unpacks into its first root file system
//! (Documentation/driver-api/early-userspace/buffer-format.rst, "newc").

use std::collections::BTreeSet;

/// What each entry begins with.
const MAGIC: &str = "070701";
/// Header and name, and what is in a file, each end at a multiple of this.
const ALIGNMENT: usize = 4;
/// The name of the entry behind the last.
const END: &str = "TRAILER!!!";
/// File types of `st_mode` (inode(7)), with permissions.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;

/// An archive to which entries are added.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: usize,
}

impl Archive {
    /// Adds a file, with the folders it is in; `path` has no slash in front.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        self.add_with_folders(path, FILE, contents);
    }

    /// The same for one that can be run.
    pub fn program(&mut self, path: &str, contents: &[u8]) {
        self.add_with_folders(path, PROGRAM, contents);
    }

    /// All of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.add(END, 0, &[]);
        self.bytes
    }

    fn add_with_folders(&mut self, path: &str, mode: u32, contents: &[u8]) {
        for (slash, _) in path.match_indices('/') {
            let folder = &path[..slash];
            if self.folders.insert(folder.to_owned()) {
                self.add(folder, FOLDER, &[]);
            }
        }
        self.add(path, mode, contents);
    }

    fn add(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let mode = usize::try_from(mode).expect("16 bits");
        let (inode, owner, links, time, device) = (self.entries, [0; 2], 1, 0, [0; 4]);
        let mut fields = vec![inode, mode];
        fields.extend(owner);
        fields.extend([links, time, contents.len()]);
        fields.extend(device);
        // No checksum in this kind.
        fields.extend([name.len() + 1, 0]);
        self.bytes.extend(MAGIC.bytes());
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.align();
        self.bytes.extend(contents);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::skip;

    #[test]
    fn cpio_unpacks_what_was_packed() {
        if !skip::is_there(&skip::this_test(), "busybox", "busybox") {
            return;
        }
        let mut archive = Archive::default();
        archive.program("init", b"#!/bin/sh\n");
        archive.file("lib/modules/5/a.ko", b"abcde");
        archive.file("lib/modules/5/b.ko", b"");
        let folder = tempfile::tempdir().unwrap();
        let mut cpio = Command::new("busybox");
        cpio.args(["cpio", "-i", "-d"]).current_dir(&folder).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut cpio = cpio.spawn().unwrap();
        cpio.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        assert!(cpio.wait().unwrap().success());
        let unpacked = Command::new("find").args(["-printf", "%m %s %P\\n"]).current_dir(&folder).output();
        let unpacked = String::from_utf8(unpacked.unwrap().stdout).unwrap();
        for entry in ["755 10 init", "644 5 lib/modules/5/a.ko", "644 0 lib/modules/5/b.ko"] {
            assert!(unpacked.lines().any(|line| line == entry), "{entry} in\n{unpacked}");
        }
    }
}
