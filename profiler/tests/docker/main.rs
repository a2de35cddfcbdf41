//! Tests with real containers: Docker runs real programs, and `ctprof` has to name both.
//!
//! The tests bring a Docker daemon of their own, with its own folders and socket, and stop it in the end. What
//! a machine lacks (root, dockerd, a program to put into a container) skips the trial that needs it, by name.

#![allow(clippy::print_stdout, reason = "it reports to a terminal")]

mod agent;
mod containers;
mod daemon;
#[path = "../kernel/harness/mod.rs"]
#[allow(
    dead_code,
    reason = "shared with the kernel tests, which use all of it"
)]
mod harness;
mod hostile;
mod image;
mod isolation;
mod ledger;
mod load;
mod names;
mod programs;
mod prometheus;
#[path = "../metrics/queries.rs"]
#[allow(
    dead_code,
    reason = "shared with the metrics tests, which use all of it"
)]
mod queries;
mod seccomp;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The trials measure CPU time: side by side they would disturb each other.
    arguments.test_threads = Some(1);
    let trials = [
        agent::trials(),
        containers::trials(),
        ledger::trials(),
        names::trials(),
        programs::trials(),
        hostile::trials(),
        isolation::trials(),
        seccomp::trials(),
        prometheus::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    daemon::stop();
    conclusion.exit_code()
}
