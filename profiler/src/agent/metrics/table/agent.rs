//! What the agent tells of itself.

use super::super::process::Process;
use super::super::rows::Shown;
use super::super::{SelfFigures, bounds};
use super::{Kind, Metric, Source, Value, label};

/// What the metrics of this file are taken from.
#[derive(Debug)]
pub struct Agent<'a> {
    pub(in super::super) own: &'a SelfFigures,
    pub(in super::super) process: &'a Process,
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
            emit(
                &[env!("CARGO_PKG_VERSION"), &agent.process.kernel],
                Value::Info,
            );
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
        source: Source::Agent(|agent, emit| {
            let sum_ns = u64::try_from(agent.own.scrape_time.as_nanos()).unwrap_or(u64::MAX);
            emit(&[], Value::Counted(sum_ns, &agent.own.scrape_buckets));
        }),
    },
    Metric {
        name: "ctprof_http_requests_total",
        help: "Requests that were answered",
        kind: Kind::Counter,
        unit: "",
        labels: &[
            label("page", "path of the page, or `other`"),
            label("code", "status code of the answer"),
        ],
        view: None,
        source: Source::Agent(|agent, emit| {
            for ((page, code), count) in &agent.own.requests {
                emit(&[page, &code.to_string()], Value::Count(*count));
            }
        }),
    },
    Metric {
        name: "ctprof_http_connections",
        help: "Connections that are open",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| emit(&[], Value::Count(agent.own.connections))),
    },
    Metric {
        name: "ctprof_http_connections_evicted_total",
        help: "Connections that were closed because there were too many",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            emit(&[], Value::Count(agent.own.connections_evicted));
        }),
    },
    Metric {
        name: "ctprof_profiles_running",
        help: "Profiles that are being recorded on demand",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| emit(&[], Value::Count(agent.own.profiles_running))),
    },
    Metric {
        name: "ctprof_profiles_total",
        help: "Profiles that were asked for",
        kind: Kind::Counter,
        unit: "",
        labels: &[label(
            "outcome",
            "`done`, `cancelled` (the client went away), `refused` (too many at once), `failed`",
        )],
        view: None,
        source: Source::Agent(|agent, emit| {
            for outcome in ["done", "cancelled", "refused", "failed"] {
                let count = agent.own.profiles.get(outcome).copied().unwrap_or(0);
                emit(&[outcome], Value::Count(count));
            }
        }),
    },
    Metric {
        name: "ctprof_last_look_timestamp_seconds",
        help: "When containers were last looked at for what is wrong with them, since 1970; with --doctor-every",
        kind: Kind::Gauge,
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(looked) = agent.own.looked {
                emit(&[], Value::Number(looked.as_secs_f64()));
            }
        }),
    },
    Metric {
        name: "ctprof_reloads_total",
        help: "Reloads of the configuration; one that failed left the old configuration in place",
        kind: Kind::Counter,
        unit: "",
        labels: &[label("outcome", "`done`, `failed`")],
        view: None,
        source: Source::Agent(|agent, emit| {
            emit(&["done"], Value::Count(agent.own.reloads.0));
            emit(&["failed"], Value::Count(agent.own.reloads.1));
        }),
    },
    Metric {
        name: "ctprof_map_memory_bytes",
        help: "Kernel memory that the BPF maps of the agent hold",
        kind: Kind::Gauge,
        unit: "bytes",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(bytes) = agent.process.map_bytes {
                emit(&[], Value::Count(bytes));
            }
        }),
    },
    Metric {
        name: "process_cpu_seconds_total",
        help: "CPU time of the agent in user space and in the kernel, without that of its BPF programs",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Agent(|agent, emit| {
            if let Some(ns) = agent.process.cpu_ns {
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
            if let Some(bytes) = agent.process.resident_bytes {
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
            if let Some(bytes) = agent.process.virtual_bytes {
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
            if let Some(seconds) = agent.process.started_unix_seconds {
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
            if let Some(count) = agent.process.open_fds {
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
            if let Some(count) = agent.process.max_fds {
                emit(&[], Value::Count(count));
            }
        }),
    },
];
