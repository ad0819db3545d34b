//! Hardware addresses and times as text: one form each, the same in every report.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Now;

/// A hardware address, written `02:00:00:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Text that is not a hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address: expected six two-digit hex numbers, as in 02:00:00:00:00:01")]
pub struct BadMac(String);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        // Padding is honoured, so that tables line up.
        f.pad(&bytes.join(":"))
    }
}

impl FromStr for Mac {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.to_owned());
        let mut parts = text.split(':');
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(bad)?;
            // `from_str_radix` alone would take a sign, and one digit.
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

/// A wall time to the second, written as RFC 3339 in UTC: `2026-08-01T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time, such as 2026-08-01T12:00:00Z")]
pub struct BadTimestamp(String);

impl Timestamp {
    /// The last second of the year 9999: what RFC 3339 can write ends there.
    const LAST: i64 = 253_402_300_799;

    /// From seconds since 1970; what RFC 3339 cannot write becomes the nearest that it can.
    pub const fn from_seconds(seconds: i64) -> Self {
        if seconds < 0 {
            Self(0)
        } else if seconds > Self::LAST {
            Self(Self::LAST)
        } else {
            Self(seconds)
        }
    }

    /// The wall time of the present.
    pub fn now(now: Now) -> Self {
        Self::from_seconds(now.wall_seconds(now.moment).unwrap_or_default())
    }

    /// Seconds since 1970.
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0).map_err(|_| fmt::Error)?.format(&Rfc3339);
        f.pad(&text.map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(time) => Ok(Self::from_seconds(time.unix_timestamp())),
            Err(_) => Err(BadTimestamp(text.to_owned())),
        }
    }
}

/// Serialized as text, by `Display` and `FromStr`.
macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(Mac);
as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_back_as_written() {
        let mac = Mac([0x02, 0, 0, 0xab, 0xff, 1]);
        assert_eq!(mac.to_string(), "02:00:00:ab:ff:01");
        assert_eq!("02:00:00:AB:FF:01".parse(), Ok(mac));
    }

    #[test]
    fn what_is_nearly_a_mac_is_refused() {
        for text in ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "2:0:0:0:0:0", "+2:00:00:00:00:00", "é:0"]
        {
            assert!(text.parse::<Mac>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_utc_to_the_second() {
        let time = Timestamp::from_seconds(1_785_585_600);
        assert_eq!(time.to_string(), "2026-08-01T12:00:00Z");
        assert_eq!("2026-08-01T14:00:00.5+02:00".parse(), Ok(time));
        assert!("2026-08-01".parse::<Timestamp>().is_err());
    }

    #[test]
    fn a_time_beyond_the_calendar_is_still_written() {
        assert_eq!(Timestamp::from_seconds(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_seconds(i64::MIN).to_string(), "1970-01-01T00:00:00Z");
    }
}
