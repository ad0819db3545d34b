//! What happens: install, serve, lose the agent's pod, upgrade, uninstall. Each step ends with what it proves.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use xdhcpd_tests::clients::{self, Program};
use xdhcpd_tests::cluster_agent::manifest;
use xdhcpd_tests::host_status;
use xdhcpd_tests::known::{self, Answers};
use xdhcpd_tests::tap::Tap;

use crate::chart::{self, NAMESPACE, RELEASE};
use crate::objects;
use crate::scene::{CLIENT_INTERFACE, INTERFACE, Scene, next_image};
use crate::table::{Steps, show};
use crate::when;

/// The ClusterAgent.
pub const AGENT: &str = "rack1";
/// Its workload.
const WORKLOAD: &str = "agent-rack1";
/// How many clients are known when the pod is lost.
const CLIENTS: u8 = 16;
/// How often one of them asks.
const PACE: Duration = Duration::from_millis(10);

/// From an empty cluster to a lease that kubectl shows; gives the objects that were there before.
pub fn begin(scene: &Scene, steps: &mut Steps) -> Result<BTreeSet<String>> {
    let kubectl = scene.cluster();
    kubectl.kubectl(&["create", "namespace", NAMESPACE])?;
    // What every namespace gets is not what the chart leaves.
    when::until_true("the account of the namespace", || {
        Ok(kubectl.run(&["get", "serviceaccount", "default", "--namespace", NAMESPACE]).is_ok())
    })?;
    let before = objects::all(kubectl)?;
    steps.take("helm install", || {
        let said = chart::install(scene).with_context(|| pods(scene))?;
        show(&format!("helm install {RELEASE} chart --namespace {NAMESPACE} --wait"), &said);
        Ok(((), "the controller is ready".into()))
    })?;
    steps.take("a ClusterAgent", || {
        kubectl.apply(&manifest(AGENT, INTERFACE, &["selfIp: 10.9.0.2/24", "leaseTime: 1h"]))?;
        let pod = ready_pod(scene, None)?;
        let ready = when::until_true("the ClusterAgent to be ready", || {
            let object = kubectl.get_json("clusteragent", AGENT)?.context("the ClusterAgent")?;
            Ok(object["status"]["ready"] == true)
        });
        ready.with_context(|| pods(scene))?;
        let attached =
            when::until_true(&format!("an XDP program on {INTERFACE}"), || Ok(scene.program()?.is_some()));
        attached.with_context(|| pods(scene))?;
        Ok(((), format!("{pod} serves {INTERFACE}")))
    })?;
    let ip = steps.take("a lease", || {
        let lease = clients::obtain(Program::Udhcpc, scene.client(), CLIENT_INTERFACE)?;
        let pod = ready_pod(scene, None)?;
        show(
            &format!("kubectl exec {pod} -- /xdhcpd leases --name {AGENT}"),
            &exec(scene, &pod, &["leases", "--name", AGENT])?,
        );
        Ok((lease.ip, format!("{} from {}, for {} s", lease.ip, lease.server, lease.seconds)))
    })?;
    steps.take("kubectl get hoststatus", || {
        let name = host_status::name(AGENT, ip);
        when::until_true("the HostStatus of the lease", || {
            let object = kubectl.get_json("hoststatus", &name)?;
            Ok(object.is_some_and(|it| it["status"]["basic"]["activeDhcpClient"] == true))
        })?;
        let shown = kubectl.run(&["get", "hoststatus"])?;
        ensure!(shown.contains(&name) && shown.contains(&ip.to_string()), "{shown}");
        show("kubectl get hoststatus", &shown);
        Ok(((), name))
    })?;
    Ok(before)
}

/// From a lost pod to a cluster that has what it had `before`.
pub fn end(scene: &Scene, steps: &mut Steps, before: &BTreeSet<String>) -> Result<()> {
    steps.take("the pod is deleted", || {
        let seen = while_clients_ask(scene, |pod| {
            let delete = ["delete", "pod", pod, "--namespace", NAMESPACE, "--wait=false"];
            scene.cluster().kubectl(&delete)?;
            ready_pod(scene, Some(pod))
        })?;
        Ok(((), seen))
    })?;
    steps.take("helm upgrade", || {
        let seen = while_clients_ask(scene, |pod| {
            let said = chart::upgrade(scene).with_context(|| pods(scene))?;
            // Its notes are those of the installation.
            let said = said.split("NOTES:").next().unwrap_or_default();
            show(&format!("helm upgrade {RELEASE} chart --namespace {NAMESPACE} --wait"), said);
            let next = ready_pod(scene, Some(pod))?;
            ensure!(image(scene, &next)? == next_image(), "{next} has not the new image: {}", pods(scene));
            Ok(next)
        })?;
        Ok(((), seen))
    })?;
    steps.take("helm uninstall", || {
        let said = chart::uninstall(scene).with_context(|| pods(scene))?;
        show(&format!("helm uninstall {RELEASE} --namespace {NAMESPACE} --wait"), &said);
        Ok(((), what_is_left(scene, before)?))
    })
}

