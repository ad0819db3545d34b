//! The agent's handle on the kernel, against a real kernel: a namespace of its own for each test,
//! with a veth pair `server`–`client`.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use xdhcpd::config::{FastPathMode, KernelLog};
use xdhcpd::fastpath::{self, FastPath, FastPathError, InterfaceStatus, Pinned};
use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::maps::{
    Event, EventKind, Lease, LeaseKey, LeaseState, Server, TEMPLATE_OPTIONS, Template, Wire,
};

/// A namespace with a veth pair, and the name of an agent that works in it.
struct Scene {
    agent: String,
    namespace: String,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for agent in [self.agent.clone(), self.other_agent()] {
            if let Err(error) = fastpath::detach(&agent) {
                eprintln!("{agent} stays pinned: {error}");
            }
        }
        run(&format!("ip netns del {}", self.namespace));
    }
}

impl Scene {
    /// Runs a test in a namespace of its own, on a thread that is inside.
    fn play(name: &str, test: impl FnOnce(&Self) + Send) {
        if !rustix::process::geteuid().is_root() {
            return skip(name, "needs root");
        }
        if !fastpath::is_built() {
            return skip(name, "needs the XDP program: `cargo xtask build-ebpf` before the tests are built");
        }
        let scene = Self {
            agent: format!("{name}.{}", process::id()),
            namespace: format!("xdhcpd-{name}-{}", process::id()),
        };
        run(&format!("ip netns add {}", scene.namespace));
        scene.add_pair();
        let inside = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&scene.namespace);
                    test(&scene);
                })
                .join()
        });
        if let Err(panic) = inside {
            std::panic::resume_unwind(panic);
        }
    }

    fn add_pair(&self) {
        self.ip("link add server type veth peer name client");
        self.ip("link set server up");
        self.ip("link set client up");
        self.ip("addr add 10.9.0.2/24 dev client");
    }

    fn ip(&self, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.namespace));
    }

    fn other_agent(&self) -> String {
        format!("{}-other", self.agent)
    }

    /// Starts the agent's fast path with this mode on `server`.
    fn start(&self, mode: FastPathMode) -> FastPath {
        self.start_for(100, mode)
    }

    fn start_for(&self, addresses: u32, mode: FastPathMode) -> FastPath {
        self.try_start(addresses, &[("server", mode)]).expect("the fast path starts")
    }

    fn try_start(
        &self,
        addresses: u32,
        interfaces: &[(&str, FastPathMode)],
    ) -> Result<FastPath, FastPathError> {
        let interfaces: Vec<_> =
            interfaces.iter().map(|(name, mode)| ((*name).to_owned(), index(name), *mode)).collect();
        FastPath::start(&self.agent, KernelLog::Off, addresses, &interfaces)
    }

    fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/xdhcpd").join(self.agent.replace('.', "_"))
    }

    /// What bpftool says of the pinned link of `server`.
    fn link(&self) -> serde_json::Value {
        bpftool(&format!("link show pinned {}/link-server", self.pins().display()))
    }
}

/// Takes this thread into a namespace.
fn enter(namespace: &str) {
    let namespace = File::open(Path::new("/run/netns").join(namespace)).expect("the namespace was made");
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may enter a namespace");
}

fn skip(test: &str, reason: &str) {
    eprintln!("{test} skipped: {reason}");
    if let Some(path) = std::env::var_os("XDHCPD_SKIPS") {
        use std::io::Write as _;
        let mut skips = File::options().append(true).create(true).open(path).unwrap();
        writeln!(skips, "{test}\t{reason}").unwrap();
    }
}

fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bpftool(arguments: &str) -> serde_json::Value {
    serde_json::from_str(&run(&format!("bpftool -j {arguments}"))).unwrap()
}

/// The index of an interface in the namespace of this thread; 0: there is none.
fn index(name: &str) -> u32 {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    rustix::net::netdevice::name_to_index(&socket, name).unwrap_or(0)
}

