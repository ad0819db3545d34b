//! The chart, as helm reads it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Result, bail};

use crate::kube::parts;
use crate::netns::succeed;
use crate::skip;

/// The folder of the chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart");

/// The release that tests make, and its namespace.
pub const RELEASE: &str = "xdhcpd";

/// helm; else the test `name` is noted as skipped, and why.
pub fn helm(name: &str) -> Option<Helm> {
    match parts::helm() {
        Ok(program) => Some(Helm { program }),
        Err(missing) => {
            skip::skipped(name, &missing);
            None
        }
    }
}

/// helm, with nothing of its user's.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
}

impl Helm {
    /// The program.
    pub fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Runs it to its end, however it ends.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        Ok(self.command().args(words).output()?)
    }

    /// The manifests that these values make, each `--set`.
    pub fn template(&self, values: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(["template", RELEASE, CHART, "--namespace", RELEASE]);
        let output = succeed(command.args(sets(values)))?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Why these values are refused.
    pub fn refusal(&self, values: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(["template", RELEASE, CHART]).args(sets(values));
        let output = command.output()?;
        if output.status.success() {
            bail!("{values:?} are taken");
        }
        Ok(String::from_utf8(output.stderr)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("KUBECONFIG").stdin(Stdio::null());
        command
    }
}

/// As arguments of helm's.
pub fn sets<'v>(values: &[&'v str]) -> Vec<&'v str> {
    values.iter().flat_map(|value| ["--set", value]).collect()
}

/// The document of this kind among rendered manifests.
pub fn document<'m>(manifests: &'m str, kind: &str) -> Option<&'m str> {
    let line = format!("kind: {kind}");
    manifests.split("\n---").find(|document| document.lines().any(|it| it == line))
}
