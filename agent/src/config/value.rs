//! Walking a JSON value with a path in hand, so that every problem knows its place.
//!
//! A [`Node`] is a value and its path; a [`Mapping`] is a node whose keys have been checked; [`Placed`] is
//! something read, with the path it came from, for the checks that compare it with others later. An
//! explicit null is an absent key, as Kubernetes has it and as `ranges:` with nothing after it means.

use serde_json::{Map, Value};

use super::nearest::nearest;
use super::problems::{Report, quoted};

/// A value in its place.
#[derive(Debug, Clone)]
pub(super) struct Node<'v> {
    /// What stands there.
    pub(super) value: &'v Value,
    /// Where, as in `networks[0].ranges[1]`.
    pub(super) path: String,
}

/// Something that was read, and where from.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    /// Where it stood.
    pub(super) path: String,
    /// What it was.
    pub(super) value: T,
}

/// A mapping without unknown keys (those have been reported).
#[derive(Debug, Clone)]
pub(super) struct Mapping<'v> {
    entries: &'v Map<String, Value>,
    /// Where the mapping stands.
    pub(super) path: String,
}

impl<'v> Node<'v> {
    /// The whole value.
    pub(super) fn root(value: &'v Value) -> Self {
        Self { value, path: String::new() }
    }

    /// The node as a mapping that may have the `known` keys; another key is a problem.
    pub(super) fn mapping(&self, known: &[&str], report: &mut Report) -> Option<Mapping<'v>> {
        let Value::Object(entries) = self.value else {
            report.add(&self.path, expected("a mapping of keys to values", self.value));
            return None;
        };
        for key in entries.keys().filter(|key| !known.contains(&key.as_str())) {
            report.add(child(&self.path, key), unknown_key(key, known));
        }
        Some(Mapping { entries, path: self.path.clone() })
    }

    /// The items of a list that may have at most `most`; further ones are a problem and are not read.
    pub(super) fn items(&self, most: usize, report: &mut Report) -> Vec<Node<'v>> {
        let Value::Array(items) = self.value else {
            report.add(&self.path, expected("a list", self.value));
            return Vec::new();
        };
        if items.len() > most {
            report.add(&self.path, format!("has {} entries; at most {most} are allowed", items.len()));
        }
        let place = |(at, value)| Node { value, path: format!("{}[{at}]", self.path) };
        items.iter().take(most).enumerate().map(place).collect()
    }

    /// What `parse` makes of the value; its complaint goes to the report. A null (only a list's items can
    /// be one) is something that was left out.
    pub(super) fn read<T>(
        &self,
        report: &mut Report,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.value.is_null() {
            report.add(&self.path, "is missing");
            return None;
        }
        parse(self.value).map_err(|message| report.add(&self.path, message)).ok()
    }

    /// The same, with the place kept.
    pub(super) fn place<T>(
        &self,
        report: &mut Report,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<Placed<T>> {
        self.read(report, parse).map(|value| Placed { path: self.path.clone(), value })
    }
}

impl<'v> Mapping<'v> {
    /// The outermost mapping, its keys taken as they are.
    pub(super) fn whole(entries: &'v Map<String, Value>) -> Self {
        Self { entries, path: String::new() }
    }

    /// The value of a key, unless it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<Node<'v>> {
        let value = self.entries.get(key).filter(|value| !value.is_null())?;
        Some(Node { value, path: child(&self.path, key) })
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &str, report: &mut Report) -> Option<Node<'v>> {
        let node = self.get(key);
        if node.is_none() {
            report.add(child(&self.path, key), "is missing");
        }
        node
    }

    /// What `parse` makes of a key's value.
    pub(super) fn read<T>(
        &self,
        key: &str,
        report: &mut Report,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.get(key)?.read(report, parse)
    }

    /// The items of a key's list; none where the key is absent.
    pub(super) fn items(&self, key: &str, most: usize, report: &mut Report) -> Vec<Node<'v>> {
        self.get(key).map(|node| node.items(most, report)).unwrap_or_default()
    }

    /// What `parse` makes of each item of a key's list, without those it refuses.
    pub(super) fn list<T>(
        &self,
        key: &str,
        most: usize,
        report: &mut Report,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Vec<Placed<T>> {
        let items = self.items(key, most, report);
        items.iter().filter_map(|node| node.place(report, &parse)).collect()
    }

    /// The same, the places forgotten.
    pub(super) fn values<T>(
        &self,
        key: &str,
        most: usize,
        report: &mut Report,
        parse: impl Fn(&Value) -> Result<T, String>,
    ) -> Vec<T> {
        self.list(key, most, report, parse).into_iter().map(|placed| placed.value).collect()
    }

    /// The one key of `keys` that is there; none or several are a problem.
    pub(super) fn exactly_one(&self, keys: &[&'static str], report: &mut Report) -> Option<&'static str> {
        let mut given = keys.iter().copied().filter(|key| self.get(key).is_some());
        match (given.next(), given.next()) {
            (Some(one), None) => Some(one),
            (Some(one), Some(other)) => {
                report
                    .add(&self.path, format!("has both {one} and {other}; give one of {}", keys.join(", ")));
                None
            }
            (None, _) => {
                report.add(&self.path, format!("needs one of {}", keys.join(", ")));
                None
            }
        }
    }
}

/// The complaint that something else was expected.
pub(super) fn expected(what: &str, found: &Value) -> String {
    format!("expected {what}, found {}", described(found))
}

/// The path of a key below `path`.
pub(super) fn child(path: &str, key: &str) -> String {
    let plain =
        !key.is_empty() && key.len() <= 64 && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let key = if plain { key.to_owned() } else { quoted(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(truth) => format!("the truth value {truth}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(report: Report) -> Vec<String> {
        match report.verdict(Some(())) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        let mut report = Report::default();
        let value = json!({"gatway": 1, "xyzzy": 2});
        Node::root(&value).mapping(&["gateway", "subnet"], &mut report);
        assert_eq!(
            lines(report),
            [
                "gatway: unknown key; did you mean `gateway`?",
                "xyzzy: unknown key; known here: gateway, subnet"
            ]
        );
    }

    #[test]
    fn a_list_over_its_bound_is_a_problem_and_is_cut() {
        let mut report = Report::default();
        let value = json!([1, 2, 3]);
        let items = Node::root(&value).items(2, &mut report);
        assert_eq!(items.iter().map(|node| node.path.as_str()).collect::<Vec<_>>(), ["[0]", "[1]"]);
        assert_eq!(lines(report), ["has 3 entries; at most 2 are allowed"]);
    }

    #[test]
    fn null_is_an_absent_key() {
        let mut report = Report::default();
        let value = json!({"a": null});
        let mapping = Node::root(&value).mapping(&["a"], &mut report).unwrap();
        assert!(mapping.get("a").is_none());
        assert!(mapping.required("a", &mut report).is_none());
        assert_eq!(lines(report), ["a: is missing"]);
    }

    #[test]
    fn strange_keys_are_quoted_in_paths() {
        assert_eq!(child("networks[0]", "a\nb"), "networks[0].`a\\nb`");
        assert_eq!(child("", "name"), "name");
    }
}
