//! The namespace that a test of the fast path plays in, and what it puts into the maps.

use std::fs::File;
use std::net::UdpSocket;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use xdhcpd::config::{FastPathMode, KernelLog};
use xdhcpd::fastpath::{self, FastPath, FastPathError, InterfaceStatus, Program, Strangers};
use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::maps::{Lease, LeaseKey, LeaseState, TEMPLATE_OPTIONS, Template, Wire};
use xdhcpd_tests::skip::{is_root, skipped, this_test};
use xdhcpd_tests::wait::SOON;

/// A namespace with a veth pair, and the name of an agent that works in it.
pub struct Scene {
    pub agent: String,
    pub namespace: String,
}

/// What the agent and its loader have between them.
pub struct Both {
    pub maps: FastPath,
    pub program: Program,
}

impl Both {
    /// Starts both for the agent of this name, as it and its loader do.
    pub fn start(
        agent: &str,
        log: KernelLog,
        addresses: u32,
        interfaces: &[(&str, FastPathMode)],
    ) -> Result<Self, FastPathError> {
        let mut maps = FastPath::open(agent, addresses)?;
        let program = load(agent, log, interfaces)?;
        maps.end_move()?;
        Ok(Self { maps, program })
    }

    pub fn status(&self) -> Vec<InterfaceStatus> {
        self.program.status()
    }

    pub fn check(&mut self) -> Result<Vec<String>, FastPathError> {
        self.program.check()
    }
}

/// Loads the program and attaches it, as the loader does.
pub fn load(
    agent: &str,
    log: KernelLog,
    interfaces: &[(&str, FastPathMode)],
) -> Result<Program, FastPathError> {
    let interfaces: Vec<_> = interfaces.iter().map(|(name, mode)| ((*name).to_owned(), *mode)).collect();
    Program::load(agent, log, &interfaces, Strangers::default())
}

impl Deref for Both {
    type Target = FastPath;

    fn deref(&self) -> &FastPath {
        &self.maps
    }
}

impl DerefMut for Both {
    fn deref_mut(&mut self) -> &mut FastPath {
        &mut self.maps
    }
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
    pub fn play(name: &str, test: impl FnOnce(&Self) + Send) {
        let this = this_test();
        if !is_root(&this) {
            return;
        }
        if !fastpath::is_built() {
            return skipped(
                &this,
                "needs the XDP program: `cargo xtask build-ebpf` before the tests are built",
            );
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

    pub fn add_pair(&self) {
        self.ip("link add server type veth peer name client");
        self.ip("link set server up");
        self.ip("link set client up");
        self.ip("addr add 10.9.0.2/24 dev client");
    }

    pub fn ip(&self, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.namespace));
    }

    pub fn other_agent(&self) -> String {
        format!("{}-other", self.agent)
    }

    /// Starts the agent's fast path with this mode on `server`.
    pub fn start(&self, mode: FastPathMode) -> Both {
        self.start_for(100, mode)
    }

    pub fn start_for(&self, addresses: u32, mode: FastPathMode) -> Both {
        self.try_start(addresses, &[("server", mode)]).expect("the fast path starts")
    }

    pub fn try_start(
        &self,
        addresses: u32,
        interfaces: &[(&str, FastPathMode)],
    ) -> Result<Both, FastPathError> {
        Both::start(&self.agent, KernelLog::Off, addresses, interfaces)
    }

    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/xdhcpd").join(self.agent.replace('.', "_"))
    }

    /// What bpftool says of the pinned link of `server`.
    pub fn link(&self) -> serde_json::Value {
        bpftool(&format!("link show pinned {}/link-server", self.pins().display()))
    }
}

/// Takes this thread into a namespace.
pub fn enter(namespace: &str) {
    let namespace = File::open(Path::new("/run/netns").join(namespace)).expect("the namespace was made");
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may enter a namespace");
}

pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn bpftool(arguments: &str) -> serde_json::Value {
    serde_json::from_str(&run(&format!("bpftool -j {arguments}"))).unwrap()
}

/// The index of an interface in the namespace of this thread; 0: there is none.
pub fn index(name: &str) -> u32 {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    rustix::net::netdevice::name_to_index(&socket, name).unwrap_or(0)
}

/// Sends one frame from `client` to `server`.
pub fn send_frame() {
    let socket = UdpSocket::bind("10.9.0.2:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"hello", "10.9.0.255:9").unwrap();
}

pub fn passed(counters: &Counters) -> u64 {
    counters.get(Counter::NotDhcp)
}

/// Sends frames until they are counted: what was sent has been seen by then.
pub fn frames_are_counted(counters: impl Fn() -> Counters) -> bool {
    let before = passed(&counters());
    let start = Instant::now();
    while start.elapsed() < SOON {
        send_frame();
        thread::sleep(Duration::from_millis(5));
        if passed(&counters()) > before {
            return true;
        }
    }
    false
}

/// Whether a descriptor becomes readable within this time.
pub fn becomes_readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

pub fn wire() -> Wire {
    Wire { interface: 7, vlan: [10, 0] }
}

pub fn key(n: u32) -> LeaseKey {
    let mut mac = [2, 0, 0, 0, 0, 0];
    mac[2..].copy_from_slice(&n.to_be_bytes());
    LeaseKey { wire: wire(), mac, zero: [0; 2] }
}

pub fn lease(n: u32) -> Lease {
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

pub fn template(byte: u8) -> Template {
    // SAFETY: a template is valid whatever its bytes.
    let mut template: Template = unsafe { std::mem::zeroed() };
    template.server = [10, 9, 0, 1];
    template.options = [byte; TEMPLATE_OPTIONS];
    template
}

pub fn status(name: &str, mode: &'static str) -> InterfaceStatus {
    InterfaceStatus { name: name.to_owned(), mode, attached: mode != "off", problem: None }
}
