//! The report: a machine's description, a table for each part, and plots beside them.

mod machine;
pub mod plot;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::part::{Part, Row, Wanted, median};

/// A part under its heading; or why it could not be measured.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// What was measured.
    pub part: Result<Part, String>,
}

/// Writes `report.md` and its plots; gives its path.
pub fn write(folder: &Path, bench: &Bench, sections: &[Section]) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for plot in sections.iter().filter_map(|section| section.part.as_ref().ok()).flat_map(|part| &part.plots)
    {
        let path = folder.join(plot.file());
        fs::write(&path, plot.svg()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = folder.join("report.md");
    let text = markdown(&machine::describe(), bench, sections);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn markdown(machine: &str, bench: &Bench, sections: &[Section]) -> String {
    let mut text = String::from("# xdhcpd beside its peers\n\n");
    text.push_str(
        "Everything here was measured in one run on the machine described below. What counts is the ratio: \
         a figure divided by that of what stands beside it. Figures are medians, with the least and the \
         most of all runs in brackets.\n\n",
    );
    if bench.quick {
        text.push_str(
            "**This was a quick run**: it shows that the bench works, not how fast anything is.\n\n",
        );
    }
    if Bench::is_debug() {
        text.push_str("**The agent is a debug build**: nothing follows from what it does in user space.\n\n");
    }
    text.push_str(machine);
    for Section { title, part } in sections {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## {title}\n\n");
        match part {
            Ok(part) => push_part(&mut text, part),
            Err(error) => {
                let _ = writeln!(text, "Could not be measured: {error}");
            }
        }
    }
    text
}

fn push_part(text: &mut String, part: &Part) {
    let _ = writeln!(text, "{}\n", part.about.trim());
    if !part.rows.is_empty() {
        text.push_str("| what | measured | beside | | ratio | wanted | |\n");
        text.push_str("| --- | ---: | --- | ---: | ---: | --- | --- |\n");
        part.rows.iter().for_each(|row| push_row(text, row));
    }
    for plot in &part.plots {
        let _ = write!(text, "\n![{}]({})\n", plot.title, plot.file());
    }
    if !part.notes.is_empty() {
        text.push('\n');
    }
    for note in &part.notes {
        let _ = writeln!(text, "- {note}");
    }
}

fn push_row(text: &mut String, row: &Row) {
    let figure = |runs: &[f64]| format!("{} {}", spread(runs), row.unit);
    let (beside, other) = row
        .beside
        .as_ref()
        .map_or_else(Default::default, |beside| (beside.what.as_str(), figure(&beside.runs)));
    let ratio = row.ratio().map(number).unwrap_or_default();
    let wanted = row.wanted.map_or_else(String::new, |wanted| match wanted {
        Wanted::RatioAtMost(limit) => format!("≤ {} times", number(limit)),
        Wanted::RatioAtLeast(limit) => format!("≥ {} times", number(limit)),
        Wanted::AtMost(limit) => format!("≤ {} {}", number(limit), row.unit),
    });
    let met = row.is_met().map_or("", |met| if met { "yes" } else { "**no**" });
    let _ = writeln!(
        text,
        "| {} | {} | {beside} | {other} | {ratio} | {wanted} | {met} |",
        row.what,
        figure(&row.runs)
    );
}

/// The median, with the least and the most where there are several.
fn spread(runs: &[f64]) -> String {
    let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = number(median(runs));
    if runs.len() < 2 || number(least) == number(most) {
        return middle;
    }
    format!("{middle} [{} – {}]", number(least), number(most))
}

/// Three digits that count, and commas between thousands.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_once('.').unwrap_or((&plain, ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_precise_as_they_are_small() {
        let texts =
            [(1_234_567.8, "1,234,568"), (999.6, "1000"), (12.34, "12.3"), (0.0, "0"), (0.0123, "0.0123")];
        for (value, text) in texts {
            assert_eq!(number(value).replace("1,000", "1000"), text);
        }
        assert_eq!(number(-1234.0), "-1,234");
        assert_eq!(number(f64::NAN), "–");
    }

    #[test]
    fn a_row_says_what_was_wanted_and_whether_it_is_so() {
        let mut text = String::new();
        let row = Row::new("a hit", "ns", [100.0, 110.0, 90.0]).beside("the reflector", [5.0]);
        push_row(&mut text, &row.clone().wanted(Wanted::RatioAtMost(25.0)));
        push_row(&mut text, &row.wanted(Wanted::AtMost(99.0)));
        assert_eq!(
            text,
            "| a hit | 100 [90.0 – 110] ns | the reflector | 5.00 ns | 20.0 | ≤ 25.0 times | yes |\n\
             | a hit | 100 [90.0 – 110] ns | the reflector | 5.00 ns | 20.0 | ≤ 99.0 ns | **no** |\n"
        );
    }
}
