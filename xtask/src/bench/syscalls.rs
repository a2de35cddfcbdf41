//! The hooks of system calls: what a `getppid` costs more.

use anyhow::{Context, Result};
use serde_json::Value;

use super::compare;
use super::condition::Condition;

/// Calls, errors and latency by container and call, as far as bpftrace can.
const SAME: &str = "tracepoint:raw_syscalls:sys_enter { @start[tid] = nsecs; } \
     tracepoint:raw_syscalls:sys_exit /@start[tid]/ { $ns = nsecs - @start[tid]; delete(@start[tid]); \
     @calls[cgroup, args->id] = count(); @ns[cgroup, args->id] = hist($ns); \
     if (args->ret < 0) { @errors[cgroup, args->id, args->ret] = count(); } }";

const CONDITIONS: &[(&str, Condition)] = &[
    ("nothing", Condition::Nothing),
    (
        "empty programs",
        Condition::Empty(&["sys_enter", "sys_exit"]),
    ),
    ("calls, errors and latency", Condition::Calls(&[])),
    (
        "calls and errors (--counts-only)",
        Condition::Calls(&["--counts-only"]),
    ),
    ("bpftrace, the same", Condition::Bpftrace(SAME)),
];
/// Calls, errors and latency may add this many times what empty programs do.
const BUDGET: f64 = 2.0;

pub(super) fn run(rounds: u32, count: u64) -> Result<()> {
    println!("A `getppid` on one CPU, median of {rounds} rounds:\n");
    compare::run("call", CONDITIONS, rounds, || load("1", count * 10))?;
    println!("\nBudget of calls, errors and latency: {BUDGET} times the empty programs.");
    losses(count * 50)
}

fn load(cpus: &str, count: u64) -> Result<f64> {
    compare::load(&["--calls", "--cpus", cpus, "--count", &count.to_string()])
}

/// Calls as fast as all CPUs can: each has to be counted.
fn losses(count: u64) -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let all: Vec<String> = (0..cpus).map(|cpu| cpu.to_string()).collect();
    let file = crate::paths::target().join("bench-calls.json");
    let holding = Condition::CallsTo(file.clone()).begin()?;
    let ns = load(&all.join(","), count)?;
    drop(holding);
    let document: Value =
        serde_json::from_slice(&std::fs::read(&file).context("ctprof wrote nothing")?)?;
    let counted: u64 = document["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|container| container["syscalls"].as_array().into_iter().flatten())
        .filter(|call| call["name"] == "getppid")
        .filter_map(|call| call["count"].as_u64())
        .sum();
    #[allow(clippy::cast_precision_loss, reason = "few CPUs")]
    let rate = 1e9 / ns * cpus as f64;
    let made = count * cpus as u64;
    println!(
        "\n{rate:.0} calls a second on {cpus} CPUs: made {made}, counted {counted} (others on the host may make some)"
    );
    Ok(())
}
