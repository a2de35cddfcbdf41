//! Every metric of the agent, once.
//!
//! A counter of a row is there from the row's first scrape on, at 0 where nothing happened: `rate()` sees the first
//! increase of a series only if it saw the series before. Exceptions, because their labels are open-ended: a culprit, a
//! system call and an errno appear when they first happen; what they count until the scrape that shows them first is in
//! no rate. Durations of throttling have 11 series, so they are left out of rows without a quota until one from
//! above stops them; `ctprof_throttled_seconds_total` is there in any case.

mod agent;
mod group;
mod host;

use crate::model::{Group, Histogram, Latency, Reading};

pub use agent::Agent;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name in queries; for a histogram without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// One sentence without its full stop.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Base unit, which the name carries as well; empty for what has none.
    pub unit: &'static str,
    /// Its labels, beside those of the row.
    pub labels: &'static [Label],
    /// The view without which it is absent; see `ctprof_view_unavailable`.
    pub view: Option<&'static str>,
    /// What is measured, and where its values are.
    pub source: Source,
}

/// A label and what it can say.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub values: &'static str,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the agent restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by duration, with these bounds in ns.
    Histogram(&'static [u64]),
    /// Always 1; the labels say something.
    Info,
}

/// Takes the values of a metric, one by one, each with the values of its labels.
pub type Emit<'e> = &'e mut dyn FnMut(&[&str], Value<'_>);

/// Where the values are. Times are in ns and become seconds.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// One or more values for each row; the labels of the row come first.
    Group(fn(&Group, Emit<'_>)),
    /// The host as a whole.
    Host(fn(&Reading, Emit<'_>)),
    /// The agent itself.
    Agent(fn(&Agent<'_>, Emit<'_>)),
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A number of things.
    Count(u64),
    /// A time, shown in seconds.
    Nanoseconds(u64),
    /// Any other number.
    Number(f64),
    /// Durations.
    Histogram(&'a Histogram),
    /// Durations of system calls.
    Latency(&'a Latency),
    /// Durations that were counted by the bounds of the metric: their sum, and how many each bound has.
    Counted(u64, &'a [u64]),
    /// Nothing beside the labels.
    Info,
}

/// Every metric, in the order of the exposition and of the manual.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [
        group::LEDGER,
        group::CGROUP,
        group::SYSCALLS,
        host::METRICS,
        agent::METRICS,
    ]
    .into_iter()
    .flatten()
}

/// The metrics whose view this kernel and configuration can give.
pub fn available(reading: &Reading) -> impl Iterator<Item = &'static Metric> {
    let missing = |view: Option<&str>| {
        view.is_some_and(|view| {
            reading
                .unavailable
                .iter()
                .any(|it| it.view.as_str() == view)
        })
    };
    all().filter(move |metric| !missing(metric.view))
}

impl Metric {
    /// The name of the metric family in OpenMetrics without unit: what the suffixes are put after.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let name = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total"),
            Kind::Info => self.name.strip_suffix("_info"),
            Kind::Gauge | Kind::Histogram(_) => None,
        }
        .unwrap_or(self.name);
        match name.strip_suffix(self.unit) {
            Some(stem) if !self.unit.is_empty() => stem.strip_suffix('_').unwrap_or(stem),
            _ => name,
        }
    }

    /// Names that queries use: the metric, or the three series of a histogram.
    #[must_use]
    pub fn series_names(&self) -> Vec<String> {
        match self.kind {
            Kind::Histogram(_) => ["bucket", "sum", "count"]
                .map(|suffix| format!("{}_{suffix}", self.name))
                .to_vec(),
            Kind::Counter | Kind::Gauge | Kind::Info => vec![self.name.to_owned()],
        }
    }
}

const fn label(name: &'static str, values: &'static str) -> Label {
    Label { name, values }
}
