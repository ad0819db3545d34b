//! Takes the XDP program's object into the agent.
//!
//! `cargo xtask build-ebpf` leaves it at `target/ebpf/xdhcpd.o`. Without one the agent is built
//! all the same, with nothing inside: plain `cargo build` and `cargo clippy` need no BPF linker.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory = object_directory()?;
    if !directory.is_dir() {
        fs::create_dir_all(&directory)?;
        // Cargo runs this again when the directory is newer than this run, which it just became.
        fs::File::open(&directory)?.set_modified(SystemTime::UNIX_EPOCH)?;
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", directory.display());
    let object = absent_is_empty(fs::read(directory.join("xdhcpd.o")))?;
    fs::write(variable("OUT_DIR")?.join("program.o"), object)
}

/// The same place as `xtask` knows: a relative `CARGO_TARGET_DIR` counts from the workspace.
fn object_directory() -> io::Result<PathBuf> {
    let package = variable("CARGO_MANIFEST_DIR")?;
    let workspace = package.parent().unwrap_or(Path::new("/"));
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(workspace.join(target).join("ebpf"))
}

fn absent_is_empty(read: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// A variable that cargo sets for build scripts.
fn variable(name: &str) -> io::Result<PathBuf> {
    env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("cargo sets no {name}")))
}
