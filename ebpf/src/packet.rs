//! The frame in packet memory: reads and writes, each with one check of its bounds.

use core::arch::asm;
use core::marker::PhantomData;

use aya_ebpf::programs::XdpContext;
use xdhcpd_common::frame::{Block, Frame, LONGEST};

/// A frame in packet memory; good until the next resize.
pub(crate) struct Packet<'a> {
    data: usize,
    data_end: usize,
    forgotten: *mut u64,
    context: PhantomData<&'a XdpContext>,
}

impl<'a> Packet<'a> {
    /// A frame to look at.
    ///
    /// Without memory for that it cannot [`Frame::forget`]: a program that tries does not load.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self::over(ctx, core::ptr::null_mut())
    }

    /// A frame to work on, with a place for values that it forgets.
    #[inline(always)]
    pub(crate) fn with(ctx: &'a XdpContext, forgotten: &'a mut u64) -> Self {
        Self::over(ctx, forgotten)
    }

    #[inline(always)]
    fn over(ctx: &'a XdpContext, forgotten: *mut u64) -> Self {
        Self { data: ctx.data(), data_end: ctx.data_end(), forgotten, context: PhantomData }
    }

    /// A length or offset, forgotten.
    #[inline(always)]
    pub(crate) fn forgotten(&self, number: usize) -> usize {
        self.forget(number as u64) as usize
    }

    /// The address of `N` bytes from `at` on, if they are within the frame.
    #[inline(always)]
    fn bounded<const N: usize>(&self, at: usize) -> Option<usize> {
        let at = whole(at);
        if at > LONGEST {
            return None;
        }
        let start = self.data.wrapping_add(at);
        if whole(start.wrapping_add(N)) > self.data_end {
            return None;
        }
        // SAFETY: packet memory is not at address zero.
        unsafe { core::hint::assert_unchecked(start != 0) };
        Some(start)
    }

    /// Writes eight bytes.
    #[inline(always)]
    pub(crate) fn put(&mut self, at: usize, word: u64) -> Option<()> {
        let start = self.bounded::<8>(at)?;
        // SAFETY: in bounds as just checked; the kernel stores words at any address.
        unsafe { (start as *mut u64).write(word) };
        Some(())
    }

    /// `N` bytes to write fields of.
    #[inline(always)]
    pub(crate) fn room<const N: usize>(&mut self, at: usize) -> Option<Room<N>> {
        self.bounded::<N>(at).map(|start| Room { start })
    }
}

/// The number, of which the compiler does not know how it came about: else it would compute anew, from
/// its parts, what was checked already, and the verifier ties a check to the value it was made on.
#[inline(always)]
pub(crate) fn whole(number: usize) -> usize {
    let mut number = number;
    // An instruction that changes nothing, because one of no bytes at all would get a line number of
    // its own, which the kernel refuses.
    // SAFETY: a register is moved to itself.
    unsafe { asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// What was written to memory, read from there again.
#[inline(always)]
pub(crate) fn read_back<T>(place: &mut T) -> &mut T {
    let mut address = core::ptr::from_mut(place);
    // SAFETY: a register is moved to itself; as far as the compiler knows, memory is read and written.
    unsafe { asm!("{0} = {0}", inout(reg) address, options(nostack, preserves_flags)) };
    // SAFETY: the same place.
    unsafe { &mut *address }
}

impl Frame for Packet<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        // Else "data + length" would be found to be the end, with which the kernel allows no arithmetic.
        whole(self.data_end.wrapping_sub(self.data))
    }

    #[inline(always)]
    fn block<const N: usize>(&self, at: usize) -> Option<Block<'_, N>> {
        let start = self.bounded::<N>(at)?;
        // SAFETY: in bounds as just checked, and nobody writes packet memory while it is read.
        Some(Block::new(unsafe { &*(start as *const [u8; N]) }))
    }

    #[inline(always)]
    fn hide(&self, value: u64) -> u64 {
        whole(value as usize) as u64
    }

    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        // What the verifier knows of a value it keeps for registers and the stack, and asks back along
        // the way the value came; at a load from a map that way ends.
        // SAFETY: the place was lent to this frame alone.
        unsafe {
            self.forgotten.write_volatile(value);
            self.forgotten.read_volatile()
        }
    }
}

/// `N` bytes of packet memory, to write.
pub(crate) struct Room<const N: usize> {
    start: usize,
}

impl<const N: usize> Room<N> {
    /// Writes a field at an offset that is checked when this compiles.
    #[inline(always)]
    pub(crate) fn put<const AT: usize, T: Field>(&mut self, field: T) {
        const { assert!(AT + size_of::<T>() <= N, "within the room") };
        // SAFETY: in bounds by the assertion above; the kernel stores words at any address.
        unsafe { (self.start.wrapping_add(AT) as *mut T).write(field) };
    }

    /// Writes a MAC address, which is the low six bytes of a word.
    #[inline(always)]
    pub(crate) fn put_mac<const AT: usize>(&mut self, mac: u64) {
        const { assert!(AT + 6 <= N, "within the room") };
        let at = self.start.wrapping_add(AT);
        // SAFETY: in bounds by the assertion above; the kernel stores words at any address.
        unsafe {
            (at as *mut u32).write(mac as u32);
            (at.wrapping_add(4) as *mut u16).write((mac >> 32) as u16);
        }
    }

    /// Writes words, one after the other.
    #[inline(always)]
    pub(crate) fn fill<const AT: usize, const WORDS: usize>(&mut self, words: &[u64; WORDS]) {
        const { assert!(AT + WORDS * 8 <= N, "within the room") };
        let mut at = self.start.wrapping_add(AT);
        for word in words {
            // SAFETY: in bounds by the assertion above; the kernel stores words at any address.
            unsafe { (at as *mut u64).write(*word) };
            at = at.wrapping_add(8);
        }
    }
}

/// Integers: what may be written as it is in memory.
pub(crate) trait Field: Copy {}
impl Field for u8 {}
impl Field for u16 {}
impl Field for u32 {}
impl Field for u64 {}
