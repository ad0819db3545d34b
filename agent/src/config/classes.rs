//! Client classes: their conditions and what members get.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use super::problems::Report;
use super::value::{Mapping, Node, Placed};
use super::{Class, options, scalars};

/// Each class is asked for each new message.
pub(super) const MAX_CLASSES: usize = 256;
/// IANA knows some forty architectures.
const MAX_ARCHITECTURES: usize = 64;
/// What one part of an option can hold.
const MAX_MATCHED: usize = 255;

const CLASS_KEYS: [&str; 4] = ["name", "match", "options", "boot"];
const MATCH_KEYS: [&str; 4] = ["arch", "vendorClass", "userClass", "option"];

/// Reads a network's `classes`. A class that is wrong in part still counts as one that exists.
pub(super) fn read_classes(
    network: &Mapping<'_>,
    gateway: Option<Ipv4Addr>,
    report: &mut Report,
) -> Vec<Class> {
    let nodes = network.items("classes", MAX_CLASSES, report);
    let mut names = HashSet::new();
    let mut classes = Vec::new();
    for node in &nodes {
        let Some(class) = read_class(node, gateway, report) else { continue };
        if names.insert(class.value.name.clone()) {
            classes.push(class.value);
        } else {
            report.add(class.path, format!("there is a class {} already", class.value.name));
        }
    }
    classes
}

fn read_class(node: &Node<'_>, gateway: Option<Ipv4Addr>, report: &mut Report) -> Option<Placed<Class>> {
    let class = node.mapping(&CLASS_KEYS, report)?;
    let name = class.required("name", report).and_then(|name| name.place(report, scalars::name));
    let mut read = Class {
        name: String::new(),
        arch: Vec::new(),
        vendor_class: None,
        user_class: None,
        option: None,
        options: options::read_options(&class, gateway, report),
        boot: options::read_boot(&class, report),
    };
    if let Some(conditions) = class.required("match", report) {
        read_match(&conditions, &mut read, report);
    }
    let name = name?;
    read.name = name.value;
    Some(Placed { path: name.path, value: read })
}

fn read_match(node: &Node<'_>, class: &mut Class, report: &mut Report) {
    let Some(conditions) = node.mapping(&MATCH_KEYS, report) else { return };
    class.arch = conditions.values("arch", MAX_ARCHITECTURES, report, scalars::integer(0..=u16::MAX));
    class.vendor_class = conditions.read("vendorClass", report, scalars::plain_text(MAX_MATCHED));
    class.user_class = conditions.read("userClass", report, scalars::plain_text(MAX_MATCHED));
    class.option = conditions.get("option").and_then(|option| read_option(&option, report));
    let given = MATCH_KEYS.iter().filter_map(|key| conditions.get(key));
    // An empty list asks for nothing; one whose entries are wrong has been reported.
    if given.filter(|node| node.value.as_array().is_none_or(|list| !list.is_empty())).count() == 0 {
        report.add(&node.path, format!("has no condition; give at least one of {}", MATCH_KEYS.join(", ")));
    }
}

fn read_option(node: &Node<'_>, report: &mut Report) -> Option<(u8, Vec<u8>)> {
    let option = node.mapping(&["code", "hex"], report)?;
    let code =
        option.required("code", report).and_then(|code| code.read(report, scalars::integer(1_u8..=254)));
    let value =
        option.required("hex", report).and_then(|hex| hex.read(report, scalars::hex(0..=MAX_MATCHED)));
    code.zip(value)
}
