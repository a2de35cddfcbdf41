//! Every figure that two rows are compared by: one table for reports, rules, JSON and the manual.
//!
//! - here: those of the ledger and of samples, and how all are read
//! - `isolation`: what isolation costs, off samples as well

mod isolation;

use std::collections::BTreeSet;

use super::between_runs;
use super::judge::Figure;
use super::series::Series;
use crate::analysis::isolation::Layer;
use crate::model::comparable::{self, Dimension, OfSlice};
use crate::model::{Container, State};
use crate::views::{self, Amount, Entry};

/// What a figure is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// CPUs, or threads: seconds a second.
    Cpus,
    /// Part of the thread time, 0 to 1.
    Share,
    /// Nanoseconds each.
    Ns,
    /// Times a second.
    PerSecond,
    /// Nanoseconds for each unit of work.
    NsPerUnit,
    /// Times for each unit of work.
    PerUnit,
}

/// How a figure is read.
#[derive(Clone, Copy, Debug)]
enum Read {
    /// As figures of views are.
    Plain(comparable::Read),
    /// On-CPU time of samples in user space (false) or in the kernel (true).
    OnCpu(bool),
    /// On-CPU time of samples in this layer of isolation; `None` for all that only containers pay for.
    Isolation(Option<Layer>),
    /// Waits for a CPU: the time that this share of them stays below.
    RunQueue(f64),
}

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is called in JSON and in rules.
    pub id: &'static str,
    /// What it is, for people.
    pub meaning: &'static str,
    /// By what part it differs between runs of one program.
    pub(super) between_runs: f64,
    /// The view whose figure it is, if it is not the ledger's.
    pub(super) view: Option<&'static Entry>,
    read: Read,
}

const fn metric(id: &'static str, meaning: &'static str, read: Read) -> Metric {
    Metric {
        id,
        meaning,
        between_runs: between_runs::of(id),
        view: None,
        read,
    }
}

macro_rules! state {
    ($id:literal, $meaning:literal, $state:ident) => {
        metric(
            $id,
            $meaning,
            sum(Dimension::State, |_, slice| {
                let times = slice.off_cpu_ns.iter();
                let own = times.filter(|(state, _)| *state == State::$state);
                own.map(|(_, ns)| *ns as f64).sum()
            }),
        )
    };
}

const fn sum(dimension: Dimension, of: OfSlice) -> Read {
    Read::Plain(comparable::Read::Sum(dimension, of))
}

/// What the ledger and samples have of every row.
const LEDGER: &[Metric] = &[
    metric(
        "cpu",
        "time on the CPU",
        sum(Dimension::Time, |_, slice| slice.on_cpu_ns as f64),
    ),
    metric(
        "cpu.user",
        "time on the CPU in the program",
        Read::OnCpu(false),
    ),
    metric(
        "cpu.kernel",
        "time on the CPU in the kernel",
        Read::OnCpu(true),
    ),
    metric(
        "threads",
        "time of threads, in whatever state",
        sum(Dimension::Time, |_, slice| {
            let off_cpu: u64 = slice.off_cpu_ns.iter().map(|(_, ns)| *ns).sum();
            (slice.on_cpu_ns + off_cpu) as f64
        }),
    ),
    state!("run_queue", "waiting for a CPU", RunQueue),
    state!("throttled", "stopped by a CPU quota", Throttled),
    state!("blocked_disk", "asleep until a disk answers", BlockedDisk),
    state!("blocked_lock", "asleep on a lock", BlockedLock),
    state!("blocked_net", "asleep on a socket", BlockedNet),
    state!("blocked_poll", "asleep until a file is ready", BlockedPoll),
    state!("blocked_sleep", "asleep on purpose", BlockedSleep),
    state!("blocked_pipe", "asleep on a pipe", BlockedPipe),
    state!("blocked_fault", "asleep in a page fault", BlockedFault),
    state!("blocked_child", "asleep until a child exits", BlockedChild),
    state!("blocked_other", "asleep for another reason", BlockedOther),
    metric(
        "run_queue.mean",
        "length of a wait for a CPU",
        Read::Plain(comparable::Read::Mean(
            |_, slice| slice.run_queue_latency.sum_ns as f64,
            |_, slice| slice.run_queue_latency.count as f64,
        )),
    ),
    metric(
        "run_queue.p50",
        "waits for a CPU: half are shorter",
        Read::RunQueue(0.5),
    ),
    metric(
        "run_queue.p99",
        "waits for a CPU: 99 of 100 are shorter",
        Read::RunQueue(0.99),
    ),
    metric(
        "throttled.count",
        "times that a quota stopped a thread",
        sum(Dimension::Number, |_, slice| slice.stops as f64),
    ),
    metric(
        "switches.voluntary",
        "context switches away from threads that blocked",
        sum(Dimension::Number, |_, slice| {
            slice.voluntary_switches as f64
        }),
    ),
    metric(
        "switches.involuntary",
        "context switches away from threads that could have gone on",
        sum(Dimension::Number, |_, slice| {
            slice.involuntary_switches as f64
        }),
    ),
    metric(
        "migrations",
        "moves of waiting threads to another CPU",
        sum(Dimension::Number, |_, slice| slice.migrations as f64),
    ),
];

