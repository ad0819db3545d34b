//! What is said about one network.

use super::lines;

/// The problems of a file with one network that is right but for `more`.
fn network_lines(more: &str) -> Vec<String> {
    lines(&format!("networks:\n- {{name: rack1, interface: eth1, subnet: 10.9.0.0/24, {more}}}"))
}

/// Those of one whose `ranges` are right too.
fn ranged_lines(more: &str) -> Vec<String> {
    network_lines(&format!("ranges: [10.9.0.100-10.9.0.200], {more}"))
}

#[test]
fn a_networks_own_keys() {
    for (more, wanted) in [
        ("gatway: 10.9.0.1", "networks[0].gatway: unknown key; did you mean `gateway`?"),
        ("selfIp: 10.9.0.2/24", "networks[0].selfIp: unknown key; did you mean `selfIP`?"),
        (
            "vlans: [4095]",
            "networks[0].vlans[0]: expected a whole number from 1 to 4094, found the number 4095",
        ),
        ("vlans: [1, 2, 3]", "networks[0].vlans: has 3 entries; at most 2 are allowed"),
        ("authoritative: yes", "networks[0].authoritative: expected true or false, found `yes`"),
        (
            "identity: clientid",
            "networks[0].identity: expected one of mac, client-id, found `clientid`; did you mean `client-id`?",
        ),
        ("offerHold: 0s", "networks[0].offerHold: 0s is not from 1s to 1d"),
        (
            "leaseTime: 1w",
            "networks[0].leaseTime: expected a lease time such as 12h, or infinite, found `1w`",
        ),
        ("leaseTime: 1h, maxLeaseTime: 30m", "networks[0].maxLeaseTime: 30m is less than leaseTime, 1h"),
        (
            "relays: [10.8.0.1/24]",
            "networks[0].relays[0]: the host's bits must be zero: 10.8.0.0/24, not 10.8.0.1/24",
        ),
        (
            "options: {mtu: 67}",
            "networks[0].options.mtu: expected a whole number from 68 to 65535, found the number 67",
        ),
        ("options: {dns: 10.9.0.53}", "networks[0].options.dns: expected a list, found `10.9.0.53`"),
        (
            "options: {dns: [10.9.0.053]}",
            "networks[0].options.dns[0]: expected an IPv4 address such as 10.9.0.1, found `10.9.0.053`",
        ),
        (
            "options: {routes: [{to: 10.1.0.0/8, via: 10.9.0.1}]}",
            "networks[0].options.routes[0].to: the host's bits must be zero: 10.0.0.0/8, not 10.1.0.0/8",
        ),
        ("boot: {filename: x}", "networks[0].boot.filename: unknown key; did you mean `file`?"),
        (
            "boot: {file: \"\"}",
            "networks[0].boot.file: is empty; leave the key away where there is nothing to say",
        ),
        (
            "boot: {nextServer: tftp}",
            "networks[0].boot.nextServer: expected an IPv4 address such as 10.9.0.1, found `tftp`",
        ),
    ] {
        assert_eq!(ranged_lines(more), [wanted], "{more}");
    }
    let long = |key, length| ranged_lines(&format!("boot: {{{key}: {}}}", "x".repeat(length)));
    assert_eq!(long("file", 127), [""; 0]);
    assert_eq!(long("file", 128), ["networks[0].boot.file: has 128 bytes; at most 127 fit"]);
    assert_eq!(long("serverName", 64), ["networks[0].boot.serverName: has 64 bytes; at most 63 fit"]);
}

#[test]
fn subnets() {
    for (subnet, wanted) in [
        ("10.9.0.5/24", "networks[0].subnet: the host's bits must be zero: 10.9.0.0/24, not 10.9.0.5/24"),
        (
            "10.9.0.0",
            "networks[0].subnet: expected an address and prefix length such as 10.9.0.2/24, found `10.9.0.0`",
        ),
        (
            "10.9.0.0/31",
            "networks[0].subnet: 10.9.0.0/31 cannot be served: a /31 has no room for a server beside the two ends of its link; \
             expected a subnet such as 10.9.0.0/24, from /8 to /30",
        ),
    ] {
        let yaml = format!("networks: [{{name: a, interface: e, subnet: {subnet}, reservedOnly: true}}]");
        assert_eq!(lines(&yaml), [wanted], "{subnet}");
    }
}

