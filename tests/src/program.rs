//! The XDP program, loaded and run on frames one at a time (`BPF_PROG_TEST_RUN`): frame in, frame out.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::maps::{Event, Lease, LeaseKey, Server, Template, Wire};

use crate::skip;

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
struct Raw<T>(T);

// SAFETY: used here for the types of `xdhcpd_common` alone: `repr(C)`, without padding, and good for
// any bytes.
unsafe impl<T: Copy + 'static> Pod for Raw<T> {}

/// The program with maps of its own.
pub struct Program {
    ebpf: Ebpf,
    interface: u32,
    // Programs that tests load at once would share what memory may be locked; and times would be off.
    _alone: MutexGuard<'static, ()>,
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
pub struct Leases(HashMap<MapData, Raw<LeaseKey>, Raw<Lease>>);

impl Leases {
    /// Puts a lease in, or changes it in place.
    ///
    /// # Panics
    ///
    /// If the map does not take it.
    pub fn set(&mut self, key: LeaseKey, lease: Lease) {
        self.0.insert(Raw(key), Raw(lease), BPF_F_LOCK).expect("room in LEASES");
    }
}

static ALONE: Mutex<()> = Mutex::new(());

/// Where `cargo xtask build-ebpf` puts the program.
pub fn object() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/ebpf/xdhcpd.o")
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
        Some(Self::load_object(|_| ()).expect("the kernel takes the program"))
    }

    /// Loads the program with changes to how.
    ///
    /// # Errors
    ///
    /// What the loader or the verifier says.
    pub fn load_object<'a>(change: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Self> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loader = EbpfLoader::new();
        change(&mut loader);
        let mut ebpf = loader.load_file(object()).context("loading the object")?;
        let program: &mut Xdp = ebpf.program_mut("xdhcpd").context("the program's name")?.try_into()?;
        program.load().context("the verifier")?;
        Ok(Self { ebpf, interface: INTERFACE, _alone: alone })
    }

    /// Says that frames come from another interface.
    pub fn set_interface(&mut self, interface: u32) {
        self.interface = interface;
    }

    /// The loaded object.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Serves a wire.
    ///
    /// # Panics
    ///
    /// If the map does not take it; so do those below.
    pub fn serve(&mut self, wire: Wire, server: Server) {
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

    /// Puts a lease in, or changes it in place.
    pub fn set_lease(&mut self, key: LeaseKey, lease: Lease) {
        let mut map: HashMap<_, Raw<LeaseKey>, Raw<Lease>> = self.map("LEASES");
        map.insert(Raw(key), Raw(lease), BPF_F_LOCK).expect("room in LEASES");
    }

    /// A lease as it stands.
    pub fn lease(&mut self, key: LeaseKey) -> Option<Lease> {
        let map: HashMap<_, Raw<LeaseKey>, Raw<Lease>> = self.map("LEASES");
        map.get(&Raw(key), BPF_F_LOCK).ok().map(|raw| raw.0)
    }

    /// A second handle on the leases, for another thread.
    pub fn leases(&mut self) -> Leases {
        let map = self.ebpf.map_mut("LEASES").expect("LEASES");
        let Map::HashMap(data) = map else { panic!("LEASES is a hash map") };
        let data = MapData::from_id(data.info().expect("information on LEASES").id()).expect("LEASES by id");
        Leases(Map::HashMap(data).try_into().expect("a map of leases"))
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
            RingBuf::try_from(self.ebpf.map_mut("EVENTS").expect("EVENTS")).expect("a ring");
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
        self.ebpf.map_mut(name).expect("a map of the program").try_into().expect("a map of this type")
    }

    /// Runs the program on a frame.
    ///
    /// # Panics
    ///
    /// If the kernel does not run it.
    pub fn run(&mut self, frame: &[u8]) -> Outcome {
        let mut out = vec![0; 4096];
        let result = self.test_run(frame, 0, Some(&mut out), 1);
        out.truncate(result.data_size_out as usize);
        Outcome { action: result.return_value, frame: out }
    }

    /// [`Program::run`], on a frame that metadata stands before; gives both as they left.
    ///
    /// # Panics
    ///
    /// If the kernel does not run it.
    pub fn run_after_metadata(&mut self, metadata: &[u8], frame: &[u8]) -> Outcome {
        let mut out = vec![0; 4096];
        let length = u32::try_from(metadata.len()).expect("a few words");
        let result = self.test_run(&[metadata, frame].concat(), length, Some(&mut out), 1);
        out.truncate(result.data_size_out as usize);
        Outcome { action: result.return_value, frame: out }
    }

    /// Mean nanoseconds of a run on a frame that is not changed by it.
    pub fn time(&mut self, frame: &[u8], repeat: u32) -> u128 {
        self.test_run(frame, 0, None, repeat).duration.as_nanos()
    }

    fn test_run(
        &mut self,
        frame: &[u8],
        metadata: u32,
        out: Option<&mut [u8]>,
        repeat: u32,
    ) -> aya::programs::TestRunResult {
        let length = u32::try_from(frame.len()).expect("a frame");
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let context: Vec<u8> = [metadata, length, 0, self.interface, 0, 0]
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        let program: &mut Xdp =
            self.ebpf.program_mut("xdhcpd").expect("the program").try_into().expect("an XDP program");
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: out,
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
        program.test_run(options).expect("a test run")
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
