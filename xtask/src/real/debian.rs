//! Packages of one of Debian's suites, this machine's or another, unpacked and never installed.
//!
//! They come from the mirror that this machine's own apt is set to, with only the suite changed. Lists and
//! downloads are kept apart from the machine's, and the machine's packages do not count.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::STEP;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// Whose signature makes a list Debian's, also on a machine that trusts others.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Names where the machine's apt gets what, a line each.
const REPOSITORIES: &str = "$(LABEL) $(REPO_URI)";

/// A suite whose lists have been read.
#[derive(Debug)]
pub struct Suite<'a> {
    workspace: &'a Workspace,
    progress: &'a Progress,
    name: String,
    /// Where apt keeps what is of this suite.
    folder: PathBuf,
}

impl<'a> Suite<'a> {
    /// Fetches the lists of the suite `name`, such as `bookworm`.
    pub fn read(workspace: &'a Workspace, progress: &'a Progress, name: &str) -> Result<Self> {
        let folder = workspace.real().join("apt").join(name);
        for inside in ["lists/partial", "cache/archives/partial"] {
            let inside = folder.join(inside);
            fs::create_dir_all(&inside).with_context(|| format!("cannot create {}", inside.display()))?;
        }
        let suite = Self { workspace, progress, name: name.to_owned(), folder };
        let sources = suite.folder.join("sources.list");
        let line = format!("deb [target=Packages signed-by={KEYRING}] {} {name} main\n", mirror()?);
        fs::write(&sources, line).with_context(|| format!("cannot write {}", sources.display()))?;
        suite.run(suite.apt("apt-get", &["update"]))?;
        Ok(suite)
    }

    /// The package that `package`, which is empty itself, stands for.
    pub fn dependency(&self, package: &str) -> Result<String> {
        let printed = output(&mut self.apt("apt-cache", &["depends", package]))?;
        let first =
            depends(&printed).with_context(|| format!("{package} of {} depends on nothing", self.name))?;
        Ok(first.to_owned())
    }

    /// Unpacks a package into the folder `to`, which is there whole or not at all: `finish` does
    /// what else belongs to it.
    pub fn unpack(&self, package: &str, to: &Path, finish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let archive = self.download(package)?;
        let part = to.with_extension("part");
        make_empty(&part)?;
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(&archive).arg(&part);
        self.run(unpack)?;
        finish(&part)?;
        fs::rename(&part, to).with_context(|| format!("cannot write {}", to.display()))?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
        self.progress.say(STEP, &format!("{} ({package} of {})", self.workspace.short(to), self.name));
        Ok(())
    }

    /// Downloads a package; apt leaves it in the working directory.
    fn download(&self, package: &str) -> Result<PathBuf> {
        let folder = self.folder.join("download");
        make_empty(&folder)?;
        let mut command = self.apt("apt-get", &["download", package]);
        command.current_dir(&folder);
        self.run(command)?;
        let file = fs::read_dir(&folder)?.next();
        Ok(file.with_context(|| format!("apt-get download {package} left no file"))??.path())
    }

    /// A command of apt's that knows this suite alone.
    fn apt(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, value: &OsStr| {
            let mut option = OsString::from(format!("{name}="));
            option.push(value);
            option
        };
        for (name, place) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(option(name, self.folder.join(place).as_os_str()));
        }
        command.args(["-o", "Dir::Etc::sourceparts=-", "-o", "Dir::State::status=/dev/null"]);
        // Apt's own user may not write here.
        command.args(["-o", "APT::Sandbox::User=root"]).args(arguments);
        command
    }

    /// Runs a command to its end.
    fn run(&self, command: Command) -> Result<()> {
        self.progress.run_or_show(STEP, command, &self.workspace.log("real"))
    }
}

/// The mirror of Debian's that this machine's own apt is set to.
fn mirror() -> Result<String> {
    let repositories = output(Command::new("apt-get").args(["indextargets", "--format", REPOSITORIES]))?;
    debians(&repositories).map(str::to_owned).context("this machine's apt is set to no mirror of Debian's")
}

/// The first repository that is Debian's itself, not its security team's or somebody else's.
fn debians(repositories: &str) -> Option<&str> {
    repositories.lines().find_map(|line| line.strip_prefix("Debian "))
}

/// The package that one without contents depends on, as `apt-cache depends` prints it.
fn depends(printed: &str) -> Option<&str> {
    printed.lines().find_map(|line| line.trim().strip_prefix("Depends: "))
}

/// Makes an empty folder, whatever a run that was killed left there.
fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// What a command prints that takes no time.
fn output(command: &mut Command) -> Result<String> {
    let output =
        command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_of_debian_itself() {
        let set =
            "Debian-Security http://a/security/\nDocker http://b/\nDebian http://c/debian/\nDebian http://d/";
        assert_eq!(debians(set), Some("http://c/debian/"));
        assert_eq!(debians("Ubuntu http://e/ubuntu/\n"), None);
    }

    #[test]
    fn the_newest_kernel_is_what_the_empty_package_depends_on() {
        let printed =
            "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-50-cloud-amd64\n  Breaks: other\n";
        assert_eq!(depends(printed), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(depends("linux-image-cloud-amd64\n"), None);
    }
}
