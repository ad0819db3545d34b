//! How a reply is laid out: constants that both encoders share, and the sum of what a template
//! brings.
//!
//! The two encoders share nothing more, on purpose: a test compares their bytes.

use crate::checksum::{Sum, sum_slice};
use crate::frame::{bootp, ip, udp};
use crate::maps::{TEMPLATE_OPTIONS, Template};
use crate::options::code;

/// Time to live.
pub const TTL: u8 = 64;

/// Flags and fragment offset: "don't fragment".
pub const DONT_FRAGMENT: u16 = 0x4000;

/// The least UDP payload: what BOOTP clients expect (RFC 951; checklist row 6).
pub const LEAST_PAYLOAD: usize = 300;

/// The most: what every host takes in one datagram is 576 bytes with the headers (RFC 2131 §2).
pub const MOST_PAYLOAD: usize = 548;

/// Payload before the options.
pub const FIXED: usize = bootp::OPTIONS - bootp::OP;

/// Options 53, 54 and 51.
pub const LEADING: usize = 3 + 6 + 6;

/// Options 58 and 59.
pub const TIMERS: usize = 6 + 6;

/// Bytes of UDP payload up to and with END.
#[inline(always)]
pub fn content(has_timers: bool, options: usize, client_id: usize, relay_info: usize) -> usize {
    let timers = if has_timers { TIMERS } else { 0 };
    (FIXED + LEADING + 1)
        .wrapping_add(timers)
        .wrapping_add(options)
        .wrapping_add(echo(client_id))
        .wrapping_add(echo(relay_info))
}

/// Bytes that an echoed option of this length takes.
#[inline(always)]
pub fn echo(length: usize) -> usize {
    if length == 0 { 0 } else { length.wrapping_add(2) }
}

impl Template {
    /// Puts a template in order for the map: the unused part of `options` is zero, and `sum` is right.
    pub fn seal(&mut self) {
        let used = TEMPLATE_OPTIONS.min(self.options_len as usize);
        self.options_len = u32::try_from(used).unwrap_or_default();
        if let Some(unused) = self.options.get_mut(used..) {
            unused.fill(0);
        }
        self.sum = template_sum(self);
    }
}

/// Partial checksum of all that replies of one template have in common: [`Template::sum`].
///
/// That is, with zeros where they differ: op to hops, siaddr, sname, file, cookie, options 53, 54 and
/// 51, the template's own (which always start at an odd offset), the source port, and the pseudo
/// header's source and protocol.
pub fn template_sum(terms: &Template) -> u32 {
    let [a, b, c, d] = terms.server;
    let used = terms.options.get(..terms.options_len as usize).unwrap_or(&terms.options);
    Sum::default()
        .quad(terms.server)
        .pair([0, ip::UDP])
        .number(udp::SERVER)
        .quad([bootp::REPLY, bootp::ETHERNET, bootp::MAC_LENGTH, 0])
        .quad(terms.next_server)
        .even(sum_slice(&terms.server_name))
        .even(sum_slice(&terms.file))
        .quad(bootp::MAGIC)
        .even(sum_slice(&[code::MESSAGE_TYPE, 1, 0, code::SERVER, 4, a, b, c, d, code::LEASE_TIME, 4]))
        .odd(sum_slice(used))
        .partial()
}
