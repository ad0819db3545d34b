//! Nothing that can be said makes a reader panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::EXAMPLE;
use crate::config::{parse_value, parse_yaml};

/// Values with the known keys in likely and unlikely places.
fn any_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("10.9.0.0/24".to_owned()),
        Just("10.9.0.5-10.9.0.9".to_owned()),
        Just("255.255.255.255".to_owned()),
        Just("0.0.0.0-255.255.255.255".to_owned()),
        Just("02:00:00:00:00:05".to_owned()),
        Just("infinite".to_owned()),
        "\\PC{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "name",
        "networks",
        "interface",
        "subnet",
        "ranges",
        "range",
        "class",
        "exclude",
        "gateway",
        "selfIP",
        "leaseTime",
        "minLeaseTime",
        "renewTime",
        "rebindTime",
        "relays",
        "options",
        "dns",
        "domainSearch",
        "mtu",
        "routes",
        "to",
        "via",
        "custom",
        "code",
        "hex",
        "text",
        "ips",
        "boot",
        "file",
        "reservations",
        "mac",
        "ip",
        "clientId",
        "hostName",
        "classes",
        "match",
        "arch",
        "option",
        "http",
        "listen",
        "log",
        "level",
        "x",
    ]);
    leaf.prop_recursive(8, 128, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_read_or_refused(value in any_value()) {
        let _ = parse_value(&value);
        let _ = parse_value(&json!({"networks": [value]}));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,100}") {
        let _ = parse_yaml(&text);
    }

    #[test]
    fn the_documented_file_with_a_hole_is_read_or_refused(from in 0..EXAMPLE.len(), length in 0_usize..40) {
        let kept: String =
            EXAMPLE.char_indices().filter(|(at, _)| !(from..from.saturating_add(length)).contains(at)).map(|(_, c)| c).collect();
        let _ = parse_yaml(&kept);
    }
}
