//! Fingerprints of options: 64 bits that stand for code, length and every byte, in order.
//!
//! They tell a machine from what it was before; they keep nobody out. Who can send with a client's
//! MAC can send that client's options too, and a relay is believed by its address.

use crate::frame::Frame;
use crate::options::Span;

/// Words of 8 bytes that the longest option takes.
const OPTION_WORDS: usize = 32;

/// The fingerprint of nothing.
pub const NONE: u64 = 0;

/// What spreads one word over the whole fingerprint: odd, half its bits set.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Puts one more word into a fingerprint.
#[inline(always)]
pub fn mix(fingerprint: u64, word: u64) -> u64 {
    let spread = (fingerprint ^ word).wrapping_mul(SPREAD);
    spread ^ (spread >> 32)
}

/// Begins an option in a fingerprint that may hold others already.
#[inline(always)]
pub fn begin(fingerprint: u64, code: u8, length: usize) -> u64 {
    mix(fingerprint, u64::from(code) << 32 | length as u64)
}

/// Ends an option: whatever it held, the fingerprint is not [`NONE`].
#[inline(always)]
pub fn end(fingerprint: u64) -> u64 {
    if fingerprint == NONE { 1 } else { fingerprint }
}

/// Adds one option to a fingerprint: words are taken from its end to its start.
///
/// For `Facts::client_id` and `Facts::relay_info` start from [`NONE`]; for `Facts::ask` add options
/// 55, 60, 77 and 93 as they occur.
pub fn add(fingerprint: u64, code: u8, value: &[u8]) -> u64 {
    let mut fingerprint = begin(fingerprint, code, value.len());
    for part in value.rchunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().rev().zip(part.iter().rev()) {
            *to = *from;
        }
        fingerprint = mix(fingerprint, u64::from_le_bytes(word));
    }
    end(fingerprint)
}

/// As [`add`], for an option in a frame; `None` if it is not all there.
#[expect(clippy::cast_possible_truncation, reason = "they were lengths before")]
#[inline(always)]
pub fn add_option(frame: &(impl Frame + ?Sized), fingerprint: u64, code: u8, span: Span) -> Option<u64> {
    let mut fingerprint = begin(fingerprint, code, span.length);
    // The verifier is to know as little of one option as of the next.
    let mut end = frame.forget(span.end as u64) as usize;
    let mut left = frame.forget(span.length as u64) as usize;
    for _ in 0..OPTION_WORDS {
        if left == 0 {
            break;
        }
        fingerprint = mix(fingerprint, frame.word_before(end, left)?);
        if left <= 8 {
            break;
        }
        end = end.wrapping_sub(8);
        left = left.wrapping_sub(8);
    }
    Some(self::end(fingerprint))
}
