//! The test binaries that a cargo build leaves, as its JSON messages name them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::progress::{Transcript, Watcher};

/// One test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestBinary {
    /// The file to run.
    pub executable: PathBuf,
    /// The package's directory, which cargo lets tests run in.
    pub package: PathBuf,
    /// What people call it: `xdhcpd (lib)`, `xdhcpd-tests leases (test)`.
    pub name: String,
}

/// What cargo says while it builds.
#[derive(Default)]
pub struct Compilation {
    /// The binaries so far.
    pub binaries: Vec<TestBinary>,
    /// All else that it said.
    pub transcript: Transcript,
}

impl Watcher for Compilation {
    fn line(&mut self, line: &str) {
        if line.starts_with('{') {
            self.binaries.extend(parse(line));
        } else {
            self.transcript.line(line);
        }
    }

    fn status(&self) -> String {
        self.transcript.status()
    }
}

/// Reads one line of `--message-format=json`; anything else than a test binary is none.
pub fn parse(line: &str) -> Option<TestBinary> {
    let message: Value = serde_json::from_str(line.strip_prefix('{').map(|_| line)?).ok()?;
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    if text("/reason")? != "compiler-artifact" || !message.pointer("/profile/test")?.as_bool()? {
        return None;
    }
    let kind = text("/target/kind/0")?;
    if !["lib", "bin", "test"].contains(&kind) {
        return None;
    }
    let package = Path::new(text("/manifest_path")?).parent()?;
    Some(TestBinary {
        executable: text("/executable")?.into(),
        package: package.to_path_buf(),
        name: format!("{}/{} ({kind})", package.file_name()?.to_str()?, text("/target/name")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///src/agent#xdhcpd@0.1.0","manifest_path":"/src/agent/Cargo.toml","target":{"kind":["lib"],"crate_types":["lib"],"name":"xdhcpd","src_path":"/src/agent/src/lib.rs","edition":"2024","doc":true,"doctest":true,"test":true},"profile":{"opt_level":"0","debuginfo":1,"debug_assertions":true,"overflow_checks":true,"test":true},"features":[],"filenames":["/src/target/debug/deps/xdhcpd-d1"],"executable":"/src/target/debug/deps/xdhcpd-d1","fresh":true}"#;

    #[test]
    fn a_test_binary_is_known_with_its_package() {
        let binary = parse(LIB).unwrap();
        assert_eq!(binary.executable, Path::new("/src/target/debug/deps/xdhcpd-d1"));
        assert_eq!(binary.package, Path::new("/src/agent"));
        assert_eq!(binary.name, "agent/xdhcpd (lib)");
    }

    #[test]
    fn what_is_no_test_binary_is_passed_over() {
        assert_eq!(parse(&LIB.replace(r#""test":true},"features""#, r#""test":false},"features""#)), None);
        assert_eq!(parse(&LIB.replace(r#""kind":["lib"]"#, r#""kind":["bench"]"#)), None);
        assert_eq!(parse(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(parse("   Compiling xdhcpd v0.1.0"), None);
        assert_eq!(parse("{ not json"), None);
    }
}
