//! `cargo xtask test`: every test there is, in stages, with a sign of life from each.
//!
//! Set-up, the XDP program, compilation, the tests that anybody can run, the tests that need root.
//! A stage that breaks counts as a failure and does not keep back those that can go on without it.
//! Whatever happens, the last line is `N passed, N failed, N skipped`, and a skipped test says
//! what it misses.

pub mod binaries;
mod kernels;
mod libtest;
mod skips;
mod totals;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result, bail};

use self::binaries::{Compilation, TestBinary};
use self::libtest::Run;
use self::skips::Skip;
use self::totals::Totals;
use crate::progress::{Progress, Transcript, Watcher};
use crate::workspace::Workspace;
use crate::{build_ebpf, checklist, real, setup};

/// Which tests to run, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "Environment:\n  \
    XDHCPD_KERNEL  the Debian release whose kernel the tests in virtual machines have: bullseye, bookworm\n                 \
    (in its absence) or trixie; --kernels goes through all three\n\n\
    Examples:\n  \
    cargo xtask test              all tests, those in virtual machines on one kernel\n  \
    cargo xtask test --kernels    those alone, on Linux 5.10, 6.1 and 6.12, with a line for each\n  \
    cargo xtask test vlan         those with `vlan` in their name")]
pub struct Arguments {
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Install nothing
    #[arg(long)]
    no_setup: bool,
    /// Only tests that need neither root nor the XDP program
    #[arg(long)]
    unprivileged: bool,
    /// Only the tests in virtual machines, on the kernels of three Debian releases: 5.10, 6.1 and 6.12
    #[arg(long, conflicts_with = "unprivileged")]
    kernels: bool,
    /// How many privileged tests run at one time: they load programs and lay out networks
    #[arg(long, value_name = "N", env = "RUST_TEST_THREADS", default_value = "2")]
    test_threads: std::num::NonZeroUsize,
}

impl Arguments {
    /// All tests, with what another command leaves open.
    pub fn all(no_setup: bool, test_threads: std::num::NonZeroUsize) -> Self {
        Self { filter: None, no_setup, unprivileged: false, kernels: false, test_threads }
    }
}

