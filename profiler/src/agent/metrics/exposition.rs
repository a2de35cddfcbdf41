//! Walks the table of metrics over a reading. Spelling and escaping are prometheus-client's.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
    text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::label::bounded;
use super::process::Process;
use super::rows::{Labels, fitting};
use super::table::{self, Agent, Kind, Label, Metric, Source, Value};
use super::{Options, SelfFigures, bounds};
use crate::model::{Group, Reading};

/// Series that one value of this type has.
pub(super) const fn series(kind: Kind) -> u64 {
    match kind {
        // The infinite bucket, the sum and the count.
        Kind::Histogram(bounds) => bounds.len() as u64 + 3,
        Kind::Counter | Kind::Gauge | Kind::Info => 1,
    }
}

/// The whole exposition as OpenMetrics.
pub(super) fn open_metrics(reading: &Arc<Reading>, own: &SelfFigures, options: &Options) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition {
        reading: Arc::clone(reading),
        own: own.clone(),
        process: Process::gather(),
        options: options.clone(),
    }));
    // Lines are about 120 bytes long; growing a string of megabytes copies it each time.
    let mut text = String::with_capacity(16 * 1024 + reading.groups.len() * 8 * 1024);
    if text::encode(&mut text, &registry).is_err() {
        // A string takes every write, and nothing of ours fails.
        text.clear();
    }
    text
}

/// A collector has to own what it shows.
#[derive(Debug)]
struct Exposition {
    reading: Arc<Reading>,
    own: SelfFigures,
    process: Process,
    options: Options,
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (rows, shown) = fitting(&self.reading, &self.own, &self.process, &self.options);
        let agent = Agent {
            own: &self.own,
            process: &self.process,
            shown,
        };
        let mut buckets = Vec::new();
        for metric in table::available(&self.reading) {
            let mut any = false;
            each(&metric, &rows, &self.reading, &agent, &mut |_, _, _| {
                any = true;
            });
            if !any {
                continue;
            }
            let unit = unit(&metric);
            let mut family = encoder.encode_descriptor(
                metric.stem(),
                &help(&metric),
                unit.as_ref(),
                metric_type(metric.kind),
            )?;
            let mut result = Ok(());
            each(
                &metric,
                &rows,
                &self.reading,
                &agent,
                &mut |row, own, value| {
                    let labels = SeriesLabels {
                        row,
                        metric: &metric,
                        own,
                    };
                    result = result.and_then(|()| write(&mut family, &labels, value, &mut buckets));
                },
            );
            result?;
        }
        Ok(())
    }
}

/// Takes the series of a metric one by one: labels of the row, values of the metric's own labels, value.
type Take<'t> = &'t mut dyn FnMut(&Labels<'_>, &[&str], Value<'_>);

fn each(
    metric: &Metric,
    rows: &[(Labels<'_>, &Group)],
    reading: &Reading,
    agent: &Agent<'_>,
    take: Take<'_>,
) {
    let none = Labels::new();
    match metric.source {
        Source::Group(_) | Source::View(_) => {
            for (labels, group) in rows {
                let take = &mut |own: &[&str], value: Value<'_>| take(labels, own, value);
                metric.source.of_group(group, take);
            }
        }
        Source::Host(values) => values(reading, &mut |own, value| take(&none, own, value)),
        Source::Agent(values) => values(agent, &mut |own, value| take(&none, own, value)),
    }
}

fn write(
    family: &mut MetricEncoder<'_>,
    labels: &SeriesLabels<'_>,
    value: Value<'_>,
    buckets: &mut Vec<(f64, u64)>,
) -> fmt::Result {
    let kind = labels.metric.kind;
    if kind == Kind::Info {
        return family.encode_info(labels);
    }
    if labels.row.is_empty() && labels.own.is_empty() {
        return write_value(family, kind, value, buckets);
    }
    write_value(&mut family.encode_family(labels)?, kind, value, buckets)
}

fn write_value(
    family: &mut MetricEncoder<'_>,
    kind: Kind,
    value: Value<'_>,
    buckets: &mut Vec<(f64, u64)>,
) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => {
            family.encode_counter::<NoLabelSet, u64, f64>(&count, None)
        }
        (Kind::Gauge, Value::Count(count)) => family.encode_gauge(&count),
        (Kind::Histogram(bounds), Value::Histogram(it)) => {
            let all = it.buckets.iter().map(|bucket| (bucket.to_ns, bucket.count));
            bounds::spread(bounds, all, buckets);
            histogram(family, it.sum_ns, buckets)
        }
        (Kind::Histogram(bounds), Value::Latency(it)) => {
            let all = it.buckets.iter().map(|bucket| (bucket.to_ns, bucket.count));
            bounds::spread(bounds, all, buckets);
            histogram(family, it.sum_ns, buckets)
        }
        (Kind::Histogram(bounds), Value::Counted(sum_ns, counts)) => {
            bounds::counted(bounds, counts, buckets);
            histogram(family, sum_ns, buckets)
        }
        (_, value) => {
            let number = match value {
                Value::Nanoseconds(ns) => ns as f64 / 1e9,
                Value::Number(number) => number,
                // The table has no such pair; a test walks all of it.
                Value::Count(_)
                | Value::Histogram(_)
                | Value::Latency(_)
                | Value::Counted(..)
                | Value::Info => return Err(fmt::Error),
            };
            if kind == Kind::Counter {
                family.encode_counter::<NoLabelSet, f64, f64>(&number, None)
            } else {
                family.encode_gauge(&number)
            }
        }
    }
}

/// The count is that of the buckets: the kernel half adds to a bucket and to the sum one after the other, and Prometheus
/// wants the infinite bucket to be the count.
fn histogram(family: &mut MetricEncoder<'_>, sum_ns: u64, buckets: &[(f64, u64)]) -> fmt::Result {
    let count = buckets.iter().map(|(_, count)| count).sum();
    family.encode_histogram::<NoLabelSet>(sum_ns as f64 / 1e9, count, buckets, None)
}

/// Labels of one series: those of the row first.
struct SeriesLabels<'a> {
    row: &'a Labels<'a>,
    metric: &'a Metric,
    own: &'a [&'a str],
}

impl EncodeLabelSet for SeriesLabels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.row {
            (*name, value.as_ref()).encode(encoder.encode_label())?;
        }
        for (Label { name, .. }, value) in self.metric.labels.iter().zip(self.own) {
            // `cgroup`, `image` and `runtime` may be labels of the row already.
            if self.row.iter().all(|(of_row, _)| of_row != name) {
                (*name, bounded(value).as_ref()).encode(encoder.encode_label())?;
            }
        }
        Ok(())
    }
}

fn help(metric: &Metric) -> String {
    format!("{}.", metric.help)
}

fn unit(metric: &Metric) -> Option<Unit> {
    match metric.unit {
        "" => None,
        "seconds" => Some(Unit::Seconds),
        "bytes" => Some(Unit::Bytes),
        other => Some(Unit::Other(other.to_owned())),
    }
}

const fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram(_) => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}