#[test]
fn ranges_stand_in_their_subnet_and_apart() {
    for (ranges, wanted) in [
        (
            "10.9.0.5-10.9.0.9, 10.9.1.5-10.9.1.9",
            &["networks[0].ranges[1]: 10.9.1.5 lies outside 10.9.0.0/24"][..],
        ),
        ("10.9.0.250-10.9.1.5", &["networks[0].ranges[0]: 10.9.1.5 lies outside 10.9.0.0/24"]),
        (
            "10.9.0.0-10.9.0.9",
            &["networks[0].ranges[0]: 10.9.0.0 is the network address of 10.9.0.0/24; no client can have it"],
        ),
        (
            "10.9.0.9-10.9.0.255",
            &[
                "networks[0].ranges[0]: 10.9.0.255 is the broadcast address of 10.9.0.0/24; no client can have it",
            ],
        ),
        (
            "10.9.0.9-10.9.0.5",
            &["networks[0].ranges[0]: the range `10.9.0.9-10.9.0.5` ends before it starts"],
        ),
        (
            "10.9.0.9",
            &["networks[0].ranges[0]: expected a range such as 10.9.0.100-10.9.0.200, found `10.9.0.9`"],
        ),
        (
            "10.9.0.5-10.9.0.9, 10.9.0.9-10.9.0.12",
            &["networks[0].ranges[1]: 10.9.0.9-10.9.0.12 overlaps 10.9.0.5-10.9.0.9"],
        ),
        (
            "10.9.0.9-10.9.0.12, 10.9.0.5-10.9.0.9",
            &["networks[0].ranges[1]: 10.9.0.5-10.9.0.9 overlaps 10.9.0.9-10.9.0.12"],
        ),
        ("10.9.0.10-10.9.0.12, 10.9.0.5-10.9.0.9", &[]),
        ("{range: 10.9.1.5-10.9.1.9}", &["networks[0].ranges[0].range: 10.9.1.5 lies outside 10.9.0.0/24"]),
        (
            "{range: 10.9.0.5-10.9.0.9, class: uefy}",
            &["networks[0].ranges[0].class: there is no class uefy; did you mean `uefi`?"],
        ),
        ("{class: uefi}", &["networks[0].ranges[0].range: is missing"]),
        ("~", &["networks[0].ranges[0]: is missing"]),
    ] {
        let more = format!("ranges: [{ranges}], classes: [{{name: uefi, match: {{arch: [7]}}}}]");
        assert_eq!(network_lines(&more), wanted, "{ranges}");
    }
    assert_eq!(
        network_lines("ranges: [{range: 10.9.0.5-10.9.0.9, class: uefi}]"),
        ["networks[0].ranges[0].class: there is no class uefi in this network"]
    );
    assert_eq!(
        ranged_lines("exclude: [10.9.1.7]"),
        ["networks[0].exclude[0]: 10.9.1.7 lies outside 10.9.0.0/24"]
    );
}

#[test]
fn gateway_and_server_keep_out_of_the_clients_way() {
    for (more, wanted) in [
        ("gateway: 10.9.1.1", &["networks[0].gateway: 10.9.1.1 lies outside 10.9.0.0/24"][..]),
        (
            "gateway: 10.9.0.255",
            &["networks[0].gateway: 10.9.0.255 is the broadcast address of 10.9.0.0/24; no host can have it"],
        ),
        (
            "gateway: 10.9.0.100",
            &["networks[0].gateway: the gateway 10.9.0.100 lies inside the range 10.9.0.100-10.9.0.200; \
               end the range before it, or exclude it"],
        ),
        ("gateway: 10.9.0.100, exclude: [10.9.0.100]", &[]),
        ("selfIP: 10.9.1.2/24", &["networks[0].selfIP: 10.9.1.2 lies outside 10.9.0.0/24"]),
        (
            "selfIP: 10.9.0.2/16",
            &["networks[0].selfIP: must have the subnet's mask: 10.9.0.2/24, not 10.9.0.2/16"],
        ),
        (
            "selfIP: 10.9.0.0/24",
            &["networks[0].selfIP: 10.9.0.0 is the network address of 10.9.0.0/24; no host can have it"],
        ),
        (
            "selfIP: 10.9.0.2",
            &[
                "networks[0].selfIP: expected an address and prefix length such as 10.9.0.2/24, found `10.9.0.2`",
            ],
        ),
        (
            "selfIP: 10.9.0.150/24",
            &["networks[0].selfIP: selfIP 10.9.0.150 lies inside the range 10.9.0.100-10.9.0.200; \
               end the range before it, or exclude it"],
        ),
        ("selfIP: 10.9.0.150/24, exclude: [10.9.0.140-10.9.0.160]", &[]),
        ("gateway: 10.9.0.1, selfIP: 10.9.0.1/24", &[]),
    ] {
        assert_eq!(ranged_lines(more), wanted, "{more}");
    }
}

