//! selfIP on real interfaces: a veth pair in a namespace, whose server end has an address of its own; set,
//! kept against what other programs do, and given back.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use xdhcpd::config::{Config, parse_yaml};
use xdhcpd::run::own_address::OwnAddresses;
use xdhcpd_tests::exchange::{self, from_client, is_met_with_silence, message};
use xdhcpd_tests::netns::{NetNs, Pair};
use xdhcpd_tests::server::Server;
use xdhcpd_tests::skip;
use xdhcpd_tests::tap::Tap;
use xdhcpd_tests::wait::{SOON, until, until_true};

/// A namespace with `s0`, which has 192.168.77.1/24 and is up; none without root.
fn scene() -> Option<NetNs> {
    if !skip::is_root(&skip::this_test()) {
        return None;
    }
    let namespace = NetNs::new("own").unwrap();
    namespace.ip("link add s0 type veth peer name c0").unwrap();
    namespace.ip("address add 192.168.77.1/24 brd + dev s0 label s0:first").unwrap();
    namespace.ip("link set s0 up").unwrap();
    namespace.ip("link set c0 up").unwrap();
    Some(namespace)
}

/// The IPv4 addresses of `s0`.
fn addresses(namespace: &NetNs) -> Vec<String> {
    addresses_of(namespace, "s0").unwrap()
}

/// The IPv4 addresses of an interface; none: it is not there.
fn addresses_of(namespace: &NetNs, interface: &str) -> Option<Vec<String>> {
    let shown = namespace.ip(&format!("-4 -o address show dev {interface}")).ok()?;
    Some(shown.lines().map(|line| line.split_whitespace().nth(3).unwrap_or_default().to_owned()).collect())
}

fn config(folder: &Path, own: &[&str]) -> Config {
    let network = |(at, own): (usize, &&str)| {
        let subnet = format!("{}.0/24", own.rsplit_once('.').unwrap().0);
        format!("- {{name: n{at}, interface: s0, subnet: {subnet}, selfIP: {own}, reservedOnly: true}}\n")
    };
    let networks: String = own.iter().enumerate().map(network).collect();
    parse_yaml(&format!("name: own\nleases: {{dir: {}}}\nnetworks:\n{networks}", folder.display())).unwrap()
}

#[test]
fn the_interface_has_exactly_self_ip_until_it_is_given_back() {
    let Some(namespace) = scene() else { return };
    let folder = tempfile::tempdir().unwrap();
    let before = namespace.ip("-4 address show dev s0").unwrap();
    let config = config(folder.path(), &["10.9.0.2/24", "10.8.0.2/24"]);
    let own = namespace.inside(|| OwnAddresses::take(&config)).unwrap().unwrap();
    assert_eq!(addresses(&namespace), ["10.9.0.2/24", "10.8.0.2/24"]);
    assert!(folder.path().join("own-addresses").exists());
    namespace.inside(|| own.give_back()).unwrap();
    assert_eq!(namespace.ip("-4 address show dev s0").unwrap(), before, "label and all");
    assert!(!folder.path().join("own-addresses").exists());
}

#[test]
fn an_address_beside_others_of_its_subnet_is_kept_and_they_come_back() {
    let Some(namespace) = scene() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    namespace.ip("address add 192.168.77.2/24 dev s0").unwrap();
    namespace.ip("address add 192.168.77.3/24 dev s0").unwrap();
    let before = addresses(&namespace);
    let config = config(folder.path(), &["192.168.77.2/24"]);
    let own = namespace.inside(|| OwnAddresses::take(&config)).unwrap().unwrap();
    assert_eq!(addresses(&namespace), ["192.168.77.2/24"]);
    namespace.inside(|| own.give_back()).unwrap();
    let mut after = addresses(&namespace);
    after.sort();
    assert_eq!(after, before);
}

#[test]
fn an_interface_with_the_default_route_is_refused_and_left_alone() {
    let Some(namespace) = scene() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    namespace.ip("route add default via 192.168.77.254").unwrap();
    let config = config(folder.path(), &["10.9.0.2/24"]);
    let refusal = namespace.inside(|| OwnAddresses::take(&config)).unwrap().unwrap_err().to_string();
    assert!(refusal.contains("(default via 192.168.77.254 dev s0)"), "{refusal}");
    assert_eq!(addresses(&namespace), ["192.168.77.1/24"]);
    assert!(!folder.path().join("own-addresses").exists());
}

