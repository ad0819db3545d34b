//! Pinned links: which interface one holds, and its end; and the maps of a pinned program. None of it
//! does aya offer, or not without rights that the agent has given up.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::error::FastPathError;
use super::pins;
use super::sys::{self, Command};

/// `BPF_LINK_TYPE_XDP`.
const LINK_TYPE_XDP: u32 = 6;

/// The part of `union bpf_attr` that `BPF_OBJ_GET` reads.
#[repr(C)]
struct ObjectGet {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` reads.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

/// The part of `union bpf_attr` that `BPF_LINK_DETACH` reads.
#[repr(C)]
struct Detach {
    link: u32,
}

/// The start of `struct bpf_link_info`, as it is for a link to an interface.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    program: u32,
    hole: u32,
    interface: u32,
    tail: u32,
}

/// A pinned link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// The index of its interface; 0: the interface is gone.
    pub interface: u32,
    /// The id of its program.
    pub program: u32,
}

/// The start of `struct bpf_prog_info`, up to what is asked for.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    code_lengths: [u32; 2],
    code: [u64; 2],
    load_time: u64,
    user: u32,
    map_count: u32,
    maps: u64,
}

/// More maps than the program has.
const MAPS: usize = 64;

/// The id of the program that is pinned there, if it has the map of this id.
pub(super) fn program_with(path: &Path, map: u32) -> io::Result<Option<u32>> {
    let program = match get(path) {
        Ok(program) => program,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut maps = [0_u32; MAPS];
    let mut info = ProgramInfo {
        map_count: u32::try_from(MAPS).unwrap_or_default(),
        maps: sys::address(maps.as_mut_ptr()),
        ..ProgramInfo::default()
    };
    let attributes = InfoByFd {
        fd: sys::number(program.as_fd()),
        length: sys::size(&info),
        info: sys::address(&raw mut info),
    };
    // SAFETY: as in `pinned`; and `info` itself names a buffer of as many numbers as it says.
    unsafe { sys::bpf(Command::ObjectInfo, &attributes)? };
    Ok(maps.contains(&map).then_some(info.id))
}

/// Looks at the link that is pinned there; none when nothing is.
pub(super) fn pinned(path: &Path) -> io::Result<Option<Link>> {
    let link = match get(path) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut info = Info::default();
    let attributes = InfoByFd {
        fd: sys::number(link.as_fd()),
        length: sys::size(&info),
        info: sys::address(&raw mut info),
    };
    // SAFETY: the attributes name an open descriptor and a buffer of the length they say, which
    // lives until the call is over; any bytes are valid for it.
    unsafe { sys::bpf(Command::ObjectInfo, &attributes)? };
    if info.kind != LINK_TYPE_XDP {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no link of an XDP program"));
    }
    Ok(Some(Link { interface: info.interface, program: info.program }))
}

/// Detaches the link that is pinned there and removes the pin; whether there was one.
///
/// Removing the pin alone would do as well, but some time later: the kernel leaves the end of a link
/// that nobody holds to a worker, and until then its interface is taken.
pub(super) fn remove(path: &Path) -> Result<bool, FastPathError> {
    if let Ok(link) = get(path) {
        let attributes = Detach { link: sys::number(link.as_fd()) };
        // SAFETY: the attributes hold no pointers.
        if let Err(error) = unsafe { sys::bpf(Command::LinkDetach, &attributes) } {
            tracing::debug!(path = %path.display(), %error, "the link ends with its pin");
        }
    }
    pins::remove(path)
}

/// Opens a pinned object.
fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectGet { path: sys::address(path.as_ptr()), fd: 0, flags: 0 };
    // SAFETY: the attributes hold a pointer to a C string that outlives the call.
    unsafe { sys::open(Command::ObjectGet, &attributes) }
}
