//! Which rows have which tests, how those ended, and what is missing: as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::claims::Side;
use super::rows::{ROWS, Row};

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not run, only listed.
    Listed,
    /// It passed.
    Passed,
    /// It failed, or its binary ended early.
    Failed,
    /// It did not run, and this is why.
    Skipped(String),
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Passed => "pass",
            Self::Failed => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// A test that claims rows.
#[derive(Debug, Clone)]
pub struct Test {
    /// Its name, with modules.
    pub name: String,
    /// Its binary.
    pub binary: String,
    /// What it tests.
    pub side: Side,
    /// The rows it claims.
    pub rows: Vec<&'static Row>,
    /// How it ended.
    pub outcome: Outcome,
}

/// All rows with their tests.
#[derive(Debug, Default)]
pub struct Table {
    /// The tests that claim rows.
    pub tests: Vec<Test>,
    /// Tests that claim a row that there is not: name and id.
    pub strangers: Vec<(String, String)>,
}

impl Table {
    fn of<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = &'a Test> {
        self.tests.iter().filter(move |test| test.rows.contains(&row))
    }

    /// What a row comes to: its tests' outcome, or what is missing.
    fn state(&self, row: &Row) -> String {
        let needed = [(Side::Agent, row.path.needs_agent()), (Side::Kernel, row.path.needs_kernel())];
        let needed = || needed.iter().filter(|(_, needed)| *needed).map(|(side, _)| *side);
        let of_side = |side| self.of(row).filter(move |test| test.side == side);
        if self.of(row).any(|test| test.outcome == Outcome::Failed) {
            return "FAILED".into();
        }
        if let Some(missing) = needed().find(|side| of_side(*side).next().is_none()) {
            return format!("NO {} TEST", missing.name().to_uppercase());
        }
        let is_skipped = |test: &Test| matches!(test.outcome, Outcome::Skipped(_));
        if needed().any(|side| of_side(side).all(is_skipped)) {
            return "skipped".into();
        }
        let listed = self.of(row).all(|test| test.outcome == Outcome::Listed);
        if listed { "listed".into() } else { "pass".into() }
    }

    /// All that is wrong, a line each.
    pub fn faults(&self) -> Vec<String> {
        let is_fault = |state: &String| state.as_str() == "FAILED" || state.starts_with("NO ");
        let rows = ROWS.iter().map(|row| (row, self.state(row))).filter(|(_, state)| is_fault(state));
        let rows = rows.map(|(row, state)| format!("{}: {state}: {}", row.id, row.says));
        let strangers = self.strangers.iter().map(|(test, id)| format!("{test}: there is no row {id}"));
        rows.chain(strangers).collect()
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let test = |test: &Test| {
            let reason = match &test.outcome {
                Outcome::Skipped(reason) => Some(reason),
                _ => None,
            };
            json!({"name": test.name, "binary": test.binary, "side": test.side.name(),
                   "outcome": test.outcome.name().to_lowercase(), "reason": reason})
        };
        let row = |row: &Row| {
            json!({"row": row.id, "path": row.path.to_string(), "says": row.says,
                   "state": self.state(row).to_lowercase(),
                   "tests": self.of(row).map(test).collect::<Vec<_>>()})
        };
        json!({"rows": ROWS.iter().map(row).collect::<Vec<_>>(), "faults": self.faults()})
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = ROWS.iter().map(|row| row.path.to_string().len()).max().unwrap_or_default();
        for row in ROWS {
            writeln!(f, "{:4} {:width$}  {:14}  {}", row.id, row.path, self.state(row), row.says)?;
            let mut tests: Vec<_> = self.of(row).collect();
            tests.sort_by_key(|test| (test.side, &test.binary, &test.name));
            for test in tests {
                let why = if let Outcome::Skipped(reason) = &test.outcome { reason } else { "" };
                let (side, outcome) = (test.side.name(), test.outcome.name());
                writeln!(f, "       {side:6}  {outcome:7}  {} {} {why}", test.binary, test.name)?;
            }
        }
        let count = |wanted: &str| ROWS.iter().filter(|row| self.state(row) == wanted).count();
        let missing = ROWS.iter().filter(|row| self.state(row).starts_with("NO ")).count();
        for fault in self.faults() {
            writeln!(f, "{fault}")?;
        }
        write!(f, "{} rows, {} tests: ", ROWS.len(), self.tests.len())?;
        if count("listed") > 0 {
            return write!(f, "{} with the tests they need, {missing} without", count("listed"));
        }
        let (passed, failed, skipped) = (count("pass"), count("FAILED"), count("skipped"));
        write!(f, "{passed} pass, {failed} fail, {missing} lack a test, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{claims, rows};
    use super::*;

    fn test(binary: &str, name: &str, outcome: Outcome) -> Test {
        let rows = claims::rows(name).unwrap();
        Test { name: name.into(), binary: binary.into(), side: Side::of(binary), rows, outcome }
    }

    fn state(id: &str, tests: Vec<Test>) -> String {
        Table { tests, strangers: Vec::new() }.state(rows::find(id).unwrap())
    }

    const AGENT: &str = "agent/xdhcpd (lib)";
    const KERNEL: &str = "tests/program_gate (test)";
    const WHOLE: &str = "tests/clients (test)";

    #[test]
    fn a_row_of_the_kernels_needs_both_sides() {
        assert_eq!(state("g05", Vec::new()), "NO AGENT TEST");
        assert_eq!(state("g05", vec![test(AGENT, "g05_a", Outcome::Passed)]), "NO KERNEL TEST");
        let both = vec![test(AGENT, "g05_a", Outcome::Passed), test(KERNEL, "g05_b", Outcome::Passed)];
        assert_eq!(state("g05", both), "pass");
        let whole = vec![test(AGENT, "g05_a", Outcome::Passed), test(WHOLE, "g05_b", Outcome::Passed)];
        assert_eq!(state("g05", whole), "NO KERNEL TEST");
        assert_eq!(state("g12", vec![test(KERNEL, "g12_a", Outcome::Passed)]), "pass", "the kernel's alone");
    }

    #[test]
    fn a_row_of_the_agents_needs_the_agents_test() {
        assert_eq!(state("c47", vec![test(AGENT, "c47_a", Outcome::Passed)]), "pass");
        assert_eq!(state("c47", vec![test(KERNEL, "c47_a", Outcome::Passed)]), "NO AGENT TEST");
    }

    #[test]
    fn one_failure_fails_the_row_and_skips_alone_do_not_pass_it() {
        let skipped = || Outcome::Skipped("needs root".into());
        let failed = vec![test(AGENT, "g05_a", Outcome::Passed), test(WHOLE, "g05_b", Outcome::Failed)];
        assert_eq!(state("g05", failed), "FAILED");
        let none = vec![test(AGENT, "g05_a", Outcome::Passed), test(KERNEL, "g05_b", skipped())];
        assert_eq!(state("g05", none), "skipped");
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let mut table = Table::default();
        for row in ROWS {
            for binary in [AGENT, KERNEL] {
                table.tests.push(test(binary, &format!("{}_x", row.id), Outcome::Passed));
            }
        }
        assert!(table.faults().is_empty());
        assert!(table.to_string().ends_with("0 fail, 0 lack a test, 0 skipped"), "{table}");
        assert_eq!(table.json()["rows"][0]["state"], "pass");
        table.strangers.push(("c42_x".into(), "c42".into()));
        table.tests.retain(|test| test.name != "c47_x");
        assert_eq!(table.faults().len(), 2);
    }
}
