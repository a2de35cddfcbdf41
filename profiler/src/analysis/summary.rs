//! Everything about a window but its stacks, with what follows from it: labels, order, quantiles, culprits by name.
//!
//! Written as JSON it is `summary.json`, whose keys are a contract (`docs/formats.md`): a key is added, never renamed or
//! given another meaning, without a new [`SCHEMA_VERSION`]. What was not measured is absent, never 0.

mod ledger;

use std::collections::BTreeMap;

use serde::Serialize;

use super::doctor::Finding;
use super::functions::Function;
use super::isolation::{self, Isolation};
use super::names;
use super::states::Meaning;
use crate::model::{
    CfsFigures, Container, Losses, Pod, RowKey, Runtime, StackQuality, State, StateGroup, Stolen,
    Unavailable, Unnamed, Window,
};
use crate::views::Shown;
pub use ledger::{BlockingSyscall, CulpritKind, DelayedBy, Latency, LatencyBucket};

/// Version of the layout of `summary.json`.
pub const SCHEMA_VERSION: u64 = 3;

/// The document. Fields are in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u64,
    /// Version of the ctprof that recorded.
    pub ctprof_version: String,
    /// `uname -r` of the recorded host.
    pub kernel: String,
    /// Start of the recording, in ns since the Unix epoch.
    pub start_unix_ns: u64,
    /// Length of the recording.
    pub window_ns: u64,
    /// How samples were taken.
    pub sampling: Sampling,
    /// CPU time of the whole host that no thread had; absent where the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stolen: Option<Stolen>,
    /// What was lost: cause to count, every cause present.
    pub lost: Losses,
    /// Views that this host could not give.
    pub unavailable: Vec<Unavailable>,
    /// Why some frames have no names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unnamed: Vec<Unnamed>,
    /// Most stalled time first, then most CPU time.
    pub containers: Vec<ContainerSummary>,
}

/// How samples were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sampling {
    /// `cpu-clock` or `cycles`.
    pub event: String,
    /// Samples per second and CPU.
    pub frequency_hz: u64,
    /// CPUs that were sampled.
    pub cpus: u64,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainerSummary {
    /// The runtime's id; empty for a plain cgroup, `host` and `kernel`.
    pub id: String,
    /// The name users know.
    pub name: String,
    /// Unique in this recording: the first field in `stacks.folded`, the frame in flame graphs.
    pub label: String,
    /// What runs it, or what else it is.
    pub runtime: Runtime,
    /// Image reference, empty if not known.
    pub image: String,
    /// The Kubernetes pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Path from the root of the cgroup hierarchy.
    pub cgroup: String,
    /// CPUs' worth of time that the quota allows; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota_cores: Option<f64>,
    /// Threads alive at the end; absent where nothing counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Sum of the lifetimes of its threads in the window; absent without a ledger, as all that follows from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_time_ns: Option<u64>,
    /// Time per state.
    pub time_ns: BTreeMap<State, u64>,
    /// What the states do not account for: thread time less their sum. Negative if they have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_ns: Option<i64>,
    /// Threads born in the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_born: Option<u64>,
    /// Threads that ended in the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_exited: Option<u64>,
    /// Context switches away from a thread that blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voluntary_switches: Option<u64>,
    /// Context switches away from a thread that could have gone on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub involuntary_switches: Option<u64>,
    /// Moves of threads to another CPU while they waited for one. Those that perf counts are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrations: Option<u64>,
    /// Waits for a CPU, throttled time taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_queue_latency: Option<Latency>,
    /// How long a thread was stopped by a quota each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle_duration: Option<Latency>,
    /// The part of its throttled time for which it was a limit on real-time or deadline threads that stopped them, and
    /// not a CPU quota; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_real_time_ns: Option<u64>,
    /// Who ran while its threads waited for a CPU, most time first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delayed_by: Option<Vec<DelayedBy>>,
    /// The system calls that blocked its threads longest, most time first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocking_syscalls: Vec<BlockingSyscall>,
    /// What the views measured of it: a key for each.
    #[serde(flatten)]
    pub views: Shown,
    /// The cgroup's own figures; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cfs: Option<CfsFigures>,
    /// What its isolation costs; absent where nothing was sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// On-CPU samples.
    pub samples: u64,
    /// How far the stacks reach, in samples.
    pub stacks: StackQuality,
    /// How far the stacks of its waits reach, in ns; waits that began before the recording are left out.
    pub wait_stacks: StackQuality,
    /// Time in which its threads had work and could not do it; in `ctprof report --format json` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled_ns: Option<u64>,
    /// What is wrong with it, the worst first; in `ctprof report --format json` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    /// The functions with most self time; in `ctprof report --format json` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<Function>>,
}

impl ContainerSummary {
    /// Whether its threads are the kernel's.
    #[must_use]
    pub const fn is_kernel(&self) -> bool {
        matches!(self.runtime, Runtime::Kernel)
    }

    /// Time in all states of a group.
    #[must_use]
    pub fn group_ns(&self, group: StateGroup) -> u64 {
        self.time_ns
            .iter()
            .filter(|(state, _)| state.group() == group)
            .fold(0, |sum, (_, ns)| sum.saturating_add(*ns))
    }

