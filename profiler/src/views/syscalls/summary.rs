//! System calls of a row: what their figures say, and their order.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::call::label;
use super::{Syscall, Syscalls};
use crate::model::Container;

/// One system call of a container, as documents have it. Fields are in the order of the file; what was not measured
/// is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SyscallSummary {
    /// Its name.
    pub name: String,
    /// Whose number it was made by; absent for the machine's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub abi: String,
    /// Calls that ended inside the window.
    pub count: u64,
    /// Those that returned an error, by its name.
    pub errors: BTreeMap<String, u64>,
    /// Time in it inside the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ns: Option<u64>,
    /// The part of it on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_cpu_ns: Option<u64>,
    /// The part of it off the CPU: blocked, or waiting for a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_cpu_ns: Option<u64>,
    /// Share of the container's thread time, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Mean time of calls that began and returned inside the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_ns: Option<u64>,
    /// Median of the same calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// Their 90th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_ns: Option<u64>,
    /// Their 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    /// The longest that one call took inside the window, calls in progress at its start or end included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
    /// Calls, of `count`, that were in progress when the window began.
    #[serde(skip_serializing_if = "is_zero")]
    pub began_before: u64,
    /// Calls, of `count`, in which the thread ended.
    #[serde(skip_serializing_if = "is_zero")]
    pub never_returned: u64,
    /// Calls, of `count`, that were refused by seccomp or a tracer.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Calls, beside `count`, that were in progress when the window ended.
    #[serde(skip_serializing_if = "is_zero")]
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
        label(&self.name, &self.abi)
    }

    /// Calls that returned an error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors
            .values()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn share(part_ns: Option<u64>, whole_ns: Option<u64>) -> Option<f64> {
    let (part, whole) = (part_ns?, whole_ns.filter(|whole| *whole > 0)?);
    Some(part as f64 / whole as f64)
}

impl Syscalls {
    /// The calls of a container, most time first; `None` where nobody asked for them.
    #[must_use]
    pub fn summary_of(container: &Container) -> Option<Vec<SyscallSummary>> {
        let thread_time_ns = container.ledger.as_ref().map(|it| it.thread_time_ns);
        let calls = container.measured.get::<Self>()?;
        Some(calls.summaries(thread_time_ns))
    }

    /// The same, of threads that lived this long.
    pub(super) fn summaries(&self, thread_time_ns: Option<u64>) -> Vec<SyscallSummary> {
        let calls = self.0.iter();
        let mut calls: Vec<_> = calls
            .map(|call| SyscallSummary::of(call, thread_time_ns))
            .collect();
        sort(&mut calls, Order::Total);
        calls
    }
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

#[cfg(test)]
mod tests {
    use super::{Order, SyscallSummary, sort};

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
