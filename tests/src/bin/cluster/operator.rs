//! The BMC operator, as far as it leaves something for who comes after it: its chart, what its controller makes
//! of a ClusterAgent, and what its agent writes. Its dhcpd is the real one.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::exchange;
use xdhcpd_tests::host_status::{self, mac_text};
use xdhcpd_tests::kube::parts;
use xdhcpd_tests::node::image;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::{built, skip};

use crate::scene::{CLIENT_INTERFACE, INTERFACE, Scene};
use crate::when;

/// Its release, and where it is installed.
pub const RELEASE: &str = "bmc";
/// The ClusterAgent that its chart makes.
pub const AGENT: &str = "bmc-clusteragent";
/// The workload of that.
pub const WORKLOAD: &str = "agent-bmc-clusteragent";
/// The address of the server, by its configuration.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The address of a host that was made known by hand: the next that a new client would get.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 103);

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/cluster/operator");
const PARTS: &str = include_str!("operator/agent.yaml");
const IMAGE: &str = "localhost/bmc-agent:0.5.0";

/// A client of its, by hardware address, and what it has.
pub type Client = ([u8; 6], Ipv4Addr);

/// What it leaves.
pub struct Left {
    /// Has a lease, which is shown.
    pub active: Client,
    /// Has a lease that no object shows.
    pub unshown: Client,
    /// Has an address that is fixed for it. With the entry for that dhcpd gives a client's lease back, so that
    /// its file shows the address as free.
    pub fixed: Client,
    /// The uids of all objects that people and programs know, by kind and name.
    pub objects: Vec<(String, Value)>,
}

/// Has it serve some clients, and write what it writes.
pub fn leave(scene: &Scene) -> Result<Left> {
    bring_image(scene)?;
    install(scene)?;
    let client = |last: u8| -> Result<Client> {
        let mac = [2, 0, 0x6f, 0, 0, last];
        scene.client().ip(&format!("link set {CLIENT_INTERFACE} address {}", mac_text(mac)))?;
        Ok((mac, clients::obtain(Program::Udhcpc, scene.client(), CLIENT_INTERFACE)?.ip))
    };
    let (active, unshown, fixed) = (client(1)?, client(2)?, client(3)?);
    let tap = Tap::open(scene.client(), CLIENT_INTERFACE)?;
    tap.send(&exchange::release(fixed.0, fixed.1, SERVER.octets()).build())?;
    when::until_true("dhcpd to write that an address is free", || {
        let file = scene.node().path("/var/lib/dhcp").join(format!("{AGENT}-dhcpd.leases"));
        Ok(std::fs::read_to_string(file)?.contains("binding state free;\n  hardware"))
    })?;
    for (client, is_active) in [(active, true), (fixed, false)] {
        show(scene, client, is_active)?;
    }
    let host = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "HostEndpoint", "metadata": {"name": "device10"},
        "spec": {"clusterAgent": AGENT, "ipAddr": HOST, "https": true, "port": 443},
    });
    scene.cluster().apply(&host.to_string())?;
    Ok(Left { active, unshown, fixed, objects: objects(scene, [active, fixed])? })
}

/// The uids of the objects that are to survive.
pub fn objects(scene: &Scene, shown: [Client; 2]) -> Result<Vec<(String, Value)>> {
    let statuses = shown.map(|(_, ip)| format!("hoststatus/{}", host_status::name(AGENT, ip)));
    let names = [format!("clusteragent/{AGENT}"), "hostendpoint/device10".into()].into_iter().chain(statuses);
    let uid = |name: String| -> Result<(String, Value)> {
        let (kind, of) = name.split_once('/').context("kind/name")?;
        let object = scene.cluster().get_json(kind, of)?.with_context(|| format!("there is no {name}"))?;
        Ok((name.clone(), object["metadata"]["uid"].clone()))
    };
    names.map(uid).collect()
}

fn bring_image(scene: &Scene) -> Result<()> {
    let dhcpd = skip::find("dhcpd").context("dhcpd is missing: apt-get install isc-dhcp-server")?;
    let busybox = built::real().join("busybox/bin/busybox");
    let programs: [(&Path, &str); 2] = [(&dhcpd, "dhcpd"), (&busybox, "busybox")];
    let archive = image::of_programs(&programs, "operator", IMAGE, scene.node().folder())?;
    scene.node().import(&archive)
}

/// Its chart, what its controller makes, and the address that its agent gives the interface.
fn install(scene: &Scene) -> Result<()> {
    let helm: PathBuf = parts::helm().map_err(|missing| anyhow!(missing))?;
    scene.run(&helm, &["install", RELEASE, CHART, "--namespace", RELEASE, "--create-namespace", "--wait"])?;
    scene.node().network().ip(&format!("address add {SERVER}/24 dev {INTERFACE}"))?;
    let agent = scene.cluster().get_json("clusteragent", AGENT)?.context("the ClusterAgent")?;
    let owner = json!([{
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "ClusterAgent", "name": AGENT,
        "uid": agent["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    let owned = format!("labels: {{app: bmc-agent, cluster: {AGENT}}}, ownerReferences: {owner}");
    scene.cluster().apply(&PARTS.replace("@OWNED@", &owned))?;
    status(scene, "clusteragent", AGENT, &json!({"ready": true}))?;
    when::until_true("the operator's dhcpd to serve", || {
        let log = ["logs", "--namespace", RELEASE, &format!("deployment/{WORKLOAD}")];
        Ok(scene.cluster().kubectl(&log)?.contains("Server starting service"))
    })
}

/// The object of a lease, in the words of the operator's last release.
fn show(scene: &Scene, (mac, ip): Client, is_active: bool) -> Result<()> {
    let name = host_status::name(AGENT, ip);
    let object = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "HostStatus",
        "metadata": {"name": name, "labels": {
            "bmc.spidernet.io/ipAddr": ip,
            "bmc.spidernet.io/mode": "dhcp",
            "bmc.spidernet.io/dhcp-ip-active": is_active.to_string(),
        }},
    });
    scene.cluster().apply(&object.to_string())?;
    let basic = json!({
        "type": "dhcp", "ipAddr": ip, "mac": mac_text(mac), "port": 443, "https": true,
        "secretName": "bmc-credentials", "secretNamespace": "bmc", "activeDhcpClient": is_active,
    });
    let said = json!({
        "healthy": false, "clusterAgent": AGENT, "lastUpdateTime": "2026-01-01T00:00:00Z", "basic": basic,
        "info": {"os": "old"}, "log": {"totalLogAccount": 0, "warningLogAccount": 0},
    });
    status(scene, "hoststatus", &name, &said)
}

fn status(scene: &Scene, kind: &str, name: &str, status: &Value) -> Result<()> {
    let patch = json!({"status": status}).to_string();
    let said = scene.cluster().kubectl(&[
        "patch",
        kind,
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ])?;
    ensure!(said.contains("patched"), "{said}");
    Ok(())
}
