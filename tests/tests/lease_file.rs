//! The lease file between us and what else reads it: ISC dhcpd, which goes on with ours as we do with
//! its own, and the tools that people look into its file with.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use xdhcpd::report::Mac;
use xdhcpd_tests::clients::{self, Lease, Program};
use xdhcpd_tests::dhcpd::{self, Dhcpd};
use xdhcpd_tests::exchange::{self, from_client, message};
use xdhcpd_tests::netns::{Pair, succeed};
use xdhcpd_tests::perfdhcp::{self, Load};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until_true};

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.250]
    relays: [10.9.0.9]
    leaseTime: 1h
    probe: false
";
const RANGE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 100), Ipv4Addr::new(10, 9, 0, 250)];
const MORE: &str = "limits: {clientPerSecond: 10000, interfacePerSecond: 100000}";
const US: [u8; 4] = [10, 9, 0, 2];

const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
const THREE: [u8; 6] = [2, 0, 0, 0, 1, 3];
const FOUR: [u8; 6] = [2, 0, 0, 0, 1, 4];

const DAY: u32 = 86_400;

fn can_run() -> bool {
    let test = skip::this_test();
    skip::is_root(&test) && dhcpd::is_there(&test) && Program::Udhcpc.is_there(&test)
}

fn file(server: &Server) -> PathBuf {
    server.folder().join(format!("{}-dhcpd.leases", server.name()))
}

/// A real client with this hardware address, and a client-id made of it.
fn obtain(pair: &Pair, mac: [u8; 6]) -> Result<Lease> {
    pair.client.ip(&format!("link set c0 address {}", Mac(mac)))?;
    clients::obtain(Program::Udhcpc, &pair.client, "c0")
}

#[test]
fn dhcpd_goes_on_with_our_leases_and_we_with_dhcpds() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with(&pair.server, NETWORK, MORE)?;
    let tap = Tap::open(&pair.client, "c0")?;
    let (one, two, three) = (obtain(&pair, ONE)?.ip, obtain(&pair, TWO)?.ip, obtain(&pair, THREE)?.ip);
    tap.send(&exchange::release(TWO, two, US).build())?;
    until_true("the address to be free", SOON, || Ok(server.lease(two)?["state"] == "released"))?;
    let decline = from_client(message::DECLINE, THREE).option(50, &three.octets()).option(54, &US);
    tap.send(&decline.build())?;
    until_true("the address to be out of use", SOON, || Ok(server.lease(three)?["state"] == "declined"))?;
    server.stop("TERM")?;
    succeed(&mut server.command(&["detach"]))?;

    let config = dhcpd::configure(server.folder(), RANGE, DAY)?;
    let said = dhcpd::test(&pair.server, &config, &file(&server))?;
    assert!(!said.contains("line ") && said.contains("Wrote 3 leases"), "{said}");
    let theirs = Dhcpd::start(&pair.server, "s0", server.folder(), &config, &file(&server))?;
    let lease = obtain(&pair, ONE)?;
    assert_eq!((lease.ip, lease.seconds), (one, DAY), "{}", theirs.log());
    assert_eq!(obtain(&pair, TWO)?.ip, two, "what was free is its last client's");
    let four = obtain(&pair, FOUR)?.ip;
    assert!(![one, two, three].contains(&four), "{four} is somebody's, or out of use");
    tap.send(&exchange::release(TWO, two, US).build())?;
    until_true("dhcpd to free it", SOON, || Ok(theirs.log().contains(&format!("DHCPRELEASE of {two}"))))?;
    drop(theirs);

    server.restart(&pair.server)?;
    assert!(!server.log().contains("WARN"), "{}", server.log());
    let expected = [(one, "bound"), (two, "expired"), (three, "declined"), (four, "bound")];
    for (ip, state) in expected {
        let lease = server.lease(ip)?;
        assert_eq!(lease["state"], state, "{lease:#}");
        let left = seconds_until(&lease["expires"])?;
        assert!(state != "bound" || left > i64::from(DAY) - 600, "dhcpd's word counts: {lease:#}");
    }
    for (mac, ip) in [(ONE, one), (FOUR, four), (TWO, two)] {
        assert_eq!(obtain(&pair, mac)?.ip, ip);
    }
    Ok(())
}

/// How long it is until a time that `--json` has.
fn seconds_until(time: &Value) -> Result<i64> {
    let seconds = |words: &[&str]| -> Result<i64> {
        let output = succeed(Command::new("date").args(["-u", "+%s"]).args(words))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    };
    let then = time.as_str().context("a time")?;
    Ok(seconds(&["-d", then])? - seconds(&[])?)
}

const LOAD: Load<'_> = Load {
    from: "10.9.0.9",
    server: "10.9.0.2",
    rate: 100,
    clients: 100,
    seconds: 3,
    renewals: 20,
    releases: 20,
};

