//! What a part of the bench gives to the report: rows of a table, plots, and what has to be known to
//! read them.

use crate::report::plot::Plot;

/// What one part measured.
#[derive(Debug, Default)]
pub struct Part {
    /// How it was measured, in a few sentences: the text above the table.
    pub about: String,
    /// The table.
    pub rows: Vec<Row>,
    /// What the table does not show.
    pub plots: Vec<Plot>,
    /// What was left out, or has to be kept in mind.
    pub notes: Vec<String>,
}

/// One figure, beside another of the same run.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is a figure of.
    pub what: String,
    /// One value for each run; the figure is their median.
    pub runs: Vec<f64>,
    /// Of the value, and of what stands beside it.
    pub unit: &'static str,
    /// What it is compared with.
    pub beside: Option<Beside>,
    /// What it should be.
    pub wanted: Option<Wanted>,
}

/// What a figure is compared with.
#[derive(Debug, Clone)]
pub struct Beside {
    /// Its name.
    pub what: String,
    /// One value for each run.
    pub runs: Vec<f64>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// So many times what stands beside it, or less.
    RatioAtMost(f64),
    /// So many times what stands beside it, or more.
    RatioAtLeast(f64),
    /// This, or less.
    AtMost(f64),
}

impl Row {
    /// A figure beside nothing, of which nothing is wanted.
    pub fn new(what: impl Into<String>, unit: &'static str, runs: impl Into<Vec<f64>>) -> Self {
        Self { what: what.into(), runs: runs.into(), unit, beside: None, wanted: None }
    }

    /// The same beside another figure.
    #[must_use]
    pub fn beside(self, what: impl Into<String>, runs: impl Into<Vec<f64>>) -> Self {
        Self { beside: Some(Beside { what: what.into(), runs: runs.into() }), ..self }
    }

    /// The same with what it should be.
    #[must_use]
    pub fn wanted(self, wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), ..self }
    }

    /// The figure.
    pub fn value(&self) -> f64 {
        median(&self.runs)
    }

    /// How many times what stands beside it; none: nothing does.
    pub fn ratio(&self) -> Option<f64> {
        let beside = median(&self.beside.as_ref()?.runs);
        (beside != 0.0).then(|| self.value() / beside)
    }

    /// Whether it is what it should be; none: nothing is wanted of it, or there is nothing to compare.
    pub fn is_met(&self) -> Option<bool> {
        Some(match self.wanted? {
            Wanted::RatioAtMost(limit) => self.ratio()? <= limit,
            Wanted::RatioAtLeast(limit) => self.ratio()? >= limit,
            Wanted::AtMost(limit) => self.value() <= limit,
        })
    }
}

/// The middle one, or the mean of the two in the middle; of nothing: not a number.
pub fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(middle)) => *middle,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_is_judged_by_medians_and_without_a_figure_beside_it_not_at_all() {
        let row = Row::new("a hit", "ns", [100.0, 90.0, 5000.0]).wanted(Wanted::RatioAtMost(25.0));
        assert_eq!(row.is_met(), None);
        assert_eq!(row.clone().beside("the reflector", [4.0]).is_met(), Some(true));
        assert_eq!(row.clone().beside("the reflector", [3.9]).is_met(), Some(false));
        assert_eq!(row.wanted(Wanted::AtMost(99.0)).is_met(), Some(false));
    }
}
