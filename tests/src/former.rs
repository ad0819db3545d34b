//! Another version's program and maps, in the place of those that an agent left: what an upgrade or a
//! downgrade finds.
//!
//! The other version is this one with values in `LEASES` that are eight bytes longer. The same code
//! runs on those, so it takes no second build: the program's BTF alone says how long they are.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::Xdp;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::{Ebpf, EbpfLoader};
use xdhcpd_common::counters::{Counter, Counters};
use xdhcpd_common::maps::{CARRIED_COUNTERS, Lease, LeaseKey, PROGRAM_COUNTERS, Server, Template, Wire};

use crate::program::{self, Raw};

/// The number of an earlier version's layout: the agent's debug builds know it.
pub const EARLIER: u32 = 0;

/// The number of a later version's layout.
pub const LATER: u32 = 99;

/// What a value of `LEASES` has more.
const MORE: u32 = 8;

/// Under the value's lock (`BPF_F_LOCK`).
const LOCK: u64 = 4;

/// A value of `LEASES` in the other version.
type Longer = [u8; size_of::<Lease>() + MORE as usize];

/// Every map, by its name in the object and in the folder of pins.
const MAPS: [&str; 7] = ["LEASES", "TEMPLATES", "SERVERS", "EPOCH", "EVENTS", "COUNTERS", "LIMITS"];

/// Gives an agent that has ended another version's program and maps, of this layout, which say what its
/// own did. The link stays: there is no moment without a program.
pub fn take_over(pins: &Path, layout: u32) -> Result<()> {
    let object = with_longer_leases(fs::read(program::object())?)?;
    let mut ebpf = EbpfLoader::new().load(&object).context("the object with longer leases")?;
    copy_maps(pins, &mut ebpf)?;
    let program: &mut Xdp = ebpf.program_mut("xdhcpd").context("the program")?.try_into()?;
    program.load()?;
    for entry in fs::read_dir(pins)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link-")) {
            let link = XdpLink::try_from(FdLink::from(PinnedLink::from_pin(&path)?))?;
            let id = program.attach_to_link(link)?;
            drop(program.take_link(id)?);
        }
    }
    fs::remove_file(pins.join("program"))?;
    program.pin(pins.join("program"))?;
    for name in MAPS {
        let map = ebpf.take_map(name).with_context(|| format!("the map {name}"))?;
        fs::remove_file(pins.join(name))?;
        map.pin(pins.join(name))?;
    }
    fs::remove_file(pins.join("LAYOUT"))?;
    let mut marker = Array::<MapData, u32>::create(1, 0)?;
    marker.set(0, layout, 0)?;
    Ok(marker.pin(pins.join("LAYOUT"))?)
}

/// Writes an entry into a pinned map of leases, of this version or the other.
pub fn put_lease(pin: &Path, key: LeaseKey, lease: &Lease) -> Result<()> {
    let map = Map::from_map_data(MapData::from_pin(pin)?)?;
    match HashMap::<_, Raw<LeaseKey>, Raw<Lease>>::try_from(map) {
        Ok(mut ours) => ours.insert(Raw(key), Raw(*lease), LOCK)?,
        Err(_longer) => {
            let map = Map::from_map_data(MapData::from_pin(pin)?)?;
            let mut longer: HashMap<_, Raw<LeaseKey>, Longer> = map.try_into()?;
            longer.insert(Raw(key), lengthen(*lease), LOCK)?;
        }
    }
    Ok(())
}

/// How many frames a pinned map of counters says were not DHCP, of either version.
pub fn not_dhcp(pin: &Path) -> Result<u64> {
    let map = Map::from_map_data(MapData::from_pin(pin)?)?;
    let counters: PerCpuArray<_, Raw<Counters>> = map.try_into()?;
    let mut sum = 0;
    for index in [PROGRAM_COUNTERS, CARRIED_COUNTERS] {
        sum += counters.get(&index, 0)?.iter().map(|Raw(each)| each.get(Counter::NotDhcp)).sum::<u64>();
    }
    Ok(sum)
}

