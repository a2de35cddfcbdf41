//! What each program costs, as the kernel measures it, and what the verifier walks through for it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::bench::condition::{Condition, Holding};
use crate::bench::empty::PIECES;
use crate::bench::held::{self, Program};
use crate::bench::report::{Column, Row, Shape, Table, Unit};
use crate::bench::{Effort, load};

/// The table that the kernel tests compare with: program -> kernel series -> instructions.
const VERIFIED: &str = include_str!("../../../../profiler/tests/kernel/verifier.json");

struct Run {
    name: &'static str,
    condition: Condition,
    /// Instead of ping-pongs.
    calls: bool,
    /// The only program that matters, however seldom it runs; otherwise all that run often.
    only: Option<&'static str>,
}

const RUNS: [Run; 6] = [
    Run {
        name: "empty",
        condition: Condition::Empty(&["sched_switch"]),
        calls: false,
        only: None,
    },
    Run {
        name: "empty",
        condition: Condition::Empty(&["sys_enter"]),
        calls: true,
        only: None,
    },
    Run {
        name: "the ledger alone",
        condition: Condition::Record(&["--no-stacks"]),
        calls: false,
        only: None,
    },
    Run {
        name: "the ledger with stacks",
        condition: Condition::Record(&[]),
        calls: false,
        only: None,
    },
    Run {
        name: "system calls",
        condition: Condition::Calls(&[]),
        calls: true,
        only: None,
    },
    Run {
        name: "the agent",
        condition: Condition::Agent,
        calls: false,
        only: Some("isolation"),
    },
];

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let _on = held::statistics()?;
    let mut rows: BTreeMap<(usize, String), Row> = BTreeMap::new();
    for round in 0..effort.rounds {
        for (at, run) in RUNS.iter().enumerate() {
            eprintln!("round {} of {}: {}", round + 1, effort.rounds, run.name);
            let holding = run.condition.begin()?;
            let before = held::programs(holding.process())?;
            let ns = if run.calls {
                let count = (effort.count * 10).to_string();
                load::measure(&Holding::Nothing, &["--calls", "--count", &count])?
            } else {
                load::measure(&Holding::Nothing, &["--count", &effort.count.to_string()])?
            };
            let after = held::programs(holding.process())?;
            let count = effort.count * if run.calls { 10 } else { 1 };
            // A tenth more, to warm up.
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            let seconds = ns * 1.1 * count as f64 / 1e9;
            for (name, program) in &after {
                let was = before.get(name).copied().unwrap_or_default();
                let least = match run.only {
                    None => 100.0,
                    Some(only) if only == name => 0.0,
                    Some(_) => continue,
                };
                if let Some(values) = figures(was, *program, seconds, least) {
                    let title = format!("{name}: {}", run.name);
                    let row = rows.entry((at, name.clone()));
                    row.or_insert_with(|| Row::new(title, 3)).push(&values);
                }
            }
        }
    }
    let table = Table {
        id: "in-kernel".to_owned(),
        title: "In the kernel, by program".to_owned(),
        about: "Programs that ran at least a hundred times a second beside a ping-pong or `getppid`, as the kernel's own BPF \
                statistics have it, and what the agent samples for isolation, 19 times a second and CPU. They are on for this \
                measurement only: reading the clock twice a run is part of each figure; an empty program shows how much that is."
            .to_owned(),
        columns: vec![
            Column::new("a run", Unit::Ns),
            Column::new("runs a second", Unit::Count),
            Column::new("instructions verified", Unit::Count),
        ],
        rows: rows.into_values().collect(),
        shape: Shape::Plain,
        verdicts: Vec::new(),
    };
    Ok(vec![table, pieces(effort)?, verified()?])
}

/// What the kernel's helpers take that ctprof cannot do without; [`held::statistics`] have to be on.
fn pieces(effort: Effort) -> Result<Table> {
    let mut rows: Vec<Row> = PIECES[1..].iter().map(|it| Row::new(it.name, 1)).collect();
    for round in 0..effort.rounds {
        eprintln!("round {} of {}: pieces", round + 1, effort.rounds);
        let holding = Condition::Pieces.begin()?;
        let options = ["--count", &effort.count.to_string()];
        load::measure(&Holding::Nothing, &options)?;
        let programs = held::programs(holding.process())?;
        let a_run = |name: &str| {
            let program = programs.get(name).copied().unwrap_or_default();
            figures(Program::default(), program, 1.0, 100.0).map_or(f64::NAN, |[ns, ..]| ns)
        };
        let empty = a_run(PIECES[0].name);
        for row in &mut rows {
            row.push(&[a_run(&row.name) - empty]);
        }
    }
    Ok(Table {
        id: "in-kernel-pieces".to_owned(),
        title: "What of it is the kernel's own".to_owned(),
        about: "Programs on `sched_switch` that call one helper once, without what an empty program takes, beside the same \
                ping-pong: reading the clock (`bpf_ktime_get_ns`), 8 bytes of the kernel's memory \
                (`bpf_probe_read_kernel`), the stack of the thread that leaves, in the kernel and in user mode \
                (`bpf_get_stack`). With stacks, every switch to sleep takes one of each."
            .to_owned(),
        columns: vec![Column::new("a call", Unit::Ns)],
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    })
}

/// Of one round; none for a program that ran no more than `least` times a second.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn figures(before: Program, after: Program, seconds: f64, least: f64) -> Option<[f64; 3]> {
    let runs = after.runs.saturating_sub(before.runs) as f64;
    (runs > least * seconds).then(|| {
        [
            after.ns.saturating_sub(before.ns) as f64 / runs,
            runs / seconds,
            f64::from(after.verified),
        ]
    })
}

/// The verifier's instructions by program and kernel.
fn verified() -> Result<Table> {
    let counts: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_str(VERIFIED).context("verifier.json is no such table")?;
    let mut kernels: Vec<&String> = counts.values().flat_map(BTreeMap::keys).collect();
    // 6.9 is before 6.12.
    let number =
        |name: &String| -> Vec<u32> { name.split('.').filter_map(|it| it.parse().ok()).collect() };
    kernels.sort_by_key(|name| number(name));
    kernels.dedup();
    let rows = counts
        .iter()
        .map(|(program, by_kernel)| {
            let mut row = Row::new(program, kernels.len());
            let values = kernels.iter().map(|it| by_kernel.get(*it).copied());
            row.push(&values.map(|it| it.unwrap_or(0.0)).collect::<Vec<_>>());
            row
        })
        .collect();
    Ok(Table {
        id: "in-kernel-verifier".to_owned(),
        title: "Instructions that the verifier walks through".to_owned(),
        about: "By program and kernel; 0 where it is not used. A test fails where one of them grows by more than a quarter; the kernel's limit is a \
                million."
            .to_owned(),
        columns: kernels
            .iter()
            .map(|kernel| Column::new(&format!("Linux {kernel}"), Unit::Count))
            .collect(),
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    })
}
