//! System calls as tables and as JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::{Align, Table, cut};
use super::units::{count, counted, duration, percent};
use crate::model::text::printable;
use crate::model::{Container, Syscall};

/// A name ends here: a recording is a file that anyone may have written.
const MAX_NAME: usize = 40;

/// Remarks end here.
const MAX_REMARKS: usize = 200;

/// One system call of a container, as documents have it. Fields are in the order of the file; what was not measured
/// is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyscallSummary {
    /// Its name.
    pub name: String,
    /// Whose number it was made by; absent for the machine's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub abi: String,
    /// Calls that ended inside the window.
    pub count: u64,
    /// Those that returned an error, by its name.
    pub errors: BTreeMap<String, u64>,
    /// Time in it inside the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ns: Option<u64>,
    /// The part of it on a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_cpu_ns: Option<u64>,
    /// The part of it off the CPU: blocked, or waiting for a CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_cpu_ns: Option<u64>,
    /// Share of the container's thread time, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Mean time of calls that began and returned inside the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ns: Option<u64>,
    /// Median of the same calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// Their 90th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_ns: Option<u64>,
    /// Their 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    /// The longest that one call took inside the window, calls in progress at its start or end included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
    /// Calls, of `count`, that were in progress when the window began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub began_before: u64,
    /// Calls, of `count`, in which the thread ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub never_returned: u64,
    /// Calls, of `count`, that were refused by seccomp or a tracer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Calls, beside `count`, that were in progress when the window ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_progress: u64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Most time.
    Total,
    /// Most time on a CPU.
    OnCpu,
    /// Most time off the CPU.
    OffCpu,
    /// Most calls.
    Count,
    /// Most errors.
    Errors,
    /// Longest mean.
    Mean,
    /// Longest 99th percentile.
    P99,
    /// Longest call.
    Max,
    /// By the alphabet.
    Name,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Total,
        Self::OnCpu,
        Self::OffCpu,
        Self::Count,
        Self::Errors,
        Self::Mean,
        Self::P99,
        Self::Max,
        Self::Name,
    ];

    /// What it is called on the command line, and what it means.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Total => ("total", "Most time in it"),
            Self::OnCpu => ("on-cpu", "Most time in it on a CPU"),
            Self::OffCpu => ("off-cpu", "Most time in it off the CPU"),
            Self::Count => ("count", "Most calls"),
            Self::Errors => ("errors", "Most errors"),
            Self::Mean => ("mean", "Longest mean"),
            Self::P99 => ("p99", "Longest 99th percentile"),
            Self::Max => ("max", "Longest call"),
            Self::Name => ("name", "The alphabet"),
        }
    }
}

impl SyscallSummary {
    /// Of a container whose threads lived this long inside the window; `None` if that is not known.
    #[must_use]
    pub fn of(call: &Syscall, thread_time_ns: Option<u64>) -> Self {
        let timed = call.total_ns.is_some();
        let quantile = |share| call.latency.quantile_ns(share);
        Self {
            name: call.name.clone(),
            abi: call.abi.clone(),
            count: call.count,
            errors: call.errors.iter().cloned().collect(),
            total_ns: call.total_ns,
            on_cpu_ns: call.on_cpu_ns(),
            off_cpu_ns: timed.then_some(call.off_cpu_ns),
            share: share(call.total_ns, thread_time_ns),
            mean_ns: call.mean_ns(),
            p50_ns: quantile(0.5),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
            max_ns: (call.latency.count > 0 || call.max_ns > 0).then_some(call.max_ns),
            began_before: call.began_before,
            never_returned: call.never_returned,
            refused: call.refused,
            in_progress: call.in_progress,
        }
    }

    /// Name for people: with the numbers that it counts by, if they are not the machine's own.
    #[must_use]
    pub fn label(&self) -> String {
        if self.abi.is_empty() {
            self.name.clone()
        } else {
            format!("{} ({})", self.name, self.abi)
        }
    }

    /// Calls that returned an error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// `ENOENT 777, EAGAIN 3`, most frequent first, and what else is to say: `1 in progress`.
    #[must_use]
    pub fn remarks(&self) -> String {
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, count)| Reverse(**count));
        let others = [
            (self.refused, "refused"),
            (self.began_before, "began before"),
            (self.in_progress, "in progress"),
            (self.never_returned, "never returned"),
        ];
        errors
            .into_iter()
            .map(|(name, count)| format!("{name} {count}"))
            .chain(
                others
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, what)| format!("{count} {what}")),
            )
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn share(part_ns: Option<u64>, whole_ns: Option<u64>) -> Option<f64> {
    let (part, whole) = (part_ns?, whole_ns.filter(|whole| *whole > 0)?);
    Some(part as f64 / whole as f64)
}

/// The calls of a container, most time first; `None` where nobody asked for them.
#[must_use]
pub fn of_container(container: &Container) -> Option<Vec<SyscallSummary>> {
    let thread_time_ns = container.ledger.as_ref().map(|it| it.thread_time_ns);
    let mut calls: Vec<_> = container
        .syscalls
        .as_ref()?
        .iter()
        .map(|call| SyscallSummary::of(call, thread_time_ns))
        .collect();
    sort(&mut calls, Order::Total);
    Some(calls)
}

