//! `cargo xtask checklist`: each row of the acceptance checklist, who may do what it asks for, its
//! tests, and whether they pass.
//!
//! Nothing is written down twice: a test says by its name which rows it claims, and the binaries
//! say which tests there are. It fails when a row lacks a test that it needs, when a test fails,
//! and when a test claims a row that there is not.

mod claims;
mod rows;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};

use self::claims::Side;
use self::table::{Outcome, Table, Test};
use crate::progress::Progress;
use crate::test::binaries::TestBinary;
use crate::test::{self, Ended, Session};
use crate::workspace::Workspace;

/// What to show, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run nothing: show which rows have which tests
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Install nothing
    #[arg(long)]
    no_setup: bool,
    /// How many privileged tests run at one time
    #[arg(long, value_name = "N", env = "RUST_TEST_THREADS", default_value = "2")]
    test_threads: std::num::NonZeroUsize,
}

/// Prints the table; fails when a row is not as it should be.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<ExitCode> {
    let options = test::Arguments::all(arguments.no_setup, arguments.test_threads);
    let mut session = Session::begin(workspace, progress, &options)?;
    let Some(built) = session.build(!arguments.list) else { bail!("the tests could not be built") };
    let mut table = Table::default();
    for binary in built.binaries() {
        let tests = claimed(&mut table, binary, &session.list(binary)?);
        if tests.is_empty() {
            continue;
        }
        let outcomes = if arguments.list {
            vec![Outcome::Listed; tests.len()]
        } else {
            let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
            let ended = session.run_exactly(&built, binary, &names)?;
            names.iter().map(|name| outcome(&ended, name)).collect()
        };
        table.tests.extend(tests.into_iter().zip(outcomes).map(|(test, outcome)| Test { outcome, ..test }));
    }
    if arguments.json {
        println!("{:#}", table.json());
    } else {
        println!("{table}");
    }
    Ok(if table.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is missing or wrong in the tests that these binaries list, a line each.
pub fn faults(listed: &[(&TestBinary, Vec<String>)]) -> Vec<String> {
    let mut table = Table::default();
    for (binary, names) in listed {
        let tests = claimed(&mut table, binary, names);
        table.tests.extend(tests);
    }
    table.faults()
}

/// The tests of a binary that claim rows; those that claim a row that there is not go into the table.
fn claimed(table: &mut Table, binary: &TestBinary, names: &[String]) -> Vec<Test> {
    let mut tests = Vec::new();
    for name in names {
        match claims::rows(name) {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => tests.push(Test {
                name: name.clone(),
                binary: binary.name.clone(),
                side: Side::of(&binary.name),
                rows,
                outcome: Outcome::Listed,
            }),
            Err(id) => table.strangers.push((name.clone(), id)),
        }
    }
    tests
}

fn outcome(ended: &Ended, test: &str) -> Outcome {
    match ended {
        Ended::NotRun(reason) => Outcome::Skipped(reason.clone()),
        Ended::Died => Outcome::Failed,
        Ended::Ran { run, .. } if run.has_failed(test) => Outcome::Failed,
        Ended::Ran { skips, .. } => match skips.iter().find(|skip| skip.is_of(test)) {
            Some(skip) => Outcome::Skipped(skip.reason.clone()),
            None => Outcome::Passed,
        },
    }
}
