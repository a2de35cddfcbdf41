//! Every figure that two rows are compared by, and how it is read.
//!
//! - `table`: all of them, for reports, rules, JSON and the manual

mod table;

use std::collections::BTreeSet;

use super::calls_of;
use super::judge::Figure;
use super::series::Series;
use crate::analysis::isolation::Layer;
use crate::model::{Container, Slice, State};
use crate::views::syscalls::Syscalls;
pub use table::METRICS;

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

/// What a sum is of, and so what it is divided by where no unit of work is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Time, by the wall clock's: how many CPUs or threads.
    Time,
    /// Time, by the threads'.
    State,
    /// A number, by the wall clock's time.
    Number,
}

/// How a figure is read.
#[derive(Clone, Copy, Debug)]
enum Read {
    /// Off slices, as a sum: of the row with this slice.
    Sum(Kind, fn(&Container, &Slice) -> f64),
    /// On-CPU time of samples in user space (false) or in the kernel (true).
    OnCpu(bool),
    /// On-CPU time of samples in this layer of isolation; `None` for all that only containers pay for.
    Isolation(Option<Layer>),
    /// One sum by another.
    Mean(fn(&Container, &Slice) -> f64, fn(&Container, &Slice) -> f64),
    /// Waits for a CPU: the time that this share of them stays below.
    RunQueue(f64),
    /// Off the whole recording, where seconds are not known.
    Whole(Kind, fn(&Container) -> Option<u64>),
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
    read: Read,
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
    pub fn from_id(id: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.id == id)
    }

    /// The figure of a row; `None` where the row has none.
    pub(super) fn read(&self, series: &Series<'_>, per: &Per) -> Option<Reading> {
        let row = series.row;
        match self.read {
            Read::Whole(kind, read) => {
                let total = read(row)? as f64;
                let seconds: f64 = series.seconds.iter().sum();
                Some(whole(kind, total, seconds, per))
            }
            _ if series.windows.is_empty() => None,
            Read::Sum(kind, read) => {
                let is_call = self.id.starts_with("syscalls");
                if is_call && row.measured.get::<Syscalls>().is_none() || row.ledger.is_none() {
                    return None;
                }
                Some(ratio(
                    series,
                    per,
                    kind,
                    series.sums(|slice| read(row, slice)),
                    None,
                ))
            }
            Read::OnCpu(in_kernel) => {
                let state = if in_kernel {
                    State::OnCpuKernel
                } else {
                    State::OnCpuUser
                };
                let (sums, samples) = series.on_cpu(state);
                (row.samples > 0).then(|| ratio(series, per, Kind::Time, sums, Some(samples)))
            }
            Read::Isolation(layer) => {
                let (sums, samples) = series.isolation(layer);
                (row.samples > 0).then(|| ratio(series, per, Kind::Time, sums, Some(samples)))
            }
            Read::Mean(sum, count) => {
                let counts = series.sums(|slice| count(row, slice));
                (counts.iter().sum::<f64>() > 0.0).then(|| Reading {
                    figure: Figure::Ratio {
                        sums: series.sums(|slice| sum(row, slice)),
                        by: counts,
                        samples: None,
                    },
                    unit: Unit::Ns,
                    total: None,
                })
            }
            Read::RunQueue(share) => run_queue(series, share),
        }
    }
}

/// A sum of which it is only known what the whole recording has.
fn whole(kind: Kind, total: f64, seconds: f64, per: &Per) -> Reading {
    let (by, unit) = match (per, kind) {
        (Per::Work(work), Kind::Number) => (work.iter().sum(), Unit::PerUnit),
        (Per::Work(work), _) => (work.iter().sum(), Unit::NsPerUnit),
        (Per::Time, Kind::Number) => (seconds, Unit::PerSecond),
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
    kind: Kind,
    sums: Vec<f64>,
    samples: Option<f64>,
) -> Reading {
    let ns = |seconds: Vec<f64>| seconds.iter().map(|it| it * 1e9).collect();
    let (by, unit) = match (per, kind) {
        (Per::Work(work), Kind::Number) => (work.clone(), Unit::PerUnit),
        (Per::Work(work), _) => (work.clone(), Unit::NsPerUnit),
        (Per::Time, Kind::Time) => (ns(series.seconds.clone()), Unit::Cpus),
        (Per::Time, Kind::State) => (ns(series.thread_seconds()), Unit::Share),
        (Per::Time, Kind::Number) => (series.seconds.clone(), Unit::PerSecond),
    };
    Reading {
        total: Some(sums.iter().sum()),
        figure: Figure::Ratio { sums, by, samples },
        unit,
    }
}

/// Time on the CPU, by the wall clock or by work, of what was sampled.
pub(super) fn sampled(series: &Series<'_>, per: &Per, sums: Vec<f64>, samples: f64) -> Reading {
    ratio(series, per, Kind::Time, sums, Some(samples))
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

/// One system call: how often, how long each.
pub(super) fn of_call(series: &Series<'_>, per: &Per, name: &str) -> [Option<Reading>; 2] {
    let counts = series.calls(name);
    let is_timed = calls_of(series.row).iter().any(|it| it.total_ns.is_some());
    let has_any = counts.iter().sum::<f64>() > 0.0;
    let mean = (is_timed && has_any).then(|| Reading {
        figure: Figure::Ratio {
            sums: series.call_ns(name),
            by: counts.clone(),
            samples: None,
        },
        unit: Unit::Ns,
        total: None,
    });
    [Some(ratio(series, per, Kind::Number, counts, None)), mean]
}

#[cfg(test)]
mod tests;
