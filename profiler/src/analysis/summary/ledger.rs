//! The ledger's part of a container's summary, in the form of the file.

use std::collections::HashMap;

use serde::Serialize;

use crate::analysis::names;
use crate::model::{Bucket, Container, Culprit, Delay, Histogram, State, StateGroup};

/// System calls kept for each container: the rest of them takes next to no time.
const MAX_SYSCALLS: usize = 20;

/// How long something took, how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Times it happened.
    pub count: u64,
    /// Sum, exact.
    pub sum_ns: u64,
    /// Half took less; absent if it never happened, as the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// Nine of ten took less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_ns: Option<u64>,
    /// 99 of 100 took less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    /// The longest, exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
    /// Buckets with a count, smallest first.
    pub buckets: Vec<LatencyBucket>,
}

/// One bucket of a [`Latency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LatencyBucket {
    /// Smallest value that belongs to it.
    pub from_ns: u64,
    /// Smallest value beyond it.
    pub to_ns: u64,
    /// Values in it.
    pub count: u64,
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Self {
        Self {
            count: histogram.count,
            sum_ns: histogram.sum_ns,
            p50_ns: histogram.quantile_ns(0.5),
            p90_ns: histogram.quantile_ns(0.9),
            p99_ns: histogram.quantile_ns(0.99),
            max_ns: (histogram.count > 0).then_some(histogram.max_ns),
            buckets: histogram.buckets.iter().map(LatencyBucket::from).collect(),
        }
    }
}

impl From<&Bucket> for LatencyBucket {
    fn from(bucket: &Bucket) -> Self {
        Self {
            from_ns: bucket.from_ns,
            to_ns: bucket.to_ns,
            count: bucket.count,
        }
    }
}

/// Who had the CPU while a container waited for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CulpritKind {
    /// The container itself.
    Siblings,
    /// Another container or service.
    Container,
    /// Processes in no container.
    Host,
    /// Kernel threads.
    Kernel,
    /// Nobody: the CPU was on its way out of idle.
    Idle,
    /// Not known.
    Unknown,
}

impl CulpritKind {
    /// The name of a culprit that is no container.
    const fn name(self) -> &'static str {
        match self {
            Self::Siblings => "siblings",
            Self::Container => "container",
            Self::Host => "host",
            Self::Kernel => "kernel",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
        }
    }
}

/// One entry of a container's row in the delay matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DelayedBy {
    /// The culprit's label; `host`, `kernel`, `idle` or `unknown` where there is no container.
    pub name: String,
    /// What kind of culprit it is.
    pub kind: CulpritKind,
    /// How long it ran while the container waited.
    pub ns: u64,
}

/// The row of the delay matrix, largest first.
///
/// `own` is the container's position in the profile; `label` gives a row's label and kind by position.
pub(super) fn delayed_by<'a>(
    delays: &[Delay],
    own: usize,
    row: impl Fn(usize) -> Option<(&'a str, CulpritKind)>,
) -> Vec<DelayedBy> {
    let mut sums: HashMap<(String, CulpritKind), u64> = HashMap::new();
    let plain = |kind: CulpritKind| (kind.name().to_owned(), kind);
    for delay in delays {
        let culprit = match &delay.culprit {
            Culprit::Siblings => Some(own),
            Culprit::Row(position) => Some(*position),
            _ => None,
        };
        let key = match (&delay.culprit, culprit) {
            (_, Some(position)) => match row(position) {
                Some((label, _)) if position == own => (label.to_owned(), CulpritKind::Siblings),
                Some((label, kind)) => (label.to_owned(), kind),
                None => plain(CulpritKind::Unknown),
            },
            (Culprit::Elsewhere(name), _) => (names::field(name), CulpritKind::Container),
            (Culprit::Host, _) => plain(CulpritKind::Host),
            (Culprit::Kernel, _) => plain(CulpritKind::Kernel),
            (Culprit::Idle, _) => plain(CulpritKind::Idle),
            _ => plain(CulpritKind::Unknown),
        };
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(delay.ns);
    }
    let mut all: Vec<DelayedBy> = sums
        .into_iter()
        .filter(|(_, ns)| *ns > 0)
        .map(|((name, kind), ns)| DelayedBy { name, kind, ns })
        .collect();
    all.sort_by(|a, b| (b.ns, &a.name).cmp(&(a.ns, &b.name)));
    all
}

/// A system call that threads slept in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockingSyscall {
    /// Its name.
    pub name: String,
    /// The state that its threads were in.
    pub state: State,
    /// Times that a thread fell asleep in it: no count of calls, of which one may sleep many times or not at all.
    pub count: u64,
    /// Time.
    pub ns: u64,
}

/// The system calls in which a container's threads were blocked longest.
pub(super) fn blocking_syscalls(container: &Container) -> Vec<BlockingSyscall> {
    let mut sums: HashMap<(&str, State), (u64, u64)> = HashMap::new();
    for stack in &container.stacks {
        if let Some(syscall) = &stack.syscall
            && stack.state.group() == StateGroup::Blocked
        {
            let sum = sums.entry((syscall, stack.state)).or_default();
            sum.0 = sum.0.saturating_add(stack.count);
            sum.1 = sum.1.saturating_add(stack.time_ns);
        }
    }
    let mut all: Vec<BlockingSyscall> = sums
        .into_iter()
        .map(|((name, state), (count, ns))| BlockingSyscall {
            name: names::field(name),
            state,
            count,
            ns,
        })
        .collect();
    all.sort_by(|a, b| (b.ns, &a.name, a.state).cmp(&(a.ns, &b.name, b.state)));
    all.truncate(MAX_SYSCALLS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn culprits_are_named_and_merged() {
        let delay = |culprit, ns| Delay { culprit, ns };
        let rows = [
            ("web", CulpritKind::Container),
            ("noisy", CulpritKind::Container),
            ("host", CulpritKind::Host),
        ];
        let all = delayed_by(
            &[
                delay(Culprit::Siblings, 5),
                delay(Culprit::Row(0), 2),
                delay(Culprit::Row(1), 100),
                delay(Culprit::Row(2), 20),
                delay(Culprit::Row(9), 1),
                delay(Culprit::Elsewhere("a;b".into()), 50),
                delay(Culprit::Host, 3),
                delay(Culprit::Kernel, 2),
                delay(Culprit::Idle, 2),
                delay(Culprit::Unknown, 3),
            ],
            0,
            |position| rows.get(position).copied(),
        );
        let all: Vec<_> = all.iter().map(|d| (&*d.name, d.kind, d.ns)).collect();
        assert_eq!(
            all,
            [
                ("noisy", CulpritKind::Container, 100),
                ("a:b", CulpritKind::Container, 50),
                ("host", CulpritKind::Host, 23),
                ("web", CulpritKind::Siblings, 7),
                ("unknown", CulpritKind::Unknown, 4),
                ("idle", CulpritKind::Idle, 2),
                ("kernel", CulpritKind::Kernel, 2),
            ]
        );
    }
}
