//! The tests in virtual machines, on one of Debian's kernels after the other.
//!
//! A test in a machine runs tests of other binaries there, and prints what they print: each of them is
//! counted, once for each kernel.

use super::{Session, test_command};
use crate::real::kernels::SUITES;

/// The binary whose tests these are.
const BINARY: &str = "tests/kernels (test)";
/// The variable that tells them which kernel, by its suite.
const VARIABLE: &str = "XDHCPD_KERNEL";

impl Session<'_> {
    /// Builds all there is, for any test may be run in a machine, and runs these.
    pub(super) fn kernels(&mut self) {
        let Some(built) = self.build(true) else { return };
        let binary = built.binaries().find(|binary| binary.name == BINARY).cloned();
        let Some(binary) =
            self.stage("kernels", |_| binary.ok_or_else(|| anyhow::anyhow!("no {BINARY} is built")))
        else {
            return;
        };
        if let Err(reason) = &built.may_run {
            self.stage("kernels", |session| session.skip_binaries(&[binary], reason));
            return;
        }
        for (suite, version) in SUITES {
            let mut command = test_command(&binary);
            command.env(VARIABLE, suite).args(&self.arguments.filter).arg(self.threads());
            self.stage("kernels", |session| {
                session.run_tests("kernels", &format!("Linux {version}"), command)
            });
        }
    }
}
