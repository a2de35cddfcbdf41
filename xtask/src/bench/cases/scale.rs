//! What grows with the host: cgroups, and threads that sleep.

use anyhow::Result;

use super::sched::HOOKS;
use crate::bench::agent::{self, Costs};
use crate::bench::cgroups::Cgroups;
use crate::bench::condition::{Condition, Holding};
use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};
use crate::bench::ring::Threads;
use crate::bench::{Effort, held, load};

const CGROUPS: [usize; 5] = [1, 10, 100, 1_000, 4_096];
const THREADS: [usize; 5] = [10, 100, 1_000, 10_000, 20_000];
/// Take turns, in this order.
const CONDITIONS: [Condition; 3] = [
    Condition::Nothing,
    Condition::Empty(HOOKS),
    Condition::Record(&["--no-stacks"]),
];

/// Columns of [`events`].
const COLUMNS: usize = 6;
const IN_PROGRAMS: usize = 5;
/// Columns of [`agents`].
const AGENT_COLUMNS: usize = 6;

/// Two threads in two of many cgroups, and a ring of threads, each in a cgroup of its own.
pub(super) fn cgroups(effort: Effort) -> Result<Vec<Table>> {
    let mut pairs = events(
        "cgroups",
        "Switches between two of many cgroups",
        "cgroups",
        "a hop",
        "Two threads on one CPU, each in a cgroup of its own (in the same one where there is but one), that pass a token to \
         and fro, while a thread sleeps in each of so many cgroups: a hop is one wakeup and one switch from a cgroup to \
         another. The last column is the time in the ledger's programs, by the kernel's account, without what empty \
         programs take.",
    );
    let mut rings = events(
        "cgroups-ring",
        "Switches through all of many cgroups",
        "cgroups",
        "a hop",
        "The same with a ring of threads, one in each cgroup: each thread runs again when all others have run. More cgroups \
         are more memory that the hops touch, with or without ctprof: the caches of the CPU show in all columns.",
    );
    let mut agents = agents("cgroups");
    let mut maps = Vec::new();
    for size in CGROUPS {
        let cgroups = Cgroups::create(size)?;
        let mut ring = Threads::start(size, Some(cgroups.folder()))?;
        let mut pair = Threads::start(size.min(2), Some(cgroups.folder()))?;
        // Warms up.
        for threads in [&mut ring, &mut pair] {
            threads.hop(effort.count / 10)?;
        }
        let row = || Row::new(name(size), COLUMNS);
        let (mut paired, mut ringed, mut agent) =
            (row(), row(), Row::new(name(size), AGENT_COLUMNS));
        for round in 0..effort.rounds {
            eprintln!("round {} of {}: {size} cgroups", round + 1, effort.rounds);
            turn(&mut paired, effort.count, |_| pair.hop(effort.count))?;
            turn(&mut ringed, effort.count, |_| ring.hop(effort.count))?;
            maps = push(&mut agent, agent::measure()?);
            cgroups.check()?;
        }
        pairs.rows.push(paired);
        rings.rows.push(ringed);
        agents.rows.push(agent);
        // The threads first: a cgroup with threads cannot be removed.
        drop((ring, pair));
    }
    flat(&mut pairs, &CGROUPS);
    flat(&mut rings, &CGROUPS);
    let most = CGROUPS[CGROUPS.len() - 1];
    let kernel = agents.median(&name(most), 4);
    agents.judge(
        "kernel memory at 4,096 cgroups",
        Unit::Bytes,
        kernel,
        Limit::AtMost(64.0 * 1024.0 * 1024.0),
    );
    let resident = agents.median(&name(1_000), 3);
    agents.judge(
        "memory at 1,000 cgroups",
        Unit::Bytes,
        resident,
        Limit::AtMost(60e6),
    );
    let share = agents.median(&name(1_000), 5);
    agents.judge(
        "CPU at 1,000 cgroups",
        Unit::Share,
        share,
        Limit::AtMost(0.01),
    );
    no_faster(&mut agents, &CGROUPS);
    Ok(vec![pairs, rings, agents, by_map(maps)])
}

/// A ping-pong beside threads that sleep.
pub(super) fn threads(effort: Effort) -> Result<Vec<Table>> {
    let mut events = events(
        "threads",
        "Switches beside many threads",
        "sleeping threads",
        "a ping-pong",
        "Two threads on one CPU that wake each other, as above, while so many others sleep.",
    );
    let mut agents = agents("threads");
    for size in THREADS {
        let _sleepers = sleepers(size)?;
        let (mut event, mut agent) = (
            Row::new(name(size), COLUMNS),
            Row::new(name(size), AGENT_COLUMNS),
        );
        // A tenth more, to warm up.
        let all = effort.count + effort.count / 10;
        for round in 0..effort.rounds {
            eprintln!("round {} of {}: {size} threads", round + 1, effort.rounds);
            turn(&mut event, all, |holding| {
                load::measure(holding, &["--count", &effort.count.to_string()])
            })?;
            push(&mut agent, agent::measure()?);
        }
        events.rows.push(event);
        agents.rows.push(agent);
    }
    flat(&mut events, &THREADS);
    no_faster(&mut agents, &THREADS);
    Ok(vec![events, agents])
}

/// So many threads that sleep, in as many processes as that takes: each thread is four mappings, and a process may have
/// 65,530 (`vm.max_map_count`).
fn sleepers(count: usize) -> Result<Vec<Threads>> {
    const IN_ONE: usize = 10_000;
    (0..count)
        .step_by(IN_ONE)
        .map(|before| Threads::start(IN_ONE.min(count - before), None))
        .collect()
}

