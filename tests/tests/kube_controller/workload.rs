//! What the controller makes of a ClusterAgent, and keeps as it shall be.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::controller::{IMAGE, NAMESPACE, part, wait_for_condition, wait_for_part};
use xdhcpd_tests::kube::Cluster;

use super::{make, manifest, parts_of, pod, shared};

/// All that an agent on its nodes has; a binding of the cluster is in no namespace, and kubectl finds it all
/// the same.
const PARTS: [&str; 4] = ["serviceaccount", "clusterrolebinding", "rolebinding", "daemonset"];

/// What agents may do in the shared cluster.
const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: xdhcpd-agent}
rules: [{apiGroups: [bmc.spidernet.io], resources: [clusteragents], verbs: [list]}]
";

fn is_there(_: &Value) -> bool {
    true
}

#[test]
fn an_agent_gets_what_it_takes_to_run() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    cluster.apply(ROLE)?;
    let agent = make(&cluster, &json!({"replicas": 1, "underlayInterface": "", "image": ""}))?;
    let name = parts_of(&agent);
    let owner = cluster.get_json("clusteragent", &agent)?.context("it")?["metadata"]["uid"].clone();
    for kind in PARTS {
        let part = wait_for_part(&cluster, kind, &name, "there", is_there)?;
        let owners = part["metadata"]["ownerReferences"].as_array().context("owners")?;
        assert_eq!((owners.len(), &owners[0]["uid"], &owners[0]["controller"]), (1, &owner, &json!(true)));
    }
    let set = part(&cluster, "daemonset", &name)?.context("the DaemonSet")?;
    assert_eq!(pod(&set, "/hostNetwork"), true);
    assert_eq!(pod(&set, "/containers/0/image"), IMAGE);
    assert_eq!(pod(&set, "/containers/0/securityContext/privileged"), true);
    assert_eq!(pod(&set, "/serviceAccountName"), name.as_str());
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxSurge": 0, "maxUnavailable": 1}));
    assert!(part(&cluster, "deployment", &name)?.is_none());
    assert!(part(&cluster, "persistentvolumeclaim", &format!("{agent}-dhcp-data"))?.is_none());

    let account = format!("system:serviceaccount:{NAMESPACE}:{name}");
    let may = |verb: &str| {
        let words = ["auth", "can-i", verb, "clusteragents.bmc.spidernet.io", "--as", &account];
        cluster.run(&words).is_ok_and(|answer| answer.trim() == "yes")
    };
    xdhcpd_tests::wait::until_true("its rights", xdhcpd_tests::cluster_agent::CONVERGED, || Ok(may("list")))?;
    assert!(!may("delete"));

    wait_for_condition(&cluster, &agent, "Accepted", "True", "Accepted")?;
    wait_for_condition(&cluster, &agent, "Ready", "False", "NoAgents")?;
    Ok(())
}

#[test]
fn agents_of_one_network_get_ports_of_their_own() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let mut ports = Vec::new();
    for _ in 0..3 {
        let name = parts_of(&make(&cluster, &json!({}))?);
        let set = wait_for_part(&cluster, "daemonset", &name, "there", is_there)?;
        let port = pod(&set, "/containers/0/livenessProbe/httpGet/port").clone();
        assert_eq!(pod(&set, "/containers/0/readinessProbe/httpGet/port"), &port);
        assert_eq!(pod(&set, "/containers/0/args/2"), &json!(format!("$(POD_IP):{port}")));
        assert!(!ports.contains(&port), "{port} is one of {ports:?}");
        ports.push(port);
    }
    Ok(())
}

#[test]
fn a_change_of_the_object_reaches_the_workload_and_so_does_what_it_says_no_more() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let agent = make(&cluster, &json!({"nodeSelector": {"rack": "one"}}))?;
    let name = parts_of(&agent);
    let waited = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        wait_for_part(&cluster, "daemonset", &name, what, holds).map(drop)
    };
    waited("on rack one", &|set| pod(set, "/nodeSelector/rack") == "one")?;
    let terms = json!([{"matchExpressions": [{"key": "rack", "operator": "In", "values": ["two"]}]}]);
    let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    let yaml = json!({
        "image": "mine:2",
        "nodeAffinity": affinity,
        "tolerations": [{"operator": "Exists"}],
        "resources": {"limits": {"cpu": 1, "memory": "256Mi"}},
    });
    cluster.apply(&manifest(&agent, &yaml).to_string())?;
    waited("as it shall be now", &|set| {
        pod(set, "/containers/0/image") == "mine:2"
            && pod(set, "/affinity/nodeAffinity") == &affinity
            && pod(set, "/tolerations/0/operator") == "Exists"
            && pod(set, "/containers/0/resources/limits/memory") == "256Mi"
            && pod(set, "/nodeSelector").is_null()
    })?;
    cluster.apply(&manifest(&agent, &json!({})).to_string())?;
    waited("plain again", &|set| {
        pod(set, "/containers/0/image") == IMAGE
            && pod(set, "/affinity").is_null()
            && pod(set, "/tolerations").is_null()
    })?;
    Ok(())
}

