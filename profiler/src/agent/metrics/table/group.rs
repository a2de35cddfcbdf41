//! What is told of each row: container, cgroup, pod or namespace.

use super::super::bounds;
use super::{Emit, Kind, Label, Metric, Source, Value, label};
use crate::model::{Group, Ledger, State, StateGroup};

const LEDGER_VIEW: Option<&str> = Some("ledger");
const THROTTLED_VIEW: Option<&str> = Some("throttled");

/// From the ledger.
pub(super) const LEDGER: &[Metric] = &[
    Metric {
        name: "ctprof_on_cpu_seconds_total",
        help: "Time that threads ran on a CPU",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[label("mode", "`user`, `kernel`")],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| states(group, StateGroup::OnCpu, emit)),
    },
    Metric {
        name: "ctprof_run_queue_seconds_total",
        help: "Time that threads could have run and waited for a CPU, throttled time taken out",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| states(group, StateGroup::RunQueue, emit)),
    },
    Metric {
        name: "ctprof_run_queue_latency_seconds",
        help: "Waits for a CPU, one by one, throttled time taken out",
        kind: Kind::Histogram(&bounds::RUN_QUEUE),
        unit: "seconds",
        labels: &[],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| {
            ledger(group, |it| {
                emit(&[], Value::Histogram(&it.run_queue_latency));
            });
        }),
    },
    Metric {
        name: "ctprof_throttled_seconds_total",
        help: "Time that threads could have run and were stopped by a CPU quota",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        view: THROTTLED_VIEW,
        source: Source::Group(|group, emit| states(group, StateGroup::Throttled, emit)),
    },
    Metric {
        name: "ctprof_throttle_duration_seconds",
        help: "How long a CPU quota stopped a thread each time; for rows that have a quota or were stopped by one",
        kind: Kind::Histogram(&bounds::THROTTLE),
        unit: "seconds",
        labels: &[],
        view: THROTTLED_VIEW,
        source: Source::Group(|group, emit| {
            let limited = group.figures.cpu_quota_cores.is_some();
            ledger(group, |it| {
                if limited || it.throttle_duration.count > 0 {
                    emit(&[], Value::Histogram(&it.throttle_duration));
                }
            });
        }),
    },
    Metric {
        name: "ctprof_blocked_seconds_total",
        help: "Time that threads slept, by what they waited for",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[label(
            "reason",
            "`disk`, `lock`, `net`, `poll`, `sleep`, `pipe`, `fault`, `child`, `other`",
        )],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| states(group, StateGroup::Blocked, emit)),
    },
    Metric {
        name: "ctprof_delayed_by_seconds_total",
        help: "Time that threads waited for a CPU, by who had it: those that are worst now by name",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[CULPRIT],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| {
            for (culprit, ns) in &group.delayed_by {
                emit(&[culprit.label()], Value::Nanoseconds(*ns));
            }
        }),
    },
    Metric {
        name: "ctprof_context_switches_total",
        help: "Switches away from a thread: voluntary where it blocked, involuntary where it could have gone on",
        kind: Kind::Counter,
        unit: "",
        labels: &[label("kind", "`voluntary`, `involuntary`")],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| {
            ledger(group, |it| {
                emit(&["voluntary"], Value::Count(it.voluntary_switches));
                emit(&["involuntary"], Value::Count(it.involuntary_switches));
            });
        }),
    },
    Metric {
        name: "ctprof_cpu_migrations_total",
        help: "Moves of threads from one CPU to another while they waited for one",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| {
            ledger(group, |it| emit(&[], Value::Count(it.migrations)));
        }),
    },
    Metric {
        name: "ctprof_threads_started_total",
        help: "Threads that were born, or moved in",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| {
            ledger(group, |it| emit(&[], Value::Count(it.threads_born)));
        }),
    },
    Metric {
        name: "ctprof_threads_ended_total",
        help: "Threads that exited, or moved out",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: LEDGER_VIEW,
        source: Source::Group(|group, emit| {
            ledger(group, |it| emit(&[], Value::Count(it.threads_exited)));
        }),
    },
];

