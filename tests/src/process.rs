//! Looking at processes through /proc (proc(5)).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The children of a process, of all its threads; ended ones that nobody has waited for are
/// among them.
pub fn children(process: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        let list = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().filter_map(|number| number.parse::<u32>().ok()));
    }
    Ok(children)
}

/// Whether a process is there, and no zombie.
pub fn is_alive(process: u32) -> bool {
    let status = Path::new("/proc").join(process.to_string()).join("status");
    status_line(&status, "State").is_ok_and(|state| !state.starts_with('Z'))
}

/// The value of a line of a `status` file.
pub fn status_line(status: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(status)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("no {name} in {}", status.display()))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_our_parents_child() {
        let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
        assert!(is_alive(own));
        assert!(children(parent).unwrap().contains(&own));
        // Past the highest process number that Linux gives.
        assert!(!is_alive(4_194_305));
    }
}