/// All that every row may have.
pub fn all() -> impl Iterator<Item = Metric> {
    let of_views = views::ALL.iter().flat_map(|view| {
        view.compared.iter().map(move |it| Metric {
            id: it.id,
            meaning: it.meaning,
            between_runs: it.between_runs,
            view: Some(view),
            read: Read::Plain(it.read),
        })
    });
    let own = LEDGER.iter().chain(isolation::METRICS);
    own.copied().chain(of_views)
}

/// What sums are divided by, window by window, for one side.
#[derive(Clone, Debug)]
pub(super) enum Per {
    /// Seconds, or thread time, as each figure has it.
    Time,
    /// Units of work.
    Work(Vec<f64>),
}

/// One figure of one row.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) figure: Figure,
    pub(super) unit: Unit,
    /// The sum itself: ns or times; `None` where it is none.
    pub(super) total: Option<f64>,
}

impl Metric {
    /// The metric with this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        all().find(|metric| metric.id == id)
    }

    /// The figure of a row; `None` where the row has none.
    pub(super) fn read(&self, series: &Series<'_>, per: &Per) -> Option<Reading> {
        let row = series.row;
        match self.read {
            Read::Plain(comparable::Read::Whole(dimension, read)) => {
                let total = read(row)? as f64;
                let seconds: f64 = series.seconds.iter().sum();
                Some(whole(dimension, total, seconds, per))
            }
            _ if series.windows.is_empty() => None,
            Read::Plain(comparable::Read::Sum(dimension, read)) => {
                let is_measured = self.view.is_none_or(|view| (view.is_in)(&row.measured));
                let has_any = is_measured && row.ledger.is_some();
                has_any.then(|| {
                    let sums = series.sums(|slice| read(row, slice));
                    ratio(series, per, dimension, sums, None)
                })
            }
            Read::OnCpu(in_kernel) => {
                let state = if in_kernel {
                    State::OnCpuKernel
                } else {
                    State::OnCpuUser
                };
                let (sums, samples) = series.on_cpu(state);
                (row.samples > 0).then(|| ratio(series, per, Dimension::Time, sums, Some(samples)))
            }
            Read::Isolation(layer) => {
                let (sums, samples) = series.isolation(layer);
                (row.samples > 0).then(|| ratio(series, per, Dimension::Time, sums, Some(samples)))
            }
            Read::Plain(comparable::Read::Mean(sum, count)) => {
                let counts = series.sums(|slice| count(row, slice));
                let sums = || series.sums(|slice| sum(row, slice));
                (counts.iter().sum::<f64>() > 0.0).then(|| mean(sums(), counts))
            }
            Read::RunQueue(share) => run_queue(series, share),
        }
    }
}

fn mean(sums: Vec<f64>, by: Vec<f64>) -> Reading {
    Reading {
        figure: Figure::Ratio {
            sums,
            by,
            samples: None,
        },
        unit: Unit::Ns,
        total: None,
    }
}

