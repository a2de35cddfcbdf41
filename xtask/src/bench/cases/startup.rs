//! From the start of a program to everything attached.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::sched::RUNQLAT;
use crate::bench::Effort;
use crate::bench::condition::Condition;
use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};
use crate::bench::usage;

/// Until memory is looked at.
const WATCHING: Duration = Duration::from_secs(2);

const STACKS: &str = "ctprof record";
const LEDGER: &str = "ctprof record --no-stacks";

const CONDITIONS: &[(&str, Condition)] = &[
    (STACKS, Condition::Record(&[])),
    (LEDGER, Condition::Record(&["--no-stacks"])),
    ("ctprof syscalls", Condition::Calls(&[])),
    ("bpftrace, run-queue latency", Condition::Bpftrace(RUNQLAT)),
];

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let mut rows: Vec<Row> = CONDITIONS
        .iter()
        .map(|(name, condition)| Row {
            lacks: condition.lacks(),
            ..Row::new(*name, 2)
        })
        .collect();
    for round in 0..effort.rounds {
        for ((name, condition), row) in CONDITIONS.iter().zip(&mut rows) {
            if row.lacks.is_none() {
                eprintln!("round {} of {}: {name}", round + 1, effort.rounds);
                let start = Instant::now();
                let holding = condition.begin()?;
                #[allow(clippy::cast_precision_loss, reason = "2^52 ns are 52 days")]
                let ns = start.elapsed().as_nanos() as f64;
                std::thread::sleep(WATCHING);
                row.push(&[ns, usage::resident_bytes(holding.process())?]);
                drop(holding);
            }
        }
    }
    let mut table = Table {
        id: "startup".to_owned(),
        title: "Start-up and memory".to_owned(),
        about: "From starting the program to its word that everything is attached, and its resident memory when it has \
                watched the whole host for two seconds. Most of the time is the kernel's verifier, which ctprof keeps \
                busy on all CPUs at once; bpftrace compiles its script first and has three small programs verified."
            .to_owned(),
        columns: vec![
            Column::new("to attached", Unit::Ns),
            Column::new("memory", Unit::Bytes),
        ],
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    };
    for name in [STACKS, LEDGER] {
        let seen = table.median(name, 0);
        table.judge(name, Unit::Ns, seen, Limit::AtMost(0.25e9));
    }
    let memory = table.median(STACKS, 1);
    table.judge(
        "memory, recording everything",
        Unit::Bytes,
        memory,
        Limit::AtMost(60e6),
    );
    Ok(vec![table])
}
