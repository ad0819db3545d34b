//! Bringing the built object into the kernel: its maps, for the agent, where they are not there
//! already; its program on those maps, for the loader.

use std::path::PathBuf;

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};

use super::error::FastPathError;
use super::kernel_log;
use super::layout::SHAPES;
use super::pins::{self, Pins};
use crate::config::KernelLog;

/// The built object; empty where it was not built.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/program.o"));

/// The program's function.
const PROGRAM: &str = "xdhcpd";

/// The program's own threshold, where it has one beside that of aya's macros.
const LOG_LEVEL: &str = "LOG_LEVEL";

/// The least `LEASES` is made for: small networks grow, and entries cost nothing until they exist.
const LEAST_LEASES: u32 = 1 << 10;

/// The most: a million clients on one agent, some 200 MB of the kernel's memory.
const MOST_LEASES: u32 = 1 << 20;

/// Whether the program is inside this binary.
pub fn is_built() -> bool {
    !OBJECT.is_empty()
}

/// Makes those of the named maps that are not pinned at their `place`, `LEASES` with room for so many
/// entries.
pub(super) fn make_maps(
    pins: &Pins,
    named: &[&'static str],
    place: fn(&Pins, &str) -> PathBuf,
    entries: u32,
) -> Result<(), FastPathError> {
    if named.iter().all(|name| place(pins, name).exists()) {
        return Ok(());
    }
    let mut loader = with_maps(pins);
    for name in named {
        loader.map_pin_path(name, place(pins, name));
    }
    // What is not pinned of this goes again: its program's own log and globals.
    loader.map_max_entries("LEASES", entries).load(OBJECT)?;
    Ok(())
}

/// Loads the program on the pinned maps.
pub(super) fn load(pins: &Pins, log: KernelLog) -> Result<Ebpf, FastPathError> {
    if !is_built() {
        return Err(FastPathError::NoProgram);
    }
    // Maps made here would be others than the agent's.
    if let Some(map) = missing(pins) {
        return Err(FastPathError::Unpinned { map });
    }
    let level = kernel_log::threshold(log);
    let mut loader = with_maps(pins);
    loader.verifier_log_level(VerifierLogLevel::STATS);
    for threshold in [aya_log::LEVEL, LOG_LEVEL] {
        loader.override_global(threshold, &level, false);
    }
    let mut ebpf = loader.load(OBJECT)?;
    program(&mut ebpf)?.load()?;
    Ok(ebpf)
}

/// A loader that takes the pinned maps, and pins those that it makes.
fn with_maps(pins: &Pins) -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    for shape in &SHAPES {
        loader.map_pin_path(shape.name, pins.map(shape.name));
    }
    loader
}

/// A map that is not pinned.
fn missing(pins: &Pins) -> Option<&'static str> {
    SHAPES.iter().map(|shape| shape.name).find(|name| !pins.map(name).exists())
}

/// The program inside a loaded object.
pub(super) fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, FastPathError> {
    let missing = FastPathError::Foreign { what: "XDP program `xdhcpd`" };
    match ebpf.program_mut(PROGRAM) {
        Some(program) => program.try_into().map_err(|_another_kind| missing),
        None => Err(missing),
    }
}

/// Pins the program in the place of the one before.
pub(super) fn pin(program: &mut Xdp, pins: &Pins) -> Result<(), FastPathError> {
    let next = pins.next_program();
    pins::remove(&next)?;
    program.pin(&next).map_err(|error| FastPathError::map("pin", "program", pins::map_error(error)))?;
    pins::rename(&next, &pins.program())
}

/// How many entries `LEASES` is made for: one address can have more than one for a while (a client
/// that moved, an identity by client-id), so there is always half as much again.
pub(super) fn lease_entries(addresses: u32) -> u32 {
    let needed = addresses.saturating_add(addresses / 2).min(MOST_LEASES);
    needed.next_power_of_two().clamp(LEAST_LEASES, MOST_LEASES)
}

/// Lets this process lock the memory of maps, which kernels before 5.11 charge to it.
pub(super) fn raise_memory_limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let unlimited = Rlimit { current: None, maximum: None };
    if let Err(error) = setrlimit(Resource::Memlock, unlimited) {
        tracing::debug!(%error, "the limit of locked memory stays as it is; newer kernels do not mind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_a_power_of_two_with_room_to_spare() {
        assert_eq!(lease_entries(0), 1024);
        assert_eq!(lease_entries(600), 1024);
        assert_eq!(lease_entries(1000), 2048);
        assert_eq!(lease_entries(65_536), 131_072);
        assert_eq!(lease_entries(u32::MAX), 1 << 20);
    }
}
