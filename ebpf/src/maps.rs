//! The maps, and the look-ups in them.
//!
//! All carry BTF, so `bpftool map dump` prints field names. Their layouts are `xdhcpd-common`'s; their
//! sizes are defaults that the loader may override.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use xdhcpd_common::counters::Counters;
use xdhcpd_common::gate::{Header, Link};
use xdhcpd_common::maps::{Budget, COVERS_LEASES, Lease, LeaseKey, Server, Template, Wire};
use xdhcpd_common::options::Echoes;
use xdhcpd_common::times::TICK;

use crate::clock::Clock;
use crate::echoes::Kept;
use crate::events::Woken;
use crate::plan::Plan;
use crate::words;

/// Entries are made as they come, not all of them at load.
const AS_THEY_COME: usize = BPF_F_NO_PREALLOC as usize;

/// Clients that are answered here.
#[btf_map]
pub(crate) static LEASES: HashMap<LeaseKey, Lease, 65_536, AS_THEY_COME> = HashMap::new();

/// What replies have in common.
#[btf_map]
pub(crate) static TEMPLATES: Array<Template, 1024> = Array::new();

/// Wires that are served.
#[btf_map]
pub(crate) static SERVERS: HashMap<Wire, Server, 512, AS_THEY_COME> = HashMap::new();

/// Another number for each change of `SERVERS`, and of `LEASES` if it says so ([`COVERS_LEASES`]); 0: one is being
/// made, or nobody keeps count. While it stays, what a CPU found there is what is there.
#[btf_map]
pub(crate) static EPOCH: Array<u64, 1> = Array::new();

/// What the agent must hear of: 1 MiB holds 18,000 renewals.
#[btf_map]
pub(crate) static EVENTS: RingBuf<(), 1_048_576> = RingBuf::new();

/// What was counted: here, and in the maps before this one.
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counters, 2> = PerCpuArray::new();

/// Budgets of what goes up; who was not heard of for longest is forgotten first.
#[btf_map]
pub(crate) static LIMITS: LruHashMap<LeaseKey, Budget, 65_536> = LruHashMap::new();

/// Memory for one run of the program: what its stages leave to each other, too much for a stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Scratch {
    /// Of what wire `request.server` says how it is served; kept from run to run.
    pub(crate) served: Served,
    /// A value on its way through [`xdhcpd_common::frame::Frame::forget`].
    pub(crate) forgotten: u64,
    /// The request.
    pub(crate) request: Request,
    /// The reply.
    pub(crate) plan: Plan,
    /// What the reply repeats of the request.
    pub(crate) kept: Kept,
    /// When the agent was woken; kept from run to run.
    pub(crate) woken: Woken,
    /// The time; kept from run to run.
    pub(crate) clock: Clock,
}

/// A look-up in `SERVERS` that need not be made again.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Served {
    /// When it was made, as `EPOCH` had it before; 0: there was none.
    epoch: u64,
    /// The wire.
    wire: u64,
}

/// A request, as far as stages have come with it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Boot time, up to [`TICK`] later than it is: as [`Clock::latest`] has it until it has to be right.
    pub(crate) now: u64,
    /// Its link layer.
    pub(crate) link: Link,
    /// How the wire is served.
    pub(crate) server: Server,
    /// Its fixed part, and facts.
    pub(crate) header: Header,
    /// Where the options are that a reply echoes.
    pub(crate) echoes: Echoes,
    /// The client.
    pub(crate) key: LeaseKey,
}

impl Request {
    /// When work on it began, or up to [`TICK`] earlier: what the agent reads as having been so by then.
    #[inline(always)]
    pub(crate) fn began(&self) -> u64 {
        self.now.wrapping_sub(TICK)
    }
}

/// One for each CPU, since a run is never interrupted by another.
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// This CPU's scratch memory.
#[inline(always)]
pub(crate) fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// How a wire is served.
#[inline(always)]
pub(crate) fn server(wire: &Wire) -> Option<&'static Server> {
    // SAFETY: elements of this map are freed no sooner than all programs that found them ended.
    unsafe { SERVERS.get(wire) }
}

/// Sees to it that `request.server` says how a wire is served; `None`: it is not.
#[inline(always)]
pub(crate) fn serve(scratch: &mut Scratch, wire: &Wire) -> Option<()> {
    let Scratch { served, request, .. } = scratch;
    let word = words::of_wire(*wire);
    // Read before the look-up: what changes after it has another number.
    let epoch = epoch()?;
    if epoch != 0 && served.epoch == epoch && served.wire == word {
        return Some(());
    }
    served.epoch = 0;
    request.server = *server(wire)?;
    *served = Served { epoch, wire: word };
    Some(())
}

#[inline(always)]
fn epoch() -> Option<u64> {
    // SAFETY: a word of a map, which others write as a whole.
    Some(unsafe { EPOCH.get_ptr(0)?.read_volatile() })
}

impl Served {
    /// Whether the agent has changed nothing since: what this run has read of a lease is whole, and as it is.
    #[inline(always)]
    pub(crate) fn still_holds(self) -> bool {
        self.epoch & COVERS_LEASES != 0 && epoch() == Some(self.epoch)
    }
}
