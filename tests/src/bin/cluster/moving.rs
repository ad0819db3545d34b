//! Moving over from the BMC operator: README's own commands, on what the operator leaves, and what becomes of its
//! clients and objects.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xdhcpd_tests::exchange::{address, ask, message, obtain, renewal};
use xdhcpd_tests::host_status::{self, mac_text};
use xdhcpd_tests::readme;
use xdhcpd_tests::tap::Tap;

use crate::operator::{self, AGENT, Client, HOST, Left, RELEASE, SERVER, WORKLOAD};
use crate::scene::{CLIENT_INTERFACE, Scene};
use crate::table::{Steps, show};
use crate::when;

/// The heading of the commands.
const HEADING: &str = "#### Moving over from the BMC operator";
/// So much is left at least of a lease of the operator's, which is for a year.
const YEAR: &str = "+360 days";
/// A client that neither of them knows.
const STRANGER: [u8; 6] = [2, 0, 0x6f, 0, 0, 9];

/// The whole story.
pub fn tell(scene: &Scene, steps: &mut Steps) -> Result<()> {
    let left = steps.take("the BMC operator", || {
        let left = operator::leave(scene)?;
        Ok((left, format!("{WORKLOAD} has three clients, and one that was made known")))
    })?;
    steps.take("moving over", || {
        let script = readme::steps(HEADING)?;
        let folder = scene.node().folder().join("moving");
        fs::create_dir(&folder)?;
        std::os::unix::fs::symlink(Path::new(crate::chart::CHART), folder.join("chart"))?;
        fs::write(folder.join("values.yaml"), "image: {registry: localhost, pullPolicy: Never}\n")?;
        let said = scene.run_in(&folder, Path::new("sh"), &["-ec", &script])?;
        show("the commands of README", &said);
        Ok(((), "as README tells".into()))
    })?;
    steps.take("its objects", || Ok(((), objects_are_the_same(scene, &left)?)))?;
    steps.take("its clients", || Ok(((), clients_keep_their_addresses(scene, &left)?)))
}

fn objects_are_the_same(scene: &Scene, left: &Left) -> Result<String> {
    let kubectl = scene.cluster();
    let there = operator::objects(scene, [left.active, left.fixed])?;
    ensure!(there == left.objects, "{there:#?}, and there were {:#?}", left.objects);
    let (mac, ip) = left.active;
    when::until_true("the object of a client to be ours", || {
        let object = kubectl.get_json("hoststatus", &host_status::name(AGENT, ip))?.context("the object")?;
        let status = &object["status"];
        Ok(status["healthReady"].is_boolean() && status["basic"]["mac"] == mac_text(mac))
    })?;
    when::until_true("the object of the host that was made known", || {
        Ok(kubectl.get_json("hoststatus", &host_status::name(AGENT, HOST))?.is_some())
    })?;
    let workloads = kubectl.kubectl(&["get", "deployments,daemonsets", "-n", RELEASE, "-o", "name"])?;
    ensure!(workloads.contains(&format!("daemonset.apps/{WORKLOAD}")), "{workloads}");
    ensure!(!workloads.contains(&format!("deployment.apps/{WORKLOAD}")), "{workloads}");
    Ok(format!("{} objects, and none of them made anew", there.len()))
}

fn clients_keep_their_addresses(scene: &Scene, left: &Left) -> Result<String> {
    let pod = format!("daemonset/{WORKLOAD}");
    let leases = ["exec", "-n", RELEASE, &pod, "--", "/xdhcpd", "leases", "--name", AGENT, "--json"];
    let leases: Value = serde_json::from_str(&scene.cluster().kubectl(&leases)?)?;
    let of = |(mac, ip): Client| -> Result<Value> {
        let all = leases["leases"].as_array().into_iter().flatten();
        let mut its = all.filter(|lease| lease["ip"] == ip.to_string() && lease["mac"] == mac_text(mac));
        its.next().cloned().with_context(|| format!("{} has not {ip}: {leases:#}", mac_text(mac)))
    };
    // By the operator's own lease time: no object says that, nor has it ever been ours.
    let year = scene.run(Path::new("date"), &["-u", "-d", YEAR, "+%Y-%m-%dT%H:%M:%SZ"])?;
    for client in [left.active, left.unshown] {
        let lease = of(client)?;
        let until = lease["expires"].as_str().unwrap_or_default();
        ensure!(lease["state"] == "bound" && until > year.trim(), "{lease:#}");
    }
    ensure!(of(left.fixed)?["state"] == "expired", "{leases:#}");

    let tap = Tap::open(scene.client(), CLIENT_INTERFACE)?;
    let stranger = address(&obtain(&tap, STRANGER, |frame| frame)?[1]);
    let taken = [left.active.1, left.unshown.1, left.fixed.1, HOST];
    ensure!(!taken.contains(&stranger), "{stranger} is another's, of {taken:?}");
    for (mac, ip) in [left.active, left.unshown, left.fixed] {
        let ack = ask(&tap, &renewal(mac, ip, SERVER.octets()))?;
        ensure!(ack.option(53) == Some(&[message::ACK][..]) && address(&ack) == ip, "{ack:?}");
    }
    Ok(format!("all three renewed what they had; a new one got {stranger}"))
}
