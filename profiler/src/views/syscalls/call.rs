//! One system call of a row.

use std::collections::BTreeMap;

use crate::model::{Latency, Op, Sums};

/// One system call, as a container used it inside the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syscall {
    /// Its name; `syscall_999` where its number has none.
    pub name: String,
    /// Whose number it was made by: `i386`, `arm` or `x32`; empty for the machine's own.
    pub abi: String,
    /// Calls that ended inside the window.
    pub count: u64,
    /// Those that returned an error, by its name, each once and in the names' order: most calls have at most one.
    pub errors: Vec<(String, u64)>,
    /// Time that threads spent in it inside the window, that of calls in progress at its start or end included;
    /// `None` where no times were taken.
    pub total_ns: Option<u64>,
    /// The part of it in which the thread was not on a CPU.
    pub off_cpu_ns: u64,
    /// The longest that one call took inside the window, calls in progress at its start or end included: of those it
    /// is a lower bound.
    pub max_ns: u64,
    /// How long calls took that both began and returned inside the window.
    pub latency: Latency,
    /// Calls, of `count`, that were in progress when the window began.
    pub began_before: u64,
    /// Calls, of `count`, in which the thread ended.
    pub never_returned: u64,
    /// Calls, of `count`, that were not executed: seccomp, or a tracer, gave the result instead.
    pub refused: u64,
    /// Calls, beside `count`, that were in progress when the window ended.
    pub in_progress: u64,
}

impl Syscall {
    /// Name for people: with the numbers that it counts by, if they are not the machine's own.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.name, &self.abi)
    }

    /// Calls that returned an error.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let counts = self.errors.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// Time on a CPU; `None` where no times were taken.
    #[must_use]
    pub fn on_cpu_ns(&self) -> Option<u64> {
        self.total_ns
            .map(|total| total.saturating_sub(self.off_cpu_ns))
    }

    /// Mean time of a call that both began and returned inside the window.
    #[must_use]
    pub fn mean_ns(&self) -> Option<u64> {
        self.latency.sum_ns.checked_div(self.latency.count)
    }
}

/// Name of a call with the numbers that it counts by, if they are not the machine's own.
pub(super) fn label(name: &str, abi: &str) -> String {
    if abi.is_empty() {
        name.to_owned()
    } else {
        format!("{name} ({abi})")
    }
}

impl Sums for Syscall {
    fn combine(&mut self, other: &Self, op: Op) {
        let Self {
            count,
            errors,
            total_ns,
            off_cpu_ns,
            latency,
            max_ns,
            began_before,
            never_returned,
            refused,
            in_progress,
            name: _,
            abi: _,
        } = other;
        op.on(&mut self.count, *count);
        let mut own: BTreeMap<String, u64> = self.errors.drain(..).collect();
        op.on_parts(&mut own, &errors.iter().cloned().collect());
        self.errors = own.into_iter().filter(|(_, count)| *count > 0).collect();
        op.on_optional(&mut self.total_ns, *total_ns);
        op.on(&mut self.off_cpu_ns, *off_cpu_ns);
        self.latency.combine(latency, op);
        let end_ns = self.latency.buckets.last().map(|bucket| bucket.to_ns);
        op.on_max(&mut self.max_ns, *max_ns, end_ns);
        op.on(&mut self.began_before, *began_before);
        op.on(&mut self.never_returned, *never_returned);
        op.on(&mut self.refused, *refused);
        // Those of the end: of the window that follows, or of the whole.
        if op == Op::Add {
            self.in_progress = *in_progress;
        }
    }

    fn is_nothing(&self) -> bool {
        self.count == 0 && self.in_progress == 0
    }
}