/// Runs the tests; fails when one failed or could not be built.
pub fn run(workspace: &Workspace, progress: &Progress, arguments: &Arguments) -> Result<ExitCode> {
    let mut session = Session::begin(workspace, progress, arguments)?;
    if arguments.kernels {
        session.kernels();
    } else {
        session.stages();
    }
    println!("{}", session.totals);
    Ok(if session.totals.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One go at the tests.
pub struct Session<'a> {
    workspace: &'a Workspace,
    progress: &'a Progress,
    arguments: &'a Arguments,
    totals: Totals,
}

/// What was built to be run.
pub struct Built {
    others: Vec<TestBinary>,
    privileged: Vec<TestBinary>,
    /// Why the privileged ones cannot be run, if so.
    may_run: Result<(), String>,
}

impl Built {
    /// All of it.
    pub fn binaries(&self) -> impl Iterator<Item = &TestBinary> {
        self.others.iter().chain(&self.privileged)
    }
}

/// How a run of some tests of one binary ended.
pub enum Ended {
    /// It went through.
    Ran {
        /// What it printed.
        run: Run,
        /// Tests that skipped themselves, or are ignored.
        skips: Vec<Skip>,
    },
    /// It ended early.
    Died,
    /// It was not run at all, and this is why.
    NotRun(String),
}

impl<'a> Session<'a> {
    /// Makes room for the logs.
    pub fn begin(workspace: &'a Workspace, progress: &'a Progress, arguments: &'a Arguments) -> Result<Self> {
        let session = Self { workspace, progress, arguments, totals: Totals::default() };
        session.remove_old_logs()?;
        Ok(session)
    }

    /// Builds all tests, and the program where they are `to_run`; none: they do not build.
    pub fn build(&mut self, to_run: bool) -> Option<Built> {
        let may_run = if !to_run {
            Err("nothing is to be run".to_owned())
        } else if self.arguments.unprivileged {
            Err("--unprivileged was given".to_owned())
        } else {
            self.stage("program", Self::build_program)
                .ok_or_else(|| "the XDP program was not built".to_owned())
                .and_then(|()| may_be_privileged())
        };
        let binaries = self.stage("compile", Self::compile)?;
        let tests = self.workspace.privileged_tests();
        let (privileged, others) = binaries.into_iter().partition(|binary| binary.package == tests);
        Some(Built { others, privileged, may_run })
    }

    fn stages(&mut self) {
        let Some(built) = self.build(true) else { return };
        for binary in &built.others {
            self.stage("tests", |session| session.run_binary("tests", binary, &[]));
        }
        self.stage("doc tests", Self::run_doc_tests);
        match &built.may_run {
            Ok(()) => {
                let threads = self.threads();
                for binary in &built.privileged {
                    self.stage("privileged", |session| session.run_binary("privileged", binary, &[&threads]));
                }
            }
            Err(reason) => {
                self.stage("privileged", |session| session.skip_binaries(&built.privileged, reason));
            }
        }
        if self.arguments.filter.is_none() {
            self.stage("checklist", |session| session.check_the_checklist(&built));
        }
    }

    fn threads(&self) -> String {
        format!("--test-threads={}", self.arguments.test_threads)
    }

    /// Whether each row of the checklist has the tests that it needs.
    fn check_the_checklist(&mut self, built: &Built) -> Result<()> {
        let listed = built.binaries().map(|binary| Ok((binary, self.list(binary)?)));
        let faults = checklist::faults(&listed.collect::<Result<Vec<_>>>()?);
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        self.progress.say("checklist", "each row has the tests that it needs");
        Ok(())
    }

    /// Does one stage's work; that it could not be done is a failure, and printed.
    fn stage<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Option<T> {
        match work(self) {
            Ok(done) => Some(done),
            Err(error) => {
                self.progress.say(name, &format!("FAILED: {error:#}"));
                self.totals.fail();
                None
            }
        }
    }

    fn build_program(&mut self) -> Result<()> {
        let linker = if self.arguments.no_setup {
            setup::linker::existing(self.workspace)?
        } else {
            setup::for_tests(self.workspace, self.progress);
            if self.arguments.kernels {
                real::for_kernels(self.workspace, self.progress);
            } else {
                real::for_tests(self.workspace, self.progress);
            }
            setup::for_build(self.workspace, self.progress)?
        };
        self.progress.say("set-up", if self.arguments.no_setup { "left out" } else { "done" });
        build_ebpf::with_linker(self.workspace, self.progress, &linker)
    }

    /// Builds all binaries in one go, so that all agree on the features of what they share.
    fn compile(&mut self) -> Result<Vec<TestBinary>> {
        let mut cargo = self.workspace.cargo();
        cargo.args(["build", "--workspace", "--all-targets", "--message-format=json-render-diagnostics"]);
        let mut compilation = Compilation::default();
        let status = self.progress.run("compile", cargo, &self.log("compile"), &mut compilation)?;
        if !status.success() {
            self.show("cargo build", &compilation.transcript.lines);
            bail!("the workspace does not build ({status})");
        }
        self.progress.say("compile", &format!("{} test binaries", compilation.binaries.len()));
        Ok(compilation.binaries)
    }

    fn run_binary(&mut self, step: &str, binary: &TestBinary, arguments: &[&str]) -> Result<()> {
        let mut command = test_command(binary);
        command.args(&self.arguments.filter).args(arguments);
        self.run_tests(step, &binary.name, command)
    }

    fn run_doc_tests(&mut self) -> Result<()> {
        let mut cargo = self.workspace.cargo();
        cargo.args(["test", "--workspace", "--doc", "--no-fail-fast", "--"]).args(&self.arguments.filter);
        self.run_tests("doc tests", "doc tests", cargo)
    }

    /// Runs some tests of a binary, by their whole names.
    pub fn run_exactly(&mut self, built: &Built, binary: &TestBinary, tests: &[&str]) -> Result<Ended> {
        let is_privileged = built.privileged.contains(binary);
        if let (true, Err(reason)) = (is_privileged, &built.may_run) {
            return Ok(Ended::NotRun(reason.clone()));
        }
        let mut command = test_command(binary);
        command.arg("--exact").args(tests);
        if is_privileged {
            command.arg(self.threads());
        }
        let (status, run, skips) = self.watch("checklist", &binary.name, command)?;
        if run.counts.failed > 0 {
            self.show(&binary.name, &run.failures);
        }
        if let Some(how) = died(status, &run) {
            self.show(&binary.name, &run.output);
            self.progress.say("checklist", &format!("{} {how}", binary.name));
            return Ok(Ended::Died);
        }
        self.progress.say("checklist", &format!("{}: {} tests", binary.name, tests.len()));
        let skips = skips.into_iter().chain(run.ignored()).collect();
        Ok(Ended::Ran { run, skips })
    }

    /// The names of a binary's tests.
    pub fn list(&self, binary: &TestBinary) -> Result<Vec<String>> {
        let mut command = test_command(binary);
        command.args(&self.arguments.filter).arg("--list");
        let mut list = Transcript::default();
        let status = self.progress.run("list", command, &self.log("list"), &mut list)?;
        if !status.success() {
            bail!("{} does not list its tests ({status})", binary.name);
        }
        Ok(libtest::listed(&list.lines))
    }

    /// Runs something that prints as libtest does; what it said, and what it skipped.
    fn watch(&self, step: &str, name: &str, mut command: Command) -> Result<(ExitStatus, Run, Vec<Skip>)> {
        let skip_file = self.skip_file();
        skips::clear(&skip_file)?;
        command.env(skips::VARIABLE, &skip_file);
        let mut watched = Watched { name: name.to_owned(), run: Run::default() };
        let status = self.progress.run(step, command, &self.log(step), &mut watched)?;
        Ok((status, watched.run, skips::read(&skip_file)?))
    }

    /// Runs something that prints as libtest does, and counts what it says.
    fn run_tests(&mut self, step: &str, name: &str, command: Command) -> Result<()> {
        let (status, run, skips) = self.watch(step, name, command)?;
        let totals = Totals::of(&run, &skips);
        self.totals.add(totals);
        for Skip { name, reason } in skips.into_iter().chain(run.ignored()) {
            self.progress.line(&format!("SKIP {name}: {reason}"));
        }
        if run.counts.failed > 0 {
            self.show(name, &run.failures);
        }
        if totals != Totals::default() {
            self.progress.say(step, &format!("{name}: {totals}"));
        }
        died(status, &run).map_or(Ok(()), |how| {
            self.show(name, &run.output);
            bail!("{name} {how}; its output is above")
        })
    }

    /// Counts the tests of binaries that cannot be run here.
    fn skip_binaries(&mut self, binaries: &[TestBinary], reason: &str) -> Result<()> {
        let mut tests: usize = 0;
        for binary in binaries {
            tests = tests.saturating_add(self.list(binary)?.len());
        }
        if tests > 0 {
            self.progress.line(&format!("SKIP privileged tests ({tests}): {reason}"));
            self.totals.skip(tests);
        }
        Ok(())
    }

    fn show(&self, name: &str, lines: &[String]) {
        self.progress.line(&format!("---- {name} ----"));
        for line in lines {
            self.progress.line(line);
        }
        self.progress.line(&format!("---- end of {name} ----"));
    }

    fn log(&self, stage: &str) -> PathBuf {
        self.workspace.log(&format!("test-logs/{}", stage.replace(' ', "-")))
    }

    fn skip_file(&self) -> PathBuf {
        self.log("skips").with_extension("tsv")
    }

    fn remove_old_logs(&self) -> Result<()> {
        let skip_file = self.skip_file();
        let directory = skip_file.parent().context("logs lie in a directory")?;
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot remove {}", directory.display()))?;
        }
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
    }
}

