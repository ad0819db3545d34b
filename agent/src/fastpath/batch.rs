//! Reading a hash map whole, thousands of entries in one system call.
//!
//! Keys and values are bytes here, because a map of an older version has others than ours.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;

use super::sys::{self, Command};

/// Entries in one system call. A bucket that holds more could not be read; it is a hash table.
const AT_ONCE: u32 = 4096;

/// The part of `union bpf_attr` that `BPF_MAP_LOOKUP_BATCH` reads.
#[repr(C)]
struct Lookup {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    /// Room on the way in; what was found, on the way out.
    count: Cell<u32>,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Hands out every entry that is in the map all the while, once. What is added or removed meanwhile may
/// come or not.
pub(super) fn entries(
    map: BorrowedFd<'_>,
    (key_size, value_size): (usize, usize),
    element_flags: u64,
    mut each: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    let room = |size: usize| vec![0_u8; size.saturating_mul(AT_ONCE as usize)];
    let (mut keys, mut values) = (room(key_size), room(value_size));
    let (mut from, mut to) = (0_u32, 0_u32);
    let mut is_first = true;
    loop {
        let attributes = Lookup {
            from: if is_first { 0 } else { sys::address(&raw const from) },
            to: sys::address(&raw mut to),
            keys: sys::address(keys.as_mut_ptr()),
            values: sys::address(values.as_mut_ptr()),
            count: Cell::new(AT_ONCE),
            map: sys::number(map),
            element_flags,
            flags: 0,
        };
        // SAFETY: the buffers have room for as many keys and values of this map as `count` says, a
        // place in a hash table is a number, and all of them outlive the call.
        let ended = match unsafe { sys::bpf(Command::MapLookupBatch, &attributes) } {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let count = attributes.count.get() as usize;
        let found = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)).take(count);
        found.for_each(|(key, value)| each(key, value));
        if ended {
            return Ok(());
        }
        (from, is_first) = (to, false);
    }
}