#[test]
fn what_was_removed_is_made_again() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let name = parts_of(&make(&cluster, &json!({}))?);
    for kind in PARTS {
        let before = wait_for_part(&cluster, kind, &name, "there", is_there)?["metadata"]["uid"].clone();
        cluster.run(&["delete", kind, &name, "--namespace", NAMESPACE, "--wait=false"])?;
        let another = |part: &Value| part["metadata"]["uid"] != before;
        wait_for_part(&cluster, kind, &name, "another", another)?;
    }
    Ok(())
}

#[test]
fn what_was_edited_is_put_right_and_what_is_others_stays() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let name = parts_of(&make(&cluster, &json!({}))?);
    wait_for_part(&cluster, "daemonset", &name, "there", is_there)?;
    let patch = |cluster: &Cluster, patch: &Value| {
        let words = ["patch", "daemonset", &name, "--namespace", NAMESPACE, "--patch", &patch.to_string()];
        cluster.run(&words).map(drop)
    };
    let containers = json!([{"name": "agent", "image": "others:1"}]);
    let template = json!({
        "metadata": {"annotations": {"example.org/note": "others'"}},
        "spec": {"containers": containers, "hostNetwork": false},
    });
    patch(&cluster, &json!({"metadata": {"labels": {"team": "net"}}, "spec": {"template": template}}))?;
    let set = wait_for_part(&cluster, "daemonset", &name, "put right", |set| {
        pod(set, "/containers/0/image") == IMAGE && pod(set, "/hostNetwork") == true
    })?;
    assert_eq!(set["metadata"]["labels"]["team"], "net");
    assert_eq!(set["spec"]["template"]["metadata"]["annotations"]["example.org/note"], "others'");
    Ok(())
}

#[test]
fn without_the_nodes_network_a_deployment_is_on_the_network_that_is_named() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let yaml = json!({"hostNetwork": false, "replicas": 2, "underlayInterface": "net/bmc"});
    let agent = make(&cluster, &yaml)?;
    let name = parts_of(&agent);
    let deployment = wait_for_part(&cluster, "deployment", &name, "there", is_there)?;
    assert_eq!(deployment["spec"]["replicas"], 2);
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.v1.cni.cncf.io/networks"], "net/bmc");
    assert_ne!(pod(&deployment, "/hostNetwork"), true);
    assert!(part(&cluster, "daemonset", &name)?.is_none());
    wait_for_condition(&cluster, &agent, "Ready", "False", "NoneServes")?;
    Ok(())
}

#[test]
fn the_status_follows_the_workload() -> Result<()> {
    let Some(cluster) = shared()? else { return Ok(()) };
    let agent = make(&cluster, &json!({}))?;
    let name = parts_of(&agent);
    let set = wait_for_part(&cluster, "daemonset", &name, "there", is_there)?;
    let tell = |wanted: u32, ready: u32, updated: u32| -> Result<()> {
        let status = json!({"status": {
            "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": wanted,
            "currentNumberScheduled": wanted, "numberMisscheduled": 0, "numberReady": ready,
            "updatedNumberScheduled": updated,
        }});
        let patch = status.to_string();
        let words = ["patch", "daemonset", &name, "--namespace", NAMESPACE, "--subresource=status"];
        cluster.run(&[&words[..], &["--type=merge", "--patch", &patch]].concat()).map(drop)
    };
    let ready = || {
        Ok::<_, anyhow::Error>(
            cluster.get_json("clusteragent", &agent)?.context("it")?["status"]["ready"].clone(),
        )
    };
    tell(2, 0, 2)?;
    wait_for_condition(&cluster, &agent, "Ready", "False", "NoneServes")?;
    assert_eq!(ready()?, false);
    tell(2, 1, 2)?;
    let message = wait_for_condition(&cluster, &agent, "Ready", "True", "Serving")?;
    assert_eq!(message, "1 of 2 agents serve");
    wait_for_condition(&cluster, &agent, "Complete", "False", "NotAllServe")?;
    assert_eq!(ready()?, true);
    tell(2, 2, 1)?;
    wait_for_condition(&cluster, &agent, "Complete", "False", "RollingOut")?;
    tell(2, 2, 2)?;
    wait_for_condition(&cluster, &agent, "Complete", "True", "AllServe")?;
    let column = cluster.run(&["get", "clusteragent", &agent, "--no-headers"])?;
    assert!(column.contains("true"), "{column}");
    Ok(())
}
