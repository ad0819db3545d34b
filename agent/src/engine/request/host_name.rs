//! A client's host name, as far as it can be believed: what remains is safe in the journal, in a
//! Kubernetes object and in a terminal.
//!
//! A name is a courtesy: a bad one is dropped, and never the request with it.

/// The longest name in DNS.
const MAX_NAME: usize = 253;
/// The longest label.
const MAX_LABEL: usize = 63;

/// Flag of option 81: its name is in DNS's wire format (RFC 4702 §2.1).
const WIRE_FORMAT: u8 = 0x04;

/// The name of option 12.
pub fn plain(value: &[u8]) -> Option<String> {
    // Some clients count a C string's end.
    let name = std::str::from_utf8(without_trailing_zeroes(value)).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    (name.len() <= MAX_NAME && name.split('.').all(is_label)).then(|| name.to_owned())
}

/// The name of option 81: flags, two unused bytes, then the name as text or in wire format.
pub fn fqdn(value: &[u8]) -> Option<String> {
    let ([flags, _, _], name) = value.split_first_chunk::<3>()?;
    if flags & WIRE_FORMAT == 0 { plain(name) } else { plain(&from_wire(name)?) }
}

/// Labels with their lengths before them, to labels with dots between them. The closing zero may be
/// missing: then the client knows its host name only.
fn from_wire(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        if *length == 0 {
            break;
        }
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        // A dot would make two labels of one. What is too long, or a pointer (there is nothing to
        // point at), is no label to `plain` either.
        if label.contains(&b'.') {
            return None;
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(label);
        rest = after;
    }
    Some(name)
}

/// Letters, digits and hyphens, and the underscore that Windows allows; no hyphen at either end.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= MAX_LABEL
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn without_trailing_zeroes(value: &[u8]) -> &[u8] {
    let kept = value.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    value.get(..kept).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_name_is_kept() {
        for (value, name) in [
            (&b"node-1"[..], "node-1"),
            (b"node-1\0", "node-1"),
            (b"node1.example.org.", "node1.example.org"),
            (b"DESKTOP_7", "DESKTOP_7"),
        ] {
            assert_eq!(plain(value).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_that_is_empty_over_long_or_no_name_is_dropped() {
        let long_label = vec![b'a'; 64];
        let long_name = [&b"a.".repeat(126)[..], b"aa"].concat();
        let bad = [
            &b""[..],
            b"\0",
            b".",
            b"a..b",
            b"-a",
            b"a-",
            b"a b",
            b"a\"b",
            b"a;b",
            b"a\nb",
            b"\xff\xfe",
            "n\u{f6}de".as_bytes(),
            b"a\0b",
            &long_label,
            &long_name,
        ];
        for value in bad {
            assert_eq!(plain(value), None, "{value:?}");
        }
    }

    #[test]
    fn an_fqdn_is_read_as_text_and_in_wire_format() {
        assert_eq!(fqdn(b"\0\0\0node.example").as_deref(), Some("node.example"));
        assert_eq!(fqdn(b"\x04\0\0\x04node\x07example\0").as_deref(), Some("node.example"));
        assert_eq!(fqdn(b"\x04\0\0\x04node").as_deref(), Some("node"));
    }

    #[test]
    fn an_fqdn_with_a_label_over_63_cut_short_or_with_pointers_is_dropped() {
        let long = [&b"\x04\0\0\x40"[..], &[b'a'; 64], b"\0"].concat();
        for value in
            [&long[..], b"\x04\0\0\x05node", b"\x04\0\0\xc0\x00", b"\x04\0", b"\x04\0\0\x03a.b\0", b""]
        {
            assert_eq!(fqdn(value), None, "{value:?}");
        }
    }
}
