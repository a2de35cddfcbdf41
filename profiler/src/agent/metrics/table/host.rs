//! What is told of the host as a whole, and of the kernel half.

use std::collections::BTreeMap;

use super::{Emit, Kind, Label, Metric, Source, Value, label};
use crate::model::{ProgramCost, Reading, State};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "ctprof_host_thread_seconds_total",
        help: "Time of all threads of the host by state, those of rows that ended long ago included",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[label(
            "state",
            "`on_cpu_user`, `on_cpu_kernel`, `run_queue`, `throttled`, `blocked_` and a reason",
        )],
        view: Some("ledger"),
        source: Source::Host(|reading, emit| {
            for state in State::ALL {
                let ns = reading.total_ns.get(&state).copied();
                // Only this state can be beyond a kernel; the others are 0 where they are absent.
                if ns.is_some() || state != State::Throttled {
                    emit(&[state.name()], Value::Nanoseconds(ns.unwrap_or(0)));
                }
            }
        }),
    },
    Metric {
        name: "ctprof_host_stolen_seconds_total",
        help: "CPU time since the agent began that no thread had, summed over CPUs",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[label("by", "`hypervisor`, `interrupts`")],
        view: None,
        source: Source::Host(|reading, emit| {
            if let Some(stolen) = reading.stolen {
                emit(&["hypervisor"], Value::Nanoseconds(stolen.hypervisor_ns));
                emit(&["interrupts"], Value::Nanoseconds(stolen.interrupts_ns));
            }
        }),
    },
    Metric {
        name: "ctprof_counting_seconds_total",
        help: "Time since the agent began to count",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[],
        view: None,
        source: Source::Host(|reading, emit| {
            let ns = u64::try_from(reading.uptime.as_nanos()).unwrap_or(u64::MAX);
            emit(&[], Value::Nanoseconds(ns));
        }),
    },
    Metric {
        name: "ctprof_groups",
        help: "Rows that the agent keeps, those that ended lately included",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Host(|reading, emit| {
            emit(&[], Value::Count(reading.groups.len() as u64));
        }),
    },
    Metric {
        name: "ctprof_groups_ended_total",
        help: "Rows that ended",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Host(|reading, emit| emit(&[], Value::Count(reading.groups_ended))),
    },
    Metric {
        name: "ctprof_groups_refused_total",
        help: "Rows that found the limit of rows reached: they count in the row named other",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        view: None,
        source: Source::Host(|reading, emit| emit(&[], Value::Count(reading.groups_refused))),
    },
    Metric {
        name: "ctprof_lost_events_total",
        help: "What was lost in the kernel half; anything but 0 makes the other figures smaller than the truth",
        kind: Kind::Counter,
        unit: "",
        labels: &[label("cause", "see `lost` in formats.md")],
        view: None,
        source: Source::Host(|reading, emit| {
            for (cause, count) in &reading.lost {
                emit(&[cause.name()], Value::Count(*count));
            }
        }),
    },
    Metric {
        name: "ctprof_view_unavailable",
        help: "1 for each view that this kernel or configuration cannot give; ctprof check says why",
        kind: Kind::Gauge,
        unit: "",
        labels: &[label("view", "id of the view")],
        view: None,
        source: Source::Host(|reading, emit| {
            let views: BTreeMap<&str, ()> = reading
                .unavailable
                .iter()
                .map(|it| (it.view.as_str(), ()))
                .collect();
            for view in views.keys() {
                emit(&[view], Value::Count(1));
            }
        }),
    },
    Metric {
        name: "ctprof_program_run_seconds_total",
        help: "Time that a BPF program of the agent took; only where BPF statistics are on",
        kind: Kind::Counter,
        unit: "seconds",
        labels: &[PROGRAM],
        view: None,
        source: Source::Host(|reading, emit| {
            programs(
                reading,
                emit,
                |it| {
                    let ns = u64::try_from(it.runs?.1.as_nanos()).unwrap_or(u64::MAX);
                    Some(ns)
                },
                Value::Nanoseconds,
            );
        }),
    },
    Metric {
        name: "ctprof_program_runs_total",
        help: "Times that a BPF program of the agent ran; only where BPF statistics are on",
        kind: Kind::Counter,
        unit: "",
        labels: &[PROGRAM],
        view: None,
        source: Source::Host(|reading, emit| {
            programs(reading, emit, |it| Some(it.runs?.0), Value::Count);
        }),
    },
    Metric {
        name: "ctprof_program_verified_instructions",
        help: "Instructions that the kernel's verifier walked through when it loaded a BPF program",
        kind: Kind::Gauge,
        unit: "",
        labels: &[PROGRAM],
        view: None,
        source: Source::Host(|reading, emit| {
            programs(
                reading,
                emit,
                |it| it.verified_instructions.map(u64::from),
                Value::Count,
            );
        }),
    },
];

const PROGRAM: Label = label("program", "name of the BPF program in the kernel");

/// One value a name: programs of one name are summed.
fn programs(
    reading: &Reading,
    emit: Emit<'_>,
    of: impl Fn(&ProgramCost) -> Option<u64>,
    value: impl Fn(u64) -> Value<'static>,
) {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for program in &reading.programs {
        if let Some(amount) = of(program) {
            *sums.entry(&program.name).or_default() += amount;
        }
    }
    for (name, sum) in sums {
        emit(&[name], value(sum));
    }
}