/// Sends one frame from `client` to `server`.
fn send_frame() {
    let socket = UdpSocket::bind("10.9.0.2:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"hello", "10.9.0.255:9").unwrap();
}

fn passed(counters: &Counters) -> u64 {
    counters.get(Counter::NotDhcp)
}

/// Sends frames until they are counted: what was sent has been seen by then.
fn frames_are_counted(counters: impl Fn() -> Counters) -> bool {
    let before = passed(&counters());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        send_frame();
        thread::sleep(Duration::from_millis(5));
        if passed(&counters()) > before {
            return true;
        }
    }
    false
}

/// Whether a descriptor becomes readable soon.
fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let soon = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&soon)).unwrap() > 0
}

fn wire() -> Wire {
    Wire { interface: 7, vlan: [10, 0] }
}

fn key(n: u32) -> LeaseKey {
    let mut mac = [2, 0, 0, 0, 0, 0];
    mac[2..].copy_from_slice(&n.to_be_bytes());
    LeaseKey { wire: wire(), mac, zero: [0; 2] }
}

fn lease(n: u32) -> Lease {
    Lease {
        generation: 3,
        expires: 1_000,
        horizon: 5_000,
        answered: 17,
        ask: 99,
        ip: (0x0a09_0000_u32 | n).to_be_bytes(),
        template: 4,
        state: LeaseState::BOUND,
        ..Lease::default()
    }
}

fn template(byte: u8) -> Template {
    // SAFETY: a template is valid whatever its bytes.
    let mut template: Template = unsafe { std::mem::zeroed() };
    template.server = [10, 9, 0, 1];
    template.options = [byte; TEMPLATE_OPTIONS];
    template
}

fn status(name: &str, mode: &'static str) -> InterfaceStatus {
    InterfaceStatus { name: name.to_owned(), mode, attached: mode != "off", problem: None }
}

#[test]
fn on_a_veth_auto_means_generic_and_frames_go_through_the_program() {
    Scene::play("auto", |scene| {
        let fast_path = scene.start(FastPathMode::Auto);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
        assert!(!fastpath::checks_udp("server"));
    });
}

#[test]
fn native_is_native_and_a_change_of_mode_is_followed() {
    Scene::play("native", |scene| {
        let native = scene.start(FastPathMode::Native);
        assert_eq!(native.status(), [status("server", "native")]);
        let generic = scene.start(FastPathMode::Auto);
        assert_eq!(generic.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| generic.counters().unwrap()));
    });
}

#[test]
fn a_dropped_handle_changes_nothing_and_the_next_start_adopts_it_all() {
    Scene::play("adopt", |scene| {
        let mut first = scene.start(FastPathMode::Auto);
        let server = Server { generation: 3, address: [10, 9, 0, 1], ..Server::default() };
        first.put_lease(key(1), &lease(1)).unwrap();
        first.put_server(wire(), &server).unwrap();
        first.put_template(4, &template(0x55)).unwrap();
        assert!(frames_are_counted(|| first.counters().unwrap()));
        drop(first);
        let link = scene.link();

        let pinned = Pinned::open(&scene.agent).unwrap().expect("it is pinned");
        assert!(frames_are_counted(|| pinned.counters().unwrap()), "the program runs without an agent");
        assert_eq!(pinned.leases().unwrap(), [(key(1), lease(1))]);
        assert_eq!(pinned.servers().unwrap(), [(wire(), server)]);
        assert_eq!(pinned.templates().unwrap().len(), 5);
        assert_eq!(pinned.interfaces().unwrap(), [status("server", "generic")]);
        let counted = passed(&pinned.counters().unwrap());

        let second = scene.start(FastPathMode::Auto);
        assert_eq!(second.lease(key(1)).unwrap(), Some(lease(1)));
        assert_eq!(second.server(wire()).unwrap(), Some(server));
        assert_eq!(second.template(4).unwrap(), template(0x55));
        assert!(passed(&second.counters().unwrap()) >= counted, "counters go on");
        let link_now = scene.link();
        assert_eq!(link["id"], link_now["id"], "the link stays, so there is no gap");
        assert_ne!(link["prog_id"], link_now["prog_id"], "the program is the new one");
        assert_eq!(
            bpftool(&format!("prog show pinned {}/program", scene.pins().display()))["id"],
            link_now["prog_id"],
        );
        assert!(frames_are_counted(|| second.counters().unwrap()));
    });
}

