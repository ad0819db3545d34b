//! A real Kubernetes of one node, the chart in it, and a client outside that gets its lease from a pod.
//!
//! `cargo xtask cluster` builds and runs this. It goes the way of somebody who tries xdhcpd in a cluster, and
//! ends with an error where something is not as promised: install, serve, lose the agent's pod, uninstall.
//! It leaves nothing behind, however it ends; with `--keep` it stops before the end, and the cluster stays up
//! until `--down`.

mod chart;
mod keep;
mod objects;
mod scene;
mod story;
mod table;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use xdhcpd_tests::interrupt;

use self::scene::Scene;

/// What `cargo xtask cluster` was told.
#[derive(Debug, Default)]
struct Arguments {
    /// The archive of the image to run; none: one of the agent as it was built for tests.
    image: Option<PathBuf>,
    what: What,
}

#[derive(Debug, Default, Clone, Copy)]
enum What {
    /// The whole story.
    #[default]
    Tell,
    /// The story without its end, and then a cluster that stays.
    Keep,
    /// What `Keep` runs in the background.
    Hold,
    /// Takes that away.
    Down,
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("usage: cargo xtask cluster [--keep | --down]");
        return ExitCode::from(2);
    };
    let done = match arguments.what {
        What::Tell => tell(&arguments),
        What::Keep => return keep::in_background(&arguments).unwrap_or_else(|error| failed(&error)),
        What::Hold => keep::hold(&arguments),
        What::Down => keep::take_down(),
    };
    done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    if interrupt::came() && !when::is_over() {
        eprintln!("interrupted; nothing is left behind");
        return ExitCode::from(130);
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn parse(words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    let mut words = words;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--image" => arguments.image = Some(words.next()?.into()),
            "--keep" => arguments.what = What::Keep,
            "--hold" => arguments.what = What::Hold,
            "--down" => arguments.what = What::Down,
            _ => return None,
        }
    }
    Some(arguments)
}

/// Sets the scene and tells the whole story.
fn tell(arguments: &Arguments) -> Result<()> {
    interrupt::note_signals()?;
    let mut steps = table::Steps::start();
    let scene = Scene::set_up(&mut steps, arguments.image.as_deref())?;
    let before = story::begin(&scene, &mut steps)?;
    story::end(&scene, &mut steps, &before)?;
    if interrupt::came() {
        bail!("interrupted");
    }
    println!("\n{steps}");
    Ok(())
}
