//! Where cargo and `cargo xtask` leave what they build and fetch.

use std::path::{Path, PathBuf};

/// Cargo's target directory.
pub fn target() -> PathBuf {
    named_by("CARGO_TARGET_DIR").unwrap_or_else(|| workspace().join("target"))
}

/// The agent that was built like ourselves (for tests a debug build, for the bench an optimised one), unless
/// `XDHCPD_TEST_BINARY` names another.
pub fn agent() -> PathBuf {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    named_by("XDHCPD_TEST_BINARY").unwrap_or_else(|| target().join(profile).join("xdhcpd"))
}

/// The real parts that `cargo xtask real` built and fetched.
pub fn real() -> PathBuf {
    named_by("XDHCPD_REAL").unwrap_or_else(|| target().join("real"))
}

/// The path that a variable names, if it is set; a relative one counts from the workspace, as in
/// xtask.
fn named_by(variable: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).filter(|path| !path.is_empty())?;
    Some(workspace().join(set))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