#[test]
fn events_wait_for_the_next_agent_and_come_once() {
    Scene::play("events", |scene| {
        let mut first = scene.start(FastPathMode::Auto);
        let mut events = Vec::new();
        assert!(!first.drain(&mut events), "an idle ring holds less than one call's limit");
        drop(first);
        let mut second = scene.start(FastPathMode::Auto);
        second.settle();
        while second.drain(&mut events) {}
        let drained = events.len();
        assert!(!second.drain(&mut events));
        assert_eq!(events.len(), drained);
    });
}

#[test]
fn another_program_is_named_with_what_removes_it() {
    Scene::play("occupied", |scene| {
        let interfaces = [("server".to_owned(), index("server"), FastPathMode::Auto)];
        let other = scene.other_agent();
        let first = FastPath::start(&other, KernelLog::Off, 1, &interfaces).unwrap();
        assert!(first.status()[0].attached);

        let pin = format!("/sys/fs/bpf/xdhcpd/{}/link-server", other.replace('.', "_"));
        let link = bpftool(&format!("link show pinned {pin}"));
        let second = scene.start(FastPathMode::Auto);
        let status = &second.status()[0];
        assert_eq!((status.attached, status.mode), (false, "off"));
        let problem = status.problem.as_deref().unwrap();
        assert!(problem.contains(&format!("xdhcpd (id {})", link["prog_id"])), "{problem}");
        assert!(problem.contains(&format!("`bpftool link detach id {}`", link["id"])), "{problem}");
    });
}

#[test]
fn another_program_without_a_link_is_removed_by_ip() {
    Scene::play("linkless", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let borrowed = format!("{}/program", scene.pins().display());
        let path = Path::new("/sys/fs/bpf").join(&scene.namespace);
        std::fs::hard_link(&borrowed, &path).unwrap();
        fastpath::detach(&scene.agent).unwrap();
        let attached = Command::new("bpftool")
            .args(["net", "attach", "xdpgeneric", "pinned"])
            .arg(&path)
            .args(["dev", "server"])
            .status();
        std::fs::remove_file(&path).unwrap();
        assert!(attached.unwrap().success());

        let mut fast_path = scene.start(FastPathMode::Auto);
        let problem = fast_path.status()[0].problem.clone().unwrap();
        assert!(problem.ends_with("`ip link set dev server xdpgeneric off` removes it"), "{problem}");
        scene.ip("link set dev server xdpgeneric off");
        assert_eq!(fast_path.check().unwrap().len(), 1);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
    });
}

#[test]
fn one_interface_that_fails_does_not_stop_the_others() {
    Scene::play("partial", |scene| {
        let fast_path =
            scene.try_start(1, &[("nosuch", FastPathMode::Auto), ("server", FastPathMode::Auto)]).unwrap();
        let [missing, there] = &fast_path.status()[..] else { panic!("two interfaces") };
        assert_eq!(missing.problem.as_deref(), Some("there is no such interface"));
        assert_eq!(there, &status("server", "generic"));
    });
}

#[test]
fn native_where_the_driver_has_none_says_so_and_auto_does_without() {
    Scene::play("nonative", |scene| {
        let native = scene.try_start(1, &[("lo", FastPathMode::Native)]).unwrap();
        let problem = native.status()[0].problem.clone().expect("lo has no XDP of its own");
        assert!(problem.contains("takes no XDP program") && problem.contains("`generic`"), "{problem}");
        let auto = scene.try_start(1, &[("lo", FastPathMode::Auto)]).unwrap();
        assert_eq!(auto.status(), [status("lo", "generic")]);
    });
}

