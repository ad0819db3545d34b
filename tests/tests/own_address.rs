//! selfIP on real interfaces: a veth pair in a namespace, whose server end has an address of its own.

use std::path::Path;

use xdhcpd::config::{Config, parse_yaml};
use xdhcpd::run::own_address::OwnAddresses;
use xdhcpd::run::{ConfigSource, RunOptions};
use xdhcpd_tests::netns::NetNs;

/// How long the agent may take until it has set its address.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
/// Between two looks.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// A namespace with `s0`, which has 192.168.77.1/24 and is up; none, and a note of it, without root.
fn scene(test: &str) -> Option<NetNs> {
    if !rustix::process::geteuid().is_root() {
        let line = format!("{test}\tneeds root: it makes a network namespace\n");
        match std::env::var_os("XDHCPD_SKIPS") {
            Some(path) => {
                let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
                std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
            }
            None => eprint!("skipped: {line}"),
        }
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
    let shown = namespace.ip("-4 -o address show dev s0").unwrap();
    shown.lines().map(|line| line.split_whitespace().nth(3).unwrap_or_default().to_owned()).collect()
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
    let Some(namespace) = scene("the_interface_has_exactly_self_ip_until_it_is_given_back") else { return };
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
    let Some(namespace) = scene("an_address_beside_others_of_its_subnet_is_kept_and_they_come_back") else {
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
    let Some(namespace) = scene("an_interface_with_the_default_route_is_refused_and_left_alone") else {
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
    let Some(namespace) = scene("after_a_crash_the_next_run_gives_back_what_was_there_before_it") else {
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
    let Some(namespace) = scene("a_reload_changes_and_gives_back_live") else { return };
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
    let Some(namespace) = scene("a_failure_half_way_puts_back_what_was_removed") else { return };
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

#[test]
fn the_agent_has_self_ip_until_sigterm() {
    let Some(namespace) = scene("the_agent_has_self_ip_until_sigterm") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let network = "{name: n, interface: s0, subnet: 10.9.0.0/24, selfIP: 10.9.0.2/24, reservedOnly: true}";
    let leases = folder.path().display();
    let text = format!(
        "name: own-{}\nfastPath: {{mode: off}}\nhttp: {{listen: off}}\nleases: {{dir: {leases}}}\nnetworks: [{network}]\n",
        std::process::id()
    );
    std::fs::write(&file, text).unwrap();
    let socket = Some(folder.path().join("socket"));
    let source = ConfigSource::File(file);
    let options = RunOptions {
        source,
        name: None,
        http: None,
        lease_dir: None,
        socket,
        detach_on_exit: false,
        replace_node_addresses: false,
    };
    // Until the agent listens to it, the signal shall not end the test.
    // SAFETY: no handler is installed, and nothing else in this process uses the signal.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    std::thread::scope(|scope| {
        let agent = scope.spawn(|| namespace.inside(|| xdhcpd::run::run(&options, |_| Ok(()))).unwrap());
        let started = std::time::Instant::now();
        while addresses(&namespace) != ["10.9.0.2/24"] {
            assert!(!agent.is_finished() && started.elapsed() < PATIENCE, "selfIP is not set");
            std::thread::sleep(PAUSE);
        }
        while !agent.is_finished() {
            // SAFETY: the signal is ignored or handled.
            unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
            std::thread::sleep(PAUSE);
        }
        agent.join().unwrap().unwrap();
    });
    assert_eq!(addresses(&namespace), ["192.168.77.1/24"]);
}
