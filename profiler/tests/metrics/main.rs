//! What Prometheus is told, of readings made here: values, spelling, limits, and that docs, dashboards and rules speak
//! of nothing that is not told.
//!
//! What needs promtool is skipped, by name, where there is none.

#![allow(clippy::print_stdout, reason = "it reports to a terminal")]

mod dashboards;
mod exposition;
mod names;
mod page;
mod promql;
mod promtool;
mod queries;
mod reading;
mod rules;
mod text;
#[path = "../kernel/harness/unpacked.rs"]
#[allow(
    dead_code,
    reason = "shared with the Docker tests, which use all of it"
)]
mod unpacked;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed};

/// How a trial ends.
type Result<T = ()> = std::result::Result<T, Failed>;

fn main() -> ExitCode {
    let trials = [
        exposition::trials(),
        names::trials(),
        page::trials(),
        dashboards::trials(),
        rules::trials(),
    ];
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.into_iter().flatten().collect(),
    )
    .exit_code()
}
