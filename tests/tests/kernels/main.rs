//! Other kernels than this machine's, each in a virtual machine: one of Debian's, with its own clock,
//! its own control groups and a network card with a driver.
//!
//! `XDHCPD_KERNEL` names the suite whose kernel it is; `cargo xtask test --kernels` goes through all of
//! them. Tests of this machine run there as they are; what they print is printed here, too, so that
//! each of them is counted by whoever counts ours.

mod cards;
mod clocks;
mod inside;
mod lab;
mod limits;

use anyhow::Result;

use inside::{Inside, newest};

#[test]
fn the_program_does_there_what_it_does_here() -> Result<()> {
    let Some(mut inside) = Inside::boot(&newest("program_")?)? else { return Ok(()) };
    inside.run_all()
}

#[test]
fn the_agent_does_there_what_it_does_here() -> Result<()> {
    let binaries = [newest("modes")?, newest("fastpath")?].concat();
    let Some(mut inside) = Inside::boot(&binaries)? else { return Ok(()) };
    inside.run_all()
}
