//! Samples: what they take from a program that computes on every CPU.

use std::time::Instant;

use anyhow::Result;

use crate::bench::condition::Condition;
use crate::bench::report::{Column, Row, Shape, Table, Unit};
use crate::bench::{Effort, stacks, turns};
use crate::cmd;

/// What perf does to have the same samples: of every process, with stacks, by the same clock.
macro_rules! perf {
    ($hz:literal) => {
        Condition::Perf(&[
            "record",
            "--quiet",
            "-g",
            "-a",
            "-e",
            "cpu-clock",
            "-F",
            $hz,
        ])
    };
}

const CONDITIONS: &[(&str, Condition)] = &[
    ("nothing", Condition::Nothing),
    (
        "ctprof, 99 Hz",
        Condition::Record(&["--event", "cpu-clock", "-F", "99"]),
    ),
    ("perf record -g, 99 Hz", perf!("99")),
    (
        "ctprof, 999 Hz",
        Condition::Record(&["--event", "cpu-clock", "-F", "999"]),
    ),
    ("perf record -g, 999 Hz", perf!("999")),
];

/// Distinct stacks.
const STACKS: u64 = 1_000;
/// Rounds of a loop on each: about a tenth of a millisecond.
const WORK: u64 = 100_000;

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let rounds = (effort.count / 2_000).max(1);
    let mut rows = turns::take_all(CONDITIONS, effort.rounds, |_, holding| {
        let (start, before) = (Instant::now(), holding.cpu_ns()?);
        let mut command = holding.command(std::env::current_exe()?);
        command.args(["bench-stacks", "--stacks", &STACKS.to_string()]);
        command.args(["--rounds", &rounds.to_string(), "--work", &WORK.to_string()]);
        let load = stacks::Ended::find(&cmd::output(&mut command)?)?;
        let tool = (holding.cpu_ns()? - before) / start.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let of_load = load.cpu_ns as f64 / (STACKS * rounds) as f64;
        Ok([of_load, 0.0, tool])
    })?;
    against_nothing(&mut rows);
    Ok(vec![Table {
        id: "sampling".to_owned(),
        title: "Samples".to_owned(),
        about: "A program with a thread for each CPU that does a fixed amount of work, 24 functions deep: how much CPU time a unit \
                of it takes, which is where the interrupts that take samples count on kernels that do not account them apart, and \
                how much the tool itself takes in a second meanwhile. All of them watch the whole host. ctprof keeps the ledger and \
                stacks of waits as well, and has counted its samples; perf has only written them down."
            .to_owned(),
        columns: vec![
            Column::new("a unit of work", Unit::Ns),
            Column::new("against nothing", Unit::Times),
            Column::new("CPU time of the tool a second", Unit::Ns),
        ],
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    }])
}

/// Fills in the second column: the first one's ratio to the first row's, round by round.
fn against_nothing(rows: &mut [Row]) {
    let Some(nothing) = rows.first().and_then(|row| row.values.first()).cloned() else {
        return;
    };
    for row in rows.iter_mut().filter(|row| row.lacks.is_none()) {
        if let [work, ratio, ..] = row.values.as_mut_slice() {
            *ratio = work.over(&nothing);
        }
    }
}
