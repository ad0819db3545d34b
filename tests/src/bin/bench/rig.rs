//! The rig: the program with a network and clients in its maps, beside the bench's own programs.
//!
//! Frames that a run changes are written anew before the next by a program of the bench, which also
//! gives each to the next client in turn, and then runs the one under test by a tail call. What that
//! costs is measured with the reflector in the program's place.

#[path = "../../../../ebpf/bench/frame.rs"]
mod frame;

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, PerCpuArray, ProgramArray};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::frame::bootp;
use xdhcpd_common::maps::{Lease, LeaseKey, Server, Template, Wire};
use xdhcpd_tests::built;
use xdhcpd_tests::frames::FrameBuilder;
use xdhcpd_tests::netns::NetNs;
use xdhcpd_tests::program::{INTERFACE, Program};

use self::frame::{Frame, WORDS};
use crate::part::median;

/// Runs without a look at the ring of events, which must not fill up: it holds 18,000.
const CHUNK: u32 = 10_000;

/// Frames that are sent off before the receiver gets its turn: a veth's queue holds 256.
const BATCH: u32 = 32;

/// Places in what the bench's programs saw.
pub mod seen {
    /// OFFERs.
    pub const OFFER: usize = 0;
    /// ACKs.
    pub const ACK: usize = 1;
    /// Requests, as they were sent.
    pub const REQUEST: usize = 2;
}

/// The programs of the bench.
const PROGRAMS: [&str; 5] = ["reflect", "nothing", "restore", "inject", "receive"];

/// What runs on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The program.
    Ours,
    /// One that swaps addresses and counts.
    Reflector,
    /// One that does nothing.
    Nothing,
}

/// The frames of a measurement.
pub struct Load {
    /// The first client's.
    pub frame: FrameBuilder,
    /// How many clients there are in turn: a power of two.
    pub clients: u32,
    /// Whether they come in no order.
    pub shuffled: bool,
}

/// [`Frame`] as a map takes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Raw(Frame);

// SAFETY: numbers alone, without padding.
unsafe impl Pod for Raw {}

/// The programs, loaded.
pub struct Rig {
    program: Program,
    bench: Ebpf,
    wire: Wire,
    clients: u32,
    // A run of a program that no interface has begins and ends with waits of milliseconds, in which the
    // kernel makes a direct call of it.
    _interfaces: NetNs,
}

impl Rig {
    /// Loads the programs, with so many clients that have `lease`.
    pub fn new(
        interface: u32,
        clients: u32,
        server: Server,
        template: &Template,
        lease: Lease,
    ) -> Result<Self> {
        let mut program = Program::load_object(|loader| {
            loader.map_max_entries("LEASES", clients.max(1024));
        })?;
        program.set_template(0, *template);
        let mut bench = EbpfLoader::new().load_file(built::target().join("ebpf/bench.o"))?;
        for name in PROGRAMS {
            xdp(&mut bench, name)?.load()?;
        }
        let interfaces = NetNs::new("bench")?;
        interfaces.ip("link add x0 type veth peer name x1")?;
        interfaces.ip("link add x2 type veth peer name x3")?;
        interfaces.ip("link add x4 type veth peer name x5")?;
        put_on(&interfaces, "x0", "xdpgeneric", xdp(program.ebpf(), "xdhcpd")?)?;
        put_on(&interfaces, "x1", "xdpgeneric", xdp(&mut bench, "reflect")?)?;
        put_on(&interfaces, "x2", "xdpgeneric", xdp(&mut bench, "restore")?)?;
        put_on(&interfaces, "x3", "xdpgeneric", xdp(&mut bench, "nothing")?)?;
        put_on(&interfaces, "x4", "xdpgeneric", xdp(&mut bench, "inject")?)?;
        let wire = Wire { interface, vlan: [0; 2] };
        let mut rig = Self { program, bench, wire, clients, _interfaces: interfaces };
        rig.serve(server);
        rig.set_all(lease);
        Ok(rig)
    }