#[test]
fn a_start_without_its_capabilities_names_them() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    Scene::play("unable", |scene| {
        let all = capabilities(None).unwrap();
        let mut few = all;
        few.effective.remove(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN);
        // Of this thread alone.
        set_capabilities(None, few).unwrap();
        let result = scene.try_start(1, &[("server", FastPathMode::Auto)]);
        set_capabilities(None, all).unwrap();
        let error = result.err().expect("nothing may be loaded").to_string();
        assert!(error.contains("CAP_BPF and CAP_NET_ADMIN"), "{error}");
    });
}

#[test]
fn the_programs_log_is_read_where_it_is_wanted() {
    Scene::play("log", |scene| {
        let start = |log| {
            let interfaces = [("server".to_owned(), index("server"), FastPathMode::Auto)];
            FastPath::start(&scene.agent, log, 1, &interfaces).unwrap()
        };
        assert!(start(KernelLog::Off).log_fd().is_none());
        let mut fast_path = start(KernelLog::Trace);
        assert!(!is_readable(fast_path.log_fd().unwrap()));
        // Of what is not DHCP the program says nothing.
        let client = UdpSocket::bind("10.9.0.2:68").unwrap();
        client.set_broadcast(true).unwrap();
        client.send_to(&[0; 300], "10.9.0.255:67").unwrap();
        assert!(is_readable(fast_path.log_fd().unwrap()));
        fast_path.drain_log();
        assert!(!is_readable(fast_path.log_fd().unwrap()));
    });
}

#[test]
fn of_two_interfaces_whose_pins_would_be_one_the_second_goes_without() {
    Scene::play("same", |scene| {
        scene.ip("link add se_ver type veth peer name se.ver");
        let both = [("se_ver", FastPathMode::Auto), ("se.ver", FastPathMode::Auto)];
        let mut fast_path = scene.try_start(1, &both).unwrap();
        let [first, second] = &fast_path.status()[..] else { panic!("two interfaces") };
        assert_eq!(first, &status("se_ver", "generic"));
        assert!(second.problem.as_deref().unwrap().contains("differ only in `.` and `_`"), "{second:?}");
        assert_eq!(fast_path.check().unwrap(), []);
        let pinned = Pinned::open(&scene.agent).unwrap().unwrap();
        assert_eq!(pinned.interfaces().unwrap(), [status("se_ver", "generic")]);
    });
}

#[test]
fn an_interface_that_is_off_or_no_longer_named_loses_the_program() {
    Scene::play("off", |scene| {
        let both = [("server", FastPathMode::Auto), ("client", FastPathMode::Auto)];
        drop(scene.try_start(1, &both).unwrap());
        assert!(scene.pins().join("link-client").exists());
        let fast_path = scene.try_start(1, &[("server", FastPathMode::Off)]).unwrap();
        assert_eq!(fast_path.status(), [status("server", "off")]);
        assert!(!scene.pins().join("link-client").exists());
        assert!(!scene.pins().join("link-server").exists());
    });
}

#[test]
fn detach_leaves_nothing_behind() {
    Scene::play("detach", |scene| {
        drop(scene.start(FastPathMode::Auto));
        assert!(run(&format!("ip -n {} link show server", scene.namespace)).contains("xdp"));
        let detached = fastpath::detach(&scene.agent).unwrap();
        assert_eq!(detached.interfaces, ["server"]);
        assert!(detached.pins.contains(&scene.pins().join("LEASES")), "{detached:?}");
        assert!(!run(&format!("ip -n {} link show server", scene.namespace)).contains("xdp"));
        assert!(!scene.pins().exists());
        assert!(Pinned::open(&scene.agent).unwrap().is_none());
        assert_eq!(fastpath::detach(&scene.agent).unwrap(), fastpath::Detached::default());
    });
}

