//! Programs of Go modules, built as `go.mod` and `go.sum` in a folder of `tests/real/` pin them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::STEP;
use crate::progress::{Progress, Watcher};
use crate::setup::find;
use crate::workspace::Workspace;

/// Compilers at one time: each of them may take half a gigabyte.
const JOBS: &str = "2";

/// A folder of `tests/real/` that requires one module whose programs we build.
#[derive(Debug)]
pub struct Module {
    name: &'static str,
    folder: PathBuf,
    /// The version that is required, such as `v1.36.3`.
    pub version: String,
}

impl Module {
    /// The folder `name`, which requires `module`.
    pub fn read(workspace: &Workspace, name: &'static str, module: &str) -> Result<Self> {
        let folder = workspace.pinned().join(name);
        let file = folder.join("go.mod");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let version = required(&text, module)
            .with_context(|| format!("{} requires no version of {module}", file.display()))?;
        Ok(Self { name, folder, version: version.to_owned() })
    }

    /// Builds those of `programs` that are missing, each a name and a package.
    pub fn ensure(
        &self,
        workspace: &Workspace,
        progress: &Progress,
        programs: &[(&str, &str)],
        linker_flags: &str,
    ) -> Result<()> {
        let kept = workspace.real().join(format!("{}-{}", self.name, self.version));
        let missing: Vec<_> =
            programs.iter().copied().filter(|(program, _)| !kept.join(program).is_file()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ");
        let go = go(&self.name_and_version())?;
        fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
        progress.say(
            STEP,
            &format!("builds {names} of {}: tests need it (minutes, once)", self.name_and_version()),
        );
        for (program, package) in missing {
            // Whole or not at all, for whoever looks for it.
            let part = kept.join(format!("{program}.part"));
            self.build(workspace, progress, &go, package, &part, linker_flags)?;
            let built = kept.join(program);
            fs::rename(&part, &built).with_context(|| format!("cannot write {}", built.display()))?;
            progress.say(STEP, &format!("{} (built)", workspace.short(&built)));
        }
        Ok(())
    }

    fn name_and_version(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    fn build(
        &self,
        workspace: &Workspace,
        progress: &Progress,
        go: &Path,
        package: &str,
        to: &Path,
        linker_flags: &str,
    ) -> Result<()> {
        let mut command = Command::new(go);
        command.current_dir(&self.folder);
        command.args(["build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-p", JOBS]);
        command.arg("-ldflags").arg(format!("-s -w {linker_flags}")).arg("-o").arg(to).arg(package);
        // Static, as nothing of theirs needs C; and no workspace of the user's around our folder.
        command.env("CGO_ENABLED", "0").env("GOWORK", "off");
        command.env_remove("GOOS").env_remove("GOARCH");
        let log = workspace.log("real");
        let mut build = Build::new(to.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        let status = progress.run(STEP, command, &log, &mut build)?;
        if !status.success() {
            for line in &build.complaints {
                println!("    {line}");
            }
            bail!("go cannot build {package} ({status}); its output is above and in {}", log.display());
        }
        Ok(())
    }
}

/// The go command; it is often not on the PATH of those who are not logged in.
fn go(what: &str) -> Result<PathBuf> {
    ["go", "/usr/local/go/bin/go"].into_iter().find_map(find).with_context(|| {
        format!("{what} is built with Go, and there is no go here: install it (https://go.dev/doc/install), or put it on PATH")
    })
}

/// The version of `module` that a go.mod requires in a line of its own.
fn required<'t>(go_mod: &'t str, module: &str) -> Option<&'t str> {
    go_mod.lines().find_map(|line| line.strip_prefix("require ")?.strip_prefix(module)?.strip_prefix(' '))
}

/// What `go build -v` says: packages as they are compiled, and what is wrong.
struct Build {
    program: String,
    packages: usize,
    complaints: Vec<String>,
}

impl Build {
    fn new(program: String) -> Self {
        Self { program, packages: 0, complaints: Vec::new() }
    }
}

impl Watcher for Build {
    fn line(&mut self, line: &str) {
        // A package's path is one word.
        if line.contains(char::is_whitespace) {
            self.complaints.push(line.to_owned());
        } else {
            self.packages = self.packages.saturating_add(1);
        }
    }

    fn status(&self) -> String {
        format!("{}: {} packages compiled", self.program, self.packages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_go_mod_requires() {
        let text = "module a\n\ngo 1.26\n\nrequire k8s.io/kubernetes v1.36.3\n\nrequire (\n\tk8s.io/api v0.0.0 // indirect\n)\n";
        assert_eq!(required(text, "k8s.io/kubernetes"), Some("v1.36.3"));
        assert_eq!(required(text, "k8s.io"), None);
        assert_eq!(required(text, "k8s.io/api"), None);
    }

    #[test]
    fn what_is_wrong_is_told_from_what_go_is_at() {
        let mut build = Build::new("etcd".into());
        for line in
            ["k8s.io/api/core/v1", "# k8s.io/api/apps/v1", "types.go:1:2: undefined: x", "internal/abi"]
        {
            build.line(line);
        }
        assert_eq!(build.complaints, ["# k8s.io/api/apps/v1", "types.go:1:2: undefined: x"]);
        assert_eq!(build.status(), "etcd: 2 packages compiled");
    }
}
