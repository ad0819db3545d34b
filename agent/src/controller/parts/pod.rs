//! One pod of an agent.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    HostPathVolumeSource, LocalObjectReference, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm,
    ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::workload::{in_nodes_network, selector};
use super::{Kind, Settings, labels, storage};
use crate::kube::objects::{AgentYaml, ClusterAgent, ImagePullPolicy, said};

/// Where programs and maps are pinned, on the node and in the container.
const PINS: &str = "/sys/fs/bpf";

/// Where the agent's socket is.
const SOCKET: &str = "/run/xdhcpd";

/// The annotation that asks for a network of Multus'.
const UNDERLAY: &str = "k8s.v1.cni.cncf.io/networks";

/// The variable with the node's name.
pub(super) const NODE_NAME: &str = "NODE_NAME";

/// The port by which health and metrics are found.
const HTTP: &str = "http";

/// How important a pod is that says nothing of it: machines that boot from the network wait for it.
const PRIORITY: &str = "system-node-critical";

/// The time to write what is to be written, with a disk that is slow.
const GRACE: i64 = 30;

/// All pods of an agent. Its health is served at `port`.
pub fn template(agent: &ClusterAgent, settings: &Settings, port: u16) -> PodTemplateSpec {
    let yaml = &agent.spec.agent_yaml;
    let in_nodes_network = in_nodes_network(agent);
    let underlay = said(yaml.underlay_interface.as_ref()).filter(|_| !in_nodes_network);
    let metadata = ObjectMeta {
        labels: Some(labels(agent)),
        annotations: underlay.map(|name| BTreeMap::from([(UNDERLAY.to_owned(), name.to_owned())])),
        ..ObjectMeta::default()
    };
    let dns_policy = if in_nodes_network { "ClusterFirstWithHostNet" } else { "ClusterFirst" };
    let spec = PodSpec {
        service_account_name: Some(Kind::ServiceAccount.name(&agent.name_any())),
        host_network: Some(in_nodes_network),
        dns_policy: Some(dns_policy.into()),
        priority_class_name: Some(said(yaml.priority_class_name.as_ref()).unwrap_or(PRIORITY).to_owned()),
        termination_grace_period_seconds: Some(GRACE),
        image_pull_secrets: yaml.image_pull_secrets.clone().or_else(|| pull_secrets(settings)),
        affinity: affinity(agent),
        node_selector: yaml.node_selector.clone(),
        tolerations: yaml.tolerations.clone(),
        containers: vec![container(agent, settings, port)],
        volumes: Some(vec![storage::volume(agent, settings), pins(), socket()]),
        ..PodSpec::default()
    };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

fn pull_secrets(settings: &Settings) -> Option<Vec<LocalObjectReference>> {
    let secret = |name: &String| LocalObjectReference { name: name.clone() };
    let secrets: Vec<_> = settings.pull_secrets.iter().map(secret).collect();
    (!secrets.is_empty()).then_some(secrets)
}

fn pins() -> Volume {
    let path = HostPathVolumeSource { path: PINS.into(), type_: Some("Directory".into()) };
    Volume { name: "pins".into(), host_path: Some(path), ..Volume::default() }
}

fn socket() -> Volume {
    let folder = EmptyDirVolumeSource::default();
    Volume { name: "socket".into(), empty_dir: Some(folder), ..Volume::default() }
}

fn container(agent: &ClusterAgent, settings: &Settings, port: u16) -> Container {
    let yaml = &agent.spec.agent_yaml;
    let mount = |name: &str, path: &str, propagation: Option<&str>| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        mount_propagation: propagation.map(str::to_owned),
        ..VolumeMount::default()
    };
    let image = said(yaml.image.as_ref()).unwrap_or(&settings.image);
    let pull_policy = yaml.image_pull_policy.map(ImagePullPolicy::word);
    Container {
        name: "agent".into(),
        image: Some(image.to_owned()),
        image_pull_policy: pull_policy.map(str::to_owned).or_else(|| settings.pull_policy.clone()),
        // Not on every address of the node: where it serves DHCP, strangers are.
        args: Some(vec!["run".into(), "--http".into(), format!("$(POD_IP):{port}")]),
        env: Some(vec![
            of_pod("POD_IP", "status.podIP"),
            of_pod("POD_NAME", "metadata.name"),
            of_pod("POD_NAMESPACE", "metadata.namespace"),
            of_pod(NODE_NAME, "spec.nodeName"),
            of_pod("XDHCPD_NODE_IP", "status.hostIP"),
            variable("CLUSTERAGENT_NAME", agent.name_any()),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some(HTTP.into()),
            container_port: port.into(),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: resources(yaml),
        // A program and its links take more than capabilities where the kernel is old or locked down.
        security_context: Some(SecurityContext {
            privileged: Some(true),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        // It reads all leases at the start, and waits for the API server meanwhile: 5 minutes.
        startup_probe: Some(probe("/healthz", port, 2, 150)),
        liveness_probe: Some(probe("/healthz", port, 10, 6)),
        readiness_probe: Some(probe("/readyz", port, 10, 3)),
        volume_mounts: Some(vec![
            storage::mount(settings),
            mount("pins", PINS, Some("Bidirectional")),
            mount("socket", SOCKET, None),
        ]),
        ..Container::default()
    }
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value), value_from: None }
}

fn of_pod(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { field_path: path.into(), api_version: None };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.into(), value: None, value_from: Some(source) }
}

fn probe(path: &str, port: u16, period: i32, failures: i32) -> Probe {
    let get = HTTPGetAction {
        path: Some(path.into()),
        port: IntOrString::Int(port.into()),
        ..HTTPGetAction::default()
    };
    Probe {
        http_get: Some(get),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(yaml: &AgentYaml) -> Option<ResourceRequirements> {
    let resources = yaml.resources.as_ref()?;
    let quantities = |given: Option<&BTreeMap<String, serde_json::Value>>| {
        let quantity = |value: &serde_json::Value| {
            Quantity(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        given.map(|given| given.iter().map(|(name, value)| (name.clone(), quantity(value))).collect())
    };
    Some(ResourceRequirements {
        limits: quantities(resources.limits.as_ref()),
        requests: quantities(resources.requests.as_ref()),
        ..ResourceRequirements::default()
    })
}

fn affinity(agent: &ClusterAgent) -> Option<Affinity> {
    let yaml = &agent.spec.agent_yaml;
    let node_affinity = nodes(said(yaml.node_name.as_ref()), yaml.node_affinity.as_ref());
    // A DaemonSet has one on a node as it is.
    let apart = (!in_nodes_network(agent)).then(|| PodAntiAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![PodAffinityTerm {
            label_selector: Some(selector(agent)),
            topology_key: "kubernetes.io/hostname".into(),
            ..PodAffinityTerm::default()
        }]),
        ..PodAntiAffinity::default()
    });
    if node_affinity.is_none() && apart.is_none() {
        return None;
    }
    Some(Affinity { node_affinity, pod_anti_affinity: apart, ..Affinity::default() })
}

/// The nodes that an agent may be on: those of its own rule, and of these the one that it names.
/// A node's name is matched as a field, since its labels may say something else.
fn nodes(node: Option<&str>, given: Option<&NodeAffinity>) -> Option<NodeAffinity> {
    let Some(node) = node else { return given.cloned() };
    let mut affinity = given.cloned().unwrap_or_default();
    let required = affinity.required_during_scheduling_ignored_during_execution.get_or_insert_default();
    let alone = required.node_selector_terms.is_empty();
    if alone {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    let selects = |term: &NodeSelectorTerm| *term != NodeSelectorTerm::default();
    // Terms are alternatives: each has to ask for the node; but for an empty one, which stands for none.
    for term in required.node_selector_terms.iter_mut().filter(|term| alone || selects(term)) {
        term.match_fields.get_or_insert_default().push(NodeSelectorRequirement {
            key: "metadata.name".into(),
            operator: "In".into(),
            values: Some(vec![node.into()]),
        });
    }
    Some(affinity)
}