/// A row's name: its place on the axis.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn name(size: usize) -> String {
    Unit::Count.show(size as f64)
}

/// One value of each column, the conditions one after another; `measure` makes so many events.
fn turn(row: &mut Row, count: u64, mut measure: impl FnMut(&Holding) -> Result<f64>) -> Result<()> {
    let mut ns = [0.0; 3];
    for (condition, ns) in CONDITIONS.iter().zip(&mut ns) {
        let holding = condition.begin()?;
        *ns = measure(&holding)?;
        drop(holding);
    }
    // Once more for the kernel's own account, which costs time itself: as much in empty programs.
    let _on = held::statistics()?;
    let mut own = [0.0; 3];
    for (condition, own) in CONDITIONS.iter().zip(&mut own).skip(1) {
        let holding = condition.begin()?;
        let ns = held::time_in_programs(holding.process(), || measure(&holding))?;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let events = count as f64;
        *own = ns / events;
    }
    let [nothing, empty, ledger] = ns;
    row.push(&[
        nothing,
        empty,
        ledger,
        empty - nothing,
        ledger - nothing,
        own[2] - own[1],
    ]);
    Ok(())
}

fn push(row: &mut Row, costs: Costs) -> Vec<crate::bench::held::Map> {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let kernel: f64 = costs.maps.iter().map(|map| map.bytes as f64).sum();
    row.push(&[
        costs.start_ns,
        costs.scrape_ns,
        costs.answer_bytes,
        costs.resident_bytes,
        kernel,
        costs.cpu_share,
    ]);
    costs.maps
}

fn events(id: &str, title: &str, axis: &str, unit: &str, about: &str) -> Table {
    Table {
        id: id.to_owned(),
        title: title.to_owned(),
        about: about.to_owned(),
        columns: [
            format!("{unit}, nothing else"),
            "with empty programs".to_owned(),
            "with the ledger".to_owned(),
            "empty programs add".to_owned(),
            "the ledger adds".to_owned(),
            "its programs take".to_owned(),
        ]
        .iter()
        .map(|name| Column::new(name, Unit::Ns))
        .collect(),
        rows: Vec::new(),
        shape: Shape::Curve {
            axis: axis.to_owned(),
        },
        verdicts: Vec::new(),
    }
}

fn agents(axis: &str) -> Table {
    Table {
        id: format!("{axis}-agent"),
        title: format!("The agent and many {axis}"),
        about: format!(
            "`ctprof agent --by cgroup` beside so many {axis}: from its start to everything attached, a scrape of all \
             metrics, its resident memory after some, the kernel memory of its maps as the kernel accounts it, and the part \
             of one CPU that it takes when scraped every 15 seconds. What else the host has is in all rows."
        ),
        columns: vec![
            Column::new("start-up", Unit::Ns),
            Column::new("a scrape", Unit::Ns),
            Column::new("its answer", Unit::Bytes),
            Column::new("memory", Unit::Bytes),
            Column::new("kernel memory", Unit::Bytes),
            Column::new("CPU", Unit::Share),
        ],
        rows: Vec::new(),
        shape: Shape::Curve {
            axis: axis.to_owned(),
        },
        verdicts: Vec::new(),
    }
}

/// What the ledger's programs take at the largest size, against the smallest: by the kernel's account, because the load's
/// own time differs more from run to run than the two do.
fn flat(table: &mut Table, sizes: &[usize]) {
    let own = |size: &usize| table.median(&name(*size), IN_PROGRAMS);
    let times = sizes.last().and_then(own).zip(sizes.first().and_then(own));
    let seen = times.map(|(last, first)| last / first);
    table.judge(
        "what an event takes in the ledger's programs at the largest size, against the smallest",
        Unit::Times,
        seen,
        Limit::AtMost(1.15),
    );
}

/// Nothing may grow faster than its input: the steepest step of any column, in growth by growth of the size.
fn no_faster(table: &mut Table, sizes: &[usize]) {
    let mut steepest: f64 = 0.0;
    for step in sizes.windows(2) {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let input = step[1] as f64 / step[0] as f64;
        for column in 0..table.columns.len() {
            let at = |size: usize| table.median(&name(size), column);
            if let Some((small, large)) = at(step[0]).zip(at(step[1])) {
                steepest = steepest.max(large / small / input);
            }
        }
    }
    table.judge(
        "the steepest growth of any column, against that of its input",
        Unit::Times,
        Some(steepest),
        Limit::AtMost(1.0),
    );
}

/// Kernel memory of each map at the largest size.
fn by_map(maps: Vec<crate::bench::held::Map>) -> Table {
    let total: u64 = maps.iter().map(|map| map.bytes).sum();
    // What is smaller than this is told in one row.
    let (large, small): (Vec<_>, Vec<_>) = maps.into_iter().partition(|it| it.bytes * 200 >= total);
    let rest: u64 = small.iter().map(|map| map.bytes).sum();
    let named = large.into_iter().map(|map| (map.name, map.bytes));
    let rows = named
        .chain([
            ("all others".to_owned(), rest),
            ("together".to_owned(), total),
        ])
        .map(|(name, bytes)| {
            let mut row = Row::new(name, 1);
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            row.push(&[bytes as f64]);
            row
        })
        .collect();
    Table {
        id: "cgroups-maps".to_owned(),
        title: "Kernel memory by map".to_owned(),
        about: "Of the agent at 4,096 cgroups, as the kernel accounts it.".to_owned(),
        columns: vec![Column::new("kernel memory", Unit::Bytes)],
        rows,
        shape: Shape::Plain,
        verdicts: Vec::new(),
    }
}