    /// Says how the wire is served.
    pub fn serve(&mut self, server: Server) {
        self.program.serve(self.wire, server);
    }

    /// Gives every client this lease.
    pub fn set_all(&mut self, lease: Lease) {
        let mut leases = self.program.leases();
        leases.set_all((0..self.clients).map(|number| (key(self.wire, number), lease)));
    }

    /// Whether the kernel times each run on somebody's behalf (`BPF_ENABLE_STATS`), which takes as long as
    /// the reflector or longer.
    pub fn is_watched(&mut self) -> Result<bool> {
        Ok(xdp(&mut self.bench, "reflect")?.info()?.run_count() != 0)
    }

    /// The counters of the program.
    pub fn counters(&mut self) -> Counters {
        self.program.counters()
    }

    /// The program.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Nanoseconds of a run on a frame that stays as it is.
    pub fn plain(&mut self, target: Target, frame: &[u8], chunks: usize) -> Result<f64> {
        let program = self.target(target)?;
        let each = (0..chunks).map(|_| run(program, frame)).collect::<Result<Vec<f64>>>()?;
        Ok(median(&each))
    }

    /// Nanoseconds of a run on frames that are written anew before each, with what that takes.
    pub fn restored(&mut self, target: Target, load: &Load, chunks: usize) -> Result<f64> {
        let frame = self.set_load(load)?;
        self.aim(target)?;
        let mut each = Vec::with_capacity(chunks);
        for _ in 0..chunks {
            each.push(run(xdp(&mut self.bench, "restore")?, &frame)?);
            self.program.events();
        }
        Ok(median(&each))
    }

    /// Runs on one frame after another; an error unless `counter` counted each.
    pub fn counted(&mut self, load: &Load, chunks: usize, counter: Counter) -> Result<f64> {
        let repeat = u64::try_from(chunks)? * u64::from(CHUNK);
        let before = self.program.counters();
        let took = self.restored(Target::Ours, load, chunks)?;
        let after = self.program.counters();
        let count = after.get(counter) - before.get(counter);
        if count != repeat {
            let others: Vec<String> = Counter::ALL
                .iter()
                .map(|counter| (counter.name(), after.get(*counter) - before.get(*counter)))
                .filter(|(_, count)| *count != 0)
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            bail!("of {repeat} frames {count} were counted as {}: {}", counter.name(), others.join(", "));
        }
        Ok(took)
    }

