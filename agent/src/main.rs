//! The `xdhcpd` binary: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    xdhcpd::cli::main(std::env::args_os())
}
