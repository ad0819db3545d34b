//! Where a node is: its namespaces, and the places in them that are its own.
//!
//! Its first process holds namespaces of processes and of mounts. All that the node starts is in them; so
//! whatever ends that process ends all of the node, and takes its mounts with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::kube::process::Process;
use crate::netns::{NetNs, command_in};
use crate::{process, wait};

/// What the first process runs.
const INIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/node/init.sh");

/// The folders of a node that are its own: what the machine has there is neither seen nor written.
const OWN: [&str; 5] = ["var/log", "var/lib/containerd", "var/lib/kubelet", "var/lib/cni", "var/lib/dhcp"];

/// What kubelet wants of the kernel, and would set for the whole machine.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// The namespaces of a node; ended, with all that runs in them, when dropped.
#[derive(Debug)]
pub struct Place {
    /// The process that holds them, seen from here.
    first: u32,
    network: String,
    holder: Option<Process>,
}

impl Place {
    /// Makes it in this network namespace; its files are in `folder`.
    pub fn make(network: &NetNs, folder: &Path) -> Result<Self> {
        for own in OWN {
            fs::create_dir_all(folder.join("own").join(own))?;
        }
        fs::write(folder.join("places"), OWN.map(|own| format!("{own}\n")).concat())?;
        for (setting, value) in SETTINGS {
            let file = folder.join("proc-sys").join(setting);
            fs::create_dir_all(file.parent().context("a setting has a folder")?)?;
            fs::write(file, format!("{value}\n"))?;
        }
        for more in ["upper", "work"] {
            fs::create_dir_all(folder.join(more))?;
        }
        let mut command = Process::command(network.name(), Path::new("unshare"));
        command.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "sh", INIT]);
        command.arg(folder);
        let mut holder = Process::start("node", command, folder)?;
        wait::until_true("the node's mounts", wait::SOON, || match holder.ended()? {
            Some(status) => bail!("the node ended with {status}\n{}", holder.last_words()),
            None => Ok(folder.join("up").exists()),
        })?;
        let [first] = process::children(holder.pid())?[..] else { bail!("a node has one first process") };
        Ok(Self { first, network: network.name().to_owned(), holder: Some(holder) })
    }

    /// A command in all namespaces of the node, which ends with this process at the latest.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = command_in(&self.network, "setpriv");
        command.args(["--pdeathsig", "KILL", "--", "nsenter", "--mount", "--pid", "--target"]);
        command.args([&self.first.to_string(), "--", "setpriv", "--pdeathsig", "KILL", "--"]);
        command.arg(program.as_ref());
        command
    }

    /// A path in the node, as it is reached from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.first.to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// The process that holds the namespaces.
    pub fn first_process(&self) -> u32 {
        self.first
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.holder.take());
        let first = Path::new("/proc").join(self.first.to_string());
        // It is gone when all that ran in its namespace is (pid_namespaces(7)).
        let gone = wait::until_true("the node to be gone", wait::SOON, || Ok(!first.exists()));
        if let Err(error) = gone {
            eprintln!("{error}");
        }
    }
}
