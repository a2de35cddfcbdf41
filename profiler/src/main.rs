//! `ctprof`: parse, plan, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctprof::cli::run()
}
