//! Where things stand in a frame, and how both sides read them.
//!
//! The program reads packet memory and the agent a slice, through one trait: a [`Block`] is had by one
//! check of its bounds, and its fields by offsets that are checked when this compiles.

/// Offsets in the Ethernet header, from the start of the frame.
pub mod ethernet {
    /// Destination MAC.
    pub const DESTINATION: usize = 0;
    /// Source MAC.
    pub const SOURCE: usize = 6;
    /// EtherType, or the first VLAN tag.
    pub const TYPE: usize = 12;
    /// Length without VLAN tags.
    pub const LENGTH: usize = 14;
    /// What one VLAN tag adds.
    pub const TAG: usize = 4;
    /// EtherType of IPv4.
    pub const IPV4: u16 = 0x0800;
    /// EtherType of an IEEE 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// EtherType of an IEEE 802.1ad outer tag.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// The bits of a tag that are the VLAN's id.
    pub const VLAN_ID: u16 = 0x0fff;
}

/// Offsets in an IPv4 header of 20 bytes, from its start.
pub mod ip {
    /// Version and header length.
    pub const VERSION: usize = 0;
    /// Version 4, and a header of five words.
    pub const VERSION_4: u8 = 0x45;
    /// Total length.
    pub const TOTAL: usize = 2;
    /// Flags and fragment offset.
    pub const FRAGMENT: usize = 6;
    /// All bits of it but "don't fragment".
    pub const FRAGMENTED: u16 = 0xbfff;
    /// The bits of it that are the offset.
    pub const FRAGMENT_OFFSET: u16 = 0x1fff;
    /// Protocol.
    pub const PROTOCOL: usize = 9;
    /// UDP's number.
    pub const UDP: u8 = 17;
    /// Source.
    pub const SOURCE: usize = 12;
    /// Destination.
    pub const DESTINATION: usize = 16;
    /// Length without options.
    pub const LENGTH: usize = 20;
}

/// Offsets in the UDP header, from the start of an IPv4 header of 20 bytes.
pub mod udp {
    /// Source port.
    pub const SOURCE: usize = super::ip::LENGTH;
    /// UDP length.
    pub const TOTAL: usize = SOURCE + 4;
    /// Checksum.
    pub const CHECKSUM: usize = SOURCE + 6;
    /// Length of the header.
    pub const LENGTH: usize = 8;
    /// The port of servers and relays.
    pub const SERVER: u16 = 67;
    /// The port of clients.
    pub const CLIENT: u16 = 68;
}

/// Offsets in the BOOTP message, from the start of an IPv4 header of 20 bytes.
pub mod bootp {
    /// op, and after it htype, hlen and hops.
    pub const OP: usize = super::ip::LENGTH + super::udp::LENGTH;
    /// htype.
    pub const HTYPE: usize = OP + 1;
    /// hlen.
    pub const HLEN: usize = OP + 2;
    /// hops.
    pub const HOPS: usize = OP + 3;
    /// xid.
    pub const XID: usize = OP + 4;
    /// secs.
    pub const SECS: usize = OP + 8;
    /// flags.
    pub const FLAGS: usize = OP + 10;
    /// ciaddr.
    pub const CIADDR: usize = OP + 12;
    /// yiaddr.
    pub const YIADDR: usize = OP + 16;
    /// siaddr.
    pub const SIADDR: usize = OP + 20;
    /// giaddr.
    pub const GIADDR: usize = OP + 24;
    /// chaddr, 16 bytes.
    pub const CHADDR: usize = OP + 28;
    /// sname, 64 bytes, and after it file, 128 bytes.
    pub const SNAME: usize = OP + 44;
    /// The magic cookie.
    pub const COOKIE: usize = OP + 236;
    /// Where options start.
    pub const OPTIONS: usize = OP + 240;
    /// op of a request.
    pub const REQUEST: u8 = 1;
    /// op of a reply.
    pub const REPLY: u8 = 2;
    /// htype of Ethernet.
    pub const ETHERNET: u8 = 1;
    /// hlen of Ethernet.
    pub const MAC_LENGTH: u8 = 6;
    /// The most hops a request may have taken (RFC 1542 §4.1.1).
    pub const MOST_HOPS: u8 = 16;
    /// What stands before the options.
    pub const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
    /// The broadcast bit of flags.
    pub const BROADCAST: u16 = 0x8000;
}

