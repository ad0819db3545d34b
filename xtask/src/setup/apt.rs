//! System packages through apt: quietly, only what is missing, and no service started.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::packages::{Package, find};
use super::{STEP, is_root};
use crate::progress::{Progress, Transcript};
use crate::workspace::Workspace;

/// What maintainer scripts ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Held while packages are installed: two checkouts may set themselves up at one time.
const LOCK: &str = "/run/xdhcpd-setup.lock";
/// How long to wait for somebody else's apt, in seconds.
const APT_LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=300";
/// Runs a command while no service may be started. A script, since it has to tidy up behind an
/// interrupted apt even when we are gone.
const WITHOUT_SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/setup/without-services.sh");

/// Installs what is missing of `packages`, or fails saying what to do.
pub fn install(workspace: &Workspace, progress: &Progress, packages: &[Package]) -> Result<()> {
    let missing = missing(progress, packages);
    if missing.is_empty() {
        return Ok(());
    }
    able_to_install(&missing)?;
    let _held = hold_lock(progress)?;
    if !install_or_update_first(workspace, progress, &missing)? {
        bail!(
            "apt-get cannot install {}; {} says why. By hand:\n{}",
            names(&missing).join(" "),
            workspace.log("setup").display(),
            by_hand(&missing)
        );
    }
    Ok(())
}

/// Installs what can be had of `packages`, and warns of the rest.
pub fn install_what_there_is(workspace: &Workspace, progress: &Progress, packages: &[Package]) {
    let missing = missing(progress, packages);
    if let Err(reason) = install_all_or_each(workspace, progress, &missing) {
        progress.say(STEP, &format!("warning: what needs them will be left out: {reason:#}"));
    }
}

fn install_all_or_each(workspace: &Workspace, progress: &Progress, missing: &[&Package]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    able_to_install(missing)?;
    let _held = hold_lock(progress)?;
    if install_or_update_first(workspace, progress, missing)? {
        return Ok(());
    }
    for package in missing {
        if !apt_install(workspace, progress, &[package])? {
            let name = &package.name;
            progress.say(
                STEP,
                &format!("warning: apt-get cannot install {name}: what needs it will be left out"),
            );
        }
    }
    Ok(())
}

/// What is not there yet, announced.
fn missing<'p>(progress: &Progress, packages: &'p [Package]) -> Vec<&'p Package> {
    let missing: Vec<_> = packages.iter().filter(|package| !package.is_there()).collect();
    for package in &missing {
        progress.say(STEP, &format!("needs {}: {}", package.name, package.why));
    }
    missing
}

fn able_to_install(missing: &[&Package]) -> Result<()> {
    if find("apt-get").is_none() {
        bail!(
            "there is no apt-get here; install what corresponds to this, and try again:\n{}",
            by_hand(missing)
        );
    }
    if !is_root() {
        bail!("installing packages needs root; run this, and try again:\n{}", by_hand(missing));
    }
    Ok(())
}

/// The package lists on disk mostly do; where there are none, or old ones, they are fetched.
fn install_or_update_first(
    workspace: &Workspace,
    progress: &Progress,
    packages: &[&Package],
) -> Result<bool> {
    if apt_install(workspace, progress, packages)? {
        return Ok(true);
    }
    progress.say(STEP, "apt-get update: the package lists on disk do not do");
    apt_get(workspace, progress, &["update"])?;
    apt_install(workspace, progress, packages)
}

fn apt_install(workspace: &Workspace, progress: &Progress, packages: &[&Package]) -> Result<bool> {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(names(packages));
    apt_get(workspace, progress, &arguments)
}

/// Runs apt-get; its output is in the log. Gives whether it succeeded.
fn apt_get(workspace: &Workspace, progress: &Progress, arguments: &[&str]) -> Result<bool> {
    let mut command = without_services(Path::new(POLICY));
    command.args(["apt-get", "-o", APT_LOCK_TIMEOUT]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(progress.run(STEP, command, &workspace.log("setup"), &mut Transcript::default())?.success())
}

/// A command that runs its further arguments while no service may be started.
fn without_services(policy: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg(WITHOUT_SERVICES).arg(policy);
    command
}

fn hold_lock(progress: &Progress) -> Result<File> {
    let lock = File::create(LOCK)?;
    if lock.try_lock().is_err() {
        progress.say(STEP, "waiting for another set-up to finish");
        lock.lock()?;
    }
    Ok(lock)
}

fn names<'p>(packages: &[&'p Package]) -> Vec<&'p str> {
    packages.iter().map(|package| package.name.as_ref()).collect()
}

fn by_hand(packages: &[&Package]) -> String {
    let sudo = if is_root() { "" } else { "sudo " };
    let names = names(packages).join(" ");
    format!("    {sudo}apt-get update\n    {sudo}apt-get install --yes --no-install-recommends {names}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// A directory with a `policy-rc.d` that says `before`, or none.
    fn policy(before: Option<&str>) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy-rc.d");
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
        (directory, path)
    }

    fn run(policy: &Path, script: &str) -> (Option<i32>, String) {
        let output = without_services(policy).args(["sh", "-c", script]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn services_are_denied_while_the_command_runs_and_not_after() {
        let (_directory, path) = policy(None);
        let (code, output) = run(&path, &format!("{}; echo $?", path.display()));
        assert_eq!((code, output.as_str()), (Some(0), "101\n"));
        assert!(!path.exists());
    }

    #[test]
    fn the_administrators_policy_comes_back_even_after_a_failure() {
        let (_directory, path) = policy(Some("exit 0"));
        let (code, output) = run(&path, &format!("cat {}; exit 7", path.display()));
        assert_eq!(code, Some(7));
        assert!(output.contains("exit 101"), "{output}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "exit 0");
    }

    #[test]
    fn an_interrupted_run_puts_things_back() {
        let (_directory, path) = policy(Some("exit 0"));
        // Not INT: a shell cannot catch what its caller ignores, as background jobs do with that.
        let (code, _) = run(&path, "kill -TERM $PPID");
        assert_eq!(code, Some(130));
        assert_eq!(fs::read_to_string(&path).unwrap(), "exit 0");
    }

    #[test]
    fn what_a_killed_run_left_is_put_right_by_the_next() {
        for before in [None, Some("exit 0")] {
            let (_directory, path) = policy(before);
            let (code, _) = run(&path, "kill -KILL $PPID; sleep 0.1");
            assert_eq!(code, None);
            assert!(fs::read_to_string(&path).unwrap().contains("exit 101"));
            run(&path, "true");
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
        }
    }
}
