//! The XDP program, loaded and run on frames one at a time (`BPF_PROG_TEST_RUN`): frame in, frame out.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues, RingBuf};
use aya::programs::{ProgramError, TestRun, TestRunOptions, TestRunResult, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, Pod};
use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::maps::{Budget, COVERS_LEASES, Event, Lease, LeaseKey, Server, Template, Wire};

use crate::scene::now;
use crate::{built, skip};

/// The device that frames are said to come from: loopback, which is everywhere.
pub const INTERFACE: u32 = 1;

/// `XDP_DROP`.
pub const DROP: u32 = 1;
/// `XDP_PASS`.
pub const PASS: u32 = 2;
/// `XDP_TX`.
pub const TX: u32 = 3;

/// Update in place under the value's lock.
const BPF_F_LOCK: u64 = 4;

/// A shared type as the maps take it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Raw<T>(pub T);

// SAFETY: used here for the types of `xdhcpd_common` alone: `repr(C)`, without padding, and good for
// any bytes.
unsafe impl<T: Copy + 'static> Pod for Raw<T> {}

/// The program with maps of its own, alone: programs that tests load at once would share what memory
/// may be locked, and times would be off.
pub struct Program {
    loaded: MutexGuard<'static, Option<Ebpf>>,
    /// Whether it is the one that tests use one after the other.
    is_shared: bool,
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The XDP action.
    pub action: u32,
    /// The frame as it left.
    pub frame: Vec<u8>,
}

/// The program's leases, as the agent has them.
pub struct Leases {
    map: HashMap<MapData, Raw<LeaseKey>, Raw<Lease>>,
    epoch: Array<MapData, u64>,
}

impl Leases {
    /// Puts a lease in, or changes it in place, as the agent does it.
    ///
    /// # Panics
    ///
    /// If a map does not take it; so do those below.
    pub fn set(&mut self, key: LeaseKey, lease: Lease) {
        self.set_all([(key, lease)]);
    }

    /// The same with many, one after the other.
    ///
    /// # Panics
    ///
    /// As above.
    pub fn set_all(&mut self, leases: impl IntoIterator<Item = (LeaseKey, Lease)>) {
        self.epoch.set(0, 0, 0).expect("the one element");
        for (key, lease) in leases {
            self.map.insert(Raw(key), Raw(lease), BPF_F_LOCK).expect("room in LEASES");
        }
        self.epoch.set(0, epoch(), 0).expect("the one element");
    }
}

/// What the agent leaves in `EPOCH` when all is as it is to be.
fn epoch() -> u64 {
    now() | COVERS_LEASES
}

/// The program that tests use one after the other, each with empty maps: the verifier takes most of
/// the time of a test, and seconds in a virtual machine.
static LOADED: Mutex<Option<Ebpf>> = Mutex::new(None);

/// Where `cargo xtask build-ebpf` puts the program.
pub fn object() -> PathBuf {
    built::target().join("ebpf/xdhcpd.o")
}

impl Program {
    /// Loads the program; `None`, and a line for the runner, where it cannot be.
    ///
    /// # Panics
    ///
    /// If the kernel refuses the program.
    pub fn load() -> Option<Self> {
        let test = skip::this_test();
        if !skip::is_root(&test) {
            return None;
        }
        if !object().exists() {
            skip::skipped(&test, "no target/ebpf/xdhcpd.o: cargo xtask build-ebpf builds it");
            return None;
        }
        let mut loaded = alone();
        if loaded.is_none() {
            *loaded = Some(load(|_| ()).expect("the kernel takes the program"));
        }
        let mut program = Self { loaded, is_shared: true };
        program.empty_maps();
        Some(program)
    }

