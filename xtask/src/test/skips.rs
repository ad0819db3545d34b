//! The file in which tests say that they skipped themselves.
//!
//! libtest knows no skipping at run time: such a test returns early and counts as passed. So it
//! appends a line `name<TAB>what is missing and how to get it` to the file that `XDHCPD_SKIPS`
//! names, and we count it as what it is.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::libtest::is_called;

/// The variable that tells tests where to write.
pub const VARIABLE: &str = "XDHCPD_SKIPS";

/// A test that did not run, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    /// The test.
    pub name: String,
    /// What is missing and how to get it.
    pub reason: String,
}

impl Skip {
    /// Whether it is of the test with this whole name.
    pub fn is_of(&self, test: &str) -> bool {
        is_called(test, &self.name)
    }
}

/// Removes what an earlier run left.
pub fn clear(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_file(path)).with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(())
}

/// The skips so far; none when no test has written any.
pub fn read(path: &Path) -> Result<Vec<Skip>> {
    let text = absent_is_fine(fs::read(path)).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn absent_is_fine<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

/// One skip a test, however often it said so.
fn parse(text: &str) -> Vec<Skip> {
    let mut skips: Vec<Skip> = text.lines().filter(|line| !line.trim().is_empty()).map(skip).collect();
    skips.sort();
    skips.dedup_by(|one, other| one.name == other.name);
    skips
}

fn skip(line: &str) -> Skip {
    let (name, reason) = line.split_once('\t').unwrap_or((line, ""));
    let reason = if reason.trim().is_empty() { "it gives no reason" } else { reason.trim() };
    Skip { name: name.trim().to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_test_and_its_reason() {
        let skips = parse(
            "c44_dhclient_gets_a_lease\tdhclient is missing: apt-get install isc-dhcp-client\n\nb\tno veth\n",
        );
        let pairs: Vec<_> = skips.iter().map(|skip| (skip.name.as_str(), skip.reason.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("b", "no veth"),
                ("c44_dhclient_gets_a_lease", "dhclient is missing: apt-get install isc-dhcp-client")
            ]
        );
    }

    #[test]
    fn a_test_that_says_so_twice_is_skipped_once() {
        assert_eq!(parse("a\tfirst\na\tsecond\n").len(), 1);
    }

    #[test]
    fn a_line_without_a_reason_still_counts() {
        assert_eq!(parse("a"), [Skip { name: "a".into(), reason: "it gives no reason".into() }]);
    }

    #[test]
    fn no_file_means_no_skips() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skips");
        assert_eq!(read(&path).unwrap(), []);
        clear(&path).unwrap();
        fs::write(&path, "a\tb\n").unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        clear(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }
}