#[test]
fn after_a_crash_the_next_run_gives_back_what_was_there_before_it() {
    let Some(namespace) = scene() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &["10.9.0.2/24"]);
    drop(namespace.inside(|| OwnAddresses::take(&config)).unwrap().unwrap());
    assert_eq!(addresses(&namespace), ["10.9.0.2/24"], "as a killed agent leaves it");
    let own = namespace.inside(|| OwnAddresses::take(&config)).unwrap().unwrap();
    assert_eq!(addresses(&namespace), ["10.9.0.2/24"]);
    namespace.inside(|| own.give_back()).unwrap();
    assert_eq!(addresses(&namespace), ["192.168.77.1/24"]);
}

#[test]
fn a_reload_changes_and_gives_back_live() {
    let Some(namespace) = scene() else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path(), &["10.9.0.2/24"]);
    let second = config(folder.path(), &["10.9.0.3/24"]);
    let mut none = second.clone();
    none.networks.iter_mut().for_each(|network| network.self_ip = None);
    let mut own = namespace.inside(|| OwnAddresses::take(&first)).unwrap().unwrap();
    namespace.inside(|| own.change(&second)).unwrap().unwrap();
    assert_eq!(addresses(&namespace), ["10.9.0.3/24"]);
    namespace.inside(|| own.change(&none)).unwrap().unwrap();
    assert_eq!(addresses(&namespace), ["192.168.77.1/24"]);
}

#[test]
fn a_failure_half_way_puts_back_what_was_removed() {
    let Some(namespace) = scene() else { return };
    let folder = tempfile::tempdir().unwrap();
    // An interface whose packets are too short for IPv4 takes no address; the loopback can be one.
    for step in ["lo down", "lo name s1", "s1 mtu 60", "s1 up"] {
        namespace.ip(&format!("link set {step}")).unwrap();
    }
    let mut config = config(folder.path(), &["10.9.0.2/24", "10.8.0.2/24"]);
    config.networks.last_mut().unwrap().interface = "s1".to_owned();
    let fault = namespace.inside(|| OwnAddresses::take(&config)).unwrap().unwrap_err();
    assert!(format!("{fault:#}").starts_with("selfIP: s1: 10.8.0.2/24 cannot be set"), "{fault:#}");
    assert_eq!(addresses(&namespace), ["192.168.77.1/24"]);
    assert!(!folder.path().join("own-addresses").exists());
}

const NETWORK: &str = "
  - name: rack1
    interface: s0
    subnet: 10.9.0.0/24
    selfIP: 10.9.0.2/24
    ranges: [10.9.0.100-10.9.0.110]
    leaseTime: 1h
    probe: false
";

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// So many changes are put right at once.
const AT_ONCE: usize = 5;

/// An agent with selfIP on `s0`, which had 192.168.77.1/24, and a client's end of the wire; none without root.
fn agent() -> Result<Option<(Pair, Server, Tap)>> {
    if !skip::is_root(&skip::this_test()) {
        return Ok(None);
    }
    let pair = Pair::with_address("192.168.77.1/24")?;
    let server = Server::start(&pair.server, NETWORK)?;
    assert_eq!(addresses(&pair.server), ["10.9.0.2/24"]);
    let tap = Tap::open(&pair.client, "c0")?;
    exchange::obtain(&tap, ONE, |frame| frame)?;
    Ok(Some((pair, server, tap)))
}

fn become_these(pair: &Pair, interface: &str, expected: &[&str]) -> Result<()> {
    until_true(&format!("{interface} to have {expected:?}"), SOON, || {
        Ok(addresses_of(&pair.server, interface).is_some_and(|addresses| addresses == expected))
    })
}

/// A client obtains its lease, from our address.
fn is_served(tap: &Tap) -> Result<()> {
    for reply in exchange::obtain(tap, ONE, |frame| frame)? {
        assert_eq!(reply.option(54), Some([10, 9, 0, 2].as_slice()));
        assert_eq!(exchange::address(&reply), FIRST);
    }
    Ok(())
}

/// After a clean end `s0` has these.
fn ends_with(pair: &Pair, mut server: Server, expected: &[&str]) -> Result<()> {
    assert!(server.stop("TERM")?.success());
    assert_eq!(addresses(&pair.server), expected);
    Ok(())
}

