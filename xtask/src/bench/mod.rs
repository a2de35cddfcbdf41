//! `cargo xtask bench`: what ctprof costs, as ratios within one run.
//!
//! Machines differ and are noisy: so every figure is the median of rounds in which the conditions take turns, and
//! what counts is how much more than *empty programs on the same hooks* a condition adds.
//!
//! - `sched`: two threads that wake each other through pipes on one CPU
//! - `syscalls`: a thread that calls the kernel on one CPU
//! - `compare`: conditions that take turns, and their table
//! - `condition`: what runs beside the load
//! - `empty`: empty programs on the kernel's hooks
//! - `load`: the load itself, in a process of its own
//! - `series`: medians and spread

mod compare;
mod condition;
mod empty;
pub(crate) mod load;
mod sched;
mod series;
mod syscalls;

use std::process::ExitCode;

use anyhow::Result;

use crate::cmd;

/// Measure what ctprof costs, against empty programs on the same hooks and against bpftrace. Run it as root.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these hooks; default: all.
    #[arg(long, value_enum)]
    only: Option<Subject>,

    /// Rounds in which every condition is measured once.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Ping-pongs of one measurement, or a tenth of its calls.
    #[arg(long, default_value_t = 150_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
}

/// Hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// The scheduler's.
    Sched,
    /// Those of system calls.
    Syscalls,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    cmd::run(cmd::cargo().args(["build", "--quiet", "--release", "--package", "ctprof"]))?;
    if args.only != Some(Subject::Syscalls) {
        sched::run(args.rounds, args.count)?;
    }
    if args.only != Some(Subject::Sched) {
        syscalls::run(args.rounds, args.count)?;
    }
    Ok(ExitCode::SUCCESS)
}