const CULPRIT: Label = label(
    "culprit",
    "full name of a row (see below); `siblings` for its own threads, `host`, `kernel`, `idle` where the CPU was waking up, \
     `other` for all that are not among the worst and for what nobody can be named for, `former` for what names that lost \
     their place had",
);

/// From the cgroups' own files.
pub(super) const CGROUP: &[Metric] = &[
    Metric {
        name: "ctprof_container_info",
        help: "What a row is, or the newest of what it is made of",
        kind: Kind::Info,
        unit: "",
        labels: &[
            label("id", "the runtime's id"),
            label("image", "image reference"),
            label(
                "runtime",
                "`docker`, `containerd`, `cri-o`, `podman`, `lxc`, `systemd`, `cgroup`, `host`, `kernel`, `other`",
            ),
            label("cgroup", "path from the root of the cgroup hierarchy"),
        ],
        view: None,
        source: Source::Group(|group, emit| {
            let it = &group.figures.identity;
            emit(
                &[&it.id, &it.image, it.runtime.name(), &it.cgroup],
                Value::Info,
            );
        }),
    },
    Metric {
        name: "ctprof_threads",
        help: "Threads that are alive",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Group(|group, emit| {
            if let Some(threads) = group.figures.threads {
                emit(&[], Value::Count(threads));
            }
        }),
    },
    Metric {
        name: "ctprof_cpu_quota_cores",
        help: "CPUs' worth of time that the CPU quota allows; absent where there is no quota",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Group(|group, emit| {
            if let Some(cores) = group.figures.cpu_quota_cores.filter(|it| it.is_finite()) {
                emit(&[], Value::Number(cores));
            }
        }),
    },
    Metric {
        name: "ctprof_cfs_periods_total",
        help: "Enforcement periods of the CPU quota in which the cgroup ran (nr_periods in cpu.stat)",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Group(|group, emit| {
            if let Some(cfs) = group.figures.cfs {
                emit(&[], Value::Count(cfs.periods));
            }
        }),
    },
    Metric {
        name: "ctprof_cfs_throttled_periods_total",
        help: "Enforcement periods in which the CPU quota ran out (nr_throttled in cpu.stat)",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Group(|group, emit| {
            if let Some(cfs) = group.figures.cfs {
                emit(&[], Value::Count(cfs.throttled_periods));
            }
        }),
    },
    Metric {
        name: "ctprof_cfs_throttled_seconds_total",
        help: "Time that the quota stopped the cgroup, summed over CPUs and not over threads (throttled_usec in cpu.stat)",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Group(|group, emit| {
            if let Some(cfs) = group.figures.cfs {
                emit(&[], Value::Nanoseconds(cfs.throttled_ns));
            }
        }),
    },
    Metric {
        name: "ctprof_finding",
        help: "1 for each thing that the last look found to be wrong; with --doctor-every",
        kind: Kind::Gauge,
        unit: "",
        labels: &[
            label("id", "the rule, as docs/doctor.md has it"),
            label("severity", "`warning`, `critical`"),
        ],
        view: None,
        source: Source::Group(|group, emit| {
            for (rule, severity) in &group.findings {
                emit(&[rule, severity], Value::Count(1));
            }
        }),
    },
];

fn ledger(group: &Group, emit: impl FnOnce(&Ledger)) {
    if let Some(ledger) = &group.figures.ledger {
        emit(ledger);
    }
}

/// The states of a quarter of the ledger, at 0 where no time was spent. What the kernel cannot tell apart is left out
/// through the metric's view.
fn states(group: &Group, quarter: StateGroup, emit: Emit<'_>) {
    if group.figures.ledger.is_none() {
        return;
    }
    for state in State::ALL.into_iter().filter(|it| it.group() == quarter) {
        let ns = group.figures.time_ns.get(&state).copied().unwrap_or(0);
        let prefix = quarter.name();
        let part = state.name().strip_prefix(prefix).unwrap_or_default();
        match part.strip_prefix('_') {
            Some(part) => emit(&[part], Value::Nanoseconds(ns)),
            None => emit(&[], Value::Nanoseconds(ns)),
        }
    }
}
