//! `options` and `boot`, which networks, classes and reservations all have.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::codes::{Shape, reserved};
use super::problems::Report;
use super::value::{Mapping, Node, Placed};
use super::{Boot, Options, addresses, encode, scalars};

/// More servers of one kind than this no client tries.
const MAX_SERVERS: usize = 16;
/// Resolvers stop at six (glibc before 2.26) to a few dozen search domains.
const MAX_SEARCH: usize = 32;
/// With nine bytes each and the default route they stay below [`Options::MAX_VALUE`].
const MAX_ROUTES: usize = 64;
/// As many as there are codes.
const MAX_CUSTOM: usize = 254;
/// 0 and 255 are no options but marks between them and at their end.
const CODES: RangeInclusive<u8> = 1..=254;
/// The addresses that fit [`Options::MAX_VALUE`].
const MAX_CUSTOM_ADDRESSES: usize = Options::MAX_VALUE / 4;
/// RFC 2132 §5.1: no MTU is below 68.
const LEAST_MTU: u16 = 68;
/// The header's `file` has 128 bytes, the last of them zero.
const MAX_BOOT_FILE: usize = 127;
/// The header's `sname` has 64 bytes, the last of them zero.
const MAX_SERVER_NAME: usize = 63;

/// Sub-options of option 43: as many as there are codes.
const MAX_VENDOR: usize = 254;
/// A sub-option's length is one byte, and cannot be split.
const MAX_VENDOR_VALUE: usize = 255;

#[rustfmt::skip]
const OPTION_KEYS: [&str; 12] = [
    "subnetMask", "routers", "dns", "domainName", "domainSearch", "ntp", "mtu", "routes",
    "tftpServer", "bootFile", "vendor", "custom",
];
const BOOT_KEYS: [&str; 3] = ["nextServer", "file", "serverName"];

/// Reads the `options` key of a mapping. `gateway` is the network's: it goes into option 121 too.
pub(super) fn read_options(parent: &Mapping<'_>, gateway: Option<Ipv4Addr>, report: &mut Report) -> Options {
    let mut values = BTreeMap::new();
    if let Some(options) = parent.get("options").and_then(|node| node.mapping(&OPTION_KEYS, report)) {
        read_typed(&options, &mut values, report);
        let routers = read_servers(&options, "routers", 3, &mut values, report);
        read_routes(&options, routers.first().copied().or(gateway), &mut values, report);
        read_vendor(&options, &mut values, report);
        read_custom(&options, &mut values, report);
    }
    Options(values)
}

fn read_typed(options: &Mapping<'_>, values: &mut BTreeMap<u8, Vec<u8>>, report: &mut Report) {
    for (key, code) in [("dns", 6), ("ntp", 42)] {
        read_servers(options, key, code, values, report);
    }
    if let Some(mask) = options.read("subnetMask", report, addresses::mask) {
        values.insert(1, mask.octets().to_vec());
    }
    for (key, code) in [("tftpServer", 66), ("bootFile", 67)] {
        if let Some(name) = options.read(key, report, scalars::plain_text(Options::MAX_VALUE)) {
            values.insert(code, name.into_bytes());
        }
    }
    if let Some(name) = options.read("domainName", report, scalars::domain_name) {
        values.insert(15, name.into_bytes());
    }
    if let Some(mtu) = options.read("mtu", report, scalars::integer(LEAST_MTU..=u16::MAX)) {
        values.insert(26, mtu.to_be_bytes().to_vec());
    }
    let search = options.values("domainSearch", MAX_SEARCH, report, scalars::domain_name);
    let encoded = encode::domain_search(&search);
    if encoded.len() > Options::MAX_VALUE {
        let path = format!("{}.domainSearch", options.path);
        report.add(path, format!("takes {} bytes; at most {} fit", encoded.len(), Options::MAX_VALUE));
    } else if !search.is_empty() {
        values.insert(119, encoded);
    }
}

fn read_servers(
    options: &Mapping<'_>,
    key: &str,
    code: u8,
    values: &mut BTreeMap<u8, Vec<u8>>,
    report: &mut Report,
) -> Vec<Ipv4Addr> {
    let servers = options.values(key, MAX_SERVERS, report, addresses::host);
    if !servers.is_empty() {
        values.insert(code, encode::addresses(&servers));
    }
    servers
}

