//! What is wrong with a configuration: all of it, a line each, every line naming its place.
//!
//! A reader never stops at the first problem; it adds to a [`Report`] and goes on with a default, and
//! the value it builds is thrown away when the report is not empty.

use std::fmt;

/// More problems than this are counted instead of kept: nobody reads them, and a file that is wrong in
/// each of its million values should not cost the memory of a million sentences.
const MAX_KEPT: usize = 1000;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place, as in `networks[0].ranges[1]`; or a line and column; or a flag.
    pub path: String,
    /// What was found there and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Everything that is wrong with one configuration; never empty. Shown as a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// These, if there are any.
    pub(crate) fn of(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { kept: problems, left_out: 0 })
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.kept.iter()
    }

    /// One thing that is wrong.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kept: vec![Problem { path: path.into(), message: message.into() }], left_out: 0 }
    }

    /// How many more there were than are listed.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The same problems with other names for their places.
    #[must_use]
    pub fn renamed(mut self, rename: impl Fn(&str) -> String) -> Self {
        for problem in &mut self.kept {
            problem.path = rename(&problem.path);
        }
        self
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { kept: vec![problem], left_out: 0 }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.kept.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.left_out > 0 {
            write!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    kept: Vec<Problem>,
    left_out: usize,
}

impl Report {
    /// Notes that something is wrong at `path`.
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.kept.len() < MAX_KEPT {
            self.kept.push(Problem { path: path.into(), message: message.into() });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// The value that was read, if nothing was wrong with it.
    pub(super) fn verdict<T>(self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.kept.is_empty() => Ok(value),
            _ => Err(self.into_problems()),
        }
    }

    fn into_problems(mut self) -> Problems {
        // A reader that gives no value has said why; this line is for one that forgot.
        if self.kept.is_empty() {
            self.add("", "the configuration could not be read");
        }
        Problems { kept: self.kept, left_out: self.left_out }
    }
}

/// Text from outside as part of a message: one line, no control characters, not endless.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let mut shown = String::new();
    for letter in text.chars().take(SHOWN) {
        match letter {
            '\'' | '"' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_place_then_what_is_wrong() {
        let mut report = Report::default();
        report.add("networks[0].ranges[1]", "10.9.1.5 lies outside 10.9.0.0/24");
        let problems = report.verdict(Some(())).unwrap_err();
        assert_eq!(problems.to_string(), "networks[0].ranges[1]: 10.9.1.5 lies outside 10.9.0.0/24");
    }

    #[test]
    fn problems_beyond_the_bound_are_counted() {
        let mut report = Report::default();
        for _ in 0..MAX_KEPT + 7 {
            report.add("a", "wrong");
        }
        let problems = report.verdict(Some(())).unwrap_err();
        assert_eq!((problems.iter().count(), problems.left_out()), (MAX_KEPT, 7));
        assert!(problems.to_string().ends_with("\nand 7 more"));
    }

    #[test]
    fn a_reader_without_value_or_reason_is_still_an_error() {
        assert!(Report::default().verdict(None::<()>).is_err());
        assert_eq!(Report::default().verdict(Some(5)), Ok(5));
    }

    #[test]
    fn quoted_text_keeps_to_one_short_line() {
        assert_eq!(quoted("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert_eq!(quoted("it's \"a\""), "`it's \"a\"`");
        assert_eq!(quoted(&"x".repeat(100)), format!("`{}…`", "x".repeat(64)));
    }
}
