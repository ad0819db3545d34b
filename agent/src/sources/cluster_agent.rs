//! From a ClusterAgent to the configuration that the equal file would give.
//!
//! `dhcpServerConfig` becomes the first network; what the manifest calls otherwise than the file is
//! renamed on the way in, and renamed back in every complaint, so that an operator reads the names of
//! the object. Pure: which HostEndpoints there are is an argument.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::config::{self, Config, Problems};
use crate::kube::objects::{ClusterAgentSpec, DhcpServer, Feature};

/// Where the network stands in the object.
const SERVER: &str = "spec.feature.dhcpServerConfig";

/// (in the object, in the file): the keys of a network that have two names.
const RENAMED: [(&str, &str); 3] =
    [("dhcpServerInterface", "interface"), ("ipRange", "ranges"), ("selfIp", "selfIP")];

/// The sections of the file that stand beside the network in the object.
const SECTIONS: [&str; 6] = ["fastPath", "leases", "loader", "limits", "http", "log"];

/// The switches that are no keys of a network.
const SWITCHES: [&str; 3] = ["enableDhcpDiscovery", "enableBindDhcpIP", "enableBindStaticIP"];

/// The configuration of the agent `name`. `endpoints` are the addresses of all HostEndpoints.
pub fn config(
    name: &str,
    spec: &ClusterAgentSpec,
    endpoints: &BTreeSet<Ipv4Addr>,
) -> Result<Config, Problems> {
    let Some(server) = server(spec)? else { return Ok(config::idle(name)) };
    let value = file_value(name, server)?;
    let mut config = config::parse_value(&value).map_err(|problems| problems.renamed(place))?;
    if server.enable_bind_static_ip {
        for network in &mut config.networks {
            network.static_hosts =
                endpoints.iter().copied().filter(|ip| network.subnet.contains(ip)).collect();
        }
    }
    Ok(config)
}

/// How the agent serves; none: it shall not.
pub fn server(spec: &ClusterAgentSpec) -> Result<Option<&DhcpServer>, Problems> {
    match &spec.feature {
        Some(Feature { enable_dhcp_server: false, .. }) => Ok(None),
        Some(Feature { dhcp_server_config: Some(server), .. }) => Ok(Some(server)),
        _ => Err(Problems::one(
            format!("{SERVER}.dhcpServerInterface"),
            "is missing: an agent that serves DHCP needs it; one that does not says \
             `enableDhcpServer: false`",
        )),
    }
}

/// The value that the equal configuration file has.
fn file_value(name: &str, server: &DhcpServer) -> Result<Value, Problems> {
    let value = serde_json::to_value(server).map_err(|fault| Problems::one(SERVER, fault.to_string()))?;
    let Value::Object(mut said) = without_empty(value) else { return Ok(Value::Null) };
    for switch in SWITCHES {
        said.remove(switch);
    }
    let mut file = Map::new();
    file.insert("name".into(), json!(name));
    for section in SECTIONS {
        if let Some(value) = said.remove(section) {
            file.insert(section.into(), value);
        }
    }
    let further = said.remove("networks");
    let mut ranges: Vec<Value> = said.remove("ipRange").into_iter().collect();
    if let Some(Value::Array(more)) = said.remove("ranges") {
        ranges.extend(more);
    }
    for (object, file) in RENAMED {
        if let Some(value) = said.remove(object) {
            said.insert(file.into(), value);
        }
    }
    said.insert("ranges".into(), Value::Array(ranges));
    said.entry("name").or_insert_with(|| json!(name));
    said.insert("keepAddresses".into(), json!(server.enable_bind_dhcp_ip));
    let mut networks = vec![Value::Object(said)];
    if let Some(Value::Array(further)) = further {
        networks.extend(further);
    }
    file.insert("networks".into(), Value::Array(networks));
    Ok(Value::Object(file))
}

