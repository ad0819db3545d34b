//! What is to be added, removed and put back, without a kernel.

use super::*;
use crate::config::parse_yaml;

fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn there(texts: &[&str]) -> Vec<Address> {
    nets(texts).into_iter().map(|net| Address::new(7, net)).collect()
}

fn towards(taken: Taken, before: &[&str], wanted: &[&str]) -> (String, String, String, Taken) {
    let step = taken.towards("s0", there(before), &nets(wanted), false);
    let Step { target, taken, .. } = step;
    (listed(&target), listed(&taken.added), listed(&taken.removed), taken)
}

#[test]
fn what_is_there_is_replaced_and_remembered() {
    let (target, added, removed, taken) =
        towards(Taken::nothing(7), &["192.168.77.1/24", "10.8.0.1/16"], &["10.9.0.2/24"]);
    assert_eq!((target.as_str(), added.as_str()), ("10.9.0.2/24", "10.9.0.2/24"));
    assert_eq!(removed, "192.168.77.1/24, 10.8.0.1/16");
    let back = taken.back("s0", there(&["10.9.0.2/24", "10.7.0.1/24"]));
    assert_eq!(listed(&back.target), "192.168.77.1/24, 10.8.0.1/16, 10.7.0.1/24", "a stranger's stays");
}

#[test]
fn an_address_that_is_there_exactly_is_kept_and_never_taken_away() {
    let (_, added, removed, taken) = towards(Taken::nothing(7), &["10.9.0.2/24"], &["10.9.0.2/24"]);
    assert_eq!((added.as_str(), removed.as_str()), ("none", "none"));
    assert!(taken.is_nothing());
    let (_, added, removed, _) = towards(Taken::nothing(7), &["10.9.0.2/16"], &["10.9.0.2/24"]);
    assert_eq!((added.as_str(), removed.as_str()), ("10.9.0.2/24", "10.9.0.2/16"));
}

#[test]
fn an_earlier_self_ip_is_not_among_what_is_put_back() {
    let (.., taken) = towards(Taken::nothing(7), &["192.168.77.1/24"], &["10.9.0.2/24"]);
    let (target, added, removed, taken) = towards(taken, &["10.9.0.2/24"], &["10.9.0.3/24"]);
    assert_eq!((target.as_str(), added.as_str()), ("10.9.0.3/24", "10.9.0.3/24"));
    assert_eq!(removed, "192.168.77.1/24");
    assert_eq!(listed(&taken.back("s0", there(&["10.9.0.3/24"])).target), "192.168.77.1/24");
}

#[test]
fn what_comes_while_the_interface_is_held_stays_unless_it_was_replaced() {
    let (.., taken) = towards(Taken::nothing(7), &["192.168.77.1/24"], &["10.9.0.2/24"]);
    let before = there(&["192.168.77.1/24", "10.7.0.1/24"]);
    let step = taken.towards("s0", before, &nets(&["10.9.0.2/24"]), true);
    assert_eq!(listed(&step.target), "10.9.0.2/24, 10.7.0.1/24");
    assert_eq!(listed(&step.taken.removed), "192.168.77.1/24", "what is to be put back is as it was");
    assert_eq!(listed(&step.taken.added), "10.9.0.2/24");
}

#[test]
fn each_network_of_an_interface_has_its_address_set() {
    let config = parse_yaml(
        "networks:
- {name: a, interface: s0, subnet: 10.9.0.0/24, selfIP: 10.9.0.2/24, ranges: [10.9.0.100-10.9.0.200]}
- {name: b, interface: s0, subnet: 10.8.0.0/24, selfIP: 10.8.0.2/24, ranges: [10.8.0.100-10.8.0.200]}
- {name: c, interface: s0, subnet: 10.7.0.0/24, ranges: [10.7.0.100-10.7.0.200]}
- {name: d, interface: s1, subnet: 10.6.0.0/24, ranges: [10.6.0.100-10.6.0.200]}",
    )
    .unwrap();
    assert_eq!(wanted(&config), BTreeMap::from([("s0", nets(&["10.9.0.2/24", "10.8.0.2/24"]))]));
    let problems: Vec<String> = check(&config).iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["networks[2].interface: another network's selfIP replaces the addresses of s0, so this network \
          needs a selfIP, too"]
    );
}

#[test]
fn the_note_of_a_change_under_way_has_both_sides() {
    let (.., before) = towards(Taken::nothing(7), &["192.168.77.1/24"], &["10.9.0.2/24"]);
    let (.., next) = towards(before.clone(), &["10.9.0.2/24"], &["10.9.0.3/24"]);
    let noted = both(&BTreeMap::from([("s0".into(), before)]), &BTreeMap::from([("s0".into(), next)]));
    assert_eq!(listed(&noted["s0"].added), "10.9.0.2/24, 10.9.0.3/24");
    assert_eq!(listed(&noted["s0"].removed), "192.168.77.1/24");
}