/// The value that a lease has in the other version.
fn lengthen(lease: Lease) -> Longer {
    // SAFETY: a lease is `repr(C)` without padding: bytes, all of them set.
    let bytes: [u8; size_of::<Lease>()] = unsafe { std::mem::transmute(lease) };
    let mut longer = [0xee; size_of::<Longer>()];
    longer[..bytes.len()].copy_from_slice(&bytes);
    longer
}

/// Copies what the pinned maps say into those of the other version.
fn copy_maps(pins: &Path, ebpf: &mut Ebpf) -> Result<()> {
    let leases: HashMap<_, Raw<LeaseKey>, Raw<Lease>> = pinned(pins, "LEASES")?.try_into()?;
    let mut longer: HashMap<_, Raw<LeaseKey>, Longer> = map(ebpf, "LEASES")?.try_into()?;
    for entry in &leases {
        let (key, Raw(lease)) = entry?;
        longer.insert(key, lengthen(lease), 0)?;
    }
    let servers: HashMap<_, Raw<Wire>, Raw<Server>> = pinned(pins, "SERVERS")?.try_into()?;
    let mut others: HashMap<_, Raw<Wire>, Raw<Server>> = map(ebpf, "SERVERS")?.try_into()?;
    for entry in &servers {
        let (wire, server) = entry?;
        others.insert(wire, server, 0)?;
    }
    let templates: Array<_, Raw<Template>> = pinned(pins, "TEMPLATES")?.try_into()?;
    let mut others: Array<_, Raw<Template>> = map(ebpf, "TEMPLATES")?.try_into()?;
    for index in 0..templates.len() {
        others.set(index, templates.get(&index, 0)?, 0)?;
    }
    let counters: PerCpuArray<_, Raw<Counters>> = pinned(pins, "COUNTERS")?.try_into()?;
    let mut others: PerCpuArray<_, Raw<Counters>> = map(ebpf, "COUNTERS")?.try_into()?;
    // What that version had itself carried over as well.
    for index in [PROGRAM_COUNTERS, CARRIED_COUNTERS] {
        others.set(index, counters.get(&index, 0)?, 0)?;
    }
    Ok(())
}

fn pinned(pins: &Path, name: &str) -> Result<Map> {
    Ok(Map::from_map_data(MapData::from_pin(pins.join(name))?)?)
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map> {
    ebpf.map_mut(name).with_context(|| format!("the map {name}"))
}

/// The object, with a `Lease` in its BTF that has more bytes at its end.
fn with_longer_leases(mut object: Vec<u8>) -> Result<Vec<u8>> {
    const HEADER: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    const STRUCT: u32 = 4;
    let start = object.windows(HEADER.len()).position(|bytes| bytes == HEADER).context("no BTF")?;
    let word = |object: &[u8], at: usize| -> Result<u32> {
        Ok(u32::from_le_bytes(object.get(at..at + 4).context("BTF is cut short")?.try_into()?))
    };
    let section = |object: &[u8], field: usize| -> Result<usize> {
        Ok(start + HEADER.len() + 16 + word(object, start + field)? as usize)
    };
    let (types, strings) = (section(&object, 8)?, section(&object, 16)?);
    let end = types + word(&object, start + 12)? as usize;
    let mut at = types;
    while at < end {
        let (name, info) = (strings + word(&object, at)? as usize, word(&object, at + 4)?);
        let (kind, count) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
        if kind == STRUCT && object.get(name..).is_some_and(|rest| rest.starts_with(b"Lease\0")) {
            let size = word(&object, at + 8)?;
            ensure!(size as usize == size_of::<Lease>(), "{size} bytes of a lease");
            object[at + 8..at + 12].copy_from_slice(&(size + MORE).to_le_bytes());
            return Ok(object);
        }
        at += 12 + tail(kind, count);
    }
    anyhow::bail!("no Lease in the BTF")
}

/// How many bytes follow the description of a type of this kind, with so many members.
fn tail(kind: u32, count: usize) -> usize {
    match kind {
        // Integers, variables, tags of declarations.
        1 | 14 | 17 => 4,
        3 => 12,
        // Structs, unions, sections, enums of 64 bits.
        4 | 5 | 15 | 19 => 12 * count,
        // Enums, prototypes.
        6 | 13 => 8 * count,
        _ => 0,
    }
}