    /// Loads the program with changes to how.
    ///
    /// # Errors
    ///
    /// What the loader or the verifier says.
    pub fn load_object<'a>(change: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Self> {
        let mut loaded = alone();
        // One at a time: see above.
        *loaded = None;
        *loaded = Some(load(change)?);
        Ok(Self { loaded, is_shared: false })
    }

    /// Makes every map as it is after loading.
    fn empty_maps(&mut self) {
        let mut leases: HashMap<_, Raw<LeaseKey>, Raw<Lease>> = self.map("LEASES");
        remove_all(&mut leases);
        self.set_epoch(0);
        let mut servers: HashMap<_, Raw<Wire>, Raw<Server>> = self.map("SERVERS");
        remove_all(&mut servers);
        let mut limits: HashMap<_, Raw<LeaseKey>, Raw<Budget>> = self.map("LIMITS");
        remove_all(&mut limits);
        let mut templates: Array<_, [u8; size_of::<Template>()]> = self.map("TEMPLATES");
        for index in 0..templates.len() {
            templates.set(index, [0; size_of::<Template>()], 0).expect("an index of TEMPLATES");
        }
        let mut counters: PerCpuArray<_, Raw<Counters>> = self.map("COUNTERS");
        let cpus = nr_cpus().expect("the number of CPUs");
        let zero = PerCpuValues::try_from(vec![Raw(Counters::default()); cpus]).expect("one for each CPU");
        counters.set(0, zero, 0).expect("the one element");
        self.events();
    }

    /// The loaded object.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        self.loaded.as_mut().expect("it is loaded")
    }

    /// Says that `SERVERS` and `LEASES` were changed, or (0) that they may be changed at any time.
    ///
    /// # Panics
    ///
    /// If the map does not take it.
    pub fn set_epoch(&mut self, epoch: u64) {
        let mut map: Array<_, u64> = self.map("EPOCH");
        map.set(0, epoch, 0).expect("the one element");
    }

    /// Serves a wire, as the agent does it.
    ///
    /// # Panics
    ///
    /// If the map does not take it; so do those below.
    pub fn serve(&mut self, wire: Wire, server: Server) {
        self.set_epoch(0);
        self.write_server(wire, server);
        self.set_epoch(epoch());
    }

    /// Serves a wire, and leaves the epoch as it is.
    ///
    /// # Panics
    ///
    /// As above.
    pub fn write_server(&mut self, wire: Wire, server: Server) {
        let mut map: HashMap<_, Raw<Wire>, Raw<Server>> = self.map("SERVERS");
        map.insert(Raw(wire), Raw(server), 0).expect("room in SERVERS");
    }

    /// Puts a template in order and in its place.
    pub fn set_template(&mut self, index: u32, template: Template) {
        let mut template = template;
        template.seal();
        let mut map: Array<_, Raw<Template>> = self.map("TEMPLATES");
        map.set(index, Raw(template), 0).expect("an index of TEMPLATES");
    }

    /// Puts a lease in, or changes it in place, as the agent does it.
    pub fn set_lease(&mut self, key: LeaseKey, lease: Lease) {
        self.leases().set(key, lease);
    }

    /// A lease as it stands.
    pub fn lease(&mut self, key: LeaseKey) -> Option<Lease> {
        let map: HashMap<_, Raw<LeaseKey>, Raw<Lease>> = self.map("LEASES");
        map.get(&Raw(key), BPF_F_LOCK).ok().map(|raw| raw.0)
    }

    /// A second handle on the leases, for another thread.
    pub fn leases(&mut self) -> Leases {
        Leases { map: again(self.ebpf(), "LEASES"), epoch: again(self.ebpf(), "EPOCH") }
    }

    /// All counters, summed over the CPUs.
    pub fn counters(&mut self) -> Counters {
        let map: PerCpuArray<_, Raw<Counters>> = self.map("COUNTERS");
        let all = map.get(&0, 0).expect("the one element");
        let mut sum = Counters::default();
        for Raw(one) in all.iter() {
            add(&mut sum, one);
        }
        sum
    }

    /// One counter.
    pub fn count(&mut self, counter: Counter) -> u64 {
        self.counters().get(counter)
    }

    /// Takes all events out of the ring buffer.
    pub fn events(&mut self) -> Vec<Event> {
        let mut ring: RingBuf<_> =
            RingBuf::try_from(self.ebpf().map_mut("EVENTS").expect("EVENTS")).expect("a ring");
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            assert_eq!(item.len(), size_of::<Event>(), "an event");
            // SAFETY: as long as an event, which is good for any bytes.
            events.push(unsafe { item.as_ptr().cast::<Event>().read_unaligned() });
        }
        events
    }

    fn map<'a, M>(&'a mut self, name: &str) -> M
    where
        M: TryFrom<&'a mut Map>,
        M::Error: std::fmt::Debug,
    {
        self.ebpf().map_mut(name).expect("a map of the program").try_into().expect("a map of this type")
    }

    /// Runs the program on a frame.
    ///
    /// # Panics
    ///
    /// If the kernel does not run it.
    pub fn run(&mut self, frame: &[u8]) -> Outcome {
        let mut out = vec![0; 4096];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::default() };
        let result = self.test_run(options).expect("a test run");
        out.truncate(result.data_size_out as usize);
        Outcome { action: result.return_value, frame: out }
    }

    /// [`Program::run`], on a frame that metadata stands before; gives both as they left. `None`, and a
    /// line for the runner, where the kernel has no metadata in test runs.
    ///
    /// # Panics
    ///
    /// If the kernel does not run it.
    pub fn run_after_metadata(&mut self, metadata: &[u8], frame: &[u8]) -> Option<Outcome> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let frame = [metadata, frame].concat();
        let [start, end] = [metadata.len(), frame.len()].map(|at| u32::try_from(at).expect("a frame"));
        let context = [start, end, 0, INTERFACE, 0, 0].map(u32::to_ne_bytes).concat();
        let mut out = vec![0; 4096];
        let ran = self.test_run(TestRunOptions {
            data_in: Some(&frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        });
        if matches!(&ran, Err(ProgramError::SyscallError(call)) if call.io_error.kind() == ErrorKind::InvalidInput)
        {
            skip::skipped(&skip::this_test(), "metadata in test runs needs Linux 5.15");
            return None;
        }
        let result = ran.expect("a test run");
        out.truncate(result.data_size_out as usize);
        Some(Outcome { action: result.return_value, frame: out })
    }

    /// Mean nanoseconds of a run on a frame that is not changed by it.
    ///
    /// # Panics
    ///
    /// If the kernel does not run it.
    pub fn time(&mut self, frame: &[u8], repeat: u32) -> u128 {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
        self.test_run(options).expect("a test run").duration.as_nanos()
    }

    /// Where nothing else is said, frames come from [`INTERFACE`].
    fn test_run(&mut self, options: TestRunOptions<'_>) -> Result<TestRunResult, ProgramError> {
        let program: &mut Xdp =
            self.ebpf().program_mut("xdhcpd").expect("the program").try_into().expect("an XDP program");
        program.test_run(options)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.is_shared {
            *self.loaded = None;
        }
    }
}

