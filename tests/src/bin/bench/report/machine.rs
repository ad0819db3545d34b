//! What the machine is, and which versions of its peers were measured.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use xdhcpd_tests::skip;

/// The peers, and what makes each say its version.
const PEERS: &[(&str, &str, &[&str])] = &[
    ("Kea", "kea-dhcp4", &["-v"]),
    ("ISC dhcpd", "dhcpd", &["--version"]),
    ("dnsmasq", "dnsmasq", &["--version"]),
    ("perfdhcp", "perfdhcp", &["-v"]),
];

/// A list in Markdown.
pub fn describe() -> String {
    let mut text = String::from("| the machine | |\n| --- | --- |\n");
    let mut line = |what: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {what} | {} |", value.replace('|', "/"));
    };
    line("processor", &processor());
    line("kernel", read("/proc/sys/kernel/osrelease").trim());
    line("memory", &memory());
    line("load before", read("/proc/loadavg").trim());
    line("lease files on", &file_system());
    for (name, program, arguments) in PEERS {
        line(name, &version(program, arguments));
    }
    text
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let values = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let model = values("model name").into_iter().next().unwrap_or_else(|| "unknown".into());
    let virtual_machine = if text.contains("hypervisor") { ", in a virtual machine" } else { "" };
    format!("{model}, {} cores{virtual_machine}", values("processor").len())
}

fn memory() -> String {
    let text = read("/proc/meminfo");
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("unknown");
    total.trim().into()
}

/// The file system of temporary folders, where all servers keep their leases while they are measured.
fn file_system() -> String {
    let mut findmnt = Command::new("findmnt");
    findmnt.args(["-n", "-o", "FSTYPE,SOURCE", "-T"]).arg(std::env::temp_dir());
    output(&mut findmnt).split_whitespace().collect::<Vec<_>>().join(" on ")
}

/// The first line that says a version, if the program is there.
fn version(program: &str, arguments: &[&str]) -> String {
    let said = output(Command::new(program).args(arguments).env("PATH", skip::search_path()));
    let line = said.lines().find(|line| line.chars().any(|c| c.is_ascii_digit()));
    line.map_or_else(|| "not installed".into(), |line| line.split("  ").next().unwrap_or(line).trim().into())
}

/// Both outputs of a command, whatever its status; empty where it cannot be run.
fn output(command: &mut Command) -> String {
    command.output().map_or_else(
        |_| String::new(),
        |output| {
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        },
    )
}
