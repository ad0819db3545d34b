//! MAC addresses and keys as words.
//!
//! Whoever loads more bytes at once than were stored at once waits until the stores are through, which
//! takes as long as many instructions: what is written as a word can be read as one. A MAC address is in
//! the low 48 bits of its word, as it is in memory.

use xdhcpd_common::maps::{LeaseKey, Wire};

/// Everybody's MAC address.
pub(crate) const EVERYBODY: u64 = 0xffff_ffff_ffff;

/// The MAC address that chaddr starts with.
#[inline(always)]
pub(crate) fn of_chaddr([first, _]: [u64; 2]) -> u64 {
    first & EVERYBODY
}

/// A MAC address of six bytes, which the compiler would take one by one.
#[inline(always)]
pub(crate) fn of_mac(mac: &[u8; 6]) -> u64 {
    let start = mac.as_ptr();
    // SAFETY: four bytes and two of the six; the kernel loads words from any address.
    let (first, last) =
        unsafe { (start.cast::<u32>().read_volatile(), start.wrapping_add(4).cast::<u16>().read_volatile()) };
    u64::from(first) | u64::from(last) << 32
}

/// A wire, as it is in memory.
#[inline(always)]
pub(crate) fn of_wire(wire: Wire) -> u64 {
    let [outer, inner] = wire.vlan;
    u64::from(wire.interface) | u64::from(outer) << 32 | u64::from(inner) << 48
}

/// Writes the key of whoever has this MAC address on a wire.
#[inline(always)]
pub(crate) fn put_key(key: &mut LeaseKey, wire: Wire, mac: u64) {
    const { assert!(size_of::<LeaseKey>() == 16, "two words") };
    let wire = of_wire(wire);
    let words = core::ptr::from_mut(key).cast::<u64>();
    // SAFETY: the key is two words long; the kernel stores words at any address.
    unsafe {
        words.write_volatile(wire);
        words.wrapping_add(1).write_volatile(mac);
    }
}
