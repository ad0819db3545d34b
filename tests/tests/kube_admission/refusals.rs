//! What is refused, each by a sentence that names the field.

use anyhow::Result;
use serde_json::{Value, json};
use xdhcpd_tests::kube::Cluster;

use super::{agent, cluster, endpoint, judge, serving, without};

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