#[test]
fn an_address_that_is_removed_is_put_back_at_once_and_against_who_insists_ever_less_often() -> Result<()> {
    let Some((pair, server, tap)) = agent()? else { return Ok(()) };
    let remove = || pair.server.ip("address del 10.9.0.2/24 dev s0");
    let begun = Instant::now();
    for _ in 0..AT_ONCE {
        remove()?;
        become_these(&pair, "s0", &["10.9.0.2/24"])?;
    }
    // Without the kernel's word each would take what is left of a second, since the one before began it.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    server.wait_for_log("another program keeps changing its addresses")?;
    is_served(&tap)?;

    let mut before = Duration::ZERO;
    for _ in 0..2 {
        let begun = Instant::now();
        remove()?;
        server.wait_for_log(
            "selfIP on s0: another program keeps changing the addresses of s0, which are none",
        )?;
        is_served(&tap)?;
        become_these(&pair, "s0", &["10.9.0.2/24"])?;
        assert!(begun.elapsed() > before, "{:?} is no longer than {before:?}", begun.elapsed());
        before = Duration::from_secs(1);
    }
    server.wait_for_log("selfIP on s0: all is as it should be again")?;
    assert_eq!(server.log().matches("10.9.0.2/24 was removed by another program").count(), AT_ONCE + 2);
    ends_with(&pair, server, &["192.168.77.1/24"])
}

#[test]
fn addresses_of_others_that_come_later_stay_and_what_was_replaced_is_replaced_again() -> Result<()> {
    let Some((pair, server, tap)) = agent()? else { return Ok(()) };
    pair.server.ip("address add 10.7.0.1/24 dev s0")?;
    server.wait_for_log("10.7.0.1/24 was added by another program, and stays")?;
    pair.server.ip("address add 192.168.77.1/24 dev s0")?;
    server.wait_for_log("192.168.77.1/24 was set again by another program: it is removed again")?;
    become_these(&pair, "s0", &["10.9.0.2/24", "10.7.0.1/24"])?;
    is_served(&tap)?;
    server.signal("HUP")?;
    server.wait_for_log("the configuration is served")?;
    assert_eq!(addresses(&pair.server), ["10.9.0.2/24", "10.7.0.1/24"]);
    assert_eq!(server.log().matches("10.7.0.1/24").count(), 1, "said once");
    ends_with(&pair, server, &["10.7.0.1/24", "192.168.77.1/24"])
}

#[test]
fn a_default_route_that_has_come_meanwhile_keeps_the_address_that_it_goes_by() -> Result<()> {
    let Some((pair, server, tap)) = agent()? else { return Ok(()) };
    server.signal("STOP")?;
    pair.server.ip("address add 192.168.77.1/24 dev s0")?;
    pair.server.ip("route add default via 192.168.77.254")?;
    pair.server.ip("address del 10.9.0.2/24 dev s0")?;
    server.signal("CONT")?;
    server.wait_for_log("selfIP on s0: s0 carries a default route of the host")?;
    become_these(&pair, "s0", &["192.168.77.1/24", "10.9.0.2/24"])?;
    assert!(pair.server.ip("route show default")?.contains("192.168.77.254"));
    is_served(&tap)?;
    ends_with(&pair, server, &["192.168.77.1/24"])
}

#[test]
fn an_interface_made_again_has_self_ip_again_and_gets_back_what_it_had_then() -> Result<()> {
    let Some((pair, server, _)) = agent()? else { return Ok(()) };
    pair.server.ip("link del s0")?;
    server.wait_for_log("network rack1: interface s0 is gone; nothing is served there until it is back")?;
    pair.server.ip(&format!("link add s0 type veth peer name c0 netns {}", pair.client.name()))?;
    pair.server.ip("address add 192.168.78.1/24 dev s0")?;
    pair.server.ip("link set s0 up")?;
    pair.client.ip("link set c0 up")?;
    server.wait_for_log("network rack1: all is as it should be again")?;
    assert_eq!(addresses(&pair.server), ["10.9.0.2/24"]);
    is_served(&Tap::open(&pair.client, "c0")?)?;
    ends_with(&pair, server, &["192.168.78.1/24"])
}