/// A sum of which it is only known what the whole recording has.
fn whole(dimension: Dimension, total: f64, seconds: f64, per: &Per) -> Reading {
    let (by, unit) = match (per, dimension) {
        (Per::Work(work), Dimension::Number) => (work.iter().sum(), Unit::PerUnit),
        (Per::Work(work), _) => (work.iter().sum(), Unit::NsPerUnit),
        (Per::Time, Dimension::Number) => (seconds, Unit::PerSecond),
        (Per::Time, _) => (seconds * 1e9, Unit::Cpus),
    };
    Reading {
        figure: Figure::Total(if by > 0.0 { total / by } else { 0.0 }),
        unit,
        total: Some(total),
    }
}

/// Sums of windows by what belongs to their kind.
fn ratio(
    series: &Series<'_>,
    per: &Per,
    dimension: Dimension,
    sums: Vec<f64>,
    samples: Option<f64>,
) -> Reading {
    let ns = |seconds: Vec<f64>| seconds.iter().map(|it| it * 1e9).collect();
    let (by, unit) = match (per, dimension) {
        (Per::Work(work), Dimension::Number) => (work.clone(), Unit::PerUnit),
        (Per::Work(work), _) => (work.clone(), Unit::NsPerUnit),
        (Per::Time, Dimension::Time) => (ns(series.seconds.clone()), Unit::Cpus),
        (Per::Time, Dimension::State) => (ns(series.thread_seconds()), Unit::Share),
        (Per::Time, Dimension::Number) => (series.seconds.clone(), Unit::PerSecond),
    };
    Reading {
        total: Some(sums.iter().sum()),
        figure: Figure::Ratio { sums, by, samples },
        unit,
    }
}

/// Time on the CPU, by the wall clock or by work, of what was sampled.
pub(super) fn sampled(series: &Series<'_>, per: &Per, sums: Vec<f64>, samples: f64) -> Reading {
    ratio(series, per, Dimension::Time, sums, Some(samples))
}

fn run_queue(series: &Series<'_>, share: f64) -> Option<Reading> {
    let slices = || series.windows.iter().flatten();
    let buckets = slices().flat_map(|slice| &slice.run_queue_latency.buckets);
    let bounds: BTreeSet<(u64, u64)> = buckets.map(|it| (it.from_ns, it.to_ns)).collect();
    let bounds: Vec<(u64, u64)> = bounds.into_iter().collect();
    let counts = series.windows.iter().map(|slices| {
        let mut counts = vec![0.0; bounds.len()];
        for bucket in slices
            .iter()
            .flat_map(|slice| &slice.run_queue_latency.buckets)
        {
            if let Ok(at) = bounds.binary_search(&(bucket.from_ns, bucket.to_ns)) {
                counts[at] += bucket.count as f64;
            }
        }
        counts
    });
    (!bounds.is_empty()).then(|| Reading {
        figure: Figure::Quantile {
            share,
            counts: counts.collect(),
            bounds: bounds
                .iter()
                .map(|(from, to)| (*from as f64, *to as f64))
                .collect(),
        },
        unit: Unit::Ns,
        total: None,
    })
}

/// One of the things that a view counts one by one: how often, how long each.
pub(super) fn of_item(
    series: &Series<'_>,
    per: &Per,
    view: &Entry,
    name: &str,
) -> [Option<Reading>; 2] {
    let id = (view.id)();
    let counts = series.items(&id, name);
    let is_timed = amounts(series.row, view).iter().any(|it| it.ns.is_some());
    let has_any = counts.iter().sum::<f64>() > 0.0;
    let mean = (is_timed && has_any).then(|| mean(series.item_ns(&id, name), counts.clone()));
    let count = ratio(series, per, Dimension::Number, counts, None);
    [Some(count), mean]
}

/// What a row has of what a view counts one by one; nothing where it was not measured.
pub(super) fn amounts(row: &Container, view: &Entry) -> Vec<Amount> {
    let all = view.named.and_then(|named| (named.all)(&row.measured));
    all.unwrap_or_default()
}

#[cfg(test)]
mod tests;