/// A run whose signs of life carry its name.
struct Watched {
    name: String,
    run: Run,
}

impl Watcher for Watched {
    fn line(&mut self, line: &str) {
        self.run.line(line);
    }

    fn status(&self) -> String {
        format!("{}: {}", self.name, self.run.status())
    }
}

/// Runs a test binary as cargo would: in its package's directory.
fn test_command(binary: &TestBinary) -> Command {
    let mut command = Command::new(&binary.executable);
    command.current_dir(&binary.package).env("CARGO_MANIFEST_DIR", &binary.package);
    command
}

/// How a run ended that did not end as libtest ends; a test that exits the process, even with
/// success, takes the others with it.
fn died(status: ExitStatus, run: &Run) -> Option<String> {
    let told = run.results > 0 && (status.success() || run.counts.failed > 0);
    (!told).then(|| format!("ended early ({status}, after {} tests)", run.ended))
}

/// Whether the privileged tests can run, or what it takes.
fn may_be_privileged() -> Result<(), String> {
    if !setup::is_root() {
        return Err("they need root; run: sudo -E env PATH=\"$PATH\" cargo xtask test".into());
    }
    if !setup::bpffs::is_mounted() {
        return Err("they need bpffs; run: mount -t bpf bpf /sys/fs/bpf".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn run(output: &str) -> Run {
        let mut run = Run::default();
        output.lines().for_each(|line| run.line(line));
        run
    }

    #[test]
    fn a_binary_that_ends_without_a_result_has_died() {
        let good = run("test result: ok. 1 passed; 0 failed; 0 ignored");
        let bad = run("test result: FAILED. 1 passed; 1 failed; 0 ignored");
        let (success, failure, signal) =
            (ExitStatus::from_raw(0), ExitStatus::from_raw(101 << 8), ExitStatus::from_raw(6));
        assert_eq!(died(success, &good), None);
        assert_eq!(died(failure, &bad), None);
        assert!(died(failure, &good).is_some());
        assert!(died(success, &run("test one ... ok")).is_some());
        assert!(died(signal, &run("test one ... ok")).unwrap().contains("after 1 tests"));
    }
}