#[test]
fn a_renamed_interface_has_its_own_addresses_and_no_service_until_it_is_named_back() -> Result<()> {
    let Some((pair, server, tap)) = agent()? else { return Ok(()) };
    let rename = |from: &str, to: &str| -> Result<()> {
        for words in [format!("{from} down"), format!("{from} name {to}"), format!("{to} up")] {
            pair.server.ip(&format!("link set {words}"))?;
        }
        until_true("the wire to be up", SOON, || Ok(pair.client.ip("link show c0")?.contains("state UP")))
    };
    rename("s0", "other")?;
    server.wait_for_log("network rack1: interface s0 is gone")?;
    become_these(&pair, "other", &["192.168.77.1/24"])?;
    until_true("the program to go", SOON, || Ok(!pair.server.ip("link show other")?.contains("xdp")))?;
    assert!(is_met_with_silence(&tap, &from_client(message::DISCOVER, ONE))?);
    rename("other", "s0")?;
    become_these(&pair, "s0", &["10.9.0.2/24"])?;
    server.wait_for_log("network rack1: all is as it should be again")?;
    is_served(&tap)?;
    ends_with(&pair, server, &["192.168.77.1/24"])
}

#[test]
fn down_and_up_and_without_a_carrier_it_keeps_its_address_and_says_so() -> Result<()> {
    let Some((pair, server, _)) = agent()? else { return Ok(()) };
    let up =
        || until_true("the wire to be up", SOON, || Ok(pair.client.ip("link show c0")?.contains("state UP")));
    pair.client.ip("link set c0 down")?;
    server.wait_for_log("it has no carrier")?;
    pair.client.ip("link set c0 up")?;
    server.wait_for_log("it is no longer without a carrier")?;
    up()?;
    is_served(&Tap::open(&pair.client, "c0")?)?;
    pair.server.ip("link set s0 down")?;
    server.wait_for_log("network rack1: interface s0 is down; nothing is served there until it is back")?;
    pair.server.ip("link set s0 up")?;
    server.wait_for_log("network rack1: all is as it should be again")?;
    up()?;
    is_served(&Tap::open(&pair.client, "c0")?)?;
    assert_eq!(addresses(&pair.server), ["10.9.0.2/24"]);
    assert!(!server.log().contains("by another program"), "its address stayed all the time");
    ends_with(&pair, server, &["192.168.77.1/24"])
}

#[test]
fn news_that_were_too_many_for_the_socket_are_made_up_for() -> Result<()> {
    const CHANGES: usize = 1000;
    let Some((pair, server, tap)) = agent()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let batch = folder.path().join("batch");
    let mut words = String::new();
    for _ in 0..CHANGES {
        writeln!(words, "address add 10.7.0.1/24 dev s0\naddress del 10.7.0.1/24 dev s0")?;
    }
    std::fs::write(&batch, words + "address del 10.9.0.2/24 dev s0\n")?;
    // The agent's socket for news of links and addresses, and how many of them it has lost.
    let lost = || -> Result<Option<u64>> {
        let sockets = pair.server.run("cat", &["/proc/self/net/netlink"])?;
        let columns = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut ours = columns.filter(|columns| columns.get(3) == Some(&"00000011"));
        Ok(ours.next().and_then(|columns| columns.get(8)?.parse().ok()))
    };
    assert_eq!(lost()?, Some(0));
    server.signal("STOP")?;
    pair.server.run("ip", &["-batch", &batch.display().to_string()])?;
    assert!(lost()?.is_some_and(|lost| lost > 0), "some had no room: {:?}", lost()?);
    server.signal("CONT")?;
    become_these(&pair, "s0", &["10.9.0.2/24"])?;
    let begun = Instant::now();
    for _ in 0..3 {
        pair.server.ip("address del 10.9.0.2/24 dev s0")?;
        become_these(&pair, "s0", &["10.9.0.2/24"])?;
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "it hears news again: {:?}", begun.elapsed());
    is_served(&tap)?;
    ends_with(&pair, server, &["192.168.77.1/24"])
}

#[test]
fn a_killed_agents_address_is_kept_by_the_next_and_given_back_by_that() -> Result<()> {
    let Some((pair, mut server, tap)) = agent()? else { return Ok(()) };
    pair.server.ip("address add 10.7.0.1/24 dev s0")?;
    server.stop("KILL")?;
    assert_eq!(addresses(&pair.server), ["10.9.0.2/24", "10.7.0.1/24"]);
    server.restart(&pair.server)?;
    assert_eq!(addresses(&pair.server), ["10.9.0.2/24"], "a start replaces what is there");
    is_served(&tap)?;
    let mut after = until("its end", SOON, || Ok(server.stop("TERM").ok().map(|_| addresses(&pair.server))))?;
    after.sort();
    assert_eq!(after, ["10.7.0.1/24", "192.168.77.1/24"]);
    Ok(())
}
