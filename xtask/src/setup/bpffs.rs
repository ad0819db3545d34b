//! The file system that pinned programs and maps lie in.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{STEP, is_root};
use crate::progress::Progress;

/// Where everybody expects it.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// Mounts bpffs if it is not mounted.
pub fn ensure(progress: &Progress) -> Result<()> {
    if is_mounted() {
        return Ok(());
    }
    if !is_root() {
        bail!("bpffs is not mounted; run: sudo mount -t bpf bpf {MOUNT_POINT}");
    }
    progress.say(STEP, &format!("mounts bpffs at {MOUNT_POINT}: the agent pins its program and maps there"));
    let status = Command::new("mount").args(["-t", "bpf", "bpf", MOUNT_POINT]).status();
    if !status.context("cannot run mount")?.success() {
        bail!(
            "bpffs cannot be mounted at {MOUNT_POINT}; this needs a kernel with CONFIG_BPF_SYSCALL, and root"
        );
    }
    Ok(())
}

/// Whether it is mounted where everybody expects it.
pub fn is_mounted() -> bool {
    fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| has_bpffs(&mounts))
}

fn has_bpffs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(MOUNT_POINT) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bpffs_at_its_place_counts() {
        assert!(has_bpffs("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\n"));
        assert!(!has_bpffs("bpf /mnt/bpf bpf rw 0 0\n"));
        assert!(!has_bpffs("tmpfs /sys/fs/bpf tmpfs rw 0 0\n"));
        assert!(!has_bpffs(""));
    }
}
