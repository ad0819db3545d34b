//! A control group of our own in each hierarchy of the machine, and its removal with all below it.
//!
//! The names begin as those of namespaces do, so what killed tests left is found by them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::wait;

/// A group at the top of each hierarchy; removed when dropped, when nothing may run in it any more.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
}

/// Where a hierarchy is mounted, and whether it is of version 2.
type Hierarchy = (PathBuf, bool);

impl Cgroup {
    /// Makes it.
    pub fn new(name: &str) -> Result<Self> {
        let group = Self { name: name.to_owned() };
        for (top, unified) in hierarchies()? {
            make(&top, unified, name).with_context(|| format!("a control group in {}", top.display()))?;
        }
        Ok(group)
    }

    /// Its path in each hierarchy.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("{error:#}");
        }
    }
}

/// Removes the groups of this name, which are empty or about to be.
pub fn remove(name: &str) -> Result<()> {
    let tops = hierarchies()?;
    // A process that has just been killed is in its group until it has been buried.
    wait::until_true(&format!("the control groups of {name} to be gone"), wait::SOON, || {
        let left = tops.iter().map(|(top, _)| top.join(name)).filter(|group| remove_tree(group).is_err());
        Ok(left.count() == 0)
    })
}

/// The names of all groups at the top of a hierarchy.
pub fn names() -> Vec<String> {
    let tops = hierarchies().unwrap_or_default();
    let entries = tops.iter().filter_map(|(top, _)| fs::read_dir(top).ok()).flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.dedup();
    names
}

fn make(top: &Path, unified: bool, name: &str) -> Result<()> {
    let group = top.join(name);
    fs::create_dir(&group)?;
    if unified {
        // Each on its own: some cannot be had where another hierarchy has them.
        for controller in fs::read_to_string(top.join("cgroup.controllers"))?.split_whitespace() {
            let _ = fs::write(top.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    // A new group of cpuset's first version has no processors, and takes no process before it has.
    for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| !unified) {
        if let Ok(all) = fs::read_to_string(top.join(file)) {
            fs::write(group.join(file), all.trim())?;
        }
    }
    Ok(())
}

/// Removes a group and those in it; it is no error that there is none.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path())?;
    }
    fs::remove_dir(group)
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(mounted(&fs::read_to_string("/proc/self/mounts")?))
}

fn mounted(mounts: &str) -> Vec<Hierarchy> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter_map(|fields| match fields[..] {
            [_, place, "cgroup", ..] => Some((PathBuf::from(place), false)),
            [_, place, "cgroup2", ..] => Some((PathBuf::from(place), true)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = mounted(mounts);
        let expected = [("/sys/fs/cgroup/cpu", false), ("/sys/fs/cgroup/unified", true)];
        assert_eq!(found, expected.map(|(place, unified)| (PathBuf::from(place), unified)));
    }
}