/// `router` is where everything else goes.
fn read_routes(
    options: &Mapping<'_>,
    router: Option<Ipv4Addr>,
    values: &mut BTreeMap<u8, Vec<u8>>,
    report: &mut Report,
) {
    let mut seen = HashSet::new();
    let mut routes: Vec<(Ipv4Net, Ipv4Addr)> = Vec::new();
    for node in options.items("routes", MAX_ROUTES, report) {
        let Some((to, via)) = read_route(&node, report) else { continue };
        if seen.insert(to.value) {
            routes.push((to.value, via));
        } else {
            report.add(to.path, format!("there is a route to {} already", to.value));
        }
    }
    if routes.is_empty() {
        return;
    }
    // A client that takes option 121 must ignore option 3 (RFC 3442), so the default route goes with it.
    if let Some(router) = router
        && seen.insert(Ipv4Net::default())
    {
        routes.push((Ipv4Net::default(), router));
    }
    values.insert(121, encode::routes(&routes));
}

fn read_route(node: &Node<'_>, report: &mut Report) -> Option<(Placed<Ipv4Net>, Ipv4Addr)> {
    let route = node.mapping(&["to", "via"], report)?;
    let to = route.required("to", report).and_then(|to| to.place(report, addresses::prefix));
    // 0.0.0.0 is a router too: the destination is on the link itself (RFC 3442).
    let via = route.required("via", report).and_then(|via| via.read(report, addresses::address));
    to.zip(via)
}

/// Option 43 from its parts (RFC 2132 §8.4); who needs other bytes than those gives 43 as a custom option.
fn read_vendor(options: &Mapping<'_>, values: &mut BTreeMap<u8, Vec<u8>>, report: &mut Report) {
    let mut encoded = Vec::new();
    for node in options.items("vendor", MAX_VENDOR, report) {
        let Some(part) = node.mapping(&["code", "hex", "text", "ips"], report) else { continue };
        let code = part.required("code", report).and_then(|code| code.read(report, scalars::integer(CODES)));
        let Some((code, value)) = code.zip(read_custom_value(&part, report)) else { continue };
        let Ok(length) = u8::try_from(value.len()) else {
            let length = value.len();
            report.add(part.path, format!("takes {length} bytes; at most {MAX_VENDOR_VALUE} fit"));
            continue;
        };
        encoded.extend([code, length]);
        encoded.extend(value);
    }
    if encoded.len() > Options::MAX_VALUE {
        let path = format!("{}.vendor", options.path);
        report.add(path, format!("takes {} bytes; at most {} fit", encoded.len(), Options::MAX_VALUE));
    } else if !encoded.is_empty() {
        values.insert(43, encoded);
    }
}

fn read_custom(options: &Mapping<'_>, values: &mut BTreeMap<u8, Vec<u8>>, report: &mut Report) {
    // What has a key of its own may stand here where that is not used.
    let mut seen: HashSet<u8> = values.keys().copied().collect();
    for node in options.items("custom", MAX_CUSTOM, report) {
        let Some(custom) = node.mapping(&["code", "hex", "text", "ips"], report) else { continue };
        let code =
            custom.required("code", report).and_then(|code| code.read(report, scalars::integer(CODES)));
        let value = read_custom_value(&custom, report);
        let Some(code) = code else { continue };
        if let Some(reason) = reserved(code) {
            report
                .add(format!("{}.code", custom.path), format!("option {code} cannot be set here: {reason}"));
            continue;
        }
        if !seen.insert(code) {
            report.add(format!("{}.code", custom.path), format!("option {code} is set already"));
        }
        let Some(value) = value else { continue };
        match Shape::of(code).complaint(code, value.len()) {
            Some(complaint) => report.add(custom.path, complaint),
            None => {
                values.insert(code, value);
            }
        }
    }
}

fn read_custom_value(custom: &Mapping<'_>, report: &mut Report) -> Option<Vec<u8>> {
    match custom.exactly_one(&["hex", "text", "ips"], report)? {
        "hex" => custom.read("hex", report, scalars::hex(0..=Options::MAX_VALUE)),
        "text" => {
            custom.read("text", report, scalars::plain_text(Options::MAX_VALUE)).map(String::into_bytes)
        }
        _ => {
            let list = custom.get("ips")?;
            let nodes = list.items(MAX_CUSTOM_ADDRESSES, report);
            let given: Vec<Ipv4Addr> =
                nodes.iter().filter_map(|node| node.read(report, addresses::address)).collect();
            if nodes.is_empty() && list.value.is_array() {
                report.add(list.path, "needs at least one address");
            }
            // A refused address has been reported; the length of what is left means nothing.
            (given.len() == nodes.len() && !given.is_empty()).then(|| encode::addresses(&given))
        }
    }
}

