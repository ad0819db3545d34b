//! What a reply repeats of the request's options, kept while the frame is rewritten.

use xdhcpd_common::checksum::Sum;
use xdhcpd_common::frame::Frame;
use xdhcpd_common::options::{MOST_CLIENT_ID, MOST_RELAY_INFO, Span, code};

use crate::packet::Packet;

/// An option that is echoed; of length 0 if there is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// Bytes of its value.
    pub(crate) length: usize,
    /// Where the value ended in the request.
    end: usize,
    /// Of the value, as if it ended at an even offset.
    sum: Sum,
}

impl Piece {
    /// An option whose value is still where it came.
    #[inline(always)]
    pub(crate) fn unread(span: Span) -> Self {
        Self { length: span.length, end: span.end, sum: Sum::default() }
    }
}

/// The values of both options, in words from their ends to their starts; zeros fill the last used
/// word.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// Option 61.
    client_id: [u64; MOST_CLIENT_ID / 8],
    /// Option 82.
    relay_info: [u64; MOST_RELAY_INFO / 8],
}

/// Keeps both options; `None` if they are not where they were (they are).
#[inline(always)]
pub(crate) fn keep(
    packet: &Packet<'_>,
    kept: &mut Kept,
    client_id: &mut Piece,
    relay_info: &mut Piece,
) -> Option<()> {
    client_id.sum = take(packet, *client_id, &mut kept.client_id)?;
    relay_info.sum = take(packet, *relay_info, &mut kept.relay_info)?;
    Some(())
}

#[inline(always)]
fn take(packet: &Packet<'_>, span: Piece, words: &mut [u64]) -> Option<Sum> {
    let mut sum = Sum::default();
    // Lengths are forgotten before each loop: what the loop's end tells of them is not worth a path for
    // each number of turns.
    let mut left = packet.forgotten(span.length);
    let mut end = packet.forgotten(span.end);
    for place in words {
        if left == 0 {
            break;
        }
        let word = packet.word_before(end, left)?;
        *place = word;
        sum = sum.word(word);
        left = left.saturating_sub(8);
        end = end.wrapping_sub(8);
    }
    Some(sum)
}

/// Writes option 82, if there is one, so that it ends before `end`; returns where it starts.
#[inline(always)]
pub(crate) fn put_relay_info(
    packet: &mut Packet<'_>,
    kept: &Kept,
    piece: Piece,
    end: usize,
    sum: &mut Sum,
) -> Option<usize> {
    put(packet, code::RELAY_INFO, piece, &kept.relay_info, end, sum)
}

/// Writes option 61, if there is one, so that it ends before `end`; returns where it starts.
#[inline(always)]
pub(crate) fn put_client_id(
    packet: &mut Packet<'_>,
    kept: &Kept,
    piece: Piece,
    end: usize,
    sum: &mut Sum,
) -> Option<usize> {
    put(packet, code::CLIENT_ID, piece, &kept.client_id, end, sum)
}

/// Writes an option from its end to its start.
///
/// Its first word may reach up to 7 bytes before the value; they are written later.
#[inline(always)]
fn put(
    packet: &mut Packet<'_>,
    code: u8,
    piece: Piece,
    words: &[u64],
    end: usize,
    sum: &mut Sum,
) -> Option<usize> {
    if piece.length == 0 {
        return Some(end);
    }
    let mut left = packet.forgotten(piece.length);
    let mut at = packet.forgotten(end);
    for word in words {
        if left == 0 {
            break;
        }
        at = at.wrapping_sub(8);
        packet.put(at, word.to_le())?;
        left = left.saturating_sub(8);
    }
    let start = end.wrapping_sub(piece.length).wrapping_sub(2);
    let head = [code, piece.length as u8];
    packet.room::<2>(start)?.put::<0, _>(u16::from_ne_bytes(head));
    // A frame's link header has an even length, so offsets in the frame are as even as in the datagram.
    *sum = sum.at(end, piece.sum).at(start, Sum::default().pair(head));
    Some(packet.forgotten(start))
}
