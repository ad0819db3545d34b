//! The lab: a network of two namespaces, the agent in one, a real DHCP client in the other.
//!
//! `cargo xtask lab` builds and runs this. It starts the agent, runs the client twice, and prints
//! who answered and how fast. It leaves nothing behind, however it ends; with `--keep` the lab
//! stays up until `--down`.

mod exchanges;
mod scene;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};

use self::scene::Scene;
use xdhcpd_tests::interrupt;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(false),
        ["--keep"] => show(true),
        ["--down"] => take_down(),
        _ => {
            eprintln!("usage: cargo xtask lab [--keep | --down]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::came() => {
            eprintln!("interrupted; nothing is left behind");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sets the lab up and tells its story.
fn show(keep: bool) -> Result<()> {
    let scene = Scene::set_up()?;
    story::tell(&scene)?;
    if interrupt::came() {
        bail!("interrupted");
    }
    if keep {
        scene.keep();
        story::how_to_look_around();
    }
    Ok(())
}

/// Takes a kept lab down.
fn take_down() -> Result<()> {
    if !Scene::is_there() {
        println!("there is no lab");
        return Ok(());
    }
    drop(Scene::left_behind());
    if Scene::is_there() {
        bail!("something of the lab is still there: see {}", scene::FOLDER);
    }
    println!("the lab is gone");
    Ok(())
}
