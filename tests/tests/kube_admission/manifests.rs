//! What is taken: the manifests of the BMC operator, and all that ours can say beyond them.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xdhcpd_tests::cluster_agent::agent_name;

use super::{agent, assert_says, cluster, endpoint, judge, serving, without};

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
