//! System calls as metrics.

use std::borrow::Cow;

use super::{Syscall, Syscalls};
use crate::model::Container;
use crate::model::metric::{Kind, Label, Metric, OfRow, Value, label};

const VIEW: Option<&str> = Some("syscalls");

/// 1 us to 1 s; there may be many rows of these. Powers of two, as the borders of the kernel half's buckets.
const BOUNDS: [u64; 8] = [
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 20,
    1 << 23,
    1 << 26,
    1 << 30,
];

fn calls(row: &Container) -> impl Iterator<Item = &Syscall> {
    let calls = row.measured.get::<Syscalls>();
    calls.into_iter().flat_map(|calls| &calls.0)
}

const SYSCALL: Label = label(
    "syscall",
    "its name; with `i386:`, `arm:` or `x32:` before it where it was made by another ABI's number",
);

/// What Prometheus is told of the calls of a row.
pub(super) const METRICS: &[Metric<OfRow>] = &[
    Metric {
        name: "ctprof_syscalls_total",
        help: "System calls that ended",
        kind: Kind::Counter,
        unit: "",
        labels: &[SYSCALL],
        view: VIEW,
        source: |row, emit| {
            for call in calls(row) {
                emit(&[&named(call)], Value::Count(call.count));
            }
        },
    },
    Metric {
        name: "ctprof_syscall_errors_total",
        help: "System calls that returned an error",
        kind: Kind::Counter,
        unit: "",
        labels: &[
            SYSCALL,
            label("errno", "name of the error, such as `EAGAIN`"),
        ],
        view: VIEW,
        source: |row, emit| {
            for call in calls(row) {
                for (errno, count) in &call.errors {
                    emit(&[&named(call), errno], Value::Count(*count));
                }
            }
        },
    },
    Metric {
        name: "ctprof_syscall_seconds",
        help: "How long system calls took that both began and returned",
        kind: Kind::Histogram(&BOUNDS),
        unit: "seconds",
        labels: &[SYSCALL],
        view: VIEW,
        source: |row, emit| {
            for call in calls(row) {
                if call.total_ns.is_some() {
                    emit(&[&named(call)], Value::Latency(&call.latency));
                }
            }
        },
    },
];

fn named(call: &Syscall) -> Cow<'_, str> {
    if call.abi.is_empty() {
        Cow::Borrowed(&call.name)
    } else {
        Cow::Owned(format!("{}:{}", call.abi, call.name))
    }
}