/// An empty text says as little as an absent one.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let said = entries.into_iter().filter(|(_, value)| *value != json!(""));
            Value::Object(said.map(|(key, value)| (key, without_empty(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        other => other,
    }
}

/// The place in the object that a place in the file stands for.
pub fn place(path: &str) -> String {
    let within = |rest: &str| if rest.is_empty() { SERVER.to_owned() } else { format!("{SERVER}.{rest}") };
    if let Some(rest) = path.strip_prefix("networks[0]") {
        return within(&network_key(rest.trim_start_matches('.')));
    }
    if let Some((index, rest)) = path.strip_prefix("networks[").and_then(|rest| rest.split_once(']')) {
        // The first is the object's own.
        let index = index.parse::<usize>().unwrap_or(1).saturating_sub(1);
        return within(&format!("networks[{index}]{rest}"));
    }
    if path == "name" { "metadata.name".to_owned() } else { within(path) }
}

/// A key of a network, by its name in the object.
fn network_key(key: &str) -> String {
    if key == "ranges[0]" {
        return "ipRange".to_owned();
    }
    if let Some((index, rest)) = key.strip_prefix("ranges[").and_then(|rest| rest.split_once(']')) {
        let index = index.parse::<usize>().unwrap_or(1).saturating_sub(1);
        return format!("ranges[{index}]{rest}");
    }
    let renamed = RENAMED.iter().find(|(_, file)| *file == key);
    renamed.map_or_else(|| key.to_owned(), |(object, _)| (*object).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(server: &Value) -> ClusterAgentSpec {
        let spec = json!({ "agentYaml": {}, "feature": { "dhcpServerConfig": server } });
        serde_json::from_value(spec).unwrap()
    }

    /// The part of a manifest that every one has, with `more`.
    fn server(more: Value) -> Value {
        let mut server = json!({
            "dhcpServerInterface": "eth1",
            "subnet": "10.9.0.0/24",
            "ipRange": "10.9.0.100-10.9.0.200",
            "gateway": "10.9.0.1",
        });
        let (Some(all), Value::Object(more)) = (server.as_object_mut(), more) else { panic!("mappings") };
        all.extend(more);
        server
    }

    fn read(more: Value) -> Result<Config, String> {
        config("bmc", &spec(&server(more)), &BTreeSet::new()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_manifest_gives_what_the_equal_file_gives() {
        let file = config::parse_yaml(
            "name: bmc\nnetworks:\n- {name: bmc, interface: eth1, subnet: 10.9.0.0/24, \
             ranges: [10.9.0.100-10.9.0.200], gateway: 10.9.0.1, keepAddresses: true}",
        );
        assert_eq!(read(json!({})), Ok(file.unwrap()));
    }

    #[test]
    fn everything_that_the_file_can_say_of_network_and_agent_can_be_said() {
        let more = json!({
            "selfIp": "10.9.0.2/24", "enableBindDhcpIP": false, "name": "rack1", "vlans": [7],
            "ranges": ["10.9.0.210-10.9.0.215", {"range": "10.9.0.220-10.9.0.225", "class": "uefi"}],
            "exclude": ["10.9.0.150"], "leaseTime": "1s", "minLeaseTime": "1s", "maxLeaseTime": "2h",
            "authoritative": true, "identity": "client-id", "reservedOnly": false, "alwaysBroadcast": true,
            "probe": false, "offerHold": "30s", "declineHold": "1h", "checkSource": false,
            "relays": ["10.8.0.1", "10.8.1.0/24"],
            "options": {
                "dns": ["10.9.0.53"], "domainName": "example.org", "domainSearch": ["example.org"],
                "ntp": ["10.9.0.123"], "mtu": 1500, "routes": [{"to": "10.0.0.0/8", "via": "10.9.0.1"}],
                "custom": [{"code": 224, "hex": "0a0b"}, {"code": 66, "text": "t"}, {"code": 4, "ips": ["10.9.0.4"]}],
            },
            "boot": {"nextServer": "10.9.0.2", "file": "a", "serverName": "boot"},
            "reservations": [{"mac": "02:00:00:00:00:05", "ip": "10.9.0.5", "hostName": "five", "boot": {"file": "b"}}],
            "classes": [{
                "name": "uefi", "boot": {"file": "c"},
                "match": {"arch": [7], "vendorClass": "v", "userClass": "u", "option": {"code": 60, "hex": "00"}},
            }],
            "networks": [{"name": "rack2", "interface": "eth2", "subnet": "10.9.1.0/24", "reservedOnly": true}],
            "fastPath": {"mode": "generic", "log": "info"}, "leases": {"horizon": 3},
            "loader": {"minInterval": "1m", "window": "5m", "maxFailures": 2, "cpu": 1, "memory": "64Mi"},
            "limits": {"clientPerSecond": 5, "interfacePerSecond": 6},
            "http": {"listen": "127.0.0.1:9168"}, "log": {"level": "debug", "format": "json"},
        });
        let read = read(more.clone()).unwrap();
        let mut file = more;
        let said = file.as_object_mut().unwrap();
        let mut whole = Map::new();
        for section in SECTIONS {
            whole.insert(section.into(), said.remove(section).unwrap());
        }
        let further = said.remove("networks").unwrap();
        said.remove("enableBindDhcpIP");
        let self_ip = said.remove("selfIp").unwrap();
        said.insert("selfIP".into(), self_ip);
        said.insert("interface".into(), json!("eth1"));
        said.insert("subnet".into(), json!("10.9.0.0/24"));
        said.insert("gateway".into(), json!("10.9.0.1"));
        said.get_mut("ranges").unwrap().as_array_mut().unwrap().insert(0, json!("10.9.0.100-10.9.0.200"));
        let networks = [Value::Object(said.clone()), further[0].clone()];
        whole.insert("name".into(), json!("bmc"));
        whole.insert("networks".into(), json!(networks));
        assert_eq!(read, config::parse_value(&Value::Object(whole)).unwrap());
    }

    #[test]
    fn an_empty_text_is_an_absent_one() {
        let plain = read(json!({}));
        assert_eq!(read(json!({"selfIp": "", "leaseTime": "", "options": {"domainName": ""}})), plain);
    }

    #[test]
    fn a_complaint_names_the_objects_own_fields() {
        for (more, message) in [
            (json!({"ipRange": "10.8.0.1-10.8.0.2"}), "ipRange: 10.8.0.1 lies outside 10.9.0.0/24"),
            (json!({"dhcpServerInterface": ""}), "dhcpServerInterface: is missing"),
            (json!({"ranges": ["10.8.0.1-10.8.0.2"]}), "ranges[0]: 10.8.0.1 lies outside 10.9.0.0/24"),
            (
                json!({"leaseTime": "soon"}),
                "leaseTime: expected a lease time such as 12h, or infinite, found `soon`",
            ),
            (
                json!({"limits": {"clientPerSecond": 0}}),
                "limits.clientPerSecond: expected a whole number from 1 to 1000000, found the number 0",
            ),
            (
                json!({"networks": [{"name": "b", "interface": "e", "subnet": "x", "reservedOnly": true}]}),
                "networks[0].subnet: expected",
            ),
        ] {
            let complaint = read(more.clone()).unwrap_err();
            assert!(
                complaint.starts_with(&format!("spec.feature.dhcpServerConfig.{message}")),
                "{more}: {complaint}"
            );
        }
        let long =
            config(&"n".repeat(64), &spec(&server(json!({}))), &BTreeSet::new()).unwrap_err().to_string();
        assert!(long.contains("metadata.name: expected a name of 1 to 63"), "{long}");
    }

    #[test]
    fn an_agent_without_a_server_serves_nothing_and_one_without_its_configuration_is_refused() {
        let spec = |feature: Value| -> ClusterAgentSpec {
            serde_json::from_value(json!({ "agentYaml": {}, "feature": feature })).unwrap()
        };
        let idle = config("bmc", &spec(json!({"enableDhcpServer": false})), &BTreeSet::new()).unwrap();
        assert!(idle.networks.is_empty() && idle.name == "bmc");
        for feature in [json!({}), Value::Null] {
            let fault = config("bmc", &spec(feature), &BTreeSet::new()).unwrap_err().to_string();
            assert!(
                fault.starts_with("spec.feature.dhcpServerConfig.dhcpServerInterface: is missing"),
                "{fault}"
            );
        }
    }

    #[test]
    fn addresses_of_hosts_without_dhcp_are_kept_from_others_unless_the_object_says_no() {
        let endpoints = BTreeSet::from([[10, 9, 0, 120].into(), [10, 8, 0, 1].into()]);
        let hosts =
            |more| config("bmc", &spec(&server(more)), &endpoints).unwrap().networks[0].static_hosts.clone();
        assert_eq!(hosts(json!({})), BTreeSet::from([[10, 9, 0, 120].into()]));
        assert!(hosts(json!({"enableBindStaticIP": false})).is_empty());
    }
}
