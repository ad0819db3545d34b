//! The configuration as people meet it: files in, values or lines out.

mod arbitrary;
mod network;
mod whole;

use serde_json::json;

use super::*;

/// The problems of a file, a line each.
fn lines(yaml: &str) -> Vec<String> {
    match parse_yaml(yaml) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// The file that the documentation shows.
const EXAMPLE: &str = r#"
name: default                     # names the lease file, the pins and the socket
networks:
  - name: rack1
    interface: eth1
    vlans: []                     # tags, outermost first, at most two
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.200]   # or {range: …, class: NAME}: for members of that class alone
    exclude: [10.9.0.150]
    gateway: 10.9.0.1
    selfIP: 10.9.0.2/24           # replaces the interface's addresses; absent: it has one in the subnet already
    leaseTime: 12h                # with minLeaseTime, maxLeaseTime, renewTime, rebindTime
    authoritative: false
    identity: mac                 # or client-id
    reservedOnly: false
    keepAddresses: false          # true: an address once leased is no other client's until `xdhcpd release`
    alwaysBroadcast: false
    probe: true
    offerHold: 60s
    declineHold: 24h
    checkSource: true             # the frame's source must be chaddr (not for relayed ones)
    relays: [10.8.0.1]            # trusted relays, addresses or CIDRs; a network may be reached through relays alone
    options:
      dns: [10.9.0.53]
      domainName: example.org
      domainSearch: [example.org]
      ntp: [10.9.0.123]
      mtu: 1500
      routes: [{to: 10.0.0.0/8, via: 10.9.0.1}]
      custom: [{code: 224, hex: "0a0b"}, {code: 66, text: tftp.example.org}, {code: 4, ips: [10.9.0.4]}]
    boot: {nextServer: 10.9.0.2, file: undionly.kpxe, serverName: boot}
    reservations:
      - {mac: "02:00:00:00:00:05", ip: 10.9.0.5, hostName: five}   # or clientId, circuitId, remoteId; with options, boot
    classes:
      - {name: uefi, match: {arch: [7, 9]}, boot: {file: ipxe.efi}}   # match: arch, vendorClass, userClass, option: {code, hex}; all must hold
      - {name: ipxe, match: {userClass: iPXE}, boot: {file: "http://10.9.0.2/boot.ipxe"}, options: {ntp: [10.9.0.9]}}
fastPath: {mode: auto, log: off}  # auto, native, generic, off
leases: {dir: /var/lib/dhcp, horizon: 4}    # how long the kernel may renew alone, in lease times
loader: {minInterval: 3m, window: 15m, maxFailures: 3}
limits: {clientPerSecond: 20, interfacePerSecond: 20000}   # of what goes up to the agent; what the kernel answers is free
http: {listen: "127.0.0.1:9167"}  # /healthz /readyz /metrics /leases
log: {level: info, format: text}  # or json
"#;

#[test]
fn the_documented_file_is_read_whole() {
    let config = parse_yaml(EXAMPLE).unwrap();
    let network = &config.networks[0];
    assert_eq!(network.subnet, "10.9.0.0/24".parse().unwrap());
    assert_eq!(network.self_ip, Some("10.9.0.2/24".parse().unwrap()));
    assert_eq!(network.options.0.keys().copied().collect::<Vec<_>>(), [4, 6, 15, 26, 42, 66, 119, 121, 224]);
    assert_eq!(network.options.0[&121], [8, 10, 10, 9, 0, 1, 0, 10, 9, 0, 1]);
    assert_eq!(network.boot.file.as_deref(), Some("undionly.kpxe"));
    assert_eq!(network.reservations[0].client, ClientMatch::Mac([2, 0, 0, 0, 0, 5]));
    assert_eq!(network.reservations[0].host_name.as_deref(), Some("five"));
    assert_eq!(network.classes[0].arch, [7, 9]);
    assert_eq!(network.classes[1].user_class.as_deref(), Some("iPXE"));
    assert_eq!(network.classes[1].options.0[&42], [10, 9, 0, 9]);
}

