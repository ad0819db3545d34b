//! The walk over the options: to END, each in bounds, each that has a type of the right length.

use crate::counters::Counter;
use crate::facts::{Facts, NONE};
use crate::fingerprint;
use crate::frame::Frame;

/// Codes of the options that mean something here.
#[expect(missing_docs, reason = "named as in RFC 2132")]
pub mod code {
    pub const PAD: u8 = 0;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const MAX_SIZE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const USER_CLASS: u8 = 77;
    pub const RELAY_INFO: u8 = 82;
    pub const ARCHITECTURE: u8 = 93;
    pub const MACHINE_ID: u8 = 97;
    pub const SUBNET_SELECTION: u8 = 118;
    pub const END: u8 = 255;
}

/// The most options the walk takes, pads included: firmware sends about 15.
pub const MOST_OPTIONS: usize = 48;

/// The shortest client-id (RFC 2132 §9.14).
pub const LEAST_CLIENT_ID: usize = 2;

/// The longest client-id that the kernel echoes.
pub const MOST_CLIENT_ID: usize = 64;

/// The longest relay information that the kernel echoes.
pub const MOST_RELAY_INFO: usize = 128;

/// Where an option's value is; its length is 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte after it.
    pub end: usize,
    /// Bytes of it.
    pub length: usize,
}

/// What the walk found, with the facts it filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Echoes {
    /// Option 61.
    pub client_id: Span,
    /// Option 82.
    pub relay_info: Span,
}

/// Options of which there may be one: a bit each.
mod once {
    pub(super) const REQUESTED_ADDRESS: u64 = 1;
    pub(super) const LEASE_TIME: u64 = 2;
    pub(super) const MESSAGE_TYPE: u64 = 4;
    pub(super) const SERVER: u64 = 8;
    pub(super) const PARAMETERS: u64 = 16;
    pub(super) const MAX_SIZE: u64 = 32;
    pub(super) const CLIENT_ID: u64 = 64;
    pub(super) const RELAY_INFO: u64 = 128;
}

/// What is done with an option beyond checking it; numbers, because [`Frame::forget`] takes them.
mod purpose {
    pub(super) const NONE: u64 = 0;
    pub(super) const ASK: u64 = 1;
    pub(super) const CLIENT_ID: u64 = 2;
    pub(super) const RELAY_INFO: u64 = 3;
}

/// Walks the options from `start` up to `end` of the frame, and writes what they say into `facts`.
///
/// # Errors
///
/// The counter of the reason why the agent must look at them.
#[inline(always)]
pub fn walk(
    frame: &(impl Frame + ?Sized),
    start: usize,
    end: usize,
    facts: &mut Facts,
) -> Result<Echoes, Counter> {
    let mut found = Walk::starting(frame);
    let mut at = start;
    // One more turn, for END.
    for _ in 0..=MOST_OPTIONS {
        at = offset(frame.forget(at as u64));
        if at >= end {
            return Err(Counter::Options);
        }
        let code = frame.block::<1>(at).ok_or(Counter::Options)?.u8::<0>();
        if code == code::PAD {
            at = at.wrapping_add(1);
            continue;
        }
        if code == code::END {
            return found.finish(facts);
        }
        let value = at.wrapping_add(2);
        let length = frame.block::<1>(at.wrapping_add(1)).ok_or(Counter::Options)?.u8::<0>();
        at = value.wrapping_add(usize::from(length));
        if at > end {
            return Err(Counter::Options);
        }
        found.option(frame, code, value, length)?;
    }
    Err(Counter::ManyOptions)
}

#[expect(clippy::cast_possible_truncation, reason = "it was an offset before")]
#[inline(always)]
fn offset(number: u64) -> usize {
    number as usize
}

/// The walk so far.
struct Walk {
    seen: u64,
    kind: u64,
    requested: u64,
    server: u64,
    lease_time: u64,
    ask: u64,
    client_id: u64,
    relay_info: u64,
    echoes: Echoes,
}

impl Walk {
    /// Starts from nothing found, in numbers of which the verifier does not know that they are zero.
    #[inline(always)]
    fn starting(frame: &(impl Frame + ?Sized)) -> Self {
        let nowhere = Span { end: 0, length: 0 };
        Self {
            seen: frame.forget(0),
            kind: frame.forget(0),
            requested: frame.forget(0),
            server: frame.forget(0),
            lease_time: frame.forget(0),
            ask: frame.forget(fingerprint::NONE),
            client_id: frame.forget(fingerprint::NONE),
            relay_info: frame.forget(fingerprint::NONE),
            echoes: Echoes { client_id: forgotten(frame, nowhere), relay_info: forgotten(frame, nowhere) },
        }
    }

