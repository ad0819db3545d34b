//! helm, which installs our chart as people do.

use std::fs;

use anyhow::{Context as _, Result};

use super::go::Module;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// The library of Kubernetes whose version says for which Kubernetes this helm is made.
const CLIENT: &str = "k8s.io/client-go";

/// Builds it where it is missing.
pub fn ensure(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let helm = Module::read(workspace, "helm", "helm.sh/helm/v3")?;
    let file = workspace.pinned().join("helm/go.mod");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let minor =
        minor(&text).with_context(|| format!("{} names no version v0.N of {CLIENT}", file.display()))?;
    helm.ensure(
        workspace,
        progress,
        &[("helm", "helm.sh/helm/v3/cmd/helm")],
        &version_flags(&helm.version, minor),
    )
}

/// The 36 of Kubernetes 1.36, whose library is v0.36.
fn minor(go_mod: &str) -> Option<&str> {
    let line =
        go_mod.lines().find_map(|line| line.trim_start().strip_prefix(CLIENT)?.strip_prefix(" v0."))?;
    let minor = line.split('.').next()?;
    minor.bytes().all(|byte| byte.is_ascii_digit()).then_some(minor).filter(|minor| !minor.is_empty())
}

/// The linker's flags that tell helm its version, and which Kubernetes it takes for granted where it asks
/// none; else it lints and renders for one of years ago, which charts refuse.
fn version_flags(version: &str, kubernetes: &str) -> String {
    let told = ["pkg/lint/rules", "pkg/chartutil"].map(|package| {
        let package = format!("helm.sh/helm/v3/{package}");
        format!("-X {package}.k8sVersionMajor=1 -X {package}.k8sVersionMinor={kubernetes}")
    });
    format!("-X helm.sh/helm/v3/internal/version.version={version} {}", told.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_made_for_the_kubernetes_of_its_client_library() {
        let text =
            "require helm.sh/helm/v3 v3.22.0\n\nrequire (\n\tk8s.io/client-go v0.36.2 // indirect\n)\n";
        assert_eq!(minor(text), Some("36"));
        assert_eq!(minor("\tk8s.io/client-go v1.36.2 // indirect\n"), None);
        assert_eq!(minor("\tk8s.io/client-go v0.x\n"), None);
        let flags = version_flags("v3.22.0", "36");
        assert!(flags.contains("version.version=v3.22.0 "), "{flags}");
        assert_eq!(flags.matches("k8sVersionMinor=36").count(), 2, "{flags}");
    }
}
