//! The scheduler's hooks: what a ping-pong between two threads on one CPU costs more.

use anyhow::Result;

use crate::bench::condition::{Condition, recording, summary};
use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};
use crate::bench::{Effort, load, turns};

/// The hooks that the ledger is on.
pub(super) const HOOKS: &[&str] = &[
    "sched_switch",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_migrate_task",
    "task_newtask",
];

/// Run-queue latency of every thread, by process: less than the ledger does.
pub(super) const RUNQLAT: &str = "tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @q[args->pid] = nsecs; } \
     tracepoint:sched:sched_switch { if (args->prev_state == 0) { @q[args->prev_pid] = nsecs; } \
     $s = @q[args->next_pid]; if ($s) { @us[args->next_comm] = hist((nsecs - $s) / 1000); delete(@q[args->next_pid]); } }";

const LEDGER: &str = "ledger (--no-stacks)";

/// The conditions that every load of the scheduler is measured under.
pub(super) const CONDITIONS: &[(&str, Condition)] = &[
    ("nothing", Condition::Nothing),
    ("empty programs", Condition::Empty(HOOKS)),
    (LEDGER, Condition::Record(&["--no-stacks"])),
    ("ledger with stacks", Condition::Record(&[])),
    ("bpftrace, run-queue latency", Condition::Bpftrace(RUNQLAT)),
    ("perf sched record", Condition::Perf(&["sched", "record"])),
];

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let rows = turns::take(CONDITIONS, effort.rounds, |_, holding| {
        load::measure(holding, &["--count", &effort.count.to_string()])
    })?;
    let mut table = Table {
        id: "sched".to_owned(),
        title: "Switches and wakeups".to_owned(),
        about: "Two threads on one CPU that wake each other through pipes, as `perf bench sched pipe` does: a ping-pong is two \
                switches and two wakeups, and nothing else. bpftrace measures run-queue latency only, by process name; \
                `perf sched record` writes every event to a file and computes nothing yet. Neither takes stacks nor knows \
                containers."
            .to_owned(),
        columns: vec![Column::new("a ping-pong", Unit::Ns)],
        rows,
        shape: Shape::Added,
        verdicts: Vec::new(),
    };
    let times = table.row(LEDGER).and_then(|row| table.times_floor(row));
    table.judge(
        "ledger without stacks against the empty programs",
        Unit::Times,
        times,
        Limit::AtMost(2.5),
    );
    Ok(vec![table, flood(effort)?])
}

/// Switches as fast as all CPUs can, with the ledger: nothing may be lost.
fn flood(effort: Effort) -> Result<Table> {
    let cpus = std::thread::available_parallelism()?.get();
    let all: Vec<String> = (0..cpus).map(|cpu| cpu.to_string()).collect();
    let all = all.join(",");
    let mut row = Row::new(LEDGER, 3);
    for _ in 0..effort.rounds {
        let holding = Condition::Record(&["--no-stacks"]).begin()?;
        let options = ["--cpus", &all, "--count", &effort.count.to_string()];
        let ns = load::measure(&holding, &options)?;
        drop(holding);
        let summary = summary(&recording())?;
        let (mut lost, mut repaired) = (0.0, 0.0);
        for (cause, count) in summary["lost"].as_object().into_iter().flatten() {
            let count = count.as_f64().unwrap_or_default();
            // The kernel hides some switches from programs; the next one tells, and the ledger mends its books.
            *(if cause == "switch_missed" {
                &mut repaired
            } else {
                &mut lost
            }) += count;
        }
        #[allow(clippy::cast_precision_loss, reason = "few CPUs")]
        row.push(&[2e9 / ns * cpus as f64, lost, repaired]);
    }
    let mut table = Table {
        id: "sched-flood".to_owned(),
        title: "Switches, as many as there can be".to_owned(),
        about: "Such a pair on every CPU at once. Repaired are switches that the kernel did not show to the program and that \
                the ledger found at the next one: no time is lost with them."
            .to_owned(),
        columns: vec![
            Column::new("switches a second", Unit::Count),
            Column::new("lost", Unit::Count),
            Column::new("repaired", Unit::Count),
        ],
        rows: vec![row],
        shape: Shape::Plain,
        verdicts: Vec::new(),
    };
    let lost = table.median(LEDGER, 1);
    table.judge("lost events", Unit::Count, lost, Limit::AtMost(0.0));
    Ok(table)
}