#[test]
fn a_lease_is_written_suspended_and_removed() {
    Scene::play("lease", |scene| {
        let mut fast_path = scene.start(FastPathMode::Auto);
        assert_eq!(fast_path.suspend(key(1)).unwrap(), None);
        assert_eq!(fast_path.lease(key(1)).unwrap(), None);
        fast_path.put_lease(key(1), &lease(1)).unwrap();
        assert_eq!(fast_path.suspend(key(1)).unwrap(), Some(lease(1)));
        fast_path.settle();
        let suspended = Lease { state: LeaseState::SUSPENDED, ..lease(1) };
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(suspended));
        fast_path.put_lease(key(1), &lease(2)).unwrap();
        assert_eq!(fast_path.leases().unwrap(), [(key(1), lease(2))]);
        assert!(fast_path.remove_lease(key(1)).unwrap());
        assert!(!fast_path.remove_lease(key(1)).unwrap());
        assert_eq!(fast_path.leases().unwrap(), []);
    });
}

#[test]
fn a_renewal_that_a_write_of_ours_set_back_is_written_again() {
    Scene::play("renewal", |scene| {
        let mut fast_path = scene.start(FastPathMode::Off);
        let renewed = |ip, expires| Event {
            kind: EventKind::RENEWED,
            key: key(1),
            ip,
            at: 20,
            expires,
            ..Event::default()
        };
        assert!(!fast_path.keep_renewal(&renewed(lease(1).ip, 2_000)).unwrap(), "there is no entry");
        fast_path.put_lease(key(1), &lease(1)).unwrap();
        assert!(!fast_path.keep_renewal(&renewed(lease(1).ip, 1_000)).unwrap(), "it is there already");
        assert!(!fast_path.keep_renewal(&renewed(lease(2).ip, 2_000)).unwrap(), "of another address");
        let declined = Event { kind: EventKind::SUSPENDED, ..renewed(lease(1).ip, 2_000) };
        assert!(!fast_path.keep_renewal(&declined).unwrap(), "no renewal");
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(lease(1)));

        assert!(fast_path.keep_renewal(&renewed(lease(1).ip, 2_000)).unwrap());
        let kept = Lease { expires: 2_000, answered: 20, ..lease(1) };
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(kept));
        fast_path.suspend(key(1)).unwrap();
        assert!(fast_path.keep_renewal(&renewed(lease(1).ip, 3_000)).unwrap());
        let suspended = Lease { expires: 3_000, state: LeaseState::SUSPENDED, ..kept };
        assert_eq!(fast_path.lease(key(1)).unwrap(), Some(suspended), "it stays suspended");
    });
}

#[test]
fn a_full_map_and_a_template_too_many_are_said() {
    Scene::play("full", |scene| {
        let mut fast_path = scene.start_for(1, FastPathMode::Off);
        let capacity = fast_path.lease_capacity();
        let full = (0..=capacity).find_map(|n| fast_path.put_lease(key(n), &lease(n)).err());
        let full = full.expect("there is no room for one more");
        assert!(matches!(full, FastPathError::Full { map: "LEASES", .. }), "{full}");
        assert_eq!(fast_path.leases().unwrap().len(), usize::try_from(capacity).unwrap());
        fast_path.put_lease(key(0), &lease(9)).expect("an entry that is there can be changed");

        let beyond = fast_path.put_template(fast_path.template_capacity(), &template(1));
        assert!(matches!(beyond, Err(FastPathError::NoTemplate { .. })));
    });
}

