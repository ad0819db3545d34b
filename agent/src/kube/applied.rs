//! The configuration that was applied last, kept beside the leases: with it the agent serves when no
//! API server can be asked.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::objects::ClusterAgentSpec;

/// What was applied last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The object's word.
    pub spec: ClusterAgentSpec,
    /// The addresses of all HostEndpoints then.
    pub endpoints: BTreeSet<Ipv4Addr>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum AppliedError {
    /// None was ever kept.
    #[error("no configuration was applied before ({} is not there)", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("{}: {why}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Where it is kept.
pub fn path(folder: &Path, agent: &str) -> PathBuf {
    folder.join(format!("{agent}-clusteragent.json"))
}

/// Reads it.
pub fn read(path: &Path) -> Result<Applied, AppliedError> {
    let unreadable = |why: String| AppliedError::Unreadable { path: path.to_owned(), why };
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AppliedError::Missing { path: path.to_owned() },
        _ => unreadable(error.to_string()),
    })?;
    serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
}

/// Keeps it: whole or not at all, whenever the power goes.
pub fn write(path: &Path, applied: &Applied) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(applied)?;
    let new = path.with_extension("json.new");
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied() -> Applied {
        let spec = json!({ "agentYaml": {}, "feature": { "dhcpServerConfig": {
            "dhcpServerInterface": "eth1", "subnet": "10.9.0.0/24", "ipRange": "10.9.0.100-10.9.0.200",
            "gateway": "10.9.0.1", "leaseTime": "1s",
        }}});
        Applied {
            spec: serde_json::from_value(spec).unwrap(),
            endpoints: BTreeSet::from([Ipv4Addr::new(10, 9, 0, 7)]),
        }
    }

    #[test]
    fn what_was_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "bmc");
        assert!(matches!(read(&path), Err(AppliedError::Missing { .. })));
        write(&path, &applied()).unwrap();
        assert_eq!(read(&path).unwrap(), applied());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["bmc-clusteragent.json"]);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "bmc");
        fs::write(&path, "{").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("bmc-clusteragent.json: EOF"), "{error}");
    }
}