    /// Puts frames into the map of the bench's programs; gives the first.
    pub fn set_load(&mut self, load: &Load) -> Result<Vec<u8>> {
        ensure!(load.clients.is_power_of_two(), "{} clients are no power of two", load.clients);
        let frame = load.frame.build();
        ensure!(frame.len() <= WORDS * 8, "the frame is longer than {WORDS} words");
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(frame.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        let last = frame.last_chunk().context("a frame of eight bytes")?;
        let value = Frame {
            last: u64::from_ne_bytes(*last),
            length: u32::try_from(frame.len())?,
            chaddr: u32::try_from(load.frame.link_length() + bootp::CHADDR)?,
            clients: load.clients - 1,
            // The golden ratio: neighbours are far from each other.
            step: if load.shuffled { 0x9e37_79b1 } else { 1 },
            words,
        };
        let map = self.bench.map_mut("FRAME").context("the map FRAME")?;
        Array::<_, Raw>::try_from(map)?.set(0, Raw(value), 0)?;
        Ok(frame)
    }

    fn target(&mut self, target: Target) -> Result<&mut Xdp> {
        match target {
            Target::Ours => xdp(self.program.ebpf(), "xdhcpd"),
            Target::Reflector => xdp(&mut self.bench, "reflect"),
            Target::Nothing => xdp(&mut self.bench, "nothing"),
        }
    }

    /// Puts a program on an interface, in the place of another.
    pub fn attach(&mut self, namespace: &NetNs, interface: &str, mode: &str, target: Target) -> Result<()> {
        for mode in ["xdpdrv", "xdpgeneric"] {
            namespace.ip(&format!("link set dev {interface} {mode} off"))?;
        }
        put_on(namespace, interface, mode, self.target(target)?)
    }

    /// Counts what comes in by an interface.
    pub fn receive_at(&mut self, namespace: &NetNs, interface: &str) -> Result<()> {
        put_on(namespace, interface, "xdpdrv", xdp(&mut self.bench, "receive")?)
    }

    /// Sends so many frames off by an interface.
    pub fn inject(&mut self, namespace: &NetNs, interface: &str, load: &Load, frames: u32) -> Result<()> {
        let frame = self.set_load(load)?;
        let program = xdp(&mut self.bench, "inject")?;
        let name = std::ffi::CString::new(interface)?;
        namespace.inside(|| {
            let context = context(crate::live::index(&name), &frame)?;
            program.test_run(TestRunOptions {
                data_in: Some(&frame),
                ctx_in: Some(&context),
                repeat: frames,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::default()
            })?;
            Ok(())
        })?
    }

    /// Says what `restore` runs.
    fn aim(&mut self, target: Target) -> Result<()> {
        let program = self.target(target)?;
        let program = program.fd()?.try_clone()?;
        let map = self.bench.map_mut("TARGET").context("the map TARGET")?;
        ProgramArray::try_from(map)?.set(0, &program, 0)?;
        Ok(())
    }

    /// What the bench's programs saw, by kind.
    pub fn seen(&mut self) -> Result<[u64; 4]> {
        let map = self.bench.map_mut("SEEN").context("the map SEEN")?;
        let all = PerCpuArray::<_, [u64; 4]>::try_from(map)?.get(&0, 0)?;
        let mut sum = [0; 4];
        for one in all.iter() {
            for (sum, one) in sum.iter_mut().zip(one) {
                *sum += one;
            }
        }
        Ok(sum)
    }
}

/// The key of the client with this number.
fn key(wire: Wire, number: u32) -> LeaseKey {
    let [a, b, c, d] = number.to_be_bytes();
    LeaseKey { wire, mac: [2, 0, a, b, c, d], zero: [0; 2] }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("the program {name}"))?.try_into()?)
}

/// Runs a program on a frame [`CHUNK`] times; nanoseconds of one.
fn run(program: &Xdp, frame: &[u8]) -> Result<f64> {
    let context = context(INTERFACE, frame)?;
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        repeat: CHUNK,
        ..TestRunOptions::default()
    };
    let began = Instant::now();
    program.test_run(options)?;
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(CHUNK))
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
fn context(interface: u32, frame: &[u8]) -> Result<Vec<u8>> {
    let words = [0, u32::try_from(frame.len())?, 0, interface, 0, 0];
    Ok(words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect())
}

/// Attaches a program to an interface, as `ip` does it: `xdpgeneric`, or `xdpdrv` for native.
fn put_on(namespace: &NetNs, interface: &str, mode: &str, program: &mut Xdp) -> Result<()> {
    let pin = format!("/sys/fs/bpf/{}", namespace.name());
    program.pin(&pin)?;
    let done = namespace.ip(&format!("link set dev {interface} {mode} pinned {pin}"));
    std::fs::remove_file(&pin)?;
    done.map(|_| ())
}

/// Runs `work` on one processor, on which nothing else runs meanwhile.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    schedule(libc::SCHED_FIFO, 1);
    let done = work();
    schedule(libc::SCHED_OTHER, 0);
    done
}

/// Where it is refused, figures vary more.
fn schedule(policy: i32, sched_priority: i32) {
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: of this thread, with parameters that live as long as the call.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
}

/// Keeps this thread, and those that it starts, on one processor, where all else goes first: who sends must not
/// go on while the kernel's own thread waits to take what was sent, or queues overflow.
pub fn stay() {
    schedule(libc::SCHED_IDLE, 0);
    // SAFETY: a set of this size, all zero, is one without processors.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is this thread's own, and lives as long as the call.
    unsafe {
        libc::CPU_SET(0, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
    }
}
