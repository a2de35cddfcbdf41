//! The scheduler's hooks: what a ping-pong between two threads on one CPU costs more.

use anyhow::{Context, Result};
use serde_json::Value;

use super::compare;
use super::condition::Condition;
use crate::paths;

/// The hooks that the ledger is on.
const HOOKS: &[&str] = &[
    "sched_switch",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_migrate_task",
    "task_newtask",
];

/// Run-queue latency of every thread, by process: less than the ledger does.
const RUNQLAT: &str = "tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @q[args->pid] = nsecs; } \
     tracepoint:sched:sched_switch { if (args->prev_state == 0) { @q[args->prev_pid] = nsecs; } \
     $s = @q[args->next_pid]; if ($s) { @us[args->next_comm] = hist((nsecs - $s) / 1000); delete(@q[args->next_pid]); } }";

const CONDITIONS: &[(&str, Condition)] = &[
    ("nothing", Condition::Nothing),
    ("empty programs", Condition::Empty(HOOKS)),
    ("ledger (--no-stacks)", Condition::Ctprof(&["--no-stacks"])),
    ("ledger with stacks", Condition::Ctprof(&[])),
    ("bpftrace, run-queue latency", Condition::Bpftrace(RUNQLAT)),
];
/// The ledger without stacks may add this many times what empty programs do.
const BUDGET: f64 = 2.5;

pub(super) fn run(rounds: u32, count: u64) -> Result<()> {
    println!(
        "A ping-pong through pipes, two threads on one CPU (2 switches, 2 wakeups), median of {rounds} rounds:\n"
    );
    compare::run("ping-pong", CONDITIONS, rounds, || measure("1", count))?;
    println!("\nBudget of the ledger without stacks: {BUDGET} times the empty programs.");
    losses(count)
}

/// Switches as fast as all CPUs can, with the ledger: nothing may be lost.
fn losses(count: u64) -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    let all: Vec<String> = (0..cpus).map(|cpu| cpu.to_string()).collect();
    let ctprof = Condition::Ctprof(&["--no-stacks"]);
    let holding = ctprof.begin()?;
    let ns = measure(&all.join(","), count)?;
    drop(holding);
    let summary = std::fs::read(paths::target().join("bench-recording/summary.json"))
        .context("ctprof wrote no summary")?;
    let summary: Value = serde_json::from_slice(&summary)?;
    let lost: Vec<String> = summary["lost"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(cause, count)| format!("{cause}: {count}"))
        .collect();
    #[allow(clippy::cast_precision_loss, reason = "few CPUs")]
    let rate = 2e9 / ns * cpus as f64;
    println!(
        "\n{rate:.0} switches a second on {cpus} CPUs: lost {}",
        if lost.is_empty() {
            "nothing".to_owned()
        } else {
            lost.join(", ")
        }
    );
    Ok(())
}

/// Runs the load; returns ns a ping-pong.
fn measure(cpus: &str, count: u64) -> Result<f64> {
    compare::load(&["--cpus", cpus, "--count", &count.to_string()])
}
