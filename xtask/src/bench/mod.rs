//! `cargo xtask bench`: what ctprof costs, as ratios within one run.
//!
//! Machines differ and are noisy: so every figure is the median of rounds in which the conditions take turns, and
//! what counts is how much more than *empty programs on the same hooks* a condition adds.
//!
//! - `cases`: what is measured
//! - `report`: tables, pictures, comparison with an earlier run, docs/overhead.md
//! - `turns`: conditions that take turns
//! - `condition`: what runs beside the load
//! - `empty`: empty programs on the kernel's hooks
//! - `load`: the load itself, in a process of its own
//! - `stacks`: the same, with many distinct stacks
//! - `usage`: what processes take until they end
//! - `ring`: loads of many threads, the same
//! - `cgroups`: the cgroups that these are in
//! - `agent`: what the agent costs
//! - `held`: programs and maps of a process, as the kernel describes them
//! - `peers`: other tools, where they are installed
//! - `machine`: what the figures are of

mod agent;
mod cases;
mod cgroups;
mod condition;
mod empty;
mod held;
pub(crate) mod load;
mod machine;
mod peers;
mod report;
pub(crate) mod ring;
pub(crate) mod stacks;
mod turns;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use cases::Case;
use machine::Machine;
use report::Report;

use crate::{cmd, paths};

/// Measure what ctprof costs, against empty programs on the same hooks and against other tools. Run it as root.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this (repeatable); default: everything, which takes about an hour, and less with fewer rounds.
    #[arg(long, value_enum, value_name = "CASE")]
    only: Vec<Case>,

    /// Rounds in which every condition is measured once.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Ping-pongs of one measurement; other loads are a fixed multiple or part of it.
    #[arg(long, default_value_t = 150_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// Write every raw value to this file.
    #[arg(long, value_name = "FILE", default_value_os_t = paths::target().join("bench.json"))]
    json: PathBuf,

    /// Tell what changed since the run that wrote this file.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Put the figures into docs/overhead.json, and from there into documents and pictures.
    #[arg(long)]
    publish: bool,

    /// Measure nothing: write documents and pictures again from docs/overhead.json.
    #[arg(long, conflicts_with_all = ["only", "rounds", "count", "json", "baseline", "publish"])]
    render: bool,
}

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    /// Rounds in which every condition is measured once.
    rounds: u32,
    /// Ping-pongs of one measurement, from which other loads are derived.
    count: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.render {
        report::render()?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        crate::setup::is_root(),
        "programs can be attached by root only: run `sudo -E cargo xtask bench`"
    );
    // Before anything is measured: an hour later would be a pity.
    let baseline = args.baseline.as_deref().map(Report::read).transpose()?;
    cmd::run(cmd::cargo().args(["build", "--quiet", "--release", "--package", "ctprof"]))?;
    let effort = Effort {
        rounds: args.rounds,
        count: args.count,
    };
    let mut report = Report {
        machine: Machine::here()?,
        tables: Vec::new(),
    };
    println!("{}\nMedians of {} rounds.", report.machine, args.rounds);
    let cases = match args.only.as_slice() {
        [] => Case::value_variants(),
        only => only,
    };
    for case in cases {
        for table in case.run(effort)? {
            println!("\n## {}\n\n{}", table.title, table.markdown());
            report.tables.push(table);
        }
        // What was measured is kept, whatever comes.
        report.write(&args.json)?;
    }
    println!("raw values: {}", args.json.display());
    if let Some(baseline) = baseline {
        println!(
            "\n## Since the earlier run\n\n{}",
            report::compare(&baseline, &report)
        );
    }
    if args.publish {
        report::publish(report)?;
    }
    Ok(ExitCode::SUCCESS)
}
