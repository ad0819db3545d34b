//! What a look saw. All text from outside comes in here, and is bounded and cleaned here.

use std::collections::BTreeMap;

/// The most characters of one value; what is longer is cut.
const MAX_TEXT: usize = 256;

/// What a look at an endpoint saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is a Redfish service that has not refused us.
    pub ready: bool,
    /// What it says of itself and its machine, by lowerCamelCase names; `os` is always among them,
    /// empty when it isn't known.
    pub info: BTreeMap<String, String>,
    /// Why it is not ready; or, when it is, what could not be read. Then `info` lacks that, and what
    /// was known of it before may still hold.
    pub fault: Option<String>,
}

impl Seen {
    /// Before anything is seen.
    pub(super) fn nothing() -> Self {
        Self { ready: false, info: BTreeMap::from([("os".to_owned(), String::new())]), fault: None }
    }

    /// Notes what the endpoint says; an empty value says nothing.
    pub(super) fn note(&mut self, name: &str, value: &str) {
        let value = clean(value);
        if !value.is_empty() {
            self.info.insert(name.to_owned(), value);
        }
    }

    /// Notes what went wrong.
    pub(super) fn fail(&mut self, fault: &str) {
        self.fault = Some(clean(fault));
    }
}

/// The text without control characters and white space around it, cut at [`MAX_TEXT`].
fn clean(text: &str) -> String {
    let printable = text.trim().chars().filter(|character| !character.is_control());
    printable.take(MAX_TEXT).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_os_is_there_before_it_is_known() {
        let mut seen = Seen::nothing();
        assert_eq!(seen.info["os"], "");
        seen.note("os", " ");
        assert_eq!(seen.info["os"], "");
        seen.note("os", "Linux");
        assert_eq!(seen.info["os"], "Linux");
    }

    #[test]
    fn text_from_outside_is_bounded_and_has_no_control_characters() {
        let mut seen = Seen::nothing();
        seen.note("model", " X\u{1b}[2J\r\n9\u{0}\u{85} ");
        assert_eq!(seen.info["model"], "X[2J9");
        seen.note("vendor", &"ä".repeat(1000));
        assert_eq!(seen.info["vendor"], "ä".repeat(256));
        seen.note("name", "\u{7}");
        assert!(!seen.info.contains_key("name"));
        seen.fail(&"x\n".repeat(1000));
        assert_eq!(seen.fault, Some("x".repeat(256)));
    }
}
