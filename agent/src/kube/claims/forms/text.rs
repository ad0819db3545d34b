//! Times, spans and clients as text.

use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::claims::{At, FOREVER, Span};

/// From the largest, as they follow each other.
const UNITS: [(&str, Span); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `2026-08-01T12:00:00Z`, with milliseconds where there are any; what RFC 3339 cannot write as `@` and
/// milliseconds since 1970.
pub fn form_of_time(at: At) -> String {
    let written = || {
        let nanoseconds = i128::from(at.0).checked_mul(1_000_000)?;
        OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Rfc3339).ok()
    };
    written().unwrap_or_else(|| format!("@{}", at.0))
}

/// The time that a text says.
pub fn time_of(text: &str) -> Result<At, String> {
    let expected = || format!("{text:?} is not an RFC 3339 time, such as 2026-08-01T12:00:00Z");
    if let Some(number) = text.strip_prefix('@') {
        return digits(number).map(At).ok_or_else(expected);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| expected())?;
    let milliseconds = time.unix_timestamp_nanos().div_euclid(1_000_000);
    u64::try_from(milliseconds).map(At).map_err(|_| expected())
}

/// `12h`, `1m30s`, `0s`, `infinite`.
pub fn form_of_span(span: Span) -> String {
    match span {
        FOREVER => "infinite".to_owned(),
        0 => "0s".to_owned(),
        _ => {
            let mut rest = span;
            let mut text = String::new();
            for (unit, length) in UNITS {
                let count = rest.checked_div(length).unwrap_or_default();
                rest = rest.checked_rem(length).unwrap_or_default();
                if count > 0 {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{count}{unit}");
                }
            }
            text
        }
    }
}

/// The span that a text says.
pub fn span_of(text: &str) -> Result<Span, String> {
    let expected = || format!("{text:?} is not a time span, such as 12h or 1m30s, or infinite");
    if text == "infinite" {
        return Ok(FOREVER);
    }
    let mut total: Span = 0;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(expected)?;
        let (number, more) = rest.split_at_checked(end).ok_or_else(expected)?;
        let end = more.find(|letter: char| letter.is_ascii_digit()).unwrap_or(more.len());
        let (unit, more) = more.split_at_checked(end).ok_or_else(expected)?;
        let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(expected)?;
        let count = digits(number).ok_or_else(expected)?;
        let span = count.checked_mul(*length).and_then(|span| total.checked_add(span));
        total = span.filter(|total| *total != FOREVER).ok_or_else(expected)?;
        rest = more;
    }
    if text.is_empty() { Err(expected()) } else { Ok(total) }
}

/// `01aabbcc`
pub fn form_of_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that hex digits say.
pub fn bytes_of(text: &str) -> Result<Box<[u8]>, String> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let pair =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Box<[u8]>> = pairs.iter().map(byte).collect();
    bytes
        .filter(|_| rest.is_empty())
        .ok_or_else(|| format!("{text:?} is not hex digits in pairs, such as 01aabbcc"))
}

/// Digits alone: a sign is none.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok())?
}