#[test]
fn a_larger_map_of_leases_takes_over_what_the_smaller_one_held() {
    Scene::play("grow", |scene| {
        let mut small = scene.start_for(100, FastPathMode::Auto);
        assert_eq!(small.lease_capacity(), 1024);
        for n in 0..300 {
            small.put_lease(key(n), &lease(n)).unwrap();
        }
        drop(small);
        let large = scene.start_for(3000, FastPathMode::Auto);
        assert_eq!(large.lease_capacity(), 8192);
        let mut leases = large.leases().unwrap();
        leases.sort_by_key(|(key, _)| *key);
        assert_eq!(leases, (0..300).map(|n| (key(n), lease(n))).collect::<Vec<_>>());
        assert!(!scene.pins().join("LEASES_old").exists());
        drop(large);
        assert_eq!(scene.start_for(100, FastPathMode::Auto).lease_capacity(), 8192, "never smaller");
    });
}

#[test]
fn a_move_to_a_larger_map_that_was_cut_short_is_finished() {
    Scene::play("cut", |scene| {
        let mut first = scene.start_for(100, FastPathMode::Auto);
        first.put_lease(key(1), &lease(1)).unwrap();
        first.put_lease(key(2), &lease(2)).unwrap();
        drop(first);
        let pin = |name| scene.pins().join(name);
        std::fs::hard_link(pin("LEASES"), pin("kept")).unwrap();
        // Killed just after the old map was moved aside …
        std::fs::rename(pin("LEASES"), pin("LEASES_old")).unwrap();
        let mut second = scene.start_for(3000, FastPathMode::Auto);
        assert_eq!(second.leases().unwrap().len(), 2);
        // … or half-way through, when the new one has a newer entry already.
        let newer = Lease { answered: 18, ..lease(1) };
        second.put_lease(key(1), &newer).unwrap();
        second.remove_lease(key(2)).unwrap();
        drop(second);
        std::fs::rename(pin("kept"), pin("LEASES_old")).unwrap();
        let third = scene.start_for(100_000, FastPathMode::Auto);
        assert_eq!(third.lease_capacity(), 8192, "one move at a time");
        let mut leases = third.leases().unwrap();
        leases.sort_by_key(|(key, _)| *key);
        assert_eq!(leases, [(key(1), newer), (key(2), lease(2))]);
        assert!(!pin("LEASES_old").exists());
    });
}

#[test]
fn maps_of_another_layout_are_left_alone_and_nothing_answers_from_them() {
    Scene::play("layout", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let servers = scene.pins().join("SERVERS");
        std::fs::remove_file(&servers).unwrap();
        let create =
            format!("bpftool map create {} type hash key 4 value 4 entries 16 name x", servers.display());
        run(&create);
        let error = scene.try_start(100, &[("server", FastPathMode::Auto)]).err().expect("a foreign map");
        assert!(matches!(error, FastPathError::Layout { .. }), "{error}");
        assert!(error.to_string().contains("keys of SERVERS have 4 bytes"), "{error}");
        assert!(error.to_string().contains("xdhcpd detach --name"), "{error}");
        assert!(!scene.pins().join("link-server").exists(), "the old program is off the wire");
        assert!(scene.pins().join("LEASES").exists(), "the maps stay");
    });
}

#[test]
fn maps_without_the_number_of_their_layout_are_another_versions() {
    Scene::play("marker", |scene| {
        drop(scene.start(FastPathMode::Auto));
        std::fs::remove_file(scene.pins().join("LAYOUT")).unwrap();
        let error = scene.try_start(100, &[("server", FastPathMode::Auto)]).err().expect("no marker");
        assert!(error.to_string().contains("there is no LAYOUT"), "{error}");
    });
}

#[test]
fn an_interface_that_comes_back_gets_the_program_again() {
    Scene::play("return", |scene| {
        let mut fast_path = scene.start(FastPathMode::Auto);
        assert_eq!(fast_path.check().unwrap(), []);
        scene.ip("link del server");
        let [gone] = &Pinned::open(&scene.agent).unwrap().unwrap().interfaces().unwrap()[..] else {
            panic!("one link is pinned")
        };
        assert_eq!((gone.attached, gone.problem.as_deref()), (false, Some("the interface is gone")));
        assert_eq!(fast_path.check().unwrap(), []);
        assert_eq!(fast_path.status()[0].problem.as_deref(), Some("there is no such interface"));

        scene.add_pair();
        assert_eq!(fast_path.check().unwrap(), [("server".to_owned(), index("server"))]);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
    });
}

