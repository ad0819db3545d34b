//! The frame that the bench's programs put before the program under test, as its map holds it.

/// Words of the longest frame.
pub const WORDS: usize = 48;

/// A request, and whose it is in turn.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame {
    /// Bytes of the frame, at least 64.
    pub length: u32,
    /// Where chaddr starts.
    pub chaddr: u32,
    /// One less than the number of clients, which is a power of two.
    pub clients: u32,
    /// What the next client's number is from this one's: 1, or odd and large for no order.
    pub step: u32,
    /// Its last eight bytes.
    pub last: u64,
    /// Its bytes.
    pub words: [u64; WORDS],
}
