//! The manifests of agents.

#![expect(clippy::needless_pass_by_value, reason = "each is written where it is passed")]

use serde_json::{Value, json};

use super::*;

fn agent(yaml: Value) -> ClusterAgent {
    let object = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1",
        "kind": "ClusterAgent",
        "metadata": {"name": "bmc", "uid": "1"},
        "spec": {"agentYaml": yaml},
    });
    serde_json::from_value(object).unwrap()
}

fn settings() -> Settings {
    Settings {
        namespace: "dhcp".into(),
        image: "xdhcpd:1".into(),
        pull_policy: None,
        pull_secrets: Vec::new(),
        role: "xdhcpd-agent".into(),
        storage: Storage::HostPath("/var/lib/dhcp".into()),
    }
}

fn claimed(mode: &str) -> Settings {
    let storage =
        Storage::Claim { class: Some("fast".into()), size: "1Gi".into(), access_modes: vec![mode.into()] };
    Settings { storage, ..settings() }
}

fn made(yaml: Value, settings: &Settings) -> BTreeMap<Kind, Value> {
    let parts = parts(&agent(yaml), settings, 9170).unwrap();
    parts.into_iter().map(|part| (part.kind, part.body)).collect()
}

/// The template of a pod.
fn template(yaml: Value, settings: &Settings) -> Value {
    let mut made = made(yaml, settings);
    let workload = made.remove(&Kind::DaemonSet).or_else(|| made.remove(&Kind::Deployment));
    workload.unwrap().pointer("/spec/template").unwrap().clone()
}

/// What a pod says at this place of its `spec`.
fn pod(yaml: Value, pointer: &str) -> Value {
    let found = template(yaml, &settings()).pointer(&format!("/spec{pointer}")).cloned();
    found.unwrap_or(Value::Null)
}

#[test]
fn every_part_is_named_for_the_agent_and_owned_by_it() {
    let made = made(json!({}), &claimed("ReadWriteOnce"));
    let names: Vec<_> = made
        .iter()
        .map(|(kind, body)| {
            (*kind, body["metadata"]["name"].as_str(), body["metadata"]["namespace"].as_str())
        })
        .collect();
    let (name, home) = (Some("agent-bmc"), Some("dhcp"));
    let expected = [
        (Kind::ServiceAccount, name, home),
        (Kind::ClusterRoleBinding, name, None),
        (Kind::RoleBinding, name, home),
        (Kind::PersistentVolumeClaim, Some("bmc-dhcp-data"), home),
        (Kind::DaemonSet, name, home),
    ];
    assert_eq!(names, expected);
    for (kind, body) in made {
        let owner = &body["metadata"]["ownerReferences"][0];
        let expected = json!({
            "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "ClusterAgent", "name": "bmc", "uid": "1",
            "controller": true, "blockOwnerDeletion": true,
        });
        assert_eq!(*owner, expected, "{kind:?}");
        assert_eq!(body["metadata"]["labels"][AGENT_LABEL], "bmc", "{kind:?}");
        assert_eq!(body["kind"], kind.resource().kind, "{kind:?}");
    }
}

#[test]
fn the_account_has_the_agents_roles_and_no_others() {
    let made = made(json!({}), &settings());
    let subject = json!([{"kind": "ServiceAccount", "name": "agent-bmc", "namespace": "dhcp"}]);
    for (kind, role) in [(Kind::ClusterRoleBinding, "ClusterRole"), (Kind::RoleBinding, "Role")] {
        let expected = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "xdhcpd-agent"});
        assert_eq!((&made[&kind]["roleRef"], &made[&kind]["subjects"]), (&expected, &subject));
    }
    assert_eq!(pod(json!({}), "/serviceAccountName"), "agent-bmc");
}

#[test]
fn in_the_nodes_network_there_is_one_on_each_node_replaced_one_at_a_time() {
    let yaml = json!({"hostNetwork": true, "replicas": 3, "underlayInterface": "net/bmc"});
    let made = made(yaml, &settings());
    assert!(!made.contains_key(&Kind::Deployment));
    let spec = &made[&Kind::DaemonSet]["spec"];
    let rolling = json!({"maxUnavailable": 1, "maxSurge": 0});
    assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": rolling}));
    assert_eq!(spec["template"]["spec"]["hostNetwork"], true);
    assert_eq!(spec["template"]["spec"]["dnsPolicy"], "ClusterFirstWithHostNet");
    assert_eq!(spec["template"]["metadata"]["annotations"], Value::Null);
}

