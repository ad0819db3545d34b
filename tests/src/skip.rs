//! Saying that a test did not run, and how to make it run.
//!
//! A test that returns early reads as a pass; so each such return leaves a line that the runner shows.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// The file that collects skipped tests, a line each: name, tab, reason and how to get what is missing.
pub const SKIPS: &str = "XDHCPD_SKIPS";

/// Notes that the test `name` did not run, and why: in the file that `XDHCPD_SKIPS` names, else on
/// standard error.
pub fn skipped(name: &str, reason: &str) {
    let line = format!("{name}\t{}\n", reason.replace(['\n', '\t'], " "));
    let written = std::env::var_os(SKIPS).and_then(|path| {
        OpenOptions::new().create(true).append(true).open(path).ok()?.write_all(line.as_bytes()).ok()
    });
    if written.is_none() {
        eprint!("skipped: {line}");
    }
}

/// Whether this process is root; else the test `name` is noted as skipped.
pub fn is_root(name: &str) -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        skipped(name, "needs root: cargo xtask test runs it so");
    }
    is
}

/// The name of the test that runs: the test runner names its threads so.
pub fn this_test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// `PATH` with the folders of administrators' programs, which a user's own does not have.
pub fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// Where a program is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let all = search_path();
    std::env::split_paths(&all).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether a program is installed; else the test `name` is noted as skipped, with the package that
/// brings it.
pub fn is_there(name: &str, program: &str, package: &str) -> bool {
    let is = find(program).is_some();
    if !is {
        skipped(name, &format!("{program} is missing: apt-get install {package}"));
    }
    is
}
