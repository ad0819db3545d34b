//! YAML text to a JSON value, within bounds.
//!
//! The parser's events are turned into a value here rather than by a serde layer because that layer is
//! where YAML's traps are: a MAC read as a base-60 number, `0102` as 66, a key that silently wins over its
//! twin. Only `null`, `true`, `false` and whole decimal numbers as people write them are not text; what a
//! text means is for the field that it stands in. Aliases work, but what they unfold to is bounded; merge
//! keys, tags and further documents are refused.

mod plain;

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use self::plain::plain;
use crate::config::problems::{Report, quoted};
use crate::config::value::child;

/// The most bytes of text that are read: room for 65,536 reservations with options, and no more than the
/// agent can hold several times over.
pub const MAX_TEXT: usize = 16 << 20;

/// The deepest that lists and mappings may nest; the deepest known key is at nine.
const MAX_DEPTH: usize = 16;

/// What all values together may cost once aliases are unfolded: their text, and [`NODE_COST`] each.
const MAX_COST: usize = 128 << 20;

/// About what a value takes in memory beside its text.
const NODE_COST: usize = 32;

/// Reads one YAML document. What is wrong goes to the report; no value: reading had to stop.
pub(super) fn to_value(text: &str, report: &mut Report) -> Option<Value> {
    if text.len() > MAX_TEXT {
        report.add("", format!("the text has {} bytes; at most {MAX_TEXT} are read", text.len()));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { report, open: Vec::new(), anchors: HashMap::new(), cost: 0, root: None };
    for event in Parser::new_from_str(text) {
        let stop = match event {
            Ok((event, span)) => builder.take(event, span.start),
            Err(error) => Err(Stop { at: *error.marker(), message: error.info().to_owned() }),
        };
        if let Err(Stop { at, message }) = stop {
            // Columns are counted from 0 by the parser, from 1 by editors.
            let place = format!("line {}, column {}", at.line(), at.col().saturating_add(1));
            builder.report.add(place, message);
            return None;
        }
    }
    Some(builder.root.unwrap_or(Value::Null))
}

/// Reading cannot go on.
struct Stop {
    at: Marker,
    message: String,
}

impl Stop {
    fn new(at: Marker, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// A value with what its bounds need to know.
#[derive(Clone)]
struct Built {
    value: Value,
    /// Of all that is in it.
    cost: usize,
    /// How many levels are in it: a scalar has none.
    height: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    content: Content,
    anchor: usize,
    cost: usize,
    height: usize,
}

enum Content {
    List(Vec<Value>),
    Mapping {
        entries: Map<String, Value>,
        /// The line of each key, to say where its twin is.
        lines: HashMap<String, usize>,
        /// The key whose value comes next.
        key: Option<String>,
    },
}

struct Builder<'r> {
    report: &'r mut Report,
    /// From the outermost in.
    open: Vec<Open>,
    anchors: HashMap<usize, Built>,
    /// Of everything, anchored copies included.
    cost: usize,
    root: Option<Value>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Stop::new(at, "a second document starts here; a file holds one configuration"))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_key() {
                    return self.key(&text, style, at);
                }
                let value = scalar(&text, style, tag.as_deref(), at)?;
                self.put(Built { value, cost: NODE_COST.saturating_add(text.len()), height: 0 }, anchor, at)
            }
            Event::Alias(anchor) => {
                let unfolded = self.anchors.get(&anchor).cloned();
                self.no_key(at)?;
                let built = unfolded.ok_or_else(|| Stop::new(at, "an alias of the value it stands in"))?;
                self.put(built, 0, at)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at)?;
                self.start(Content::List(Vec::new()), anchor, at)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at)?;
                let content = Content::Mapping { entries: Map::new(), lines: HashMap::new(), key: None };
                self.start(content, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Mapping { key: None, .. }, .. }))
    }

    /// Only a text can be a key.
    fn no_key(&self, at: Marker) -> Result<(), Stop> {
        if self.wants_key() { Err(Stop::new(at, "a key must be plain text")) } else { Ok(()) }
    }

    fn key(&mut self, text: &str, style: ScalarStyle, at: Marker) -> Result<(), Stop> {
        if style == ScalarStyle::Plain {
            if text == "<<" {
                return Err(Stop::new(
                    at,
                    "merge keys (`<<`) are not supported; an alias as a whole value is",
                ));
            }
            if !plain(text).is_string() {
                return Err(Stop::new(at, format!("a key must be text; put {} in quotes", quoted(text))));
            }
        }
        let own = NODE_COST.saturating_add(text.len());
        self.charge(own, at)?;
        let Some(Open { content: Content::Mapping { lines, key, .. }, cost, .. }) = self.open.last_mut()
        else {
            return Ok(());
        };
        *cost = cost.saturating_add(own);
        *key = Some(text.to_owned());
        match lines.get(text).copied() {
            None => {
                lines.insert(text.to_owned(), at.line());
            }
            Some(first) => {
                let message = format!("is given twice, in line {first} and in line {}", at.line());
                let path = self.path();
                self.report.add(path, message);
            }
        }
        Ok(())
    }

    fn start(&mut self, content: Content, anchor: usize, at: Marker) -> Result<(), Stop> {
        self.no_key(at)?;
        self.check_depth(1, at)?;
        self.charge(NODE_COST, at)?;
        self.open.push(Open { content, anchor, cost: NODE_COST, height: 1 });
        Ok(())
    }

    fn end(&mut self, at: Marker) -> Result<(), Stop> {
        let Some(Open { content, anchor, cost, height }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::Array(items),
            Content::Mapping { entries, .. } => Value::Object(entries),
        };
        // What is inside has been charged already.
        self.cost = self.cost.saturating_sub(cost);
        self.put(Built { value, cost, height }, anchor, at)
    }

    /// Puts a finished value where it belongs, and keeps a copy where it has an anchor.
    fn put(&mut self, built: Built, anchor: usize, at: Marker) -> Result<(), Stop> {
        self.check_depth(built.height, at)?;
        self.charge(built.cost, at)?;
        if anchor != 0 {
            self.charge(built.cost, at)?;
            self.anchors.insert(anchor, built.clone());
        }
        let Some(outer) = self.open.last_mut() else {
            self.root = Some(built.value);
            return Ok(());
        };
        outer.cost = outer.cost.saturating_add(built.cost);
        outer.height = outer.height.max(built.height.saturating_add(1));
        match &mut outer.content {
            Content::List(items) => items.push(built.value),
            Content::Mapping { entries, key, .. } => {
                if let Some(key) = key.take() {
                    entries.insert(key, built.value);
                }
            }
        }
        Ok(())
    }

    /// Keeps what recurses over the value (dropping it, for one) off the end of the stack.
    fn check_depth(&self, height: usize, at: Marker) -> Result<(), Stop> {
        if self.open.len().saturating_add(height) > MAX_DEPTH {
            return Err(Stop::new(at, format!("lists and mappings nest more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    fn charge(&mut self, cost: usize, at: Marker) -> Result<(), Stop> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > MAX_COST {
            return Err(Stop::new(at, "too much, with aliases unfolded"));
        }
        Ok(())
    }

    /// Where the next value goes.
    fn path(&self) -> String {
        self.open.iter().fold(String::new(), |path, open| match &open.content {
            Content::List(items) => format!("{path}[{}]", items.len()),
            Content::Mapping { key: Some(key), .. } => child(&path, key),
            Content::Mapping { key: None, .. } => path,
        })
    }
}

fn collection_tag(tag: Option<&Tag>, own: &str, at: Marker) -> Result<(), Stop> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == own) => Err(unsupported(tag, at)),
        _ => Ok(()),
    }
}