#[test]
fn a_link_in_another_namespace_is_not_taken_for_ours() {
    Scene::play("moved", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let there = index("server");
        let other = Scene {
            agent: format!("{}-elsewhere", scene.agent),
            namespace: format!("{}-elsewhere", scene.namespace),
        };
        run(&format!("ip netns add {}", other.namespace));
        other.add_pair();
        enter(&other.namespace);
        assert_eq!(index("server"), there, "the test needs the same index in both");
        let interfaces = [("server".to_owned(), there, FastPathMode::Auto)];
        let stranger = FastPath::start(&other.agent, KernelLog::Off, 1, &interfaces).unwrap();
        assert!(stranger.status()[0].attached);
        let seen = Pinned::open(&scene.agent).unwrap().unwrap().interfaces().unwrap();
        assert_eq!(
            (seen[0].attached, seen[0].mode),
            (true, "unknown"),
            "attached where we cannot see: {seen:?}"
        );

        let mut fast_path = scene.start(FastPathMode::Auto);
        assert!(!fast_path.status()[0].attached, "the stranger's program is not ours");
        fastpath::detach(&other.agent).unwrap();
        assert_eq!(fast_path.check().unwrap(), [("server".to_owned(), there)]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
    });
}

#[test]
fn a_link_that_somebody_else_holds_open_ends_all_the_same() {
    Scene::play("held", |scene| {
        drop(scene.start(FastPathMode::Auto));
        let held = aya::programs::links::PinnedLink::from_pin(scene.pins().join("link-server")).unwrap();
        fastpath::detach(&scene.agent).unwrap();
        assert!(!run(&format!("ip -n {} link show server", scene.namespace)).contains("xdp"));
        drop(held);
    });
}

#[test]
fn a_pin_that_somebody_removed_is_put_back() {
    Scene::play("unpinned", |scene| {
        let mut fast_path = scene.start(FastPathMode::Auto);
        std::fs::remove_file(scene.pins().join("link-server")).unwrap();
        // The kernel ends the link some time later, and has room for a new one only then.
        let start = Instant::now();
        let mut put_back = fast_path.check().unwrap();
        while put_back.is_empty() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(20));
            put_back = fast_path.check().unwrap();
        }
        assert_eq!(put_back, [("server".to_owned(), index("server"))]);
        assert_eq!(fast_path.status(), [status("server", "generic")]);
        assert!(frames_are_counted(|| fast_path.counters().unwrap()));
    });
}

#[test]
fn vlan_tags_are_left_in_the_frame() {
    Scene::play("vlan", |scene| {
        let offload = || run(&format!("ip netns exec {} ethtool -k server", scene.namespace));
        assert!(offload().contains("rx-vlan-offload: on"));
        let _fast_path = scene.start(FastPathMode::Auto);
        assert!(offload().contains("rx-vlan-offload: off"));
    });
}

#[test]
fn wires_are_written_listed_and_removed() {
    Scene::play("servers", |scene| {
        let mut fast_path = scene.start(FastPathMode::Off);
        let (one, two) = (Server { generation: 1, ..Server::default() }, Server::default());
        let other = Wire { interface: 8, vlan: [0, 0] };
        fast_path.put_server(wire(), &one).unwrap();
        fast_path.put_server(other, &two).unwrap();
        let mut servers = fast_path.servers().unwrap();
        servers.sort_by_key(|(wire, _)| *wire);
        assert_eq!(servers, [(wire(), one), (other, two)]);
        assert!(fast_path.remove_server(other).unwrap());
        assert!(!fast_path.remove_server(other).unwrap());
        assert_eq!(fast_path.server(other).unwrap(), None);
    });
}
