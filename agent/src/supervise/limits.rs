//! Limits of a child's CPU time and memory, where the machine can set them: control groups of
//! version 2 (cgroups(7)), in a folder that is ours to change.
//!
//! A group that holds processes cannot hand limits on to groups below it. So the first time limits
//! are wanted, this process moves from its own group into `xdhcpd` below it, and its children get
//! groups beside that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The time in which a child may use its share of CPU, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// The group that this process moves into.
const OWN: &str = "xdhcpd";

/// What a child may use at most; none: whatever there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// CPU time, in thousandths of a CPU.
    pub cpu: Option<u32>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
}

impl Limits {
    /// Whether there is anything to limit.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// What to write, and into which file.
    fn files(self) -> [(&'static str, String); 2] {
        let unlimited = || "max".to_owned();
        let quota = self.cpu.map(|cpu| u64::from(cpu).saturating_mul(PERIOD / 1000).to_string());
        [
            ("cpu.max", format!("{} {PERIOD}", quota.unwrap_or_else(unlimited))),
            ("memory.max", self.memory.map_or_else(unlimited, |memory| memory.to_string())),
        ]
    }
}

/// Why there are no limits.
#[derive(Debug, thiserror::Error)]
pub(super) enum LimitError {
    /// No groups of version 2.
    #[error("cgroup v2 is not mounted")]
    NoGroups,
    /// Groups, but their controllers belong to version 1.
    #[error("{} has no controllers for CPU and memory", .0.display())]
    NoControllers(PathBuf),
    /// A file of theirs.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
}

/// The group of one child, gone with this value.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Group {
    /// Makes the group of a child, with these limits.
    pub fn make(child: &str, limits: Limits) -> Result<Self, LimitError> {
        static BASE: OnceLock<Result<PathBuf, LimitError>> = OnceLock::new();
        let base = match BASE.get_or_init(|| own_group(Path::new("/proc/self"))) {
            Ok(base) => base,
            Err(LimitError::NoGroups) => return Err(LimitError::NoGroups),
            Err(LimitError::NoControllers(path)) => return Err(LimitError::NoControllers(path.clone())),
            Err(LimitError::File { path, error }) => return Err(failed(path, error)),
        };
        hand_on(base)?;
        let path = base.join(child);
        make_folder(&path)?;
        let group = Self(path);
        for (name, value) in limits.files() {
            write(&group.0.join(name), &value)?;
        }
        Ok(group)
    }

    /// Takes a process in.
    pub fn take(&self, process: u32) -> Result<(), LimitError> {
        write(&self.0.join("cgroup.procs"), &process.to_string())
    }

    /// Whether the kernel has killed a process in it that took more memory than there was for it.
    pub fn has_run_out_of_memory(&self) -> bool {
        fs::read_to_string(self.0.join("memory.events")).is_ok_and(|events| has_killed(&events))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the control group stays");
        }
    }
}

/// The folder of the group that this process is in.
fn own_group(process: &Path) -> Result<PathBuf, LimitError> {
    let read = |name: &str| {
        let path = process.join(name);
        fs::read_to_string(&path).map_err(|error| LimitError::File { path, error })
    };
    let mount = mount_point(&read("mountinfo")?).ok_or(LimitError::NoGroups)?;
    let groups = read("cgroup")?;
    let path = mount.join(group_of(&groups).ok_or(LimitError::NoGroups)?);
    let controllers = path.join("cgroup.controllers");
    let has = fs::read_to_string(&controllers).map_err(|error| failed(&controllers, &error))?;
    let has_both =
        ["cpu", "memory"].iter().all(|wanted| has.split_whitespace().any(|found| found == *wanted));
    if has_both { Ok(path) } else { Err(LimitError::NoControllers(path)) }
}

/// Where groups of version 2 are mounted, out of a process's `mountinfo` (proc(5)).
fn mount_point(mounts: &str) -> Option<PathBuf> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| place.split(' ').nth(4).map(PathBuf::from))?
    };
    mounts.lines().find_map(mount)
}

/// The group, below the mount, out of a process's `cgroup`.
fn group_of(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// Whether there was a process to be killed for its memory, out of a group's `memory.events`.
fn has_killed(events: &str) -> bool {
    events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
}

/// Lets groups below this one have limits.
fn hand_on(base: &Path) -> Result<(), LimitError> {
    let control = base.join("cgroup.subtree_control");
    let wanted = "+cpu +memory";
    let Err(LimitError::File { error, .. }) = write(&control, wanted) else { return Ok(()) };
    if error.raw_os_error() != Some(libc::EBUSY) {
        return Err(failed(&control, &error));
    }
    let own = base.join(OWN);
    make_folder(&own)?;
    write(&own.join("cgroup.procs"), &std::process::id().to_string())?;
    write(&control, wanted)
}

fn make_folder(path: &Path) -> Result<(), LimitError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path, &error)),
        _ => Ok(()),
    }
}

/// Writes one of the kernel's files, which must be there.
fn write(path: &Path, value: &str) -> Result<(), LimitError> {
    let written = fs::OpenOptions::new().write(true).open(path);
    written
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| failed(path, &error))
}

/// An error to be shown more than once.
fn failed(path: &Path, error: &io::Error) -> LimitError {
    let error = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
    LimitError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let limits = Limits { cpu: Some(500), memory: Some(64 << 20) };
        assert_eq!(limits.files().map(|(_, value)| value), ["50000 100000", "67108864"]);
        let none = Limits::default();
        assert!(none.is_none() && !limits.is_none());
        assert_eq!(none.files().map(|(_, value)| value), ["max 100000", "max"]);
    }

    #[test]
    fn the_mount_and_the_group_are_found_among_those_of_version_1() {
        let mounts = "24 19 0:21 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                      25 19 0:22 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(
            group_of("4:memory:/a\n0::/system.slice/xdhcpd.service\n"),
            Some("system.slice/xdhcpd.service")
        );
        assert_eq!((mount_point(""), group_of("4:memory:/a\n")), (None, None));
    }

    #[test]
    fn a_process_killed_for_its_memory_is_among_the_events() {
        assert!(has_killed("low 0\nhigh 0\nmax 21\noom 1\noom_kill 1\noom_group_kill 0\n"));
        assert!(!has_killed("low 0\nhigh 0\nmax 21\noom 1\noom_kill 0\noom_group_kill 0\n"));
        assert!(!has_killed(""));
    }

    /// A process's folder and a group's, as a kernel shows them.
    fn machine(controllers: &str) -> (tempfile::TempDir, Result<PathBuf, LimitError>) {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().display();
        fs::write(folder.path().join("mountinfo"), format!("1 0 0:1 / {mount} rw - cgroup2 none rw\n"))
            .unwrap();
        fs::write(folder.path().join("cgroup"), "0::/own\n").unwrap();
        fs::create_dir(folder.path().join("own")).unwrap();
        fs::write(folder.path().join("own/cgroup.controllers"), controllers).unwrap();
        let found = own_group(folder.path());
        (folder, found)
    }

    #[test]
    fn a_group_without_both_controllers_is_of_no_use() {
        let (folder, found) = machine("cpuset cpu io memory pids\n");
        assert_eq!(found.unwrap(), folder.path().join("own"));
        let (_folder, found) = machine("hugetlb cpuset\n");
        assert!(found.unwrap_err().to_string().ends_with("/own has no controllers for CPU and memory"));
    }
}
