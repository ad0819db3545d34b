//! What the HostStatus objects of an agent say, all together, and what it cost to write them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cluster_agent::{CONVERGED, ClusterAgent, HTTP};
use crate::kube::{Cluster, Kubectl};
use crate::wait;

/// A client's hardware address, and whether it has a lease now.
pub type Shown = (String, bool);

/// What the objects of an agent say, by address. An error where two words of one object differ.
pub fn all(kubectl: &Kubectl, agent: &str) -> Result<BTreeMap<String, Shown>> {
    let prefix = format!("{agent}-");
    let mut all = BTreeMap::new();
    for object in kubectl.list_json("hoststatuses")? {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let Some(dashed) = name.strip_prefix(&prefix) else { continue };
        let (ip, shown) = read(&object).with_context(|| format!("{object:#}"))?;
        anyhow::ensure!(ip.replace('.', "-") == dashed, "{object:#}");
        all.insert(ip, shown);
    }
    Ok(all)
}

fn read(object: &Value) -> Result<(String, Shown)> {
    let basic = &object["status"]["basic"];
    let ip = basic["ipAddr"].as_str().context("no status yet")?;
    let active = basic["activeDhcpClient"].as_bool().context("activeDhcpClient")?;
    let labels = &object["metadata"]["labels"];
    anyhow::ensure!(labels["bmc.spidernet.io/ipAddr"] == ip);
    anyhow::ensure!(labels["bmc.spidernet.io/mode"] == basic["type"]);
    anyhow::ensure!(labels["bmc.spidernet.io/dhcp-ip-active"] == active.to_string());
    Ok((ip.to_owned(), (basic["mac"].as_str().unwrap_or_default().to_owned(), active)))
}

/// The bound leases of an agent, in the same form.
pub fn leases(agent: &ClusterAgent) -> Result<BTreeMap<String, Shown>> {
    let leases = agent.json("leases")?;
    let bound = leases["leases"].as_array().into_iter().flatten().filter(|lease| lease["state"] == "bound");
    let word = |lease: &Value, name: &str| lease[name].as_str().unwrap_or_default().to_owned();
    Ok(bound.map(|lease| (word(lease, "ip"), (word(lease, "mac"), true))).collect())
}

/// Waits until the objects of an agent are exactly its bound leases.
pub fn wait_until_they_are_the_leases(cluster: &Cluster, agent: &ClusterAgent) -> Result<()> {
    let mut differ = String::new();
    let same = wait::until_true("the objects to be the leases", CONVERGED, || {
        let leases = leases(agent)?;
        differ = match all(cluster, agent.name()) {
            Ok(objects) if objects == leases => return Ok(true),
            Ok(objects) => difference(&objects, &leases),
            Err(fault) => format!("{fault:#}"),
        };
        Ok(false)
    });
    same.context(differ)
}

fn difference(objects: &BTreeMap<String, Shown>, leases: &BTreeMap<String, Shown>) -> String {
    let only = |ours: &BTreeMap<String, Shown>, theirs: &BTreeMap<String, Shown>| -> Vec<String> {
        let other = ours.iter().filter(|(ip, shown)| theirs.get(*ip) != Some(*shown));
        other.take(5).map(|(ip, shown)| format!("{ip} {shown:?}")).collect()
    };
    format!(
        "{} objects, among them {:?}; {} leases, among them {:?}",
        objects.len(),
        only(objects, leases),
        leases.len(),
        only(leases, objects)
    )
}

/// How many writes an agent has made so far, by verb and result.
pub fn writes(agent: &ClusterAgent) -> Result<BTreeMap<(String, String), u64>> {
    let (_, metrics) = agent.http(HTTP, "/metrics")?;
    let mut writes = BTreeMap::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("xdhcpd_hoststatus_writes_total{verb=\"") else { continue };
        let (verb, rest) = rest.split_once("\",result=\"").context("a verb and a result")?;
        let (result, count) = rest.split_once("\"} ").context("a result and a count")?;
        writes.insert((verb.to_owned(), result.to_owned()), count.parse()?);
    }
    Ok(writes)
}

/// How many writes an agent has made in all.
pub fn all_writes(agent: &ClusterAgent) -> Result<u64> {
    Ok(writes(agent)?.values().sum())
}

/// The text of a hardware address.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The object of an address, as its name is written on a command line.
pub fn name(agent: &str, ip: Ipv4Addr) -> String {
    format!("{agent}-{}", ip.to_string().replace('.', "-"))
}
