//! What a real API server takes of our objects, and what it refuses: the definitions themselves, the
//! manifests of the BMC operator as they are, and every rule that a schema can hold.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::{agent_name, install_definitions};
use xdhcpd_tests::kube::{self, Cluster};
use xdhcpd_tests::skip;

/// Both kinds that people write, and the one that agents do.
const DEFINITIONS: [&str; 3] = ["clusteragents", "hostendpoints", "hoststatuses"];

/// As the BMC operator's chart renders it, with the host's network.
const RENDERED: &str = r#"
apiVersion: bmc.spidernet.io/v1beta1
kind: ClusterAgent
metadata:
  name: @NAME@
  labels: {app.kubernetes.io/managed-by: Helm}
spec:
  agentYaml:
    image: ""
    replicas: 1
    hostNetwork: true
    nodeName: ""
    underlayInterface: ""
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
          - matchExpressions:
              - {key: kubernetes.io/hostname, operator: In, values: [worker1]}
  endpoint:
    port: 443
    https: true
    secretName: ""
    secretNamespace: ""
  feature:
    enableDhcpServer: true
    dhcpServerConfig:
      enableDhcpDiscovery: true
      enableBindDhcpIP: true
      enableBindStaticIP: true
      dhcpServerInterface: eth1
      subnet: 192.168.0.0/24
      ipRange: 192.168.0.100-192.168.0.200
      gateway: 192.168.0.1
      selfIp: ""
"#;

/// On a network attachment, with an address of its own.
const MACVLAN: &str = r"
apiVersion: bmc.spidernet.io/v1beta1
kind: ClusterAgent
metadata: {name: @NAME@}
spec:
  agentYaml:
    underlayInterface: kube-system/macvlan-net1
    image: registry.example.org/agent:v1
    replicas: 1
    nodeName: worker1
    hostNetwork: false
  endpoint: {port: 8000, https: true, secretName: bmc-secret, secretNamespace: bmc}
  feature:
    dhcpServerConfig:
      dhcpServerInterface: net1
      subnet: 192.168.0.0/24
      ipRange: 192.168.0.100-192.168.0.200
      gateway: 192.168.0.1
      selfIp: 192.168.0.2/24
";

/// The least that one says.
const LEAST: &str = r"
apiVersion: bmc.spidernet.io/v1beta1
kind: ClusterAgent
metadata: {name: @NAME@}
spec:
  agentYaml: {}
  endpoint: {}
  feature:
    dhcpServerConfig:
      dhcpServerInterface: eth1
      subnet: 192.168.0.0/24
      ipRange: 192.168.0.100-192.168.0.200
      gateway: 192.168.0.1
";

/// A host with all that can be said of one, and one with nothing but its address.
const HOSTS: &str = r"
apiVersion: bmc.spidernet.io/v1beta1
kind: HostEndpoint
metadata: {name: @NAME@-full}
spec:
  clusterAgent: @NAME@
  ipAddr: 192.168.0.50
  https: false
  port: 8080
  secretName: bmc-secret
  secretNamespace: bmc
---
apiVersion: bmc.spidernet.io/v1beta1
kind: HostEndpoint
metadata: {name: @NAME@-least}
spec:
  ipAddr: 192.168.0.51
";

fn cluster() -> Result<Option<Arc<Cluster>>> {
    if !kube::is_there(&skip::this_test()) {
        return Ok(None);
    }
    let cluster = Cluster::shared()?;
    install_definitions(&cluster)?;
    Ok(Some(cluster))
}

/// Has the API server judge an object, which it does not keep; strictly, as kubectl does unless told
/// otherwise.
fn judge(cluster: &Cluster, object: &Value) -> Result<()> {
    let words = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    cluster.run_with_input(&words, &object.to_string()).map(drop)
}

/// The least ClusterAgent, with `change` made to its spec.
fn agent(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "agentYaml": {},
        "endpoint": {},
        "feature": {"dhcpServerConfig": {
            "dhcpServerInterface": "eth1", "subnet": "10.9.0.0/24", "ipRange": "10.9.0.100-10.9.0.200",
            "gateway": "10.9.0.1",
        }},
    });
    change(&mut spec);
    object("ClusterAgent", &spec)
}