#[test]
fn reservations_are_of_one_client_and_one_address() {
    for (list, wanted) in [
        ("{mac: 02:00:00:00:00:05, ip: 10.9.0.5}, {mac: 02:00:00:00:00:06, ip: 10.9.0.105}", &[][..]),
        ("{ip: 10.9.0.5}", &["networks[0].reservations[0]: needs one of mac, clientId, circuitId, remoteId"]),
        (
            "{mac: 02:00:00:00:00:05, remoteId: 05, ip: 10.9.0.5}",
            &[
                "networks[0].reservations[0]: has both mac and remoteId; give one of mac, clientId, circuitId, remoteId",
            ],
        ),
        ("{mac: 02:00:00:00:00:05}", &["networks[0].reservations[0].ip: is missing"]),
        (
            "{mac: 02-00-00-00-00-05, ip: 10.9.0.5}",
            &[
                "networks[0].reservations[0].mac: expected a MAC address such as 02:00:00:00:00:01, found `02-00-00-00-00-05`",
            ],
        ),
        (
            "{mac: 01:00:00:00:00:05, ip: 10.9.0.5}",
            &["networks[0].reservations[0].mac: `01:00:00:00:00:05` is a group's address; no client has it"],
        ),
        (
            "{clientId: 05, ip: 10.9.0.5}",
            &["networks[0].reservations[0].clientId: has 1 bytes; 2 to 255 are allowed"],
        ),
        (
            "{remoteId: \"\", ip: 10.9.0.5}",
            &["networks[0].reservations[0].remoteId: has 0 bytes; 1 to 255 are allowed"],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.1.5}",
            &["networks[0].reservations[0].ip: 10.9.1.5 lies outside 10.9.0.0/24"],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.255}",
            &[
                "networks[0].reservations[0].ip: 10.9.0.255 is the broadcast address of 10.9.0.0/24; no client can have it",
            ],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.1}",
            &["networks[0].reservations[0].ip: 10.9.0.1 is the gateway's address"],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.2}",
            &["networks[0].reservations[0].ip: 10.9.0.2 is the server's own address (selfIP)"],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.150}",
            &["networks[0].reservations[0].ip: 10.9.0.150 is excluded; what is excluded is never handed out"],
        ),
        (
            "{mac: 02:00:00:00:00:0a, ip: 10.9.0.5}, {mac: 02:00:00:00:00:0A, ip: 10.9.0.6}",
            &["networks[0].reservations[1].mac: this client has a reservation already, of 10.9.0.5"],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.5}, {clientId: 0102, ip: 10.9.0.5}",
            &["networks[0].reservations[1].ip: 10.9.0.5 is reserved already"],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.5, hostName: a b}",
            &[
                "networks[0].reservations[0].hostName: `a b`: `a b` may hold letters, digits and inner hyphens only (other scripts as xn--…)",
            ],
        ),
        (
            "{mac: 02:00:00:00:00:05, ip: 10.9.0.5, hostName: 7}",
            &["networks[0].reservations[0].hostName: expected text, found the number 7; put it in quotes"],
        ),
    ] {
        let more =
            format!("gateway: 10.9.0.1, selfIP: 10.9.0.2/24, exclude: [10.9.0.150], reservations: [{list}]");
        assert_eq!(ranged_lines(&more), wanted, "{list}");
    }
}

#[test]
fn classes_have_names_and_conditions() {
    for (list, wanted) in [
        (
            "{name: a, match: {arch: [7]}}, {name: a, match: {arch: [9]}}",
            "networks[0].classes[1].name: there is a class a already",
        ),
        ("{name: a}", "networks[0].classes[0].match: is missing"),
        (
            "{name: a, match: {}}",
            "networks[0].classes[0].match: has no condition; give at least one of arch, vendorClass, userClass, option",
        ),
        (
            "{name: a, match: {arch: []}}",
            "networks[0].classes[0].match: has no condition; give at least one of arch, vendorClass, userClass, option",
        ),
        (
            "{name: a, match: {arch: [x]}}",
            "networks[0].classes[0].match.arch[0]: expected a whole number from 0 to 65535, found `x`",
        ),
        (
            "{name: a, match: {option: {code: 0, hex: 00}}}",
            "networks[0].classes[0].match.option.code: expected a whole number from 1 to 254, found the number 0",
        ),
        (
            "{name: a, match: {userclass: iPXE}}",
            "networks[0].classes[0].match.userclass: unknown key; did you mean `userClass`?",
        ),
        ("{match: {arch: [7]}}", "networks[0].classes[0].name: is missing"),
    ] {
        let found = ranged_lines(&format!("classes: [{list}]"));
        assert_eq!(found.first().map(String::as_str), Some(wanted), "{list}");
    }
}
