//! What one value may be: text, truth, numbers, choices, names, bytes.
//!
//! Each function here reads one value and says in its error what it expected and what it found.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde_json::Value;

use super::nearest::nearest;
use super::problems::quoted;
use super::value::expected;

/// Names of agents become file names beside a suffix, and pins.
const MAX_NAME: usize = 63;
/// Names of networks are labels of metrics and may hold a Kubernetes namespace and name.
const MAX_NETWORK_NAME: usize = 253;
/// `IFNAMSIZ` without its terminating zero.
const MAX_INTERFACE_NAME: usize = 15;
/// The longest path that the kernel takes (`PATH_MAX` without its terminating zero).
const MAX_PATH: usize = 4095;
/// RFC 1035 §2.3.4: a name's 255 bytes on the wire, less the length bytes at both ends.
const MAX_DOMAIN_NAME: usize = 253;
/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// Any text.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Err(format!("{}; put it in quotes", expected("text", value))),
        _ => Err(expected("text", value)),
    }
}

/// Text for a client: 1 to `most` bytes, no control characters (a zero byte would end it early).
pub(super) fn plain_text(most: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = text(value)?;
        if text.is_empty() {
            return Err("is empty; leave the key away where there is nothing to say".to_owned());
        }
        if text.len() > most {
            return Err(format!("has {} bytes; at most {most} fit", text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{} holds a control character", quoted(text)));
        }
        Ok(text.to_owned())
    }
}

/// `true` or `false`, no other spelling.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| expected("true or false", value))
}

/// A whole number within bounds.
pub(super) fn integer<T>(bounds: RangeInclusive<T>) -> impl Fn(&Value) -> Result<T, String>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |value| {
        let number = value.as_u64().and_then(|number| T::try_from(number).ok());
        number.filter(|number| bounds.contains(number)).ok_or_else(|| {
            expected(&format!("a whole number from {} to {}", bounds.start(), bounds.end()), value)
        })
    }
}

/// One of several words, each standing for a value.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Value) -> Result<T, String> {
    move |value| {
        let word = value.as_str().unwrap_or_default();
        words.iter().find(|(known, _)| *known == word).map(|(_, meant)| *meant).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            let complaint = expected(&format!("one of {}", known.join(", ")), value);
            match nearest(word, known) {
                Some(near) => format!("{complaint}; did you mean `{near}`?"),
                None => complaint,
            }
        })
    }
}

/// The name of an agent (or of a class): it becomes part of file names.
pub(super) fn name(value: &Value) -> Result<String, String> {
    name_of(value, MAX_NAME, "letters, digits, `_`, `.` and `-`", "_.-")
}

/// The name of a network.
pub(super) fn network_name(value: &Value) -> Result<String, String> {
    name_of(value, MAX_NETWORK_NAME, "letters, digits, `_`, `.`, `-` and `/`", "_.-/")
}

fn name_of(value: &Value, most: usize, allowed: &str, marks: &str) -> Result<String, String> {
    let name = text(value)?;
    let fits = (1..=most).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c));
    if fits {
        Ok(name.to_owned())
    } else {
        Err(expected(&format!("a name of 1 to {most} characters out of {allowed}"), value))
    }
}

/// The name of an interface, as the kernel would accept it.
pub(super) fn interface(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    let fits = (1..=MAX_INTERFACE_NAME).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':'));
    if fits {
        Ok(name.to_owned())
    } else {
        let rule = "an interface's name: 1 to 15 bytes without blanks, `/` and `:`";
        Err(expected(rule, value))
    }
}

/// A domain name of RFC 1035's lengths, without the dot that may end it.
pub(super) fn domain_name(value: &Value) -> Result<String, String> {
    let given = text(value)?;
    let name = given.strip_suffix('.').unwrap_or(given);
    if name.len() > MAX_DOMAIN_NAME {
        return Err(format!(
            "{} has {} bytes; a domain name has at most {MAX_DOMAIN_NAME}",
            quoted(name),
            name.len()
        ));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(format!(
                "{}: each part of a domain name has 1 to {MAX_LABEL} bytes, not {}",
                quoted(given),
                label.len()
            ));
        }
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !letters || label.starts_with('-') || label.ends_with('-') {
            return Err(format!(
                "{}: {} may hold letters, digits and inner hyphens only (other scripts as xn--…)",
                quoted(given),
                quoted(label)
            ));
        }
    }
    Ok(name.to_owned())
}

/// Bytes in hex, at least and at most so many; colons between bytes are allowed.
pub(super) fn hex(lengths: RangeInclusive<usize>) -> impl Fn(&Value) -> Result<Vec<u8>, String> {
    move |value| {
        let complaint = || expected("hex digits in pairs such as 0a0b or 0a:0b", value);
        // Digits alone, unquoted, came as a number; a number's text is what was written.
        let written = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_u64() => number.to_string(),
            _ => return Err(complaint()),
        };
        let bytes = bytes_of(&written).ok_or_else(complaint)?;
        if lengths.contains(&bytes.len()) {
            Ok(bytes)
        } else {
            Err(format!("has {} bytes; {} to {} are allowed", bytes.len(), lengths.start(), lengths.end()))
        }
    }
}

fn bytes_of(written: &str) -> Option<Vec<u8>> {
    if written.is_empty() {
        return Some(Vec::new());
    }
    let mut bytes = Vec::new();
    for part in written.split(':') {
        if part.is_empty() {
            return None;
        }
        let mut digits = part.chars();
        while let Some(high) = digits.next() {
            bytes.push(byte(high, digits.next()?)?);
        }
    }
    Some(bytes)
}

