//! What is said about the file, the agent's own sections, and networks beside each other.

use super::*;

#[test]
fn the_configuration_as_a_whole() {
    for (yaml, wanted) in [
        ("", &["the configuration is empty; it needs at least `networks`"][..]),
        ("[]", &["expected a mapping of keys to values, found a list"]),
        ("name: a", &["networks: is missing"]),
        ("networks: []", &["networks: is empty; at least one network is needed"]),
        ("networks: 5", &["networks: expected a list, found the number 5"]),
        ("networks: [5]", &["networks[0]: expected a mapping of keys to values, found the number 5"]),
        (
            "networks: [{}]",
            &[
                "networks[0].name: is missing",
                "networks[0].interface: is missing",
                "networks[0].subnet: is missing",
                "networks[0]: can never give an address: it needs ranges or reservations, or `reservedOnly: true`",
            ],
        ),
        ("netwroks: []", &["netwroks: unknown key; did you mean `networks`?", "networks: is missing"]),
        ("a: [", &["line 2, column 1: while parsing a node, did not find expected node content"]),
    ] {
        assert_eq!(lines(yaml), wanted, "{yaml}");
    }
}

#[test]
fn the_agents_sections() {
    for (section, wanted) in [
        (
            "fastPath: {mode: atuo}",
            "fastPath.mode: expected one of auto, native, generic, off, found `atuo`; did you mean `auto`?",
        ),
        ("fastPath: off", "fastPath: expected a mapping of keys to values, found `off`"),
        (
            "fastPath: {log: loud}",
            "fastPath.log: expected one of off, error, warn, info, debug, trace, found `loud`",
        ),
        (
            "leases: {dir: leases}",
            "leases.dir: expected an absolute path such as /var/lib/dhcp, found `leases`",
        ),
        (
            "leases: {horizon: 0}",
            "leases.horizon: expected a whole number from 1 to 1000, found the number 0",
        ),
        ("loader: {minInterval: 2d}", "loader.minInterval: 2d is not from 1s to 1d"),
        (
            "loader: {window: 15}",
            "loader.window: expected a duration such as 30s, 12h or 1d, found the number 15; it has no unit (s, m, h or d)",
        ),
        (
            "loader: {maxFailures: -1}",
            "loader.maxFailures: expected a whole number from 0 to 1000, found the number -1",
        ),
        (
            "loader: {memory: 64}",
            "loader.memory: expected an amount of memory such as 64Mi, from 16Mi to 1024Ti, found the number 64",
        ),
        (
            "limits: {clientPerSecond: 0}",
            "limits.clientPerSecond: expected a whole number from 1 to 1000000, found the number 0",
        ),
        (
            "limits: {interfacesPerSecond: 1}",
            "limits.interfacesPerSecond: unknown key; did you mean `interfacePerSecond`?",
        ),
        (
            "http: {listen: 9167}",
            "http.listen: expected an address and port such as 127.0.0.1:9167, or off, found the number 9167",
        ),
        (
            "log: {level: warning}",
            "log.level: expected one of error, warn, info, debug, trace, found `warning`; did you mean `warn`?",
        ),
        ("log: {format: xml}", "log.format: expected one of text, json, found `xml`"),
        (
            "name: a/b",
            "name: expected a name of 1 to 63 characters out of letters, digits, `_`, `.` and `-`, found `a/b`",
        ),
    ] {
        let yaml = format!(
            "networks: [{{name: a, interface: e, subnet: 10.9.0.0/24, reservedOnly: true}}]\n{section}"
        );
        assert_eq!(lines(&yaml), [wanted], "{section}");
    }
}

#[test]
fn networks_beside_each_other() {
    let two = |name, subnet| {
        lines(&format!(
            "networks:\n- {{name: a, interface: e, subnet: 10.9.0.0/24, reservedOnly: true}}\n\
             - {{name: {name}, interface: f, subnet: {subnet}, reservedOnly: true}}"
        ))
    };
    assert_eq!(two("b", "10.9.1.0/24"), [""; 0]);
    assert_eq!(two("a", "10.9.1.0/24"), ["networks[1].name: there is a network a already"]);
    assert_eq!(two("b", "10.9.0.128/25"), ["networks[1].subnet: 10.9.0.128/25 overlaps 10.9.0.0/24 of a"]);
    assert_eq!(two("b", "10.0.0.0/8"), ["networks[1].subnet: 10.0.0.0/8 overlaps 10.9.0.0/24 of a"]);
}

#[test]
fn pools_are_bounded_together() {
    let yaml = "networks:\n\
        - {name: a, interface: e, subnet: 10.0.0.0/8, ranges: [10.0.0.1-10.255.255.254]}\n\
        - {name: b, interface: e, subnet: 11.0.0.0/29, ranges: [11.0.0.1-11.0.0.3]}";
    assert_eq!(
        lines(yaml),
        ["networks: the ranges have 16777217 addresses together; at most 16777216 are allowed"]
    );
}

#[test]
fn all_problems_come_in_one_go() {
    let found = lines(
        "nmae: x\nnetworks:\n- {name: a, interface: eth/1, subnet: 10.9.0.0/24, ranges: [x, 10.9.1.1-10.9.1.2]}\n\
         - {name: a, interface: eth1, subnet: 10.9.0.0/16, gateway: 1}\nlog: {level: loud}",
    );
    assert_eq!(found.len(), 9, "{found:#?}");
}

#[test]
fn a_file_that_cannot_be_loaded_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let message = |name: &str| load(&at(name)).unwrap_err().to_string();
    std::fs::write(at("bytes"), b"a: 1\nb: \xff").unwrap();
    std::fs::write(at("large"), vec![b' '; MAX_TEXT + 1]).unwrap();
    std::fs::write(at("wrong"), "networks: []").unwrap();
    std::fs::write(at("right"), EXAMPLE).unwrap();
    assert!(message("missing").ends_with("missing: there is no such file"));
    assert!(message("bytes").ends_with("bytes: is not UTF-8 text (line 2)"));
    assert!(message("large").ends_with("large: has more than 16777216 bytes, the most that is read"));
    assert!(message("").contains(": cannot be read: "));
    assert_eq!(message("wrong"), "networks: is empty; at least one network is needed");
    assert!(load(&at("right")).is_ok());
}
