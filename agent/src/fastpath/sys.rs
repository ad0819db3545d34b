//! bpf(2), for what aya has no way to ask: the least that is needed.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// A command of bpf(2).
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Command {
    /// `BPF_MAP_CREATE`: gives a descriptor.
    MapCreate = 0,
    /// `BPF_MAP_LOOKUP_ELEM`.
    MapLookup = 1,
    /// `BPF_MAP_UPDATE_ELEM`.
    MapUpdate = 2,
    /// `BPF_OBJ_GET`: gives a descriptor.
    ObjectGet = 7,
    /// `BPF_OBJ_GET_INFO_BY_FD`.
    ObjectInfo = 15,
    /// `BPF_MAP_LOOKUP_BATCH`.
    MapLookupBatch = 24,
    /// `BPF_LINK_DETACH`.
    LinkDetach = 34,
}

/// The part of `union bpf_attr` that commands on one element of a map read.
#[repr(C)]
pub(super) struct Element {
    pub map: u32,
    pub hole: u32,
    pub key: u64,
    pub value: u64,
    pub flags: u64,
}

/// Runs a command.
///
/// # Safety
///
/// The attributes are what the command reads, and the pointers in them are good for it.
pub(super) unsafe fn bpf<T>(command: Command, attributes: &T) -> io::Result<i32> {
    // SAFETY: the length is that of the attributes; the rest is the caller's promise.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command as i32, &raw const *attributes, size(attributes)) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(answer).map_err(io::Error::other)
}

/// Runs a command that gives a descriptor.
///
/// # Safety
///
/// As for [`bpf`], and the command is one that gives a descriptor.
pub(super) unsafe fn open<T>(command: Command, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attributes)? };
    // SAFETY: the kernel has just opened this descriptor for us, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor, as attributes have it.
pub(super) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// The address of a value, as attributes have it.
pub(super) fn address<T>(value: *const T) -> u64 {
    value.expose_provenance() as u64
}

/// The size of a small struct, as the kernel takes it.
pub(super) fn size<T>(value: &T) -> u32 {
    u32::try_from(size_of_val(value)).unwrap_or(u32::MAX)
}
