//! What is known about option codes: which have a key of their own, and how long the others' values are.

/// Why a code cannot be among `custom`, with what to use instead; none where it can be.
pub(super) fn reserved(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "use `subnetMask`; without it, the mask is the network's `subnet`'s",
        3 => "use `routers`, or the network's `gateway`",
        6 => "use `dns`",
        12 => "use a reservation's `hostName`",
        15 => "use `domainName`",
        26 => "use `mtu`",
        42 => "use `ntp`",
        50 => "only clients send it, to ask for an address",
        51 => "use the network's `leaseTime`",
        52 => "the server itself says where it put options",
        53 => "the server itself writes the kind of its message",
        54 => "it is the server's own address; use the network's `selfIP`",
        55 => "only clients send it, to ask for options",
        57 => "only clients send it, to say how much they take",
        58 => "use the network's `renewTime`",
        59 => "use the network's `rebindTime`",
        61 | 97 | 118 => "it is the client's own and is returned as it came",
        80 => "it would say that the exchange has two messages, and it has four",
        82 => "it is the relay's own and is returned as it came",
        119 => "use `domainSearch`",
        121 => "use `routes`",
        _ => return None,
    })
}

/// How long an option's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Whatever it likes.
    Free,
    /// So many bytes.
    Exactly(usize),
    /// One or more parts of so many bytes each.
    PartsOf(usize),
}

impl Shape {
    /// The shape of a code's value (RFC 2132, RFC 5859 for 150, RFC 8925 for 108).
    pub(super) fn of(code: u8) -> Self {
        match code {
            // Yes or no; a TTL; a NetBIOS node type; seconds or flags of one byte.
            19 | 20 | 23 | 27 | 29 | 30 | 31 | 34 | 36 | 37 | 39 | 46 | 116 => Self::Exactly(1),
            // The boot file's size; the largest datagram put together again.
            13 | 22 => Self::Exactly(2),
            // Offsets and seconds; one address.
            2 | 16 | 24 | 28 | 32 | 35 | 38 | 108 => Self::Exactly(4),
            // MTU plateaus.
            25 => Self::PartsOf(2),
            // Servers of one kind or another.
            4 | 5 | 7..=11 | 41 | 44 | 45 | 48 | 49 | 65 | 69..=76 | 150 => Self::PartsOf(4),
            // An address and its mask; a destination and its router.
            21 | 33 => Self::PartsOf(8),
            _ => Self::Free,
        }
    }

    /// What is wrong with a value of `length` bytes.
    pub(super) fn complaint(self, code: u8, length: usize) -> Option<String> {
        match self {
            Self::Exactly(wanted) if length != wanted => {
                Some(format!("option {code} has exactly {wanted} bytes, not {length}"))
            }
            Self::PartsOf(part) if length == 0 || !length.is_multiple_of(part) => {
                Some(format!("option {code} has one or more parts of {part} bytes, not {length} bytes"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_standards() {
        for (code, length, good) in [
            (4, 4, true),
            (4, 8, true),
            (4, 0, false),
            (4, 5, false),
            (19, 1, true),
            (19, 2, false),
            (28, 4, true),
            (28, 8, false),
            (33, 8, true),
            (33, 4, false),
            (224, 0, true),
            (43, 7, true),
        ] {
            assert_eq!(Shape::of(code).complaint(code, length).is_none(), good, "{code} with {length}");
        }
    }

    #[test]
    fn c08_what_the_server_writes_itself_is_reserved_so_that_none_comes_twice() {
        for code in [1, 3, 50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 80, 82, 97, 118] {
            assert!(reserved(code).is_some(), "{code}");
        }
        for code in [4, 28, 43, 60, 66, 67, 150, 224, 249, 254] {
            assert!(reserved(code).is_none(), "{code}");
        }
    }
}
