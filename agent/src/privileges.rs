//! The capabilities (capabilities(7)) that the agent and the loader keep, once they have started; the
//! others are given up for good, and no program that they start has more than they have.
//!
//! Capabilities are a thread's own, and a new thread has those of the one that made it: so this is to
//! be called before there is any other thread.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    configure_capability_in_ambient_set, set_capabilities, set_no_new_privs,
};

/// For sockets and interfaces, which come and go all the time.
const NETWORK: CapabilitySet =
    CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW).union(CapabilitySet::NET_BIND_SERVICE);

/// Where a file belongs to somebody else.
const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// What the loader needs, which the agent hands on to it: to load a program (without PERFMON older
/// verifiers refuse what they could not keep from leaking kernel memory), and to attach it.
const LOADER: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::NET_ADMIN);

/// Keeps what the agent needs from now on. `files` are those it will open again; those of somebody
/// else take a capability of their own.
pub fn keep_for_agent(files: &[&Path]) -> io::Result<()> {
    let had = capabilities(None)?;
    let effective = NETWORK.union(bpf());
    let effective = if can_open(files, had)? { effective } else { effective.union(FILES) };
    keep(had, effective, effective.union(LOADER))
}

/// Keeps what the loader needs.
pub fn keep_for_loader() -> io::Result<()> {
    let had = capabilities(None)?;
    let kept = LOADER.union(bpf());
    keep(had, kept, kept)
}

/// What lets a process use BPF: before Linux 5.8 there is but CAP_SYS_ADMIN.
fn bpf() -> CapabilitySet {
    // Of one that it does not know, a kernel cannot say whether it is there.
    if capability_is_in_bounding_set(CapabilitySet::BPF).is_ok() {
        CapabilitySet::BPF
    } else {
        CapabilitySet::SYS_ADMIN
    }
}

/// Keeps these of those that there are; `permitted` are also for the programs that we start.
fn keep(had: CapabilitySets, effective: CapabilitySet, permitted: CapabilitySet) -> io::Result<()> {
    let kept = had.permitted.intersection(permitted);
    set_capabilities(
        None,
        CapabilitySets { effective: kept.intersection(effective), permitted: kept, inheritable: kept },
    )?;
    // Root's programs have what is permitted; those of others only what is ambient.
    for capability in kept.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(set_no_new_privs(true)?)
}

/// Whether these files can be read, and these folders (or those that they are to be made in) written,
/// without any special right.
fn can_open(files: &[&Path], had: CapabilitySets) -> io::Result<bool> {
    let without = CapabilitySets { effective: had.effective.difference(FILES), ..had };
    set_capabilities(None, without)?;
    let may = |path: &Path, access| accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
    let can = files.iter().all(|path| match path.ancestors().find(|path| path.exists()) {
        Some(folder) if folder.is_dir() => may(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK),
        Some(file) => may(file, Access::READ_OK),
        None => true,
    });
    set_capabilities(None, had)?;
    Ok(can)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does something on a thread of its own, whose capabilities are gone with it.
    fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    #[test]
    fn nothing_is_kept_that_is_not_needed_and_nothing_gained() {
        let had = capabilities(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (agent, loader) = aside(|| {
            keep_for_agent(&[folder.path()]).unwrap();
            let agent = capabilities(None).unwrap();
            keep_for_loader().unwrap();
            (agent, capabilities(None).unwrap())
        });
        let expected = had.permitted.intersection(NETWORK.union(CapabilitySet::BPF));
        assert_eq!(agent.effective, expected);
        assert_eq!(agent.permitted, expected.union(had.permitted.intersection(CapabilitySet::PERFMON)));
        assert_eq!(loader.effective, had.permitted.intersection(LOADER));
        assert_eq!(loader.permitted, loader.effective);
    }

    #[test]
    fn files_of_somebody_else_take_a_right_of_their_own() {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let had = capabilities(None).unwrap();
        assert!(aside(|| can_open(&[folder.path(), &folder.path().join("new")], had)).unwrap());
        chown(folder.path(), Some(12_345), None).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!aside(|| can_open(&[folder.path()], had)).unwrap());
        let kept = aside(|| {
            keep_for_agent(&[folder.path()]).unwrap();
            std::fs::write(folder.path().join("new"), "").unwrap();
            capabilities(None).unwrap()
        });
        assert!(kept.effective.contains(CapabilitySet::DAC_OVERRIDE));
    }
}
