//! Buffers for frames that come in together, used again and again.

use super::gate::UdpChecksum;

/// The most frames of one call: what arrives within a few milliseconds when a whole rack starts.
pub const FRAMES: usize = 256;
/// The longest frame: past Ethernet's usual 1,518 bytes, and no client sends half of that.
pub const LONGEST: usize = 2048;

/// Room for the tag that the kernel keeps beside the frame.
const TAG: usize = 4;
/// Both MACs, after which the tag stands.
const MACS: usize = 12;
/// TPID of a tag whose kind the kernel did not note.
const VLAN: u16 = 0x8100;

/// A frame that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// The frame, all VLAN tags in place.
    pub bytes: &'a [u8],
    /// What the kernel knows of its UDP checksum.
    pub checksum: UdpChecksum,
}

/// Frames of one call to [`super::socket::Link::receive`].
#[derive(Debug)]
pub struct Batch {
    pub(super) slots: Vec<Slot>,
    pub(super) filled: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// A batch with room for [`FRAMES`], about half a megabyte.
    pub fn new() -> Self {
        Self { slots: (0..FRAMES).map(|_| Slot::new()).collect(), filled: 0 }
    }

    /// The frames, in the order in which they came; those that were cut are left out.
    pub fn frames(&self) -> impl Iterator<Item = Received<'_>> {
        self.slots.iter().take(self.filled).filter_map(Slot::frame)
    }
}

/// One frame, and what the kernel says about it.
#[derive(Debug)]
pub(super) struct Slot {
    bytes: [u8; TAG + LONGEST],
    pub(super) control: Control,
    /// Where in `bytes` the frame is; nowhere, if it was cut.
    start: usize,
    end: usize,
    checksum: UdpChecksum,
}

/// A control message as the kernel writes it: the only one that the socket asks for.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Control {
    header: libc::cmsghdr,
    auxiliary: libc::tpacket_auxdata,
}

impl Slot {
    fn new() -> Self {
        Self {
            bytes: [0; TAG + LONGEST],
            control: Control::EMPTY,
            start: 0,
            end: 0,
            checksum: UdpChecksum::Verify,
        }
    }

    /// Where the kernel is to write the frame.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(TAG..).unwrap_or_default()
    }

    /// Notes a frame of this length that is in [`Self::room`] now, and whether the kernel filled
    /// `control` too.
    pub(super) fn fill(&mut self, length: usize, noted: bool) {
        self.start = TAG;
        self.end = TAG.saturating_add(length);
        self.checksum = UdpChecksum::Verify;
        if let Some(auxiliary) = self.control.auxiliary().filter(|_| noted) {
            let ready = libc::TP_STATUS_CSUMNOTREADY | libc::TP_STATUS_CSUM_VALID;
            if auxiliary.tp_status & ready != 0 {
                self.checksum = UdpChecksum::Trusted;
            }
            if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && length >= MACS {
                self.put_tag_back(auxiliary);
            }
        }
    }

    /// Notes that the frame did not fit.
    pub(super) fn discard(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    fn put_tag_back(&mut self, auxiliary: libc::tpacket_auxdata) {
        let kind = auxiliary.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let [k0, k1] = if kind { auxiliary.tp_vlan_tpid } else { VLAN }.to_be_bytes();
        let [t0, t1] = auxiliary.tp_vlan_tci.to_be_bytes();
        self.bytes.copy_within(TAG..TAG + MACS, 0);
        if let Some(place) = self.bytes.get_mut(MACS..MACS + TAG) {
            place.copy_from_slice(&[k0, k1, t0, t1]);
        }
        self.start = 0;
    }

    fn frame(&self) -> Option<Received<'_>> {
        let bytes = self.bytes.get(self.start..self.end).filter(|bytes| !bytes.is_empty())?;
        Some(Received { bytes, checksum: self.checksum })
    }
}

impl Control {
    // SAFETY: both are C structs of integers, for which zeroes are a value.
    const EMPTY: Self = unsafe { std::mem::zeroed() };

    /// What the kernel wrote, if that is what was asked for.
    fn auxiliary(&self) -> Option<libc::tpacket_auxdata> {
        let ours =
            self.header.cmsg_level == libc::SOL_PACKET && self.header.cmsg_type == libc::PACKET_AUXDATA;
        ours.then_some(self.auxiliary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0, 0x45, 0];

    fn received(status: u32, kind: u16) -> Slot {
        let mut slot = Slot::new();
        slot.room()[..FRAME.len()].copy_from_slice(&FRAME);
        slot.control.header.cmsg_level = libc::SOL_PACKET;
        slot.control.header.cmsg_type = libc::PACKET_AUXDATA;
        slot.control.auxiliary.tp_status = status;
        slot.control.auxiliary.tp_vlan_tci = 0x6007;
        slot.control.auxiliary.tp_vlan_tpid = kind;
        slot.fill(FRAME.len(), true);
        slot
    }

    #[test]
    fn the_control_message_lies_as_the_kernel_writes_it() {
        let header = u32::try_from(std::mem::offset_of!(Control, auxiliary)).unwrap();
        // SAFETY: pure arithmetic.
        assert_eq!(header, unsafe { libc::CMSG_LEN(0) });
    }

    #[test]
    fn a_frame_without_a_tag_stays_as_it_is() {
        let slot = received(0, 0);
        let frame = slot.frame().unwrap();
        assert_eq!(frame, Received { bytes: &FRAME, checksum: UdpChecksum::Verify });
    }

    #[test]
    fn a_tag_beside_the_frame_is_put_back() {
        let with = |kind: [u8; 2]| [&FRAME[..12], &kind, &[0x60, 7], &FRAME[12..]].concat();
        let both = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
        assert_eq!(received(both, 0x88a8).frame().unwrap().bytes, with([0x88, 0xa8]));
        assert_eq!(received(libc::TP_STATUS_VLAN_VALID, 0).frame().unwrap().bytes, with([0x81, 0]));
    }

    #[test]
    fn g06_a_checksum_that_is_valid_or_not_made_yet_is_trusted() {
        for status in [libc::TP_STATUS_CSUMNOTREADY, libc::TP_STATUS_CSUM_VALID] {
            assert_eq!(received(status, 0).frame().unwrap().checksum, UdpChecksum::Trusted);
        }
    }

    #[test]
    fn a_cut_frame_is_left_out() {
        let mut batch = Batch::new();
        batch.slots[0] = received(0, 0);
        batch.slots[1] = received(0, 0);
        batch.slots[0].discard();
        batch.filled = 2;
        assert_eq!(batch.frames().count(), 1);
    }
}