fn alone() -> MutexGuard<'static, Option<Ebpf>> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load<'a>(change: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    change(&mut loader);
    let mut ebpf = loader.load_file(object()).context("loading the object")?;
    let program: &mut Xdp = ebpf.program_mut("xdhcpd").context("the program's name")?.try_into()?;
    program.load().context("the verifier")?;
    Ok(ebpf)
}

/// A map of a loaded object, opened a second time.
fn again<M>(loaded: &mut Ebpf, name: &str) -> M
where
    M: TryFrom<Map>,
    M::Error: std::fmt::Debug,
{
    let (Map::HashMap(data) | Map::Array(data)) = loaded.map_mut(name).expect("a map of the program") else {
        panic!("{name} is a hash map or an array")
    };
    let data = MapData::from_id(data.info().expect("information on a map").id()).expect("a map by its id");
    Map::from_map_data(data).expect("a map").try_into().expect("a map of this type")
}

fn remove_all<K: Pod, V: Pod>(map: &mut HashMap<&mut MapData, K, V>) {
    let keys: Vec<K> = map.keys().map(|key| key.expect("a key")).collect();
    for key in keys {
        map.remove(&key).expect("a key that is there");
    }
}

fn add(sum: &mut Counters, one: &Counters) {
    const WORDS: usize = size_of::<Counters>() / 8;
    // SAFETY: the struct is nothing but words.
    let (sum, one) = unsafe {
        (
            &mut *std::ptr::from_mut(sum).cast::<[u64; WORDS]>(),
            &*std::ptr::from_ref(one).cast::<[u64; WORDS]>(),
        )
    };
    for (sum, one) in sum.iter_mut().zip(one) {
        *sum += one;
    }
}
