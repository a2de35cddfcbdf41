//! One row of every view: a container, a service, the host's own processes, or the kernel.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Cuts, Item, Ledger, Measured, Runtime, Slice, Stack, State};

/// The Kubernetes pod that a container belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
}

/// Who a container is. Every string is free of control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ContainerIdentity {
    /// The runtime's id in full; empty for a plain cgroup, `host` and `kernel`.
    pub id: String,
    /// The name users know; the cgroup path where there is none.
    pub name: String,
    /// What runs it, or what else it is.
    pub runtime: Runtime,
    /// Image reference, empty if not known.
    pub image: String,
    /// The pod, if there is one.
    pub pod: Option<Pod>,
    /// Path from the root of the cgroup hierarchy, `/` first; empty for `host` and `kernel`.
    pub cgroup: String,
}

impl ContainerIdentity {
    /// A container, not a service, a plain cgroup or a process.
    #[must_use]
    pub const fn is_container(&self) -> bool {
        !matches!(
            self.runtime,
            Runtime::Systemd | Runtime::Cgroup | Runtime::Process
        ) || !self.id.is_empty()
    }

    /// A process that was chosen by itself; `within` is its container, or whatever its cgroup is.
    #[must_use]
    pub fn of_process(pid: u32, name: &str, within: Self) -> Self {
        Self {
            id: String::new(),
            name: format!("{name}[{pid}]"),
            runtime: Runtime::Process,
            ..within
        }
    }

    /// A process that was chosen by itself: the figures of its cgroup are not its own.
    #[must_use]
    pub const fn is_process(&self) -> bool {
        matches!(self.runtime, Runtime::Process)
    }
}

/// The cgroup's own figures over the window, from `cpu.stat` (and `cpuacct.usage` on v1).
///
/// Throttled time here is a sum of run-queue time over CPUs, not thread time: it may exceed the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CfsFigures {
    /// CPU time used; `None` where nothing counts it (a cgroup in v1's cpu hierarchy alone).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_ns: Option<u64>,
    /// Enforcement periods that passed.
    pub periods: u64,
    /// Periods in which the quota ran out.
    pub throttled_periods: u64,
    /// Sum over CPUs of the time during which its own quota stopped the cgroup there, from `cpu.stat`.
    pub throttled_ns: u64,
    /// Sum over CPUs of the time during which its queue was stopped, by a quota of its own or of a cgroup above, from
    /// `cpu.stat.local`; `None` where the kernel has none (before 6.6, and cgroup v1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_local_ns: Option<u64>,
    /// Periods in which the cgroup used more than its quota, out of what it had saved up (`cpu.max.burst`).
    pub bursts: u64,
    /// CPU time that it used beyond its quota in them.
    pub burst_ns: u64,
}

/// How far the stacks of a container reach: in samples, or in ns of waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StackQuality {
    /// Reached a function where threads begin, or a kernel thread's root.
    pub complete: u64,
    /// Ended before.
    pub truncated: u64,
    /// Could not be read at all.
    pub unreadable: u64,
    /// Why those that are truncated are.
    pub cut: Cuts,
}

impl StackQuality {
    /// What does not reach the start of its thread.
    #[must_use]
    pub const fn incomplete(&self) -> u64 {
        self.truncated.saturating_add(self.unreadable)
    }

    /// All that has a stack, of any quality.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.complete.saturating_add(self.incomplete())
    }
}

/// One container and everything measured about it.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Who it is.
    pub identity: ContainerIdentity,
    /// CPUs' worth of time that its quota allows; `None` without a limit or without a cgroup.
    pub cpu_quota_cores: Option<f64>,
    /// Threads alive at the end of the recording; `None` where nothing counts them (`host`, `kernel`).
    pub threads: Option<u64>,
    /// Thread time per state; a state that is not measured is absent.
    pub time_ns: BTreeMap<State, u64>,
    /// What else the ledger knows; `None` where there is no ledger.
    pub ledger: Option<Ledger>,
    /// What the views of `views/` measured of it.
    pub measured: Measured,
    /// The cgroup's own figures; `None` where it has none (`host`, `kernel`) or vanished.
    pub cfs: Option<CfsFigures>,
    /// On-CPU samples.
    pub samples: u64,
    /// How far the stacks reach.
    pub quality: StackQuality,
    /// The same of its waits that have stacks, in ns.
    pub wait_quality: StackQuality,
    /// The stacks, in no particular order.
    pub stacks: Vec<Stack>,
    /// The pieces in which anything happened, in order; empty where nobody took them.
    pub slices: Vec<Slice>,
    /// What the slices refer to of what views count one by one.
    pub items: Vec<Item>,
}

impl Container {
    /// What the states do not account for: thread time less their sum, in ns. Negative if they have more, 0 if nothing went
    /// wrong; `None` without a ledger.
    #[must_use]
    pub fn residual_ns(&self) -> Option<i64> {
        let lifetimes = i128::from(self.ledger.as_ref()?.thread_time_ns);
        let states: i128 = self.time_ns.values().map(|ns| i128::from(*ns)).sum();
        let residual = lifetimes - states;
        Some(i64::try_from(residual).unwrap_or(if residual < 0 { i64::MIN } else { i64::MAX }))
    }
}