#[test]
fn without_the_nodes_network_it_is_a_deployment_on_the_network_that_is_named() {
    let yaml = json!({"hostNetwork": false, "replicas": 2, "underlayInterface": "net/bmc"});
    let made = made(yaml.clone(), &settings());
    assert!(!made.contains_key(&Kind::DaemonSet));
    let spec = &made[&Kind::Deployment]["spec"];
    assert_eq!(spec["replicas"], 2);
    let rolling = json!({"maxUnavailable": 1, "maxSurge": 0});
    assert_eq!(spec["strategy"], json!({"type": "RollingUpdate", "rollingUpdate": rolling}));
    let annotations = json!({"k8s.v1.cni.cncf.io/networks": "net/bmc"});
    assert_eq!(spec["template"]["metadata"]["annotations"], annotations);
    assert_eq!(pod(yaml.clone(), "/hostNetwork"), false);
    let apart = pod(yaml, "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution");
    assert_eq!(apart[0]["topologyKey"], "kubernetes.io/hostname");
}

#[test]
fn who_names_a_network_and_says_nothing_of_the_nodes_is_on_the_one_it_names() {
    for (yaml, is_on_nodes) in [
        (json!({"underlayInterface": "net/bmc"}), false),
        (json!({"underlayInterface": ""}), true),
        (json!({}), true),
        (json!({"underlayInterface": "net/bmc", "hostNetwork": true}), true),
    ] {
        assert_eq!(made(yaml.clone(), &settings()).contains_key(&Kind::DaemonSet), is_on_nodes, "{yaml}");
    }
}

#[test]
fn with_no_replicas_nothing_runs() {
    for network in [true, false] {
        let made = made(json!({"replicas": 0, "hostNetwork": network}), &settings());
        assert!(made.keys().all(|kind| !kind.is_workload()));
        assert!(made.contains_key(&Kind::ServiceAccount));
    }
}

#[test]
fn an_image_of_its_own_is_used_and_an_empty_one_is_none() {
    assert_eq!(pod(json!({"image": ""}), "/containers/0/image"), "xdhcpd:1");
    assert_eq!(pod(json!({"image": "mine:2"}), "/containers/0/image"), "mine:2");
    assert_eq!(pod(json!({"imagePullPolicy": "Never"}), "/containers/0/imagePullPolicy"), "Never");
}

#[test]
fn what_the_object_says_of_the_pod_goes_through() {
    let affinity = json!({"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "rack", "operator": "Exists"}]}},
    ]});
    let tolerations = json!([{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}]);
    let yaml = json!({
        "nodeAffinity": affinity,
        "nodeSelector": {"dhcp": "yes"},
        "tolerations": tolerations,
        "resources": {"limits": {"cpu": 2, "memory": "64Mi"}, "requests": {"cpu": "100m"}},
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "low",
    });
    let spec = template(yaml, &settings())["spec"].clone();
    assert_eq!(spec["affinity"], json!({"nodeAffinity": affinity}));
    assert_eq!(spec["nodeSelector"], json!({"dhcp": "yes"}));
    assert_eq!(spec["tolerations"], tolerations);
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
    assert_eq!(spec["priorityClassName"], "low");
    let resources = json!({"limits": {"cpu": "2", "memory": "64Mi"}, "requests": {"cpu": "100m"}});
    assert_eq!(spec["containers"][0]["resources"], resources);
}

#[test]
fn secrets_to_pull_with_are_the_objects_or_those_that_the_controller_was_told() {
    let settings = Settings { pull_secrets: vec!["one".into(), "two".into()], ..settings() };
    let secrets = |yaml| template(yaml, &settings)["spec"]["imagePullSecrets"].clone();
    assert_eq!(secrets(json!({})), json!([{"name": "one"}, {"name": "two"}]));
    assert_eq!(secrets(json!({"imagePullSecrets": [{"name": "own"}]})), json!([{"name": "own"}]));
}