/// The byte that two hex digits make.
pub(super) fn byte(high: char, low: char) -> Option<u8> {
    let value = high.to_digit(16)?.checked_mul(16)?.checked_add(low.to_digit(16)?)?;
    u8::try_from(value).ok()
}

/// Where something listens; no address at all for `off`.
pub(super) fn listen(value: &Value) -> Result<Option<SocketAddr>, String> {
    const WANTED: &str = "an address and port such as 127.0.0.1:9167, or off";
    let text = value.as_str().ok_or_else(|| expected(WANTED, value))?;
    if text == "off" {
        return Ok(None);
    }
    let address: SocketAddr = text.parse().map_err(|_| expected(WANTED, value))?;
    if address.port() == 0 {
        return Err("port 0 would be another port at every start; name one".to_owned());
    }
    Ok(Some(address))
}

/// A folder, by its absolute path: what is relative would depend on where the agent was started.
pub(super) fn folder(value: &Value) -> Result<PathBuf, String> {
    let text = text(value)?;
    if text.starts_with('/') && text.len() <= MAX_PATH && !text.contains('\0') {
        Ok(PathBuf::from(text))
    } else {
        Err(expected("an absolute path such as /var/lib/dhcp", value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_keep_their_bounds() {
        let mtu = integer(68_u16..=u16::MAX);
        assert_eq!(mtu(&json!(68)), Ok(68));
        assert_eq!(mtu(&json!(65535)), Ok(65535));
        for wrong in [json!(67), json!(65536), json!(-1), json!(1.5), json!("68"), json!(null)] {
            let message = mtu(&wrong).unwrap_err();
            assert!(message.starts_with("expected a whole number from 68 to 65535, found "), "{message}");
        }
    }

    #[test]
    fn names_are_of_a_few_characters() {
        for good in ["a", "default", "bmc-1.x_Y", &"n".repeat(63)] {
            assert_eq!(name(&json!(good)), Ok(good.to_owned()));
        }
        for bad in ["", "a/b", "a b", "ä", &"n".repeat(64)] {
            assert!(name(&json!(bad)).is_err(), "{bad}");
        }
        assert!(network_name(&json!("tenant/net1")).is_ok());
        assert_eq!(name(&json!(5)), Err("expected text, found the number 5; put it in quotes".to_owned()));
    }

    #[test]
    fn interface_names_are_those_of_the_kernel() {
        for good in ["eth0", "enp0s31f6", "br-lan.100", "fifteen-letters"] {
            assert!(interface(&json!(good)).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "eth 0", "a/b", "eth0:1", "sixteen-letters-"] {
            assert!(interface(&json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn domain_names_have_the_lengths_of_rfc_1035() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        for good in ["example.org", "a", "_tcp.example", "1.2.3", &longest] {
            assert_eq!(domain_name(&json!(good)), Ok(good.to_owned()));
        }
        assert_eq!(domain_name(&json!("example.org.")), Ok("example.org".to_owned()));
        let bad = [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "bücher.example",
            &format!("{label}a"),
            &format!("{longest}a"),
        ];
        for bad in bad {
            assert!(domain_name(&json!(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn hex_is_in_pairs_with_or_without_colons() {
        let any = hex(0..=4);
        for (written, bytes) in [
            (json!("0a0B"), vec![0x0a, 0x0b]),
            (json!("0a:0b:0C"), vec![0x0a, 0x0b, 0x0c]),
            (json!("0a0b:0c"), vec![0x0a, 0x0b, 0x0c]),
            (json!(1234), vec![0x12, 0x34]),
            (json!(""), vec![]),
        ] {
            assert_eq!(any(&written), Ok(bytes), "{written}");
        }
        for wrong in
            [json!("0"), json!("0a:"), json!(":0a"), json!("0x0a"), json!("0a 0b"), json!(123), json!(-1)]
        {
            assert!(any(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(any(&json!("0102030405")), Err("has 5 bytes; 0 to 4 are allowed".to_owned()));
    }

    #[test]
    fn listening_is_off_or_at_an_address_with_a_port() {
        assert_eq!(listen(&json!("off")), Ok(None));
        assert_eq!(listen(&json!("[::1]:80")), Ok(Some("[::1]:80".parse().unwrap())));
        for wrong in [json!("127.0.0.1"), json!(":9167"), json!("127.0.0.1:0"), json!(""), json!(9167)] {
            assert!(listen(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_choice_names_its_words() {
        let identity = choice(&[("mac", 1), ("client-id", 2)]);
        assert_eq!(identity(&json!("client-id")), Ok(2));
        assert_eq!(
            identity(&json!("clientid")),
            Err("expected one of mac, client-id, found `clientid`; did you mean `client-id`?".to_owned())
        );
        assert_eq!(identity(&json!(1)), Err("expected one of mac, client-id, found the number 1".to_owned()));
    }

    #[test]
    fn text_for_clients_has_a_length_and_no_control_characters() {
        let file = plain_text(4);
        assert_eq!(file(&json!("abcd")), Ok("abcd".to_owned()));
        for wrong in ["", "abcde", "a\0", "a\n"] {
            assert!(file(&json!(wrong)).is_err(), "{wrong:?}");
        }
    }
}
