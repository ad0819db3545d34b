//! `cargo xtask crds`: writes the custom resource definitions that the agent's types make into
//! `chart/crds`, and what the chart's values may say of a ClusterAgent into `chart/values.schema.json`. A test of
//! the agent fails when the definitions differ, one of the chart when the schema does.

mod values;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::progress::Progress;
use crate::workspace::Workspace;

const STEP: &str = "crds";

/// Builds the agent, asks it for its definitions, and writes each into a file of its name.
pub fn run(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xdhcpd"]).env_remove("CARGO_BUILD_TARGET");
    progress.run_or_show(STEP, cargo, &workspace.log("crds"))?;
    let agent = workspace.agent("debug");
    let documents = printed(&agent, &["crds"])?;
    let folder = workspace.root().join("chart/crds");
    fs::create_dir_all(&folder)?;
    for document in documents.split("---\n").filter(|text| !text.is_empty()) {
        let name = name(document).context("a definition without a name")?;
        let path = folder.join(format!("{name}.yaml"));
        fs::write(&path, document).with_context(|| format!("writing {}", path.display()))?;
        progress.say(STEP, &workspace.short(&path).to_string());
    }
    let schema = workspace.root().join("chart/values.schema.json");
    let text = fs::read_to_string(&schema).with_context(|| format!("cannot read {}", schema.display()))?;
    let definitions = serde_json::from_str(&printed(&agent, &["crds", "--json"])?)?;
    let text = values::updated(&text, &definitions).with_context(|| schema.display().to_string())?;
    fs::write(&schema, text).with_context(|| format!("writing {}", schema.display()))?;
    progress.say(STEP, &workspace.short(&schema).to_string());
    Ok(())
}

/// What the agent prints with these arguments.
fn printed(agent: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(agent).args(arguments).output().context("running the agent")?;
    ensure!(output.status.success(), "{}: {}", agent.display(), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// `metadata.name` of a document.
fn name(document: &str) -> Option<&str> {
    document.lines().skip_while(|line| *line != "metadata:").find_map(|line| line.strip_prefix("  name: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_documents_name_is_that_of_its_metadata() {
        assert_eq!(name("kind: A\nmetadata:\n  name: as.b.io\nspec:\n  name: no\n"), Some("as.b.io"));
        assert_eq!(name("kind: A\n"), None);
    }
}
