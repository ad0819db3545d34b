//! The Internet checksum (RFC 1071), in the form the kernel's side can afford: partial sums.
//!
//! Words are added as little-endian numbers; the sum does not mind the order as long as its result
//! is stored in the same one.

use crate::frame::Frame;

/// A one's complement sum that is not folded yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Starts from what [`Sum::partial`] gave.
    #[inline(always)]
    pub fn from_partial(partial: u32) -> Self {
        Self(u64::from(partial))
    }

    /// Adds two bytes, as they are in memory.
    #[must_use]
    #[inline(always)]
    pub fn pair(self, bytes: [u8; 2]) -> Self {
        self.plus(u64::from(u16::from_le_bytes(bytes)))
    }

    /// Adds two bytes in network order.
    #[must_use]
    #[inline(always)]
    pub fn number(self, number: u16) -> Self {
        self.pair(number.to_be_bytes())
    }

    /// Adds four bytes, as they are in memory.
    #[must_use]
    #[inline(always)]
    pub fn quad(self, bytes: [u8; 4]) -> Self {
        self.plus(u64::from(u32::from_le_bytes(bytes)))
    }

    /// Adds eight bytes, read as a little-endian number.
    #[must_use]
    #[inline(always)]
    pub fn word(self, word: u64) -> Self {
        self.plus(word >> 32).plus(word & 0xffff_ffff)
    }

    /// Adds another sum: of bytes that start at an even offset.
    #[must_use]
    #[inline(always)]
    pub fn even(self, other: Self) -> Self {
        self.plus(u64::from(other.folded()))
    }

    /// Adds another sum: of bytes that start (or end) at an odd offset where it took them for even.
    #[must_use]
    #[inline(always)]
    pub fn odd(self, other: Self) -> Self {
        self.plus(u64::from(other.folded().swap_bytes()))
    }

    /// [`Sum::even`] or [`Sum::odd`], by the offset.
    #[must_use]
    #[inline(always)]
    pub fn at(self, offset: usize, other: Self) -> Self {
        if offset & 1 == 0 { self.even(other) } else { self.odd(other) }
    }

    /// The sum so far, for a map.
    #[inline(always)]
    pub fn partial(self) -> u32 {
        u32::from(self.folded())
    }

    /// The two bytes of the checksum.
    #[inline(always)]
    pub fn bytes(self) -> [u8; 2] {
        (!self.folded()).to_le_bytes()
    }

    /// The two bytes of a UDP checksum, of which zero would say that there is none.
    #[inline(always)]
    pub fn udp_bytes(self) -> [u8; 2] {
        let sum = !self.folded();
        (if sum == 0 { u16::MAX } else { sum }).to_le_bytes()
    }

    /// Whether what was summed, its checksum included, is right.
    #[inline(always)]
    pub fn is_right(self) -> bool {
        self.folded() == u16::MAX
    }

    // At most 2^16 words of 32 bits are ever added.
    #[inline(always)]
    fn plus(self, number: u64) -> Self {
        Self(self.0.wrapping_add(number))
    }

    #[inline(always)]
    fn folded(self) -> u16 {
        let sum = (self.0 >> 32).wrapping_add(self.0 & 0xffff_ffff);
        let sum = (sum >> 16).wrapping_add(sum & 0xffff);
        let sum = (sum >> 16).wrapping_add(sum & 0xffff);
        (sum >> 16).wrapping_add(sum & 0xffff) as u16
    }
}

/// Sums the `length` bytes that end before `end`, as if `end` were even; `None` where they are not
/// all there, or are over `8 * WORDS`.
#[inline(always)]
pub fn sum_before<const WORDS: usize>(
    frame: &(impl Frame + ?Sized),
    end: usize,
    length: usize,
) -> Option<Sum> {
    let mut sum = Sum::default();
    let mut left = length;
    let mut end = end;
    for _ in 0..WORDS {
        sum = sum.word(frame.word_before(end, left)?);
        if left <= 8 {
            return Some(sum);
        }
        left = left.wrapping_sub(8);
        end = end.wrapping_sub(8);
    }
    None
}

/// Sums a slice that starts at an even offset.
pub(crate) fn sum_slice(bytes: &[u8]) -> Sum {
    let mut sum = Sum::default();
    let mut chunks = bytes.chunks_exact(2);
    for chunk in &mut chunks {
        if let [a, b] = chunk {
            sum = sum.pair([*a, *b]);
        }
    }
    if let [last] = chunks.remainder() {
        sum = sum.pair([*last, 0]);
    }
    sum
}