/// Reads the `boot` key of a mapping.
pub(super) fn read_boot(parent: &Mapping<'_>, report: &mut Report) -> Boot {
    let Some(boot) = parent.get("boot").and_then(|node| node.mapping(&BOOT_KEYS, report)) else {
        return Boot::default();
    };
    Boot {
        next_server: boot.read("nextServer", report, addresses::host),
        file: boot.read("file", report, scalars::plain_text(MAX_BOOT_FILE)),
        server_name: boot.read("serverName", report, scalars::plain_text(MAX_SERVER_NAME)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(options: &Value, gateway: Option<Ipv4Addr>) -> Result<Options, String> {
        let mut report = Report::default();
        let parent = json!({"options": options});
        let mapping = Node::root(&parent).mapping(&["options"], &mut report).unwrap();
        let options = read_options(&mapping, gateway, &mut report);
        report.verdict(Some(options)).map_err(|problems| problems.to_string())
    }

    fn bytes(options: &Value, code: u8) -> Vec<u8> {
        read(options, Some(Ipv4Addr::new(10, 9, 0, 1))).unwrap().0.remove(&code).unwrap()
    }

    #[test]
    fn c55_typed_options_are_encoded() {
        assert_eq!(bytes(&json!({"dns": ["10.9.0.53", "10.9.0.54"]}), 6), [10, 9, 0, 53, 10, 9, 0, 54]);
        assert_eq!(bytes(&json!({"ntp": ["10.9.0.123"]}), 42), [10, 9, 0, 123]);
        assert_eq!(bytes(&json!({"domainName": "example.org"}), 15), b"example.org");
        assert_eq!(bytes(&json!({"domainSearch": ["a.b", "b"]}), 119), b"\x01a\x01b\0\xc0\x02");
        assert_eq!(bytes(&json!({"mtu": 1500}), 26), [5, 220]);
        assert_eq!(bytes(&json!({"subnetMask": "255.255.255.128"}), 1), [255, 255, 255, 128]);
        assert_eq!(bytes(&json!({"routers": ["10.9.0.3", "10.9.0.4"]}), 3), [10, 9, 0, 3, 10, 9, 0, 4]);
        assert_eq!(bytes(&json!({"tftpServer": "tftp.example.org"}), 66), b"tftp.example.org");
        assert_eq!(bytes(&json!({"bootFile": "undionly.kpxe"}), 67), b"undionly.kpxe");
        let vendor = json!({"vendor": [{"code": 6, "hex": "08"}, {"code": 10, "text": "ab"}, {"code": 8, "ips": ["10.9.0.7"]}]});
        assert_eq!(bytes(&vendor, 43), [6, 1, 8, 10, 2, b'a', b'b', 8, 4, 10, 9, 0, 7]);
        assert_eq!(bytes(&json!({"custom": [{"code": 224, "hex": "0a0b"}]}), 224), [10, 11]);
        assert_eq!(
            bytes(&json!({"custom": [{"code": 66, "text": "tftp.example.org"}]}), 66),
            b"tftp.example.org"
        );
        assert_eq!(bytes(&json!({"custom": [{"code": 4, "ips": ["10.9.0.4"]}]}), 4), [10, 9, 0, 4]);
    }

    #[test]
    fn c55_routes_carry_the_default_route_of_the_gateway() {
        let routes = json!({"routes": [{"to": "10.0.0.0/8", "via": "10.9.0.9"}]});
        assert_eq!(bytes(&routes, 121), [8, 10, 10, 9, 0, 9, 0, 10, 9, 0, 1]);
        assert_eq!(read(&routes, None).unwrap().0[&121], [8, 10, 10, 9, 0, 9]);
    }

    #[test]
    fn c55_the_default_route_is_by_the_nearest_router() {
        let routes = json!({"routers": ["10.9.0.3"], "routes": [{"to": "10.0.0.0/8", "via": "10.9.0.9"}]});
        assert_eq!(bytes(&routes, 121), [8, 10, 10, 9, 0, 9, 0, 10, 9, 0, 3]);
    }

    #[test]
    fn c55_a_default_route_of_ones_own_wins_over_the_gateway() {
        let routes = json!({"routes": [{"to": "0.0.0.0/0", "via": "10.9.0.9"}]});
        assert_eq!(bytes(&routes, 121), [0, 10, 9, 0, 9]);
    }

    #[test]
    fn c55_no_routes_mean_no_option() {
        assert_eq!(read(&json!({"routes": []}), Some(Ipv4Addr::new(10, 9, 0, 1))), Ok(Options::default()));
    }

    #[test]
    fn custom_options_say_one_thing_once_and_leave_the_servers_alone() {
        for (custom, message) in [
            (json!([{"code": 224}]), "options.custom[0]: needs one of hex, text, ips"),
            (
                json!([{"code": 224, "hex": "00", "text": "x"}]),
                "options.custom[0]: has both hex and text; give one of hex, text, ips",
            ),
            (json!([{"hex": "00"}]), "options.custom[0].code: is missing"),
            (
                json!([{"code": 1, "hex": "00"}]),
                "options.custom[0].code: option 1 cannot be set here: use `subnetMask`; without it, the mask is the network's `subnet`'s",
            ),
            (
                json!([{"code": 51, "hex": "00"}]),
                "options.custom[0].code: option 51 cannot be set here: use the network's `leaseTime`",
            ),
            (
                json!([{"code": 255, "hex": "00"}]),
                "options.custom[0].code: expected a whole number from 1 to 254, found the number 255",
            ),
            (
                json!([{"code": 224, "hex": "00"}, {"code": 224, "hex": "01"}]),
                "options.custom[1].code: option 224 is set already",
            ),
            (
                json!([{"code": 3, "hex": "00"}]),
                "options.custom[0].code: option 3 cannot be set here: use `routers`, or the network's `gateway`",
            ),
            (json!([{"code": 4, "ips": []}]), "options.custom[0].ips: needs at least one address"),
            (
                json!([{"code": 4, "text": "tftp1"}]),
                "options.custom[0]: option 4 has one or more parts of 4 bytes, not 5 bytes",
            ),
            (
                json!([{"code": 4, "ips": ["10.0.0.1", "x"]}]),
                "options.custom[0].ips[1]: expected an IPv4 address such as 10.9.0.1, found `x`",
            ),
        ] {
            assert_eq!(read(&json!({"custom": custom}), None), Err(message.to_owned()));
        }
    }

    #[test]
    fn what_has_a_key_is_said_once() {
        let both = json!({"tftpServer": "a", "custom": [{"code": 66, "text": "b"}]});
        assert_eq!(read(&both, None), Err("options.custom[0].code: option 66 is set already".to_owned()));
    }

    #[test]
    fn masks_and_vendor_options_are_checked() {
        for (options, message) in [
            (
                json!({"subnetMask": "255.0.255.0"}),
                "options.subnetMask: expected a subnet mask such as 255.255.255.0, found `255.0.255.0`",
            ),
            (
                json!({"vendor": [{"code": 0, "hex": "00"}]}),
                "options.vendor[0].code: expected a whole number from 1 to 254, found the number 0",
            ),
            (json!({"vendor": [{"code": 6}]}), "options.vendor[0]: needs one of hex, text, ips"),
            (
                json!({"vendor": [{"code": 6, "text": "x".repeat(256)}]}),
                "options.vendor[0]: takes 256 bytes; at most 255 fit",
            ),
        ] {
            assert_eq!(read(&options, None), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_search_list_that_does_not_fit_is_refused() {
        let label = "a".repeat(60);
        let names: Vec<String> = (0..20).map(|n| format!("{label}.n{n}")).collect();
        assert_eq!(
            read(&json!({"domainSearch": names}), None),
            Err("options.domainSearch: takes 1310 bytes; at most 1024 fit".to_owned())
        );
    }

    #[test]
    fn the_same_route_twice_is_a_problem() {
        let routes =
            json!([{"to": "10.0.0.0/8", "via": "10.9.0.9"}, {"to": "10.0.0.0/8", "via": "10.9.0.8"}]);
        assert_eq!(
            read(&json!({"routes": routes}), None),
            Err("options.routes[1].to: there is a route to 10.0.0.0/8 already".to_owned())
        );
    }
}
