//! Option values in the bytes that go on the wire.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Offsets above this do not fit a compression pointer (RFC 1035 §4.1.4).
const MAX_POINTER: u16 = 0x3fff;

/// Addresses one after the other.
pub(super) fn addresses(addresses: &[Ipv4Addr]) -> Vec<u8> {
    addresses.iter().flat_map(Ipv4Addr::octets).collect()
}

/// Classless static routes (RFC 3442): of a destination only the octets that its prefix touches.
pub(super) fn routes(routes: &[(Ipv4Net, Ipv4Addr)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (to, via) in routes {
        let length = to.prefix_len();
        bytes.push(length);
        bytes.extend(to.network().octets().into_iter().take(usize::from(length.div_ceil(8))));
        bytes.extend(via.octets());
    }
    bytes
}

/// A search list (RFC 3397): names in DNS form, tails that came before replaced by pointers to them.
///
/// The names are valid ones, so each label's length fits its byte.
pub(super) fn domain_search(names: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut tails: HashMap<&str, u16> = HashMap::new();
    for name in names {
        let mut rest = Some(name.as_str());
        while let Some(tail) = rest {
            if let Some(offset) = tails.get(tail) {
                bytes.extend((0xc000 | offset).to_be_bytes());
                break;
            }
            if let Ok(offset) = u16::try_from(bytes.len())
                && offset <= MAX_POINTER
            {
                tails.insert(tail, offset);
            }
            let (label, after) = match tail.split_once('.') {
                Some((label, after)) => (label, Some(after)),
                None => (tail, None),
            };
            bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            bytes.extend(label.bytes());
            rest = after;
        }
        if rest.is_none() {
            bytes.push(0);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn routes_carry_only_the_octets_their_prefix_touches() {
        let via = Ipv4Addr::new(10, 9, 0, 1);
        let cases: [(&str, &[u8]); 5] = [
            ("0.0.0.0/0", &[0, 10, 9, 0, 1]),
            ("10.0.0.0/8", &[8, 10, 10, 9, 0, 1]),
            ("10.17.0.0/16", &[16, 10, 17, 10, 9, 0, 1]),
            ("10.27.129.0/25", &[25, 10, 27, 129, 0, 10, 9, 0, 1]),
            ("10.229.0.128/32", &[32, 10, 229, 0, 128, 10, 9, 0, 1]),
        ];
        for (to, bytes) in cases {
            assert_eq!(routes(&[(to.parse().unwrap(), via)]), bytes, "{to}");
        }
    }

    /// The example of RFC 3397 §2.
    #[test]
    fn a_search_list_points_back_at_tails_it_has_said() {
        let names = ["eng.apple.com".to_owned(), "marketing.apple.com".to_owned()];
        let mut wanted = b"\x03eng\x05apple\x03com\0".to_vec();
        wanted.extend(b"\x09marketing\xc0\x04");
        assert_eq!(domain_search(&names), wanted);
    }

    #[test]
    fn a_name_said_before_is_a_pointer_alone() {
        let names = ["a.b".to_owned(), "a.b".to_owned(), "b".to_owned()];
        assert_eq!(domain_search(&names), b"\x01a\x01b\0\xc0\x00\xc0\x02");
    }

    /// Reads a search list back, as a client would.
    #[expect(clippy::arithmetic_side_effects, reason = "offsets into a list of our own making")]
    fn decoded(bytes: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (mut labels, mut here, mut jumped) = (Vec::new(), at, false);
            loop {
                match bytes[here] {
                    0 => {
                        at = if jumped { at } else { here + 1 };
                        break;
                    }
                    high if high >= 0xc0 => {
                        at = if jumped { at } else { here + 2 };
                        jumped = true;
                        here = usize::from(high & 0x3f) << 8 | usize::from(bytes[here + 1]);
                    }
                    length => {
                        let end = here + 1 + usize::from(length);
                        labels.push(String::from_utf8(bytes[here + 1..end].to_vec()).unwrap());
                        here = end;
                    }
                }
            }
            names.push(labels.join("."));
        }
        names
    }

    proptest! {
        #[test]
        fn a_client_reads_the_names_that_were_given(
            names in prop::collection::vec("[ab]{1,3}(\\.[ab]{1,3}){0,4}", 0..20)
        ) {
            prop_assert_eq!(decoded(&domain_search(&names)), names);
        }
    }
}
