//! kubectl, as one user in one namespace.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::netns::{NetNs, command_in, succeed};

/// How long a request may take: longer than a busy API server needs, shorter than a test waits.
const REQUEST_TIMEOUT: &str = "--request-timeout=20s";

/// kubectl with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    namespace: String,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// `program` in the network namespace of this name, with this kubeconfig.
    pub fn new(program: PathBuf, namespace: &str, kubeconfig: PathBuf) -> Self {
        Self { program, namespace: namespace.to_owned(), kubeconfig }
    }

    /// The same as another user.
    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_path_buf(), ..self.clone() }
    }

    /// The same from another namespace.
    pub fn inside(&self, namespace: &NetNs) -> Self {
        Self { namespace: namespace.name().to_owned(), ..self.clone() }
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = command_in(&self.namespace, &self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        // Beside the kubeconfig: what it learns of this API server is for nobody else.
        command.arg("--cache-dir").arg(self.kubeconfig.with_extension("cache"));
        command.arg(REQUEST_TIMEOUT).args(words);
        command
    }

    /// Runs it to its end; its output, or an error with what it said.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let output = succeed(&mut self.command(words))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same with something to read on its standard input.
    pub fn run_with_input(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting kubectl")?;
        // It may end before it has read all; how it ended says why.
        let _ = child.stdin.take().context("its standard input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes objects be as these manifests say.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.run_with_input(&["apply", "-f", "-"], manifests).with_context(|| format!("of\n{manifests}"))?;
        Ok(())
    }

    /// An object; none where there is none.
    pub fn get_json(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let text = self.run(&["get", kind, name, "--ignore-not-found", "-o", "json"])?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&text).with_context(|| format!("what kubectl says of {kind} {name}"))
    }

    /// All objects of a kind.
    pub fn list_json(&self, kind: &str) -> Result<Vec<Value>> {
        let list: Value = serde_json::from_str(&self.run(&["get", kind, "-o", "json"])?)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// What this user may do in a namespace, as the API server sees it: rules in the form of a ClusterRole's.
    pub fn own_rules(&self, namespace: &str) -> Result<Vec<Value>> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let answer = self.run_with_input(&["create", "--raw", path, "-f", "-"], &review.to_string())?;
        let answer: Value = serde_json::from_str(&answer)?;
        let rules =
            ["resourceRules", "nonResourceRules"].map(|kind| answer["status"][kind].as_array().cloned());
        Ok(rules.into_iter().flatten().flatten().collect())
    }
}
