//! A real Kubernetes API server keeps its promises, and so does what the tests do with it.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd_tests::kube::{self, Cluster, READY};
use xdhcpd_tests::netns::{NetNs, command_in, succeed};
use xdhcpd_tests::skip;
use xdhcpd_tests::wait;

/// May look at config maps and do nothing else.
const READER: &str = r#"- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch]}"#;

const CONFIG_MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: kept}
data: {colour: green}
";

#[test]
fn a_service_account_may_do_what_its_rules_say_and_nothing_else() -> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    cluster.apply(CONFIG_MAP)?;
    let account = cluster.service_account_kubeconfig("default", "reader", READER)?;
    let reader = cluster.kubectl_of(&account);
    let seen = reader.get_json("configmap", "kept")?.context("the config map")?;
    assert_eq!(seen["data"]["colour"], "green");
    for forbidden in [
        vec!["get", "secrets"],
        vec!["delete", "configmap", "kept"],
        vec!["get", "--raw", "/metrics"],
        vec!["create", "token", "reader"],
    ] {
        let refused = reader.run(&forbidden).expect_err("it has no right to");
        assert!(refused.to_string().contains("orbidden"), "{forbidden:?}: {refused}");
    }
    let who = reader.run(&["auth", "whoami"])?;
    assert!(who.contains("system:serviceaccount:default:reader"), "{who}");
    Ok(())
}

#[test]
fn the_servers_certificate_is_verified() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    let mut config: Value = serde_json::from_slice(&fs::read(cluster.admin_kubeconfig())?)?;
    let stanza = config["clusters"][0]["cluster"].as_object_mut().context("a cluster")?;
    stanza.remove("certificate-authority").context("who to trust")?;
    let trusting_nobody = cluster.folder().join("trusting-nobody.kubeconfig");
    fs::write(&trusting_nobody, config.to_string())?;
    let refused = cluster.kubectl_of(&trusting_nobody).run(&["get", "--raw", "/readyz"]);
    let refused = refused.expect_err("nobody vouches for the server");
    assert!(refused.to_string().contains("x509"), "{refused}");
    Ok(())
}

#[test]
fn a_connected_namespace_reaches_the_server_at_the_same_address() -> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let cluster = Cluster::shared()?;
    let ask = ["get", "--raw", "/version"];
    let (one, other) = (NetNs::new("one")?, NetNs::new("other")?);
    cluster.inside(&one).run(&ask).expect_err("there is no way yet");
    for namespace in [&one, &other] {
        cluster.connect(namespace)?;
        let version = cluster.inside(namespace).run(&ask)?;
        assert!(version.contains("gitVersion"), "{version}");
    }
    one.ip("link set kube0 down")?;
    cluster.inside(&one).run(&ask).expect_err("the way is cut");
    cluster.inside(&other).run(&ask)?;
    Ok(())
}

#[test]
fn objects_and_kubeconfigs_outlive_a_stop_of_the_api_server() -> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let home = NetNs::new("kube")?;
    let mut cluster = Cluster::start_in(&home)?;
    cluster.apply(CONFIG_MAP)?;
    let account = cluster.service_account_kubeconfig("default", "reader", READER)?;
    let before = cluster.get_json("configmap", "kept")?.context("the config map")?;
    cluster.stop_api();
    let refused = cluster.kubectl(&["get", "--raw", "/readyz"]).expect_err("it is stopped");
    assert!(refused.to_string().contains("refused"), "{refused}");
    cluster.start_api()?;
    let after = cluster.kubectl_of(&account).get_json("configmap", "kept")?;
    assert_eq!(after.context("the config map")?["metadata"], before["metadata"]);
    Ok(())
}

#[test]
fn a_paused_api_server_answers_once_it_goes_on() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    cluster.pause_api()?;
    let silent = cluster.kubectl(&["--request-timeout=1s", "get", "--raw", "/readyz"]);
    silent.expect_err("it is paused");
    cluster.resume_api()?;
    wait::until_true("an answer", READY, || Ok(cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok()))
}

#[test]
fn the_api_server_takes_a_tests_arguments() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    // By itself it would end a watch after half an hour at the earliest.
    let cluster = Cluster::start_with(&["--min-request-timeout=1"])?;
    let seen = cluster.kubectl(&["get", "--raw", "/api/v1/namespaces?watch=true"])?;
    assert!(seen.contains("kube-system"), "{seen}");
    Ok(())
}

#[test]
fn a_deleted_owners_dependents_are_collected() -> Result<()> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    cluster.start_controllers()?;
    cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: owner}")?;
    let owner = cluster.get_json("configmap", "owner")?.context("the owner")?;
    let uid = owner["metadata"]["uid"].as_str().context("its uid")?;
    cluster.apply(&format!(
        "
apiVersion: v1
kind: ConfigMap
metadata:
  name: dependent
  ownerReferences:
    - {{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}, controller: true, blockOwnerDeletion: true}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: free}}
"
    ))?;
    cluster.kubectl(&["delete", "configmap", "owner"])?;
    wait::until_true("the dependent to be collected", READY, || {
        Ok(cluster.get_json("configmap", "dependent")?.is_none())
    })?;
    assert!(cluster.get_json("configmap", "free")?.is_some());
    Ok(())
}

#[test]
fn a_cluster_that_kubeconfig_names_passes_the_same_tests() -> Result<()> {
    let test = skip::this_test();
    if !kube::is_there(&test) || !kube::is_own(&test) {
        return Ok(());
    }
    let mut cluster = Cluster::start()?;
    cluster.start_controllers()?;
    let skips = cluster.folder().join("skips");
    let mut tests = command_in(cluster.home(), std::env::current_exe()?);
    tests.args(["--skip", &test]).env("KUBECONFIG", cluster.admin_kubeconfig());
    // Their skips are no news, since they ran here; but they tell that KUBECONFIG was heeded.
    succeed(tests.env(skip::SKIPS, &skips))?;
    let skips = fs::read_to_string(skips)?;
    assert!(skips.lines().all(|skip| skip.contains("unset KUBECONFIG")), "{skips}");
    Ok(())
}