/// Sorts; what is equal by the order is sorted by name.
pub fn sort(calls: &mut [SyscallSummary], order: Order) {
    calls.sort_by_cached_key(|call| {
        let value = match order {
            Order::Total => call.total_ns.unwrap_or(call.count),
            Order::OnCpu => call.on_cpu_ns.unwrap_or(0),
            Order::OffCpu => call.off_cpu_ns.unwrap_or(0),
            Order::Count => call.count,
            Order::Errors => call.failed(),
            Order::Mean => call.mean_ns.unwrap_or(0),
            Order::P99 => call.p99_ns.unwrap_or(0),
            Order::Max => call.max_ns.unwrap_or(0),
            Order::Name => 0,
        };
        (Reverse(value), call.name.clone(), call.abi.clone())
    });
}

/// `38,549 calls, 4.91 s of 5.89 s thread time (83.3%)`: all calls of a container, whose threads lived this long.
#[must_use]
pub fn in_short(calls: &[SyscallSummary], thread_time_ns: Option<u64>) -> String {
    let mut text = counted(calls.iter().map(|call| call.count).sum(), "call");
    let in_calls: Option<u64> = calls.iter().map(|call| call.total_ns).sum();
    if let (Some(in_calls), Some(lived)) = (in_calls, thread_time_ns) {
        text.push_str(&format!(
            ", {} of {} thread time ({})",
            duration(in_calls),
            duration(lived),
            percent(in_calls, lived)
        ));
    }
    text
}

/// The first `top` calls as a table, 0 for all; without times where none were taken.
#[must_use]
pub fn table(calls: &[SyscallSummary], top: usize, timed: bool) -> Table {
    let times = [
        "TOTAL", "SHARE", "ON CPU", "OFF CPU", "MEAN", "P50", "P90", "P99", "MAX",
    ];
    let times = if timed { &times[..] } else { &[] };
    let columns = [
        ("SYSCALL", Align::Left),
        ("CALLS", Align::Right),
        ("FAILED", Align::Right),
    ]
    .into_iter()
    .chain(times.iter().map(|name| (*name, Align::Right)))
    .chain([("ERRORS AND REMARKS", Align::Left)]);
    let mut table = Table::new(columns);
    let top = if top == 0 { usize::MAX } else { top };
    for call in calls.iter().take(top) {
        let shown = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
        let mut cells = vec![
            cut(&call.label(), MAX_NAME),
            count(call.count),
            count(call.failed()),
        ];
        if timed {
            cells.extend([
                shown(call.total_ns),
                call.share
                    .map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0)),
                shown(call.on_cpu_ns),
                shown(call.off_cpu_ns),
                shown(call.mean_ns),
                shown(call.p50_ns),
                shown(call.p90_ns),
                shown(call.p99_ns),
                shown(call.max_ns),
            ]);
        }
        cells.push(printable(&call.remarks(), MAX_REMARKS));
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Order, SyscallSummary, in_short, sort};
    use crate::model::{Latency, LatencyBucket, Syscall};

    fn nanosleep() -> Syscall {
        Syscall {
            name: "nanosleep".to_owned(),
            count: 52,
            errors: [("EINVAL".to_owned(), 1), ("EFAULT".to_owned(), 3)].into(),
            total_ns: Some(600),
            off_cpu_ns: 500,
            max_ns: 70,
            latency: Latency {
                count: 50,
                sum_ns: 500,
                buckets: vec![LatencyBucket {
                    from_ns: 0,
                    to_ns: 128,
                    count: 50,
                    sum_ns: 500,
                }],
            },
            in_progress: 1,
            refused: 2,
            ..Syscall::default()
        }
    }

    #[test]
    fn a_call_says_everything_that_was_measured() {
        let summary = SyscallSummary::of(&nanosleep(), Some(1_200));
        assert_eq!(summary.on_cpu_ns, Some(100));
        assert_eq!(summary.share, Some(0.5));
        assert_eq!((summary.mean_ns, summary.p50_ns), (Some(10), Some(10)));
        // The call in progress is the longest, and no latency.
        assert_eq!(summary.max_ns, Some(70));
        assert_eq!(
            in_short(std::slice::from_ref(&summary), Some(1_200)),
            "52 calls, 600 ns of 1.20 µs thread time (50.0%)"
        );
        assert_eq!(
            summary.remarks(),
            "EFAULT 3, EINVAL 1, 2 refused, 1 in progress"
        );
        let counted = Syscall {
            total_ns: None,
            max_ns: 0,
            latency: Latency::default(),
            ..nanosleep()
        };
        let json = serde_json::to_value(SyscallSummary::of(&counted, None)).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["count", "errors", "in_progress", "name", "refused"]);
    }

    #[test]
    fn orders() {
        let call = |name: &str, count, total_ns| SyscallSummary {
            name: name.to_owned(),
            count,
            total_ns: Some(total_ns),
            ..SyscallSummary::default()
        };
        let mut calls = [call("b", 1, 5), call("a", 3, 5), call("c", 2, 9)];
        let names = |calls: &[SyscallSummary]| {
            calls
                .iter()
                .map(|call| call.name.clone())
                .collect::<String>()
        };
        sort(&mut calls, Order::Total);
        assert_eq!(names(&calls), "cab");
        sort(&mut calls, Order::Count);
        assert_eq!(names(&calls), "acb");
        sort(&mut calls, Order::Name);
        assert_eq!(names(&calls), "abc");
    }
}
