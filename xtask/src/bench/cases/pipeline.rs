//! From samples to files that people open: ctprof against perf script and inferno.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::time::ClockId;

use crate::bench::condition::{ctprof, summary};
use crate::bench::peers::Peer;
use crate::bench::report::{Column, Limit, Row, Shape, Table, Unit};
use crate::bench::usage::{Usage, wait};
use crate::bench::{Effort, stacks};
use crate::paths;

/// Where both sides write: in memory where there is such a place, because a disk is noisier than what is measured.
struct Scratch(PathBuf);

impl Scratch {
    fn create() -> Result<Self> {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            paths::target()
        };
        let folder = parent.join(format!("ctprof-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Samples a second and CPU.
const HZ: u64 = 5_000;
/// Time on a stack, longer than from one sample to the next.
const HOLD_US: u64 = 1_200_000 / HZ;
/// Distinct stacks. Each is met so often that there are as many samples for all sizes.
const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
/// A function of every stack of the load, and of no other.
const MARK: &str = "bench::stacks::f";
/// Each round takes more than a minute.
const MAX_ROUNDS: u32 = 3;

/// What one side took, and what came of it.
struct Run {
    /// From the end of the load until everything is written, in ns.
    after_ns: f64,
    /// Of all programs, from the start of the recording, without the load.
    usage: Usage,
    /// Size of what was written only to be read again, in bytes.
    between_bytes: u64,
    /// Distinct stacks of the load.
    stacks: u64,
    lost: f64,
}

pub(super) fn run(effort: Effort) -> Result<Vec<Table>> {
    let lacks = Peer::Perf.lacks().or_else(|| Peer::Inferno.lacks());
    let names = |stacks| {
        [
            format!("ctprof, {} stacks", Unit::Count.show(stacks as f64)),
            format!("perf, inferno, {} stacks", Unit::Count.show(stacks as f64)),
        ]
    };
    let columns = [
        ("until all is written", Unit::Ns),
        ("CPU time", Unit::Ns),
        ("peak memory", Unit::Bytes),
        ("written between", Unit::Bytes),
        ("stacks found", Unit::Count),
        ("lost", Unit::Count),
    ];
    let mut table = Table {
        id: "pipeline".to_owned(),
        title: "From samples to flame graphs".to_owned(),
        about: format!(
            "A program that walks through so many distinct stacks of 24 functions, {} samples in all, at {} Hz on each CPU. \
             Then `ctprof record` against `perf record -g`, `perf script --no-inline`, `inferno-collapse-perf` and \
             `inferno-flamegraph`. Time is from the program's end until the last file is written, CPU time is of all the tool's \
             programs from their start, without what runs in interrupts. Both write to memory. perf and inferno do less: one flame graph and folded \
             stacks, no pprof, no inlined functions, no ledger and no stacks of waits.",
            Unit::Count.show(SIZES[2] as f64),
            Unit::Count.show(HZ as f64),
        ),
        columns: columns.map(|(name, unit)| Column::new(name, unit)).into(),
        rows: Vec::new(),
        shape: Shape::Plain,
        verdicts: Vec::new(),
    };
    for size in SIZES {
        let [ours, theirs] = names(size);
        table.rows.push(Row::new(ours, columns.len()));
        table.rows.push(Row {
            lacks: lacks.clone(),
            ..Row::new(theirs, columns.len())
        });
    }
    let mut faster = Row::new("", 1);
    let rounds = effort.rounds.min(MAX_ROUNDS);
    for round in 0..rounds {
        for (size, rows) in SIZES.into_iter().zip(table.rows.chunks_mut(2)) {
            eprintln!("round {} of {rounds}: {size} stacks", round + 1);
            let ours = by_ctprof(size)?;
            rows[0].push(&ours.values());
            if lacks.is_none() {
                let theirs = by_perf(size)?;
                rows[1].push(&theirs.values());
                if size == SIZES[2] {
                    faster.push(&[theirs.after_ns / ours.after_ns]);
                }
            }
        }
    }
    let [ours, _] = names(SIZES[2]);
    let lost = table.median(&ours, 5);
    table.judge("lost samples", Unit::Count, lost, Limit::AtMost(0.0));
    let faster = lacks.is_none().then(|| faster.values[0].median());
    table.judge(
        "how much faster ctprof writes 100,000 stacks than perf script and inferno",
        Unit::Times,
        faster,
        Limit::AtLeast(3.0),
    );
    Ok(vec![table])
}

impl Run {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn values(&self) -> [f64; 6] {
        [
            self.after_ns,
            self.usage.cpu_ns,
            self.usage.peak_bytes,
            self.between_bytes as f64,
            self.stacks as f64,
            self.lost,
        ]
    }
}

/// Appends the load, with `size` distinct stacks.
fn with_load(mut command: Command, size: u64) -> Result<Command> {
    let rounds = SIZES[2] / size;
    command.arg("--").arg(std::env::current_exe()?);
    command.arg("bench-stacks").args(
        [
            ("--stacks", size),
            ("--rounds", rounds),
            ("--hold-us", HOLD_US),
        ]
        .iter()
        .flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]),
    );
    Ok(command)
}

fn by_ctprof(size: u64) -> Result<Run> {
    let scratch = Scratch::create()?;
    let recording = scratch.file("recording");
    let mut command = ctprof();
    command.args(["record", "--event", "cpu-clock"]);
    command.args(["-F", &HZ.to_string(), "--output"]);
    command.arg(&recording);
    let (usage, load) = record(with_load(command, size)?)?;
    let after_ns = since(load.ended_ns);
    let summary = summary(&recording)?;
    let lost = summary["lost"].as_object().into_iter().flatten();
    // Neither is a loss: the ledger mends the first, and a stack that begins in the program's loader cannot be read.
    let lost = lost
        .filter(|(cause, _)| !matches!(cause.as_str(), "switch_missed" | "user_stack_unreadable"));
    Ok(Run {
        after_ns,
        usage: without(usage, &load),
        between_bytes: 0,
        stacks: distinct(&recording.join("stacks.folded"))?,
        lost: lost.filter_map(|(_, count)| count.as_f64()).sum(),
    })
}

fn by_perf(size: u64) -> Result<Run> {
    let perf = Peer::Perf.path().context("perf is gone")?;
    let graph = Peer::Inferno.path().context("inferno is gone")?;
    let collapse = graph.with_file_name("inferno-collapse-perf");
    let scratch = Scratch::create()?;
    let (data, folded) = (scratch.file("perf.data"), scratch.file("perf.folded"));

    let mut command = Command::new(&perf);
    // Build ids would be looked for in all that was recorded, for machines other than this one.
    command.args(["record", "--quiet", "--no-buildid", "-g", "-e", "cpu-clock"]);
    command.args(["-F", &HZ.to_string(), "-o"]).arg(&data);
    let (usage, load) = record(with_load(command, size)?)?;

    let mut script = Command::new(perf)
        .args(["script", "--no-inline", "-F"])
        .args(["comm,tid,time,event,ip,sym,dso", "-i"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let lines = script.stdout.take().context("perf script has no output")?;
    let collapse = Command::new(collapse)
        .stdin(lines)
        .stdout(File::create(&folded)?)
        .stderr(Stdio::null())
        .spawn()?;
    let both = wait(&script, "perf script")?.beside(wait(&collapse, "inferno-collapse-perf")?);
    let graph = Command::new(graph)
        .arg(&folded)
        .stdin(Stdio::null())
        .stdout(File::create(scratch.file("perf.svg"))?)
        .stderr(Stdio::null())
        .spawn()?;
    let graph = wait(&graph, "inferno-flamegraph")?;
    Ok(Run {
        after_ns: since(load.ended_ns),
        usage: without(usage, &load).then(both).then(graph),
        between_bytes: data.metadata()?.len() + folded.metadata()?.len(),
        stacks: distinct(&folded)?,
        lost: 0.0,
    })
}

/// Runs a tool around the load, to its end.
fn record(mut command: Command) -> Result<(Usage, stacks::Ended)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        std::io::Read::read_to_string(&mut stdout, &mut text)?;
    }
    let usage = wait(&child, &crate::cmd::line(&command))?;
    Ok((usage, stacks::Ended::find(&text)?))
}

fn since(ns: u64) -> f64 {
    stacks::ns(ClockId::Monotonic).saturating_sub(ns) as f64
}

fn without(usage: Usage, load: &stacks::Ended) -> Usage {
    Usage {
        cpu_ns: usage.cpu_ns - load.cpu_ns as f64,
        ..usage
    }
}

/// Distinct stacks of the load in a file of folded stacks.
fn distinct(folded: &Path) -> Result<u64> {
    use std::io::{BufRead, BufReader};
    let file = File::open(folded).with_context(|| format!("no {}", folded.display()))?;
    let mut count = 0;
    for line in BufReader::new(file).lines() {
        count += u64::from(line?.contains(MARK));
    }
    Ok(count)
}
