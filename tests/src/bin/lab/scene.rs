//! What the lab consists of, by fixed names: whoever sets it up or takes it down knows them all,
//! so what a killed lab left can be taken down as well.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use xdhcpd_tests::interrupt;
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::server::{self, Agent};
use xdhcpd_tests::wait;

/// The agent's name: of its socket, its pins and its lease file.
pub const NAME: &str = "lab";
/// Where the agent is.
pub const SERVER: &str = "xdhcpd-lab-server";
/// Where the client is.
pub const CLIENT: &str = "xdhcpd-lab-client";
/// Configuration, log and leases.
pub const FOLDER: &str = "/run/xdhcpd-lab";

/// What the agent serves. No probing, so that the times are those of DHCP alone.
const CONFIG: &str = "\
name: lab
networks:
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.200]
    gateway: 10.9.0.1
    leaseTime: 1h
    probe: false
    options: {dns: [10.9.0.53], domainName: example.org}
leases: {dir: /run/xdhcpd-lab}
http: {listen: off}
";

/// A lab; taken down when dropped.
#[derive(Debug)]
pub struct Scene {
    pair: Pair,
    agent: Agent,
}

impl Scene {
    /// Sets it up: namespaces, link, agent.
    pub fn set_up() -> Result<Self> {
        interrupt::note_signals()?;
        claim_folder()?;
        // From here on dropping it takes down whatever there is of it.
        let scene = Self::left_behind();
        interrupt::end_waits_in(&[SERVER, CLIENT])?;
        println!("two network namespaces, {SERVER} and {CLIENT}, joined by a veth pair: s0 and c0");
        // Made and kept: what the scene holds removes them.
        Pair::join(NetNs::named(SERVER)?, NetNs::named(CLIENT)?, "10.9.0.2/24")?.keep();
        println!("the agent in {SERVER}, with this configuration:\n");
        for line in CONFIG.lines() {
            println!("    {line}");
        }
        println!();
        scene.start_agent()?;
        Ok(scene)
    }

    /// Whether there is a lab, or something of one.
    pub fn is_there() -> bool {
        [SERVER, CLIENT].iter().any(|name| Path::new("/run/netns").join(name).exists())
            || Path::new(FOLDER).exists()
            || Agent::named(NAME).pins().exists()
    }

    /// A lab that somebody else left: to be dropped.
    pub fn left_behind() -> Self {
        let pair = Pair { server: NetNs::existing(SERVER), client: NetNs::existing(CLIENT) };
        let agent = Agent::inside(NAME, &pair.server);
        Self { pair, agent }
    }

    /// Leaves it there.
    pub fn keep(self) {
        let _ = fs::remove_file(claim());
        std::mem::forget(self);
    }

    /// Where the client is.
    pub fn client(&self) -> &NetNs {
        &self.pair.client
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    fn start_agent(&self) -> Result<()> {
        fs::write(Path::new(FOLDER).join("config.yaml"), CONFIG)?;
        let mut process = server::spawn(&self.pair.server, Path::new(FOLDER), &[])?;
        let ready = wait::until_true("the agent to be ready", wait::SOON, || {
            if let Some(status) = process.try_wait()? {
                bail!("the agent ended with {status}");
            }
            Ok(self.agent.json("stats").is_ok_and(|stats| stats["agent"]["running"] == true))
        });
        ready.with_context(|| fs::read_to_string(Path::new(FOLDER).join("log")).unwrap_or_default())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.pair.client.kill_processes();
        self.pair.server.kill_processes();
        let gone = wait::until_true("the agent to be gone", wait::SOON, || {
            Ok(self.pair.server.processes().is_empty())
        });
        if let Err(error) = gone {
            eprintln!("{error}");
        }
        // Here, not by a command inside the namespace: after a signal none lives long there.
        if let Err(error) = xdhcpd::fastpath::detach(NAME) {
            eprintln!("{error}");
        }
        // A killed agent leaves its socket. Folders that others use too are not empty, and stay.
        let _ = fs::remove_file(format!("/run/xdhcpd/{NAME}.sock"));
        let _ = fs::remove_dir("/run/xdhcpd");
        let _ = fs::remove_dir("/sys/fs/bpf/xdhcpd");
        if let Err(error) = fs::remove_dir_all(FOLDER)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("cannot remove {FOLDER}: {error}");
        }
        // The namespaces go with the pair.
    }
}

/// Names the process that sets the lab up; not there when the lab is kept.
fn claim() -> PathBuf {
    Path::new(FOLDER).join("process")
}

/// Makes the lab's folder ours. What a killed lab left is taken down first; one that is up, or
/// that somebody is setting up, is not touched.
fn claim_folder() -> Result<()> {
    if Scene::is_there() {
        let is_up = match fs::read_to_string(claim()) {
            Ok(process) => Path::new("/proc").join(process.trim()).exists(),
            // Kept, if there is more than what a failed way out left.
            Err(_) => Path::new(FOLDER).exists(),
        };
        if is_up {
            bail!("there is a lab already; to take it down: cargo xtask lab --down");
        }
        println!("taking down what an earlier lab left behind");
        drop(Scene::left_behind());
    }
    fs::create_dir(FOLDER).with_context(|| format!("creating {FOLDER}; is another lab being set up?"))?;
    Ok(fs::write(claim(), std::process::id().to_string())?)
}