/// Has the agent's pod replaced by another, which `replace` names, while known clients ask all the time; what
/// came of it.
fn while_clients_ask(scene: &Scene, replace: impl FnOnce(&str) -> Result<String>) -> Result<String> {
    let pod = ready_pod(scene, None)?;
    let tap = Tap::open(scene.client(), CLIENT_INTERFACE)?;
    let clients = known::obtain(&tap, CLIENTS)?;
    let before = answered(scene, &pod)?;
    let over = AtomicBool::new(false);
    let (next, answers) = thread::scope(|scope| -> Result<(String, Answers)> {
        let asking = scope.spawn(|| known::ask_on(&tap, &clients, PACE, &over));
        let next = replace(&pod);
        over.store(true, Ordering::Release);
        let answers = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((next?, answers))
    })?;
    ensure!(answers.unanswered.is_empty(), "not answered: {:#?}", answers.unanswered);
    ensure!(answers.asked > 0, "nobody asked meanwhile");
    // Counted in the pinned maps: what came while there was no agent, too.
    let after = answered(scene, &next)?;
    let by_kernel = after.saturating_sub(before);
    ensure!(by_kernel >= answers.asked, "the kernel answered {by_kernel} of {}", answers.asked);
    Ok(format!(
        "{} known clients asked {} times, the kernel answered all, within {:.1} ms; {next} took over",
        clients.len(),
        answers.asked,
        answers.slowest.as_secs_f64() * 1e3
    ))
}

/// The image that a pod runs.
fn image(scene: &Scene, pod: &str) -> Result<String> {
    let path = "--output=jsonpath={.spec.containers[0].image}";
    scene.cluster().kubectl(&["get", "pod", pod, "--namespace", NAMESPACE, path])
}

/// How many requests the kernel has answered so far.
fn answered(scene: &Scene, pod: &str) -> Result<u64> {
    let stats: Value = serde_json::from_str(&exec(scene, pod, &["stats", "--name", AGENT, "--json"])?)?;
    let count = |kind: &str| stats["kernel"]["answered"][kind].as_u64().with_context(|| format!("{stats}"));
    Ok(count("offer")? + count("ack")?)
}

/// The agent's pod, once it is ready; another than `before`.
fn ready_pod(scene: &Scene, before: Option<&str>) -> Result<String> {
    let pod = when::until("the agent's pod to be ready", || {
        let pods = scene.cluster().kubectl(&["get", "pods", "--namespace", NAMESPACE, "-o", "json"])?;
        let pods: Value = serde_json::from_str(&pods)?;
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let pod = pods.find(|pod| is_ready(pod) && name(pod).starts_with(&format!("{WORKLOAD}-")));
        Ok(pod.map(|pod| name(pod).to_owned()).filter(|pod| Some(pod.as_str()) != before))
    });
    pod.with_context(|| pods(scene))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

/// Runs xdhcpd in a pod.
fn exec(scene: &Scene, pod: &str, words: &[&str]) -> Result<String> {
    let mut command = vec!["exec", pod, "--namespace", NAMESPACE, "--", "/xdhcpd"];
    command.extend(words);
    scene.cluster().kubectl(&command)
}

/// What there is to know of the pods when something is not as it should be.
fn pods(scene: &Scene) -> String {
    let ask = |words: &[&str]| scene.cluster().kubectl(words).unwrap_or_else(|error| format!("{error:#}"));
    let described = ask(&["describe", "pods", "--namespace", NAMESPACE]);
    let names = ask(&["get", "pods", "--namespace", NAMESPACE, "-o", "name"]);
    let logs = names.lines().map(|pod| {
        let log = ask(&["logs", pod, "--namespace", NAMESPACE, "--all-containers", "--tail=40"]);
        format!("--- {pod} ---\n{log}")
    });
    format!("{described}\n{}", logs.collect::<Vec<_>>().join("\n"))
}

/// Sees to it that nothing is left, but for the definitions of objects, which helm leaves so that no object of a
/// user's is lost, and the leases on the node's disk.
fn what_is_left(scene: &Scene, before: &BTreeSet<String>) -> Result<String> {
    if let Some(program) = scene.program()? {
        bail!("XDP program {program} is still on {INTERFACE}");
    }
    let pins = scene.files("/sys/fs/bpf/xdhcpd");
    ensure!(pins.is_empty(), "still pinned: {pins:?}");
    let addresses = scene.addresses()?;
    ensure!(addresses.is_empty(), "{INTERFACE} had no address, and has now: {addresses:?}");
    let mut left = Vec::new();
    // What belonged to a removed object goes a moment after it.
    let gone = when::until_true("all objects to be gone", || {
        let now = objects::all(scene.cluster())?;
        left = now.difference(before).filter(|object| !is_definition(object)).cloned().collect();
        Ok(left.is_empty())
    });
    gone.with_context(|| format!("left behind: {left:#?}"))?;
    Ok("no program, no pin, no object is left".into())
}

/// Whether an object defines kinds of ours, or is made for such a definition.
fn is_definition(object: &str) -> bool {
    let kinds = [" CustomResourceDefinition /", " APIService /"];
    kinds.iter().any(|kind| object.contains(kind)) && object.ends_with(".spidernet.io")
}