    /// Takes one option; its bytes are within the frame.
    #[inline(always)]
    fn option(
        &mut self,
        frame: &(impl Frame + ?Sized),
        code: u8,
        value: usize,
        length: u8,
    ) -> Result<(), Counter> {
        let span = Span { end: value.wrapping_add(usize::from(length)), length: usize::from(length) };
        let mut purpose = purpose::NONE;
        match code {
            code::REQUESTED_ADDRESS => {
                self.once(frame, once::REQUESTED_ADDRESS)?;
                self.requested = four_bytes(frame, value, length)?;
            }
            code::LEASE_TIME => {
                self.once(frame, once::LEASE_TIME)?;
                self.lease_time = four_bytes(frame, value, length)?;
            }
            code::SERVER => {
                self.once(frame, once::SERVER)?;
                self.server = four_bytes(frame, value, length)?;
            }
            code::MESSAGE_TYPE => {
                self.once(frame, once::MESSAGE_TYPE)?;
                wants(length == 1)?;
                let kind = frame.block::<1>(value).ok_or(Counter::Options)?.u8::<0>();
                self.kind = frame.forget(u64::from(kind));
            }
            code::MAX_SIZE => {
                self.once(frame, once::MAX_SIZE)?;
                wants(length == 2)?;
            }
            code::PARAMETERS => {
                self.once(frame, once::PARAMETERS)?;
                wants(length != 0)?;
                purpose = purpose::ASK;
            }
            code::VENDOR_CLASS | code::USER_CLASS | code::ARCHITECTURE => purpose = purpose::ASK,
            code::CLIENT_ID => {
                self.once(frame, once::CLIENT_ID)?;
                if span.length < LEAST_CLIENT_ID || span.length > MOST_CLIENT_ID {
                    return Err(Counter::EchoLength);
                }
                self.echoes.client_id = forgotten(frame, span);
                purpose = purpose::CLIENT_ID;
            }
            code::RELAY_INFO => {
                self.once(frame, once::RELAY_INFO)?;
                if span.length == 0 || span.length > MOST_RELAY_INFO {
                    return Err(Counter::EchoLength);
                }
                self.echoes.relay_info = forgotten(frame, span);
                purpose = purpose::RELAY_INFO;
            }
            code::OVERLOAD | code::MACHINE_ID | code::SUBNET_SELECTION => return Err(Counter::RareOption),
            _ => {}
        }
        // Forgotten, so that what follows is looked at once and not for each code.
        let purpose = frame.forget(purpose);
        if purpose == purpose::NONE {
            return Ok(());
        }
        let before = if purpose == purpose::ASK { self.ask } else { fingerprint::NONE };
        let mixed = frame.forget(fingerprint::add_option(frame, before, code, span).ok_or(Counter::Options)?);
        match purpose {
            purpose::ASK => self.ask = mixed,
            purpose::CLIENT_ID => self.client_id = mixed,
            _ => self.relay_info = mixed,
        }
        Ok(())
    }

    #[inline(always)]
    fn once(&mut self, frame: &(impl Frame + ?Sized), option: u64) -> Result<(), Counter> {
        wants(self.seen & option == 0)?;
        self.seen = frame.forget(self.seen | option);
        Ok(())
    }

    /// At END: there was a message type, and only a relay has sent relay information.
    #[inline(always)]
    fn finish(self, facts: &mut Facts) -> Result<Echoes, Counter> {
        if self.seen & once::MESSAGE_TYPE == 0 {
            return Err(Counter::MessageType);
        }
        if self.seen & once::RELAY_INFO != 0 && facts.giaddr == NONE {
            return Err(Counter::RareOption);
        }
        let [kind, ..] = self.kind.to_le_bytes();
        facts.kind = kind;
        facts.requested = four(self.requested).to_ne_bytes();
        facts.server = four(self.server).to_ne_bytes();
        facts.lease_time = u32::from_be(four(self.lease_time));
        facts.client_id = self.client_id;
        facts.relay_info = self.relay_info;
        facts.ask = self.ask;
        Ok(self.echoes)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it was four bytes before")]
#[inline(always)]
fn four(number: u64) -> u32 {
    number as u32
}

/// The span, of which the walk over its own words will tell the verifier nothing.
#[inline(always)]
fn forgotten(frame: &(impl Frame + ?Sized), span: Span) -> Span {
    Span { end: offset(frame.forget(span.end as u64)), length: offset(frame.forget(span.length as u64)) }
}

#[inline(always)]
fn wants(holds: bool) -> Result<(), Counter> {
    if holds { Ok(()) } else { Err(Counter::Options) }
}

#[inline(always)]
fn four_bytes(frame: &(impl Frame + ?Sized), value: usize, length: u8) -> Result<u64, Counter> {
    wants(length == 4)?;
    let word = frame.block::<4>(value).ok_or(Counter::Options)?.u32::<0>();
    Ok(frame.forget(u64::from(word)))
}