#[test]
fn what_the_object_does_not_say_is_left_to_kubernetes() {
    let spec = template(json!({}), &settings())["spec"].clone();
    for key in ["affinity", "nodeSelector", "tolerations", "imagePullSecrets"] {
        assert_eq!(spec[key], Value::Null, "{key}");
    }
    assert_eq!(spec["priorityClassName"], "system-node-critical");
    assert_eq!(spec["containers"][0]["resources"], Value::Null);
    assert_eq!(spec["containers"][0]["imagePullPolicy"], Value::Null);
}

#[test]
fn the_agent_learns_who_it_is_and_where_and_is_asked_on_its_port() {
    let container = pod(json!({}), "/containers/0");
    let variable = |name: &str| {
        let all = container["env"].as_array().unwrap();
        all.iter().find(|variable| variable["name"] == name).unwrap().clone()
    };
    assert_eq!(variable("CLUSTERAGENT_NAME")["value"], "bmc");
    for (name, path) in [
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_NAME", "metadata.name"),
        ("NODE_NAME", "spec.nodeName"),
        ("XDHCPD_NODE_IP", "status.hostIP"),
    ] {
        assert_eq!(variable(name)["valueFrom"]["fieldRef"]["fieldPath"], path);
    }
    assert_eq!(container["args"], json!(["run", "--http", "$(POD_IP):9170"]));
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": 9170, "protocol": "TCP"}]));
    for (probe, path) in
        [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": 9170}), "{probe}");
    }
    assert_eq!(container["securityContext"]["privileged"], true);
}

#[test]
fn the_pinned_programs_of_the_node_are_there() {
    let volumes = pod(json!({}), "/volumes");
    assert_eq!(volumes[1], json!({"name": "pins", "hostPath": {"path": "/sys/fs/bpf", "type": "Directory"}}));
    let mount = json!({"name": "pins", "mountPath": "/sys/fs/bpf", "mountPropagation": "Bidirectional"});
    assert_eq!(pod(json!({}), "/containers/0/volumeMounts/1"), mount);
}

#[test]
fn leases_are_on_the_node_or_in_the_agents_claim() {
    let leases = |settings: &Settings| {
        let spec = template(json!({}), settings)["spec"].clone();
        (spec["volumes"][0].clone(), spec["containers"][0]["volumeMounts"][0].clone())
    };
    let mount = json!({"name": "leases", "mountPath": "/var/lib/dhcp"});
    let on_node = json!({"path": "/var/lib/dhcp", "type": "DirectoryOrCreate"});
    assert_eq!(leases(&settings()), (json!({"name": "leases", "hostPath": on_node}), mount.clone()));
    let claim = json!({"name": "leases", "persistentVolumeClaim": {"claimName": "bmc-dhcp-data"}});
    assert_eq!(leases(&claimed("ReadWriteOnce")), (claim.clone(), mount));
    // Agents on several nodes cannot have one lease file.
    let apart = json!({"name": "leases", "mountPath": "/var/lib/dhcp", "subPathExpr": "$(NODE_NAME)"});
    assert_eq!(leases(&claimed("ReadWriteMany")), (claim, apart));
    assert!(!made(json!({}), &settings()).contains_key(&Kind::PersistentVolumeClaim));
    let spec = &made(json!({}), &claimed("ReadWriteOnce"))[&Kind::PersistentVolumeClaim]["spec"];
    let expected = json!({
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    });
    assert_eq!(*spec, expected);
}

#[test]
fn the_node_that_is_named_narrows_every_alternative() {
    let named = json!({"key": "metadata.name", "operator": "In", "values": ["n1"]});
    let terms = |given: Value| {
        let required = json!({"nodeSelectorTerms": given});
        let rule = json!({"requiredDuringSchedulingIgnoredDuringExecution": required});
        let yaml = json!({"nodeName": "n1", "nodeAffinity": rule});
        let place = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        pod(yaml, place)["nodeSelectorTerms"].clone()
    };
    let rack = json!([{"key": "rack", "operator": "Exists"}]);
    assert_eq!(terms(json!([])), json!([{"matchFields": [named]}]));
    // An empty one stands for no node, and goes on doing so.
    let expected = json!([{"matchExpressions": rack, "matchFields": [named]}, {}]);
    assert_eq!(terms(json!([{"matchExpressions": rack}, {}])), expected);
    let place = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let alone = json!({"nodeSelectorTerms": [{"matchFields": [named]}]});
    assert_eq!(pod(json!({"nodeName": "n1"}), place), alone);
}
