//! Tests against a real kernel: `ctprof` records workloads whose truth is known, and the numbers must agree.
//!
//! One program in three roles: a test binary for `cargo test` (without privilege every trial is reported as
//! ignored, with the reason), `init` of a virtual machine (process 1; see [`init`]), and the workload that the
//! trials start (see [`workload`]).

#![allow(
    clippy::print_stdout,
    reason = "it reports to a terminal or a serial console"
)]

#[allow(dead_code, reason = "shared with the Docker tests, which use the rest")]
mod harness;
mod init;
mod subjects;
mod workload;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("workload") {
        return workload::main(args);
    }
    if std::process::id() == 1 {
        return init::main();
    }
    let mut arguments = Arguments::from_args();
    // The trials measure CPU time: side by side they would disturb each other.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, subjects::trials()).exit_code()
}
