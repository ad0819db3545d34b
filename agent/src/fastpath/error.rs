//! What can go wrong with the fast path, each as a sentence to act on.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use thiserror::Error;

/// Why the program or its maps cannot be used.
#[derive(Debug, Error)]
pub enum FastPathError {
    /// The object was not there when the agent was built.
    #[error("this binary was built without the XDP program; build it with `cargo xtask build`")]
    NoProgram,
    /// The object inside this binary is not the one this agent was written for.
    #[error("the XDP object in this binary has no {what}; build both together with `cargo xtask build`")]
    Foreign {
        /// What was looked for.
        what: &'static str,
    },
    /// The agent's maps are gone.
    #[error("the agent's map {map} is not pinned (any more): a restart of the agent makes it again")]
    Unpinned {
        /// The first that is missing.
        map: &'static str,
    },
    /// Nothing can be pinned.
    #[error(
        "{path} is no BPF file system and mounting one there failed ({error}); run `mount -t bpf bpf {path}`",
        path = path.display()
    )]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
        /// Why mounting failed.
        error: io::Error,
    },
    /// A file or folder of the BPF file system.
    #[error("cannot {action} {path}: {error}", path = path.display())]
    Pin {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// The kernel says that we may not.
    #[error(
        "the kernel does not let this process {action}: it needs the capabilities CAP_BPF and \
         CAP_NET_ADMIN (before Linux 5.8: CAP_SYS_ADMIN)"
    )]
    Capability {
        /// What was tried.
        action: &'static str,
    },
    /// The kernel's verifier does not accept the program.
    #[error("this kernel refuses the XDP program ({error}): {log}")]
    Verifier {
        /// The answer of the load.
        error: io::Error,
        /// First and last lines of the verifier's log.
        log: String,
    },
    /// The maps are of another version, and cannot be taken over.
    #[error("the maps pinned in {folder} are not this version's: {what}", folder = folder.display())]
    Layout {
        /// Where the pins are.
        folder: PathBuf,
        /// How they differ.
        what: String,
    },
    /// No room for another entry.
    #[error(
        "the map {map} is full with {capacity} entries; a restart of the agent makes it larger where the configuration needs more"
    )]
    Full {
        /// The map.
        map: &'static str,
        /// How many entries it can hold.
        capacity: u32,
    },
    /// An index beyond the end of `TEMPLATES`.
    #[error("there is no template {index}: the map TEMPLATES holds {capacity}")]
    NoTemplate {
        /// The index.
        index: u32,
        /// How many there are.
        capacity: u32,
    },
    /// An operation on a map.
    #[error("cannot {action} the map {map}: {error}")]
    Map {
        /// What was tried.
        action: &'static str,
        /// The map.
        map: &'static str,
        /// What aya or the kernel says.
        error: MapError,
    },
    /// Anything else on the way of the object into the kernel.
    #[error("cannot load the XDP program: {0}")]
    Load(#[source] Box<EbpfError>),
}

impl FastPathError {
    /// An operation on a map failed.
    pub(super) fn map(action: &'static str, map: &'static str, error: MapError) -> Self {
        if refused(errno(&error)) {
            return Self::Capability { action: "use BPF maps" };
        }
        Self::Map { action, map, error }
    }

    /// A file operation on a pin failed.
    pub(super) fn pin(action: &'static str, path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self::Pin { action, path: path.into(), error }
    }
}

impl From<EbpfError> for FastPathError {
    fn from(error: EbpfError) -> Self {
        match error {
            EbpfError::ProgramError(error) => error.into(),
            EbpfError::MapError(ref map) if refused(errno(map)) => {
                Self::Capability { action: "create BPF maps" }
            }
            other => Self::Load(Box::new(other)),
        }
    }
}

impl From<ProgramError> for FastPathError {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = ends_of(&verifier_log.to_string());
                // A refusal with a log is the verifier's, whatever its number.
                if log.is_empty() && refused(io_error.raw_os_error()) {
                    Self::Capability { action: "load an XDP program" }
                } else {
                    Self::Verifier { error: io_error, log }
                }
            }
            other => Self::Load(Box::new(other.into())),
        }
    }
}

/// The kernel's error number inside one of aya's errors.
pub(super) fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::CreateError { io_error, .. } | MapError::IoError(io_error) => io_error.raw_os_error(),
        MapError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    }
}

/// Whether an error number means that a capability is missing.
fn refused(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::EPERM | libc::EACCES))
}

/// How many lines of a verifier's log are shown from its start, and how many from its end.
const LINES_SHOWN: usize = 5;

/// The first and last lines of a log: where it began, and what the verifier stumbled on.
fn ends_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let (first, rest) = lines.split_at(lines.len().min(LINES_SHOWN));
    let (left_out, last) = rest.split_at(rest.len().saturating_sub(LINES_SHOWN));
    let mut shown: Vec<String> = first.iter().map(ToString::to_string).collect();
    if !left_out.is_empty() {
        shown.push(format!("[{} lines left out]", left_out.len()));
    }
    shown.extend(last.iter().map(ToString::to_string));
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_verifier_log_keeps_its_first_and_last_lines() {
        let log = (1..=100).map(|n| format!("line {n}\n")).collect::<Vec<_>>().join("\n");
        let shown = ends_of(&log);
        assert!(shown.starts_with("line 1\n"), "{shown}");
        assert!(shown.ends_with("\nline 99\nline 100"), "{shown}");
        assert!(shown.contains("[90 lines left out]"), "{shown}");
    }

    #[test]
    fn a_short_verifier_log_is_shown_whole() {
        assert_eq!(ends_of("one\ntwo\nthree\nfour\nfive\nsix\n"), "one\ntwo\nthree\nfour\nfive\nsix");
        assert_eq!(ends_of(""), "");
    }

    #[test]
    fn a_refused_map_names_the_capabilities() {
        let refused = MapError::IoError(io::Error::from_raw_os_error(libc::EPERM));
        let shown = FastPathError::map("open", "LEASES", refused).to_string();
        assert!(shown.contains("CAP_BPF") && shown.contains("CAP_NET_ADMIN"), "{shown}");
    }
}