/// Addresses with the hardware addresses of their clients.
type Bindings = BTreeSet<(String, String)>;

/// A tool that reads the file of dhcpd.
struct Tool {
    package: &'static str,
    /// What must be there for it.
    gives: &'static str,
    /// The leases that it takes for active.
    active: fn(&Path, &Path) -> Result<Bindings>,
    /// Whether it looks at the last entry for an address alone, as dhcpd does.
    last_wins: bool,
}

const TOOLS: [Tool; 3] = [
    Tool {
        package: "isc-dhcp-server",
        gives: "/usr/sbin/dhcp-lease-list",
        active: lease_list,
        last_wins: false,
    },
    Tool { package: "dhcpd-pools", gives: "/usr/bin/dhcpd-pools", active: pools, last_wins: true },
    Tool {
        package: "python3-isc-dhcp-leases",
        gives: "/usr/lib/python3/dist-packages/isc_dhcp_leases/__init__.py",
        active: python,
        last_wins: false,
    },
];

fn lease_list(_config: &Path, leases: &Path) -> Result<Bindings> {
    let mut command = Command::new("dhcp-lease-list");
    let output =
        succeed(command.env("PATH", skip::search_path()).args(["--parsable", "--lease"]).arg(leases))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let binding = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["MAC", mac, "IP", ip, ..] = words[..] else { return None };
        Some((ip.to_owned(), mac.to_owned()))
    };
    Ok(text.lines().filter_map(binding).collect())
}

fn pools(config: &Path, leases: &Path) -> Result<Bindings> {
    let mut command = Command::new("dhcpd-pools");
    let output = succeed(command.args(["-f", "J", "-c"]).arg(config).arg("-l").arg(leases))?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let active = report["active_leases"].as_array().context("active_leases")?;
    assert_eq!(report["summary"]["used"], active.len(), "{report:#}");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(active.iter().map(|lease| (word(&lease["ip"]), word(&lease["macaddress"]))).collect())
}

fn python(_config: &Path, leases: &Path) -> Result<Bindings> {
    const SCRIPT: &str = "import sys; from isc_dhcp_leases import IscDhcpLeases
for lease in IscDhcpLeases(sys.argv[1]).get_current().values(): print(lease.ip, lease.ethernet)";
    let output = succeed(Command::new("/usr/bin/python3").args(["-c", SCRIPT]).arg(leases))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(ip, mac)| (ip.to_owned(), mac.to_owned()))
        .collect())
}

/// The file is as a killed agent leaves it under load, and every tool reads it while the next one writes.
#[test]
fn the_tools_that_read_dhcpds_leases_read_ours() -> Result<()> {
    let test = skip::this_test();
    let is_there = |tool: &Tool| skip::is_there(&test, tool.gives, tool.package);
    if !can_run() || !skip::is_there(&test, "perfdhcp", "kea-admin") || !TOOLS.iter().all(is_there) {
        return Ok(());
    }
    let pair = Pair::new()?;
    let mut server = Server::start_with(&pair.server, NETWORK, MORE)?;
    let one = obtain(&pair, ONE)?.ip;
    pair.client.ip("address add 10.9.0.9/24 dev c0")?;
    perfdhcp::run(&pair.client, LOAD)?;
    server.stop("KILL")?;
    server.restart(&pair.server)?;

    let leases = server.json("leases")?;
    let leases = leases["leases"].as_array().context("leases")?;
    let (mut active, mut ended) = (Bindings::new(), Bindings::new());
    for lease in leases {
        let word = |name: &str| lease[name].as_str().unwrap_or_default().to_owned();
        let is_active = ["bound", "offered"].contains(&word("state").as_str());
        if is_active { &mut active } else { &mut ended }.insert((word("ip"), word("mac")));
    }
    assert!(active.len() > 50 && ended.len() > 5, "{} and {}", active.len(), ended.len());
    let config = dhcpd::configure(server.folder(), RANGE, DAY)?;
    let file = file(&server);
    for tool in TOOLS {
        let listed = (tool.active)(&config, &file).context(tool.package)?;
        let missing: Vec<_> = active.difference(&listed).collect();
        assert!(missing.is_empty(), "{} does not know {missing:?}", tool.package);
        // Those that take the first entry for an address at its word do so with dhcpd's file, too.
        let more: Bindings = listed.difference(&active).cloned().collect();
        assert!(more.is_empty() || !tool.last_wins && more.is_subset(&ended), "{}: {more:?}", tool.package);
    }
    let said = dhcpd::test(&pair.server, &config, &file)?;
    assert!(said.contains(&format!("Wrote {} leases", leases.len())) && !said.contains("line "), "{said}");
    assert!(fs::read_to_string(&file)?.contains(&format!("lease {one} {{")), "the file itself is as it was");
    Ok(())
}
