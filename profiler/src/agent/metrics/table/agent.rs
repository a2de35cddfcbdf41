//! What the agent tells of itself.

use super::super::own::SelfFigures;
use super::super::{bounds, rows::Shown};
use super::{Kind, Metric, Source, Value, label};

/// What the metrics of this file are taken from.
#[derive(Debug)]
pub struct Agent<'a> {
    pub(in super::super) own: &'a SelfFigures,
    pub(in super::super) shown: Shown,
}

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "ctprof_build_info",
        help: "Which ctprof this is",
        kind: Kind::Info,
        unit: "",
        labels: &[
            label("version", "its version"),
            label("kernel", "release of the kernel it runs on"),
        ],
        view: None,
        source: Source::Agent(|agent, emit| {
            emit(&[env!("CARGO_PKG_VERSION"), &agent.own.kernel], Value::Info);
        }),
    },
    Metric {
        name: "ctprof_series",
        help: "Series in this answer",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| emit(&[], Value::Count(agent.shown.series))),
    },
    Metric {
        name: "ctprof_series_dropped",
        help: "Series that the limit of series kept out of this answer",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| emit(&[], Value::Count(agent.shown.series_dropped))),
    },
    Metric {
        name: "ctprof_groups_dropped",
        help: "Rows that the limit of series kept out of this answer",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| emit(&[], Value::Count(agent.shown.groups_dropped))),
    },
    Metric {
        name: "ctprof_scrape_seconds",
        help: "How long the agent took to answer earlier scrapes",
        kind: Kind::Histogram(&bounds::SCRAPE),
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| emit(&[], Value::Histogram(&agent.own.scrapes))),
    },
    Metric {
        name: "process_cpu_seconds_total",
        help: "CPU time of the agent in user space and in the kernel, without that of its BPF programs",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(ns) = agent.own.cpu_ns {
                emit(&[], Value::Nanoseconds(ns));
            }
        }),
    },
    Metric {
        name: "process_resident_memory_bytes",
        help: "Resident memory of the agent",
        kind: Kind::Gauge,
        unit: "bytes",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(bytes) = agent.own.resident_bytes {
                emit(&[], Value::Count(bytes));
            }
        }),
    },
    Metric {
        name: "process_virtual_memory_bytes",
        help: "Virtual memory of the agent",
        kind: Kind::Gauge,
        unit: "bytes",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(bytes) = agent.own.virtual_bytes {
                emit(&[], Value::Count(bytes));
            }
        }),
    },
    Metric {
        name: "process_start_time_seconds",
        help: "When the agent started, in seconds since the Unix epoch",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(seconds) = agent.own.started_unix_seconds {
                emit(&[], Value::Number(seconds));
            }
        }),
    },
    Metric {
        name: "process_open_fds",
        help: "Open file descriptors of the agent",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(count) = agent.own.open_fds {
                emit(&[], Value::Count(count));
            }
        }),
    },
    Metric {
        name: "process_max_fds",
        help: "Most file descriptors that the agent may open",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(count) = agent.own.max_fds {
                emit(&[], Value::Count(count));
            }
        }),
    },
];