#[test]
fn what_the_documented_file_shows_is_the_default() {
    let shortest =
        "networks: [{name: rack1, interface: eth1, subnet: 10.9.0.0/24, ranges: [10.9.0.100-10.9.0.200]}]";
    let short = parse_yaml(shortest).unwrap();
    let mut full = parse_yaml(EXAMPLE).unwrap();
    let network = &mut full.networks[0];
    network.exclude.clear();
    network.gateway = None;
    network.self_ip = None;
    network.relays.clear();
    network.options = Options::default();
    network.boot = Boot::default();
    network.reservations.clear();
    network.classes.clear();
    assert_eq!(short, full);
}

#[test]
fn a_value_says_what_the_same_text_says() {
    let value = json!({"networks": [{"name": "a", "interface": "eth1", "subnet": "10.9.0.0/24", "gateway": null,
        "ranges": [{"range": "10.9.0.5-10.9.0.9", "class": "c"}],
        "classes": [{"name": "c", "match": {"option": {"code": 60, "hex": "01:02"}, "vendorClass": "PXEClient"}}]}]});
    let config = parse_value(&value).unwrap();
    assert_eq!(parse_yaml(&value.to_string()), Ok(config.clone()));
    let network = &config.networks[0];
    assert_eq!(network.ranges[0].class.as_deref(), Some("c"));
    assert_eq!(network.classes[0].option, Some((60, vec![1, 2])));
}

#[test]
fn two_networks_may_share_a_wire() {
    let yaml = "networks:\n\
        - {name: a, interface: eth1, vlans: [7], subnet: 10.9.0.0/24, ranges: [10.9.0.5-10.9.0.9]}\n\
        - {name: b, interface: eth1, vlans: [7], subnet: 10.9.1.0/24, reservedOnly: true}";
    assert_eq!(lines(yaml), [""; 0]);
}

#[test]
fn unquoted_macs_and_hex_are_what_they_look_like() {
    let yaml = "networks:\n- name: a\n  interface: eth1\n  subnet: 10.9.0.0/24\n  reservations:\n  \
        - {mac: 52:54:00:11:22:33, ip: 10.9.0.5}\n  - {mac: 10:20:30:40:50:59, ip: 10.9.0.6}\n  \
        - {clientId: 0102, ip: 10.9.0.7}\n  - {circuitId: 1234, ip: 10.9.0.8}";
    let config = parse_yaml(yaml).unwrap();
    let clients: Vec<_> = config.networks[0].reservations.iter().map(|it| it.client.clone()).collect();
    assert_eq!(
        clients,
        [
            ClientMatch::Mac([0x52, 0x54, 0, 0x11, 0x22, 0x33]),
            ClientMatch::Mac([0x10, 0x20, 0x30, 0x40, 0x50, 0x59]),
            ClientMatch::ClientId(vec![1, 2]),
            ClientMatch::CircuitId(vec![0x12, 0x34]),
        ]
    );
}

#[test]
fn nearer_settings_lie_over_farther_ones() {
    let far = Options([(6, vec![1]), (42, vec![2])].into());
    let near = Options([(42, vec![3]), (66, vec![4])].into());
    assert_eq!(far.overlay(&near), Options([(6, vec![1]), (42, vec![3]), (66, vec![4])].into()));
    let far = Boot { file: Some("bios".to_owned()), server_name: Some("s".to_owned()), next_server: None };
    let near =
        Boot { file: Some("uefi".to_owned()), next_server: Some([10, 9, 0, 2].into()), server_name: None };
    let over = far.overlay(&near);
    assert_eq!((over.file.as_deref(), over.server_name.as_deref()), (Some("uefi"), Some("s")));
    assert_eq!(over.next_server, near.next_server);
}
