//! `ctprof`: parse, plan, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctprof::memory::return_large_blocks();
    ctprof::cli::run()
}
