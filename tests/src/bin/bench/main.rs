//! The bench: xdhcpd beside its peers, on this machine, in one run.
//!
//! `cargo xtask bench` builds and runs this. It writes a report into a folder: `report.md`, with plots
//! beside it. Every figure stands beside another that was measured in the same run; absolute ones mean
//! little on another machine. It is no test: it fails when something cannot be measured, not when it
//! is slow.

mod bench;
mod cores;
mod kernel;
mod live;
mod part;
mod peers;
mod report;
mod requests;
mod rig;
mod size;
mod together;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use self::bench::Bench;
use self::part::Part;
use self::report::Section;

/// What can be measured: the word for `--only`, the heading, and how.
type Measurement = (&'static str, &'static str, fn(&Bench) -> Result<Part>);

/// In the order of the report.
const PARTS: &[Measurement] = &[
    ("kernel", "In the kernel, one frame at a time", kernel::measure),
    ("live", "Over a veth pair, as fast as it goes", live::measure),
    ("peers", "Beside Kea, dhcpd and dnsmasq", peers::measure),
    ("size", "Size", size::measure),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures and writes the report; whether everything could be measured.
fn run() -> Result<bool> {
    let mut quick = false;
    let mut only = Vec::new();
    let mut folder = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--only" => only.push(arguments.next().context("--only needs the name of a part")?),
            _ if folder.is_none() => folder = Some(PathBuf::from(argument)),
            _ => bail!("usage: bench [--quick] [--only PART]... FOLDER"),
        }
    }
    let folder = folder.context("usage: bench [--quick] [--only PART]... FOLDER")?;
    let known = || PARTS.iter().map(|(name, ..)| *name);
    if let Some(unknown) = only.iter().find(|name| known().all(|known| known != *name)) {
        bail!(
            "--only {unknown}: there is no such part; there are {}",
            known().collect::<Vec<_>>().join(", ")
        );
    }
    let bench = Bench::start(quick);
    let mut sections = Vec::new();
    for (name, title, measure) in PARTS {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        bench.say(title);
        let part = measure(&bench).map_err(|error| format!("{error:#}"));
        if let Err(error) = &part {
            bench.say(&format!("{name} could not be measured: {error}"));
        }
        sections.push(Section { title, part });
    }
    let parts: Vec<&Part> = sections.iter().filter_map(|section| section.part.as_ref().ok()).collect();
    if let Some(part) = together::known_clients(&parts) {
        sections.push(Section { title: "Known clients, in the kernel", part: Ok(part) });
    }
    let report = report::write(&folder, &bench, &sections)?;
    bench.say(&format!("the report is {}", report.display()));
    Ok(sections.iter().all(|section| section.part.is_ok()))
}
