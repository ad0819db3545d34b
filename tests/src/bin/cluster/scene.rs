//! Where the story plays: a node with the image, and a client at the end of a cable to it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;
use xdhcpd_tests::kube::{Cluster, parts};
use xdhcpd_tests::netns::{CLIENT_MAC, NetNs, succeed};
use xdhcpd_tests::node::{self, Node};
use xdhcpd_tests::{built, interrupt, skip};

use crate::table::Steps;
use crate::when;

/// The node's end of the cable.
pub const INTERFACE: &str = "s0";
/// The client's.
pub const CLIENT_INTERFACE: &str = "c0";
/// The image's tag.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The tag of the image that an upgrade brings: the same image.
pub const NEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "-next");

/// The name of the image that an upgrade brings.
pub fn next_image() -> String {
    tagged(NEXT)
}

fn tagged(tag: &str) -> String {
    format!("localhost/xdhcpd:{tag}")
}

/// A node and a client; both gone when dropped.
#[derive(Debug)]
pub struct Scene {
    node: Node,
    client: NetNs,
}

impl Scene {
    /// Sets it; `image` is the archive of the image to run.
    pub fn set_up(steps: &mut Steps, image: Option<&Path>) -> Result<Self> {
        when::begin()?;
        let client = NetNs::new("client")?;
        let node = steps.take("a node", || {
            let node = Node::start()?;
            let seen = node.cluster().get_json("node", node::NAME)?.context("the node")?;
            let info = |name: &str| seen["status"]["nodeInfo"][name].as_str().unwrap_or_default().to_owned();
            let seen = format!("Kubernetes {}, {}", info("kubeletVersion"), info("containerRuntimeVersion"));
            Ok((node, seen))
        })?;
        interrupt::end_waits_in(&[node.network().name(), client.name()])?;
        let scene = Self { node, client };
        steps.take("the image", || Ok(((), scene.bring_image(image)?)))?;
        scene.lay_cable()?;
        Ok(scene)
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// An error when a part of the node has ended.
    pub fn check(&mut self) -> Result<()> {
        self.node.check()
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        self.node.cluster()
    }

    /// Where the client is.
    pub fn client(&self) -> &NetNs {
        &self.client
    }

    /// The number of the XDP program on the node's end of the cable, if there is one.
    pub fn program(&self) -> Result<Option<u64>> {
        let shown = self.node.network().run("ip", &["-json", "-details", "link", "show", INTERFACE])?;
        let shown: Value = serde_json::from_str(&shown)?;
        Ok(shown[0]["xdp"]["prog"]["id"].as_u64())
    }

    /// The IPv4 addresses of the node's end of the cable.
    pub fn addresses(&self) -> Result<Vec<String>> {
        let shown = self.node.network().run("ip", &["-json", "-4", "address", "show", INTERFACE])?;
        let shown: Value = serde_json::from_str(&shown)?;
        let addresses = shown.as_array().into_iter().flatten().filter_map(|it| it["addr_info"].as_array());
        Ok(addresses.flatten().map(ToString::to_string).collect())
    }

    /// What lies in a folder of the node; nothing if there is none.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.node.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn bring_image(&self, image: Option<&Path>) -> Result<String> {
        let name = tagged(VERSION);
        let archive = match image {
            Some(archive) => std::path::absolute(archive)?,
            None => node::image::of_agent(&built::agent(), &name, self.node.folder())?,
        };
        self.node.import(&archive)?;
        self.node.tag(&name, &next_image())?;
        let size = archive.metadata()?.len() / (1 << 20);
        let whose = if image.is_some() { "as released" } else { "of a debug build" };
        Ok(format!("{name}, {whose}, {size} MiB"))
    }

    fn lay_cable(&self) -> Result<()> {
        let client = self.client.name();
        let network = self.node.network();
        network.ip(&format!("link add {INTERFACE} type veth peer name {CLIENT_INTERFACE} netns {client}"))?;
        network.ip(&format!("link set {INTERFACE} up"))?;
        self.client.ip(&format!("link set {CLIENT_INTERFACE} address {CLIENT_MAC}"))?;
        self.client.ip(&format!("link set {CLIENT_INTERFACE} up"))?;
        Ok(())
    }

    /// Runs a command in the node's network, where the API server is, to its end.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        self.run_in(self.node.folder(), program, arguments)
    }

    /// The same in a folder.
    pub fn run_in(&self, folder: &Path, program: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = self.node.network().command(program);
        command.args(arguments).current_dir(folder).env("KUBECONFIG", self.cluster().admin_kubeconfig());
        command.env("PATH", Self::search_path()?);
        // What they keep of clusters and repositories is for nobody else.
        command.env("KUBECACHEDIR", self.node.folder().join("kubectl"));
        command.env("HELM_CACHE_HOME", self.node.folder().join("helm"));
        command.env("HELM_CONFIG_HOME", self.node.folder().join("helm"));
        command.env("HELM_DATA_HOME", self.node.folder().join("helm"));
        let output = succeed(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where commands are found: helm and kubectl are those that were built.
    fn search_path() -> Result<OsString> {
        let programs = [parts::helm(), parts::kubectl()];
        let mut folders = Vec::new();
        for program in programs {
            let program = program.map_err(|missing| anyhow!(missing))?;
            folders.extend(program.parent().map(Path::to_path_buf));
        }
        folders.extend(std::env::split_paths(&skip::search_path()));
        Ok(std::env::join_paths(folders)?)
    }
}
