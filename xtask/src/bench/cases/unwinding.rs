//! Unwinding user stacks: by tables, and by frame pointers, of a program that keeps them, so that both find the same.

use anyhow::{Context, Result};

use crate::bench::condition::{Condition, Holding};
use crate::bench::report::{Column, Row, Shape, Table, Unit};
use crate::bench::{Effort, held, stacks};
use crate::cmd;

/// The program that takes samples.
const SAMPLES: &str = "on_cpu";

const BY_POINTER: Condition = Condition::Record(&[
    "--event",
    "cpu-clock",
    "-F",
    "999",
    "--unwind",
    "frame-pointer",
]);
const BY_TABLES: Condition =
    Condition::Record(&["--event", "cpu-clock", "-F", "999", "--unwind", "auto"]);

/// Functions below `main` in the usual stacks, and in the deep ones beside these.
const USUAL: u64 = 24;
const DEEPER: u64 = 276;

/// Distinct stacks, and rounds of a loop on each: about a tenth of a millisecond.
const STACKS: u64 = 1_000;
const WORK: u64 = 100_000;

/// Seconds until every table is made.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let _on = held::statistics()?;
    let names = [
        "by frame pointers, usual stacks",
        "by tables, usual stacks",
        "by tables, 276 frames deeper",
    ];
    let mut rows = names.map(|name| Row::new(name, 3));
    for round in 0..effort.rounds {
        eprintln!("round {} of {}: unwinding", round + 1, effort.rounds);
        let pointers = a_sample(&BY_POINTER, 0, effort)?;
        let tables = a_sample(&BY_TABLES, 0, effort)?;
        let deep = a_sample(&BY_TABLES, DEEPER, effort)?;
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let a_frame = (deep - tables) / DEEPER as f64;
        rows[0].push(&[pointers, 1.0, 0.0]);
        rows[1].push(&[tables, tables / pointers, 0.0]);
        rows[2].push(&[deep, deep / pointers, a_frame]);
    }
    Ok(vec![Table {
        id: "unwinding".to_owned(),
        title: "Unwinding without frame pointers".to_owned(),
        about: format!(
            "The whole program that takes a sample, with the kernel's half of the stack, storing and counting it, at 999 Hz, as \
             the kernel's own BPF statistics have it, on a program {USUAL} functions below its thread's start. It keeps frame \
             pointers, so that both find all of its frames, of the deep stacks the innermost 127 without tables."
        ),
        columns: vec![
            Column::new("a sample", Unit::Ns),
            Column::new("against frame pointers", Unit::Times),
            Column::new("a frame more", Unit::Ns),
        ],
        rows: rows.into(),
        shape: Shape::Plain,
        verdicts: Vec::new(),
    }])
}

/// What a sample of the load takes, in ns, when every table is made.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn a_sample(condition: &Condition, deeper: u64, effort: Effort) -> Result<f64> {
    let holding = condition.begin()?;
    let rounds = (effort.count / 2_000).max(1);
    let mut command = Holding::Nothing.command(std::env::current_exe()?);
    command.args(["bench-stacks", "--stacks", &STACKS.to_string()]);
    command.args(["--rounds", &rounds.to_string(), "--work", &WORK.to_string()]);
    command.args(["--deeper", &deeper.to_string()]);
    command.args(["--settle-ms", &SETTLED.as_millis().to_string()]);
    let pid = holding.process();
    let measured = std::thread::scope(|scope| {
        let load = scope.spawn(|| cmd::output(&mut command));
        std::thread::sleep(SETTLED * 2);
        let before = held::programs(pid)?;
        let ended = load
            .join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))??;
        stacks::Ended::find(&ended)?;
        let after = held::programs(pid)?;
        let of = |programs: &std::collections::BTreeMap<String, held::Program>| {
            programs.get(SAMPLES).copied().unwrap_or_default()
        };
        let (before, after) = (of(&before), of(&after));
        let runs = after.runs.saturating_sub(before.runs) as f64;
        anyhow::ensure!(runs > 500.0, "{runs} samples only: the load is too short");
        anyhow::Ok(after.ns.saturating_sub(before.ns) as f64 / runs)
    });
    measured.context("cannot measure what a sample takes")
}