fn unsupported(tag: &Tag, at: Marker) -> Stop {
    let written = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
    Stop::new(at, format!("the tag {} is not supported", quoted(&written)))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Marker) -> Result<Value, Stop> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(Value::from(text)),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Value::from(text)),
        Some(tag) => Err(unsupported(tag, at)),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let mut report = Report::default();
        let value = to_value(text, &mut report);
        report.verdict(value).map_err(|problems| problems.to_string())
    }

    #[test]
    fn quotes_and_the_text_tag_make_text() {
        for (text, value) in [
            ("\"7\"", json!("7")),
            ("'true'", json!("true")),
            ("!!str 7", json!("7")),
            ("7", json!(7)),
            ("", json!(null)),
            ("\u{feff}a: b", json!({"a": "b"})),
        ] {
            assert_eq!(read(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_duplicate_key_is_named_with_both_lines() {
        let text = "networks:\n  - name: a\n    gateway: 10.0.0.1\n    gateway: 10.0.0.2\n";
        assert_eq!(
            read(text),
            Err("networks[0].gateway: is given twice, in line 3 and in line 4".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_read_names_line_and_column() {
        for (text, message) in [
            ("a: 1\n5: 2", "line 2, column 1: a key must be text; put `5` in quotes"),
            ("[a]: 2", "line 1, column 1: a key must be plain text"),
            ("a: &x 1\n*x : 2", "line 2, column 1: a key must be plain text"),
            ("a: &x [*x]", "line 1, column 8: an alias of the value it stands in"),
            (
                "a: &x {b: 1}\nc:\n  <<: *x",
                "line 3, column 3: merge keys (`<<`) are not supported; an alias as a whole value is",
            ),
            (
                "a: 1\n---\nb: 2",
                "line 2, column 1: a second document starts here; a file holds one configuration",
            ),
            ("a: !!int \"5\"", "line 1, column 4: the tag `!!int` is not supported"),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn syntax_errors_carry_line_and_column() {
        for text in ["a: [1, 2", "a: b: c", "a: \"x", "{---", "a:\n- b\n c: d"] {
            let message = read(text).unwrap_err();
            assert!(message.starts_with("line "), "{text}: {message}");
        }
    }

    #[test]
    fn aliases_unfold() {
        assert_eq!(read("a: &x [1, 2]\nb: *x"), Ok(json!({"a": [1, 2], "b": [1, 2]})));
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{below}"); 9].join(", ")).unwrap();
        }
        assert!(read(&text).unwrap_err().ends_with("too much, with aliases unfolded"));
    }

    #[test]
    fn long_keys_count_among_what_aliases_unfold_to() {
        let key = "k".repeat(1000);
        let text = format!("a: &x {{{key}: &y {{{key}: 1}}}}\nb: [{}]", vec!["*x"; 100_000].join(", "));
        assert!(read(&text).unwrap_err().ends_with("too much, with aliases unfolded"));
    }

    #[test]
    fn depth_is_bounded_also_through_aliases() {
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(&nested).is_err());
        let mut chained = "a0: &a0 [x]\n".to_owned();
        for level in 1..10_000 {
            writeln!(chained, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        assert_eq!(
            read(&chained),
            Err("line 16, column 12: lists and mappings nest more than 16 deep".to_owned())
        );
    }

    #[test]
    fn too_much_text_is_refused_unread() {
        let text = " ".repeat(MAX_TEXT + 1);
        assert!(read(&text).unwrap_err().starts_with("the text has 16777217 bytes"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_ends_in_a_value_or_in_a_problem(text in "\\PC{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn arbitrary_yaml_punctuation_ends_too(text in "[-\\[\\]{}:,&*!|>'\"?#%@ab0 \\n\\t~.<]{0,60}") {
            let _ = read(&text);
        }
    }
}