    /// Time in which its threads had work and could not do it.
    #[must_use]
    pub fn stalled_ns(&self) -> u64 {
        self.time_ns
            .iter()
            .filter(|(state, _)| Meaning::of(**state) == Meaning::Stalled)
            .fold(0, |sum, (_, ns)| sum.saturating_add(*ns))
    }

    /// Time on the CPU.
    #[must_use]
    pub fn on_cpu_ns(&self) -> u64 {
        self.group_ns(StateGroup::OnCpu)
    }

    /// Time on the CPU in the kernel.
    #[must_use]
    pub fn kernel_ns(&self) -> u64 {
        self.time_ns.get(&State::OnCpuKernel).copied().unwrap_or(0)
    }
}

impl Summary {
    /// The summary of a window, and for each of its containers the position in [`Window::rows`].
    #[must_use]
    pub fn of(window: &Window) -> (Self, Vec<usize>) {
        let labels = names::labels(window.rows.iter().map(|c| &c.identity));
        let functions = isolation::Functions::of(&window.frames);
        let mut rows: Vec<(usize, ContainerSummary)> = (0..window.rows.len())
            .map(|position| {
                let mut summary = summarize(&window.rows, &labels, position);
                let isolation = Isolation::of(&window.rows[position], &functions);
                summary.isolation = isolation.map(|it| it.beside(summary.delayed_by.as_deref()));
                (position, summary)
            })
            .collect();
        rows.sort_by(|(_, a), (_, b)| {
            let times = |c: &ContainerSummary| (c.stalled_ns(), c.on_cpu_ns());
            times(b).cmp(&times(a)).then_with(|| a.label.cmp(&b.label))
        });
        let (order, containers) = rows.into_iter().unzip();
        let summary = Self {
            schema_version: SCHEMA_VERSION,
            ctprof_version: window.ctprof_version.clone(),
            kernel: window.kernel.clone(),
            start_unix_ns: window.start_unix_ns,
            window_ns: window.duration_ns,
            sampling: Sampling {
                event: window.event.clone(),
                frequency_hz: window.frequency_hz,
                cpus: window.cpus,
            },
            stolen: window.stolen,
            lost: window.lost.clone(),
            unavailable: window.unavailable.clone(),
            unnamed: window.unnamed.clone(),
            containers,
        };
        (summary, order)
    }

    /// Samples of all containers.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.containers
            .iter()
            .fold(0, |sum, c| sum.saturating_add(c.samples))
    }

    /// On-CPU time of all containers.
    #[must_use]
    pub fn on_cpu_ns(&self) -> u64 {
        self.containers
            .iter()
            .fold(0, |sum, c| sum.saturating_add(c.on_cpu_ns()))
    }
}

/// The summary of the container at `position`; `labels` are those of all of them.
fn summarize(containers: &[Container], labels: &[String], position: usize) -> ContainerSummary {
    let container = &containers[position];
    let identity = &container.identity;
    let ledger = container.ledger.as_ref();
    let row = |position: usize| {
        let kind = match containers.get(position)?.identity.key() {
            RowKey::Host => CulpritKind::Host,
            RowKey::Kernel => CulpritKind::Kernel,
            RowKey::Cgroup { .. } | RowKey::Named { .. } => CulpritKind::Container,
        };
        Some((labels[position].as_str(), kind))
    };
    ContainerSummary {
        id: identity.id.clone(),
        name: identity.name.clone(),
        label: labels[position].clone(),
        runtime: identity.runtime,
        image: identity.image.clone(),
        pod: identity.pod.clone(),
        cgroup: identity.cgroup.clone(),
        cpu_quota_cores: container.cpu_quota_cores.filter(|cores| cores.is_finite()),
        threads: container.threads,
        thread_time_ns: ledger.map(|it| it.thread_time_ns),
        time_ns: container.time_ns.clone(),
        residual_ns: container.residual_ns(),
        threads_born: ledger.map(|it| it.threads_born),
        threads_exited: ledger.map(|it| it.threads_exited),
        voluntary_switches: ledger.map(|it| it.voluntary_switches),
        involuntary_switches: ledger.map(|it| it.involuntary_switches),
        migrations: ledger.map(|it| it.migrations),
        run_queue_latency: ledger
            .filter(|_| container.time_ns.contains_key(&State::RunQueue))
            .map(|it| Latency::from(&it.run_queue_latency)),
        throttle_duration: ledger
            .filter(|_| container.time_ns.contains_key(&State::Throttled))
            .map(|it| Latency::from(&it.throttle_duration)),
        limited_real_time_ns: ledger.map(|it| it.limited_ns).filter(|ns| *ns > 0),
        delayed_by: ledger
            .filter(|_| container.time_ns.contains_key(&State::RunQueue))
            .map(|it| ledger::delayed_by(&it.delayed_by, position, row)),
        blocking_syscalls: ledger::blocking_syscalls(container),
        views: Shown::from(container),
        cfs: container.cfs,
        isolation: None,
        samples: container.samples,
        stacks: container.quality,
        wait_stacks: container.wait_quality,
        stalled_ns: None,
        findings: None,
        functions: None,
    }
}
