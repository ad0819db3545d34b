//! What clients say of themselves, kept in place where it is short.
//!
//! Nearly every client-id and host name is: an allocation for each would cost more than its bytes, and a
//! million of them are most of the time in which a million leases are read or copied.

use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;

/// The longest that lies in place: as many bytes as make it no larger than three words.
const IN_PLACE: usize = 22;
const _: () = assert!(size_of::<Option<Short>>() == 24);

/// A few bytes, or more.
#[derive(Clone, PartialEq, Eq)]
pub struct Short(Place);

/// Where the bytes are: decided by how many there are, so that equal ones are in equal places.
#[derive(Clone, PartialEq, Eq)]
enum Place {
    /// So many of these; the rest are zero.
    Here(u8, [u8; IN_PLACE]),
    Apart(Box<[u8]>),
}

/// A short text, or a longer one.
#[derive(Clone, PartialEq, Eq)]
pub struct ShortText(Short);

impl From<&[u8]> for Short {
    fn from(bytes: &[u8]) -> Self {
        let mut here = [0; IN_PLACE];
        match (here.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Self(Place::Here(length, here))
            }
            _ => Self(Place::Apart(bytes.into())),
        }
    }
}

impl<const N: usize> From<[u8; N]> for Short {
    fn from(bytes: [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for ShortText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Deref for Short {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Here(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Place::Apart(bytes) => bytes,
        }
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        // They came from a text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Debug for Short {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        (**self).fmt(to)
    }
}

impl Debug for ShortText {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        (**self).fmt(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_what_they_were_and_equal_to_themselves_alone() {
        let all: Vec<Vec<u8>> = (0..=255).map(|length| vec![0; length]).collect();
        for (length, bytes) in all.iter().enumerate() {
            let short = Short::from(bytes.as_slice());
            assert_eq!(&*short, bytes.as_slice());
            let equal = all.iter().filter(|other| Short::from(other.as_slice()) == short).count();
            assert_eq!(equal, 1, "{length}");
        }
    }

    #[test]
    fn texts_of_any_length_are_what_they_were() {
        for length in 0..64 {
            let text = "ö".repeat(length);
            assert_eq!(&*ShortText::from(text.as_str()), text);
        }
    }
}