/// The longest frame that is looked at; a longer one is for the agent, which reads up to 64 KiB.
pub const LONGEST: usize = 2047;

/// Bytes to read at offsets.
pub trait Frame {
    /// How many bytes there are.
    fn length(&self) -> usize;

    /// The `N` bytes from `at` on, if they are all there.
    fn block<const N: usize>(&self, at: usize) -> Option<Block<'_, N>>;

    /// The value itself.
    ///
    /// The kernel's verifier follows each path with what it knows of each value; what it has
    /// forgotten makes paths alike, and one of them is enough. No effect outside the kernel.
    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value
    }

    /// The value itself, of which the compiler does not know what it is: so it stores zeros as words, where
    /// it would call a function that clears them byte by byte. No effect outside the kernel.
    #[inline(always)]
    fn hide(&self, value: u64) -> u64 {
        value
    }

    /// The last 8 of the `left` bytes that end before `end`, or all of them after zeros: how a
    /// run of bytes is read in words, from its end to its start, touching none after it.
    #[inline(always)]
    fn word_before(&self, end: usize, left: usize) -> Option<u64> {
        let word = u64::from_le(self.block::<8>(end.wrapping_sub(8))?.u64::<0>());
        Some(if left < 8 { word & last_bytes(left) } else { word })
    }
}

/// Selects the last `count` bytes, fewer than 8, of a word read in little-endian order.
#[inline(always)]
fn last_bytes(count: usize) -> u64 {
    match count {
        0 => 0,
        #[expect(clippy::cast_possible_truncation, reason = "under 64")]
        _ => u64::MAX << (64_usize.wrapping_sub(count.wrapping_mul(8)) as u32 & 63),
    }
}

/// `N` bytes whose bounds were checked.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a, const N: usize>(&'a [u8; N]);

/// Types that any bytes are a value of.
trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for [u16; 3] {}

impl<'a, const N: usize> Block<'a, N> {
    /// Wraps bytes that are there.
    #[inline(always)]
    pub fn new(bytes: &'a [u8; N]) -> Self {
        Self(bytes)
    }

    #[inline(always)]
    fn read<const AT: usize, T: Plain>(self) -> T {
        const { assert!(AT + size_of::<T>() <= N, "within the block") };
        let start = self.0.as_ptr().wrapping_add(AT).cast::<T>();
        // The kernel loads words from any address (on machines that cannot, the verifier
        // refuses the program); told of no alignment, the compiler would load byte by byte.
        #[cfg(target_arch = "bpf")]
        // SAFETY: in bounds by the assertion above, and good for any bytes.
        return unsafe { start.read() };
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: in bounds by the assertion above, and good for any bytes.
        return unsafe { start.read_unaligned() };
    }

    /// A byte.
    #[inline(always)]
    pub fn u8<const AT: usize>(self) -> u8 {
        self.read::<AT, u8>()
    }

    /// Two bytes.
    #[inline(always)]
    pub fn u16<const AT: usize>(self) -> u16 {
        self.read::<AT, u16>()
    }

    /// Four bytes.
    #[inline(always)]
    pub fn u32<const AT: usize>(self) -> u32 {
        self.read::<AT, u32>()
    }

    /// Eight bytes.
    #[inline(always)]
    pub fn u64<const AT: usize>(self) -> u64 {
        self.read::<AT, u64>()
    }

    /// Two bytes in network order.
    #[inline(always)]
    pub fn number<const AT: usize>(self) -> u16 {
        u16::from_be(self.u16::<AT>())
    }

    /// An IPv4 address.
    #[inline(always)]
    pub fn address<const AT: usize>(self) -> [u8; 4] {
        self.u32::<AT>().to_ne_bytes()
    }

    /// A MAC address.
    #[inline(always)]
    pub fn mac<const AT: usize>(self) -> [u8; 6] {
        // Byte order does not matter: they are put back as they were.
        let [a, b, c] = self.read::<AT, [u16; 3]>();
        let ([a0, a1], [b0, b1], [c0, c1]) = (a.to_ne_bytes(), b.to_ne_bytes(), c.to_ne_bytes());
        [a0, a1, b0, b1, c0, c1]
    }
}

impl Frame for [u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn block<const N: usize>(&self, at: usize) -> Option<Block<'_, N>> {
        self.get(at..)?.first_chunk().map(Block)
    }
}