/// The same with a key of `dhcpServerConfig` set.
fn serving(key: &str, value: Value) -> Value {
    agent(|spec| spec["feature"]["dhcpServerConfig"][key] = value)
}

/// A HostEndpoint of this spec.
fn endpoint(spec: &Value) -> Value {
    object("HostEndpoint", spec)
}

fn object(kind: &str, spec: &Value) -> Value {
    let metadata = json!({"name": agent_name()});
    json!({"apiVersion": "bmc.spidernet.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn without(mut value: Value, path: &str) -> Value {
    let (parent, key) = path.rsplit_once('/').expect("a path");
    value.pointer_mut(parent).and_then(Value::as_object_mut).expect("a mapping").remove(key);
    value
}

/// Each is refused, and the refusal says this.
fn refused(cluster: &Cluster, cases: Vec<(Value, &str)>) {
    let mut faults = Vec::new();
    for (object, message) in cases {
        match judge(cluster, &object) {
            Ok(()) => faults.push(format!("admitted, though: {message}\n{object}")),
            Err(error) if error.to_string().contains(message) => {}
            Err(error) => faults.push(format!("expected {message:?} for {object}:\n{error}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// That what is there has all that was said, value for value.
fn assert_says(there: &Value, said: &Value, place: &str) {
    match (there, said) {
        (Value::Object(there), Value::Object(said)) => {
            for (key, said) in said {
                assert_says(there.get(key).unwrap_or(&Value::Null), said, &format!("{place}.{key}"));
            }
        }
        (Value::Array(there), Value::Array(said)) if there.len() == said.len() => {
            for (at, (there, said)) in there.iter().zip(said).enumerate() {
                assert_says(there, said, &format!("{place}[{at}]"));
            }
        }
        _ => assert_eq!(there, said, "{place}"),
    }
}

#[test]
fn the_definitions_are_structural_and_established() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    for plural in DEFINITIONS {
        let name = format!("{plural}.bmc.spidernet.io");
        let definition = cluster.get_json("crd", &name)?.context(name)?;
        let conditions = definition["status"]["conditions"].as_array().context("conditions")?;
        let is = |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
        assert!(is("Established") && is("NamesAccepted"), "{conditions:#?}");
        // It would say here why a schema is not structural.
        assert!(!is("NonStructuralSchema"), "{conditions:#?}");
        assert_eq!(definition["spec"]["scope"], "Cluster");
    }
    Ok(())
}

#[test]
fn the_bmc_operators_manifests_apply_unchanged_and_show_its_columns() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let columns = |kind: &str| -> Result<String> {
        let shown = cluster.kubectl(&["get", kind])?;
        let head = shown.lines().next().unwrap_or_default();
        Ok(head.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for manifest in [RENDERED, MACVLAN, LEAST] {
        cluster.apply(&manifest.replace("@NAME@", &agent_name()))?;
    }
    cluster.apply(&HOSTS.replace("@NAME@", &agent_name()))?;
    let status = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "HostStatus", "metadata": {"name": agent_name()},
    });
    cluster.apply(&status.to_string())?;
    assert!(columns("clusteragent")?.starts_with("NAME READY"), "{}", columns("clusteragent")?);
    assert!(columns("hostendpoint")?.starts_with("NAME CLUSTERAGENT HOSTIP"), "{}", columns("hostendpoint")?);
    assert_eq!(columns("hoststatus")?, "NAME CLUSTERAGENT HEALTHREADY IPADDR TYPE AGE");
    Ok(())
}

#[test]
fn what_a_manifest_leaves_out_is_set_by_the_api_server() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let name = agent_name();
    cluster.apply(&LEAST.replace("@NAME@", &name))?;
    cluster.apply(&HOSTS.replace("@NAME@", &name))?;
    let agent = cluster.get_json("clusteragent", &name)?.context("the agent")?;
    let spec = &agent["spec"];
    assert_eq!(spec["agentYaml"]["replicas"], 1);
    assert_eq!((&spec["endpoint"]["port"], &spec["endpoint"]["https"]), (&json!(443), &json!(true)));
    assert_eq!(spec["feature"]["enableDhcpServer"], true);
    for switch in ["enableDhcpDiscovery", "enableBindDhcpIP", "enableBindStaticIP"] {
        assert_eq!(spec["feature"]["dhcpServerConfig"][switch], true, "{switch}");
    }
    let host = cluster.get_json("hostendpoint", &format!("{name}-least"))?.context("the host")?;
    assert_eq!((&host["spec"]["port"], &host["spec"]["https"]), (&json!(443), &json!(true)));
    let host = cluster.get_json("hostendpoint", &format!("{name}-full"))?.context("the host")?;
    assert_eq!((&host["spec"]["port"], &host["spec"]["https"]), (&json!(8080), &json!(false)));
    Ok(())
}

#[test]
fn a_network_that_does_not_hold_together_is_refused_and_its_field_named() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let text = |key: &str, value: &str| serving(key, json!(value));
    refused(
        &cluster,
        vec![
            (text("gateway", "10.8.0.1"), "gateway: lies outside of subnet"),
            (text("gateway", "10.9.0.100"), "gateway: lies inside of ipRange"),
            (text("gateway", "10.9.0.200"), "gateway: lies inside of ipRange"),
            (text("gateway", "router"), "dhcpServerConfig.gateway"),
            (text("gateway", ""), "dhcpServerConfig.gateway"),
            (text("ipRange", "10.9.0.100-10.9.1.200"), "ipRange: lies outside of subnet"),
            (text("ipRange", "10.8.0.100-10.8.0.200"), "ipRange: lies outside of subnet"),
            (text("ipRange", "10.9.0.200-10.9.0.100"), "ipRange: ends before it starts"),
            (text("ipRange", "10.9.0.100"), "dhcpServerConfig.ipRange"),
            (text("ipRange", "10.9.0.100-200"), "dhcpServerConfig.ipRange"),
            (text("subnet", "10.9.0.7/24"), "subnet: expected a network such as 10.9.0.0/24"),
            (text("subnet", "10.9.0.0"), "dhcpServerConfig.subnet"),
            (text("subnet", "10.9.0.0/33"), "dhcpServerConfig.subnet"),
            (text("selfIp", "10.9.0.2/25"), "selfIp: expected an address in subnet, with the mask of subnet"),
            (text("selfIp", "10.8.0.2/24"), "selfIp: expected an address in subnet, with the mask of subnet"),
            (text("selfIp", "10.9.0.2"), "dhcpServerConfig.selfIp"),
            (text("dhcpServerInterface", ""), "dhcpServerConfig.dhcpServerInterface"),
            (text("dhcpServerInterface", "an-interface-name"), "dhcpServerConfig.dhcpServerInterface"),
            (text("leaseTime", "soon"), "dhcpServerConfig.leaseTime"),
            (serving("leaseTime", json!(30)), "dhcpServerConfig.leaseTime"),
            (serving("enableBindDhcpIP", json!("yes")), "dhcpServerConfig.enableBindDhcpIP"),
            (serving("vlans", json!([4095])), "dhcpServerConfig.vlans[0]"),
            (serving("options", json!({"dns": ["one"]})), "dhcpServerConfig.options.dns[0]"),
            (serving("reservations", json!([{"mac": "02:00"}])), "dhcpServerConfig.reservations[0].mac"),
            (serving("fastPath", json!({"mode": "fast"})), "dhcpServerConfig.fastPath.mode"),
        ],
    );
    Ok(())
}

#[test]
fn values_out_of_bounds_and_half_a_secret_are_refused_and_their_field_named() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let port = |port: u32| agent(|spec| spec["endpoint"]["port"] = json!(port));
    let both = "secretName and secretNamespace: give both or neither";
    let secret = |key: &str| agent(|spec| spec["endpoint"][key] = json!("bmc"));
    let host = |key: &str, value: Value| {
        let mut spec = json!({"ipAddr": "10.9.0.50"});
        spec[key] = value;
        endpoint(&spec)
    };
    refused(
        &cluster,
        vec![
            (port(0), "spec.endpoint.port"),
            (port(65_536), "spec.endpoint.port"),
            (agent(|spec| spec["agentYaml"]["replicas"] = json!(-1)), "spec.agentYaml.replicas"),
            (secret("secretName"), both),
            (secret("secretNamespace"), both),
            (host("port", json!(0)), "spec.port"),
            (host("port", json!(65_536)), "spec.port"),
            (host("secretName", json!("bmc")), both),
            (host("secretNamespace", json!("bmc")), both),
            (host("ipAddr", json!("host1")), "spec.ipAddr"),
            (host("ipAddr", json!("fd00::1")), "spec.ipAddr"),
            (host("ipAddr", json!("10.9.0.256")), "spec.ipAddr"),
            (host("ipAddr", json!("010.9.0.1")), "spec.ipAddr"),
            (host("ipAddr", json!("")), "spec.ipAddr"),
        ],
    );
    Ok(())
}

#[test]
fn what_must_be_said_and_what_nobody_knows_is_named() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let server = |key: &str| without(agent(|_| {}), &format!("/spec/feature/dhcpServerConfig/{key}"));
    refused(
        &cluster,
        vec![
            (without(agent(|_| {}), "/spec/agentYaml"), "spec.agentYaml"),
            (without(agent(|_| {}), "/spec"), "spec: Required"),
            (server("dhcpServerInterface"), "dhcpServerConfig.dhcpServerInterface: Required"),
            (server("subnet"), "dhcpServerConfig.subnet: Required"),
            (server("ipRange"), "dhcpServerConfig.ipRange: Required"),
            (server("gateway"), "dhcpServerConfig.gateway: Required"),
            (
                agent(|spec| spec["feature"] = json!({"enableDhcpServer": true})),
                "dhcpServerConfig: is missing",
            ),
            // The switch is on by itself.
            (agent(|spec| spec["feature"] = json!({})), "dhcpServerConfig: is missing"),
            (serving("leasetime", json!("1h")), r#"unknown field "spec.feature.dhcpServerConfig.leasetime""#),
            (
                serving("options", json!({"dnss": []})),
                r#"unknown field "spec.feature.dhcpServerConfig.options.dnss""#,
            ),
            (agent(|spec| spec["endpoint"]["user"] = json!("root")), r#"unknown field "spec.endpoint.user""#),
            (endpoint(&json!({})), "spec.ipAddr: Required"),
            (endpoint(&json!({"ipAddr": "10.9.0.50", "ip": ""})), r#"unknown field "spec.ip""#),
        ],
    );
    Ok(())
}

#[test]
fn an_empty_text_is_admitted_as_an_absent_one() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let endpoint_of = |secret: &str| {
        agent(|spec| {
            spec["endpoint"] = json!({"https": true, "secretName": secret, "secretNamespace": secret});
        })
    };
    for object in [
        endpoint_of(""),
        endpoint_of("bmc"),
        serving("selfIp", json!("")),
        serving("leaseTime", json!("")),
        serving("selfIp", Value::Null),
        agent(|spec| spec["feature"] = json!({"enableDhcpServer": false})),
        without(agent(|_| {}), "/spec/endpoint"),
        endpoint(
            &json!({"ipAddr": "10.9.0.50", "clusterAgent": "", "secretName": "", "secretNamespace": ""}),
        ),
    ] {
        judge(&cluster, &object)?;
    }
    Ok(())
}

#[test]
fn all_that_the_configuration_file_can_say_is_kept_word_for_word() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let options = json!({
        "dns": ["10.9.0.53"], "domainName": "example.org", "domainSearch": ["example.org"],
        "ntp": ["10.9.0.123"], "mtu": 1500, "routes": [{"to": "10.0.0.0/8", "via": "10.9.0.1"}],
        "custom": [{"code": 224, "hex": "0a:0b"}, {"code": 66, "text": "t"}, {"code": 4, "ips": ["10.9.0.4"]}],
    });
    let boot = json!({"nextServer": "10.9.0.2", "file": "undionly.kpxe", "serverName": "boot"});
    let all = json!({
        "selfIp": "10.9.0.2/24", "name": "rack1", "vlans": [7, 8],
        "ranges": ["10.9.0.210-10.9.0.215", {"range": "10.9.0.220-10.9.0.225", "class": "uefi"}],
        "exclude": ["10.9.0.150", "10.9.0.160-10.9.0.169"], "leaseTime": "1s", "minLeaseTime": "1s",
        "maxLeaseTime": "infinite", "renewTime": "1h", "rebindTime": "1h30m", "authoritative": true,
        "identity": "client-id", "reservedOnly": false, "alwaysBroadcast": true, "probe": false,
        "offerHold": "30s", "declineHold": "1d", "checkSource": false, "relays": ["10.8.0.1", "10.8.1.0/24"],
        "options": options, "boot": boot,
        "reservations": [
            {"mac": "02:00:00:00:00:05", "ip": "10.9.0.5", "hostName": "five", "options": options, "boot": boot},
            {"clientId": "01:02", "ip": "10.9.0.6"}, {"circuitId": "0102", "ip": "10.9.0.7"},
            {"remoteId": "0a", "ip": "10.9.0.8"},
        ],
        "classes": [{
            "name": "uefi", "options": options, "boot": boot,
            "match": {"arch": [7, 9], "vendorClass": "v", "userClass": "u", "option": {"code": 60, "hex": "00"}},
        }],
        "networks": [{"name": "rack2", "interface": "eth2", "subnet": "10.9.1.0/24", "reservedOnly": true}],
        "fastPath": {"mode": "generic", "log": "info"}, "leases": {"horizon": 3},
        "loader": {"minInterval": "1m", "window": "5m", "maxFailures": 2},
        "limits": {"clientPerSecond": 5, "interfacePerSecond": 6},
        "http": {"listen": "127.0.0.1:9168"}, "log": {"level": "debug", "format": "json"},
    });
    let object = agent(|spec| {
        let server = spec["feature"]["dhcpServerConfig"].as_object_mut().expect("a mapping");
        server.extend(all.as_object().cloned().unwrap_or_default());
    });
    cluster.apply(&object.to_string())?;
    let name = object["metadata"]["name"].as_str().context("its name")?;
    let there = cluster.get_json("clusteragent", name)?.context("the agent")?;
    assert_says(&there["spec"], &object["spec"], "spec");
    Ok(())
}

#[test]
fn a_host_status_without_its_health_is_refused() -> Result<()> {
    let Some(cluster) = cluster()? else { return Ok(()) };
    let name = agent_name();
    let object = json!({
        "apiVersion": "bmc.spidernet.io/v1beta1", "kind": "HostStatus", "metadata": {"name": name},
    });
    cluster.apply(&object.to_string())?;
    let write = |status: &Value| {
        let patch = json!({"status": status}).to_string();
        cluster.kubectl(&["patch", "hoststatus", &name, "--subresource=status", "--type=merge", "-p", &patch])
    };
    let whole = json!({
        "healthReady": false, "clusterAgent": "bmc", "lastUpdateTime": "2026-01-01T00:00:00Z",
        "basic": {"type": "dhcp", "ipAddr": "10.9.0.100", "https": true, "port": 443}, "info": {"os": ""},
    });
    for path in [
        "/healthReady",
        "/clusterAgent",
        "/lastUpdateTime",
        "/basic",
        "/basic/type",
        "/basic/ipAddr",
        "/basic/https",
        "/basic/port",
        "/info",
    ] {
        let error = write(&without(whole.clone(), path)).expect_err(path).to_string();
        let field = format!("status{}: Required value", path.replace('/', "."));
        assert!(error.contains(&field), "{path}: {error}");
    }
    let mut odd = whole.clone();
    odd["basic"]["type"] = json!("static");
    let error = write(&odd).expect_err("an unknown type").to_string();
    assert!(error.contains("status.basic.type"), "{error}");
    write(&whole)?;
    // A status that a plain write brings is left out: it is a resource of its own.
    let plain = json!({"status": {"healthReady": true}}).to_string();
    cluster.kubectl(&["patch", "hoststatus", &name, "--type=merge", "-p", &plain])?;
    let there = cluster.get_json("hoststatus", &name)?.context("the object")?;
    assert_says(&there["status"], &whole, "status");
    Ok(())
}
