//! What one metric is: its name, its type, and where its values are.

use super::{Container, Histogram, Latency};

/// One metric. Of `S` it has its values.
#[derive(Clone, Copy, Debug)]
pub struct Metric<S> {
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
    pub source: S,
}

/// A label and what it can say.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub values: &'static str,
}

/// A label.
#[must_use]
pub const fn label(name: &'static str, values: &'static str) -> Label {
    Label { name, values }
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

/// Values of a metric out of the figures of a row.
pub type OfRow = fn(&Container, Emit<'_>);

/// One value. Times are in ns and become seconds.
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

impl<S> Metric<S> {
    /// The same metric with its values elsewhere.
    pub fn with<T>(self, source: impl FnOnce(S) -> T) -> Metric<T> {
        Metric {
            name: self.name,
            help: self.help,
            kind: self.kind,
            unit: self.unit,
            labels: self.labels,
            view: self.view,
            source: source(self.source),
        }
    }

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
