//! The hooks of system calls: what a `getppid` costs more.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::condition::Condition;
use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};
use crate::bench::{Effort, load, turns};

/// Calls, errors and latency by container and call, as far as bpftrace can.
const SAME: &str = "tracepoint:raw_syscalls:sys_enter { @start[tid] = nsecs; } \
     tracepoint:raw_syscalls:sys_exit /@start[tid]/ { $ns = nsecs - @start[tid]; delete(@start[tid]); \
     @calls[cgroup, args->id] = count(); @ns[cgroup, args->id] = hist($ns); \
     if (args->ret < 0) { @errors[cgroup, args->id, args->ret] = count(); } }";

const FULL: &str = "calls, errors and latency";
const BPFTRACE: &str = "bpftrace, the same";

const CONDITIONS: &[(&str, Condition)] = &[
    ("nothing", Condition::Nothing),
    (
        "empty programs",
        Condition::Empty(&["sys_enter", "sys_exit"]),
    ),
    (
        "calls and errors (--counts-only)",
        Condition::Calls(&["--counts-only"]),
    ),
    (FULL, Condition::Calls(&[])),
    (BPFTRACE, Condition::Bpftrace(SAME)),
    ("perf trace -s", Condition::Perf(&["trace", "-s", "-a"])),
    (
        "strace -c",
        Condition::Strace(&["-f", "-c", "-o", "/dev/null"]),
    ),
];

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let rows = turns::take(CONDITIONS, effort.rounds, |condition, holding| {
        let count = effort.count * 10 / condition.less();
        load::measure(holding, &["--calls", "--count", &count.to_string()])
    })?;
    let mut table = Table {
        id: "syscalls".to_owned(),
        title: "System calls".to_owned(),
        about: "A thread on one CPU that calls `getppid`, the shortest call there is: the most that counting can cost in \
                proportion. All sides watch the whole host. bpftrace counts calls, errors and latency by cgroup, too; `perf \
                trace -s` by thread; `strace -c` by process, with the load under its control."
            .to_owned(),
        columns: vec![Column::new("a call", Unit::Ns)],
        rows,
        shape: Shape::Added,
        verdicts: Vec::new(),
    };
    let times = table.row(FULL).and_then(|row| table.times_floor(row));
    table.judge(
        "calls, errors and latency against the empty programs",
        Unit::Times,
        times,
        Limit::AtMost(2.0),
    );
    let share = |row| table.row(row).and_then(|row| table.added(row));
    let share = share(FULL).zip(share(BPFTRACE)).map(|(a, b)| a / b);
    table.judge(
        "the same against bpftrace",
        Unit::Times,
        share,
        Limit::AtMost(1.0 / 3.0),
    );
    Ok(vec![table, flood(effort)?])
}

/// Calls as fast as all CPUs can: each has to be counted.
fn flood(effort: Effort) -> Result<Table> {
    let cpus = std::thread::available_parallelism()?.get();
    let all: Vec<String> = (0..cpus).map(|cpu| cpu.to_string()).collect();
    let all = all.join(",");
    let file = crate::paths::target().join("bench-calls.json");
    let mut row = Row::new("ctprof syscalls", 3);
    for _ in 0..effort.rounds {
        let count = effort.count * 10;
        let holding = Condition::CallsTo(file.clone()).begin()?;
        let options = ["--calls", "--cpus", &all, "--count", &count.to_string()];
        let ns = load::measure(&holding, &options)?;
        drop(holding);
        let document: Value =
            serde_json::from_slice(&std::fs::read(&file).context("ctprof wrote nothing")?)?;
        // What warmed up counts, too.
        let made = (count + count / 10) * cpus as u64;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        row.push(&[
            1e9 / ns * cpus as f64,
            made as f64,
            made.saturating_sub(counted(&document)) as f64,
        ]);
    }
    let mut table = Table {
        id: "syscalls-flood".to_owned(),
        title: "System calls, as many as there can be".to_owned(),
        about: "The same loop on every CPU at once, everything counted: calls that were made and not counted are lost."
            .to_owned(),
        columns: vec![
            Column::new("calls a second", Unit::Count),
            Column::new("made", Unit::Count),
            Column::new("lost", Unit::Count),
        ],
        rows: vec![row],
        shape: Shape::Plain,
        verdicts: Vec::new(),
    };
    let lost = table.median("ctprof syscalls", 2);
    table.judge("lost calls", Unit::Count, lost, Limit::AtMost(0.0));
    Ok(table)
}

/// `getppid` calls in a document of `ctprof syscalls`; others on the host hardly ever make any.
fn counted(document: &Value) -> u64 {
    document["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|container| container["syscalls"].as_array().into_iter().flatten())
        .filter(|call| call["name"] == "getppid")
        .filter_map(|call| call["count"].as_u64())
        .sum()
}
