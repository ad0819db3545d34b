//! A real Kubernetes of one node, the chart in it, and a client outside that gets its lease from a pod.
//!
//! `cargo xtask cluster` builds and runs this. It goes the way of somebody who tries xdhcpd in a cluster, and
//! ends with an error where something is not as promised: install, serve, lose the pod, upgrade, uninstall.
//! With `--move-over` the way begins elsewhere: a cluster that the BMC operator served moves over as README tells.
//! It leaves nothing behind, however it ends; with `--keep` it stops before the end, and the cluster stays up
//! until `--down`.

mod chart;
mod keep;
mod moving;
mod objects;
mod operator;
mod scene;
mod story;
mod table;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use xdhcpd_tests::interrupt;

use self::scene::Scene;
use self::table::Steps;

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
    /// The story of a cluster that the BMC operator served.
    MoveOver,
    /// The story without its end, and then a cluster that stays.
    Keep,
    /// What `Keep` runs in the background.
    Hold,
    /// Takes that away.
    Down,
}

fn main() -> ExitCode {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("usage: cluster [--image ARCHIVE] [--keep | --down | --move-over]");
        return ExitCode::from(2);
    };
    let done = match arguments.what {
        What::Tell => tell(&arguments, whole),
        What::MoveOver => tell(&arguments, moving::tell),
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
            "--move-over" => arguments.what = What::MoveOver,
            "--keep" => arguments.what = What::Keep,
            "--hold" => arguments.what = What::Hold,
            "--down" => arguments.what = What::Down,
            _ => return None,
        }
    }
    Some(arguments)
}

/// Sets the scene and tells a story.
fn tell(arguments: &Arguments, story: fn(&Scene, &mut Steps) -> Result<()>) -> Result<()> {
    interrupt::note_signals()?;
    let mut steps = Steps::start();
    let scene = Scene::set_up(&mut steps, arguments.image.as_deref())?;
    story(&scene, &mut steps)?;
    if interrupt::came() {
        bail!("interrupted");
    }
    println!("\n{steps}");
    Ok(())
}

fn whole(scene: &Scene, steps: &mut Steps) -> Result<()> {
    let before = story::begin(scene, steps)?;
    story::end(scene, steps, &before)
}
