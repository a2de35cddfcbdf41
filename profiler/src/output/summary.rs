//! `summary.json`: everything about a recording but its stacks.
//!
//! The keys are a contract (`docs/formats.md`): a key is added, never renamed or given another meaning,
//! without a new [`SCHEMA_VERSION`]. What was not measured is absent, never 0.

use std::collections::BTreeMap;
use std::io::Write;

use serde::{Deserialize, Deserializer, Serialize};

use super::{functions::Function, names};
use crate::model::{
    CfsFigures, Container, Pod, Profile, StackQuality, State, StateGroup, Unavailable, Unnamed,
};

/// Version of the layout of `summary.json`.
pub const SCHEMA_VERSION: u64 = 1;

/// The document. Fields are in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// What was lost: cause to count, every cause present.
    pub lost: BTreeMap<String, u64>,
    /// Views that this host could not give.
    pub unavailable: Vec<Unavailable>,
    /// Why some frames have no names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unnamed: Vec<Unnamed>,
    /// Most CPU time first.
    pub containers: Vec<ContainerSummary>,
}

/// How samples were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// `cpu-clock` or `cycles`.
    pub event: String,
    /// Samples per second and CPU.
    pub frequency_hz: u64,
    /// CPUs that were sampled.
    pub cpus: u64,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSummary {
    /// The runtime's id; empty for a plain cgroup, `host` and `kernel`.
    pub id: String,
    /// The name users know.
    pub name: String,
    /// Unique in this recording: the first field in `stacks.folded`, the frame in flame graphs.
    pub label: String,
    /// What runs it: `docker`, `containerd`, …, `systemd`, `cgroup`, `host`, `kernel`.
    pub runtime: String,
    /// Image reference, empty if not known.
    pub image: String,
    /// The Kubernetes pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Path from the root of the cgroup hierarchy.
    pub cgroup: String,
    /// CPUs' worth of time that the quota allows; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota_cores: Option<f64>,
    /// Threads alive at the end; absent where nothing counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Time per state.
    #[serde(deserialize_with = "known_states")]
    pub time_ns: BTreeMap<State, u64>,
    /// The cgroup's own figures; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cfs: Option<CfsFigures>,
    /// On-CPU samples.
    pub samples: u64,
    /// How far the stacks reach, in samples.
    pub stacks: StackQuality,
    /// The functions with most self time; in `ctprof report --format json` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<Function>>,
}

impl ContainerSummary {
    /// Time in all states of a group.
    #[must_use]
    pub fn group_ns(&self, group: StateGroup) -> u64 {
        self.time_ns
            .iter()
            .filter(|(state, _)| state.group() == group)
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

    /// Samples whose stack does not reach the start of its thread.
    #[must_use]
    pub const fn incomplete_stacks(&self) -> u64 {
        self.stacks.truncated.saturating_add(self.stacks.unreadable)
    }

    /// Samples with a stack of any quality.
    #[must_use]
    pub const fn stack_samples(&self) -> u64 {
        let quality = &self.stacks;
        quality
            .complete
            .saturating_add(quality.truncated)
            .saturating_add(quality.unreadable)
    }
}

impl Summary {
    /// The summary of a recording, and for each of its containers the position in `profile.containers`.
    #[must_use]
    pub fn of(profile: &Profile) -> (Self, Vec<usize>) {
        let labels = names::labels(profile.containers.iter().map(|c| &c.identity));
        let mut rows: Vec<(usize, ContainerSummary)> = profile
            .containers
            .iter()
            .zip(labels)
            .map(|(container, label)| summarize(container, label))
            .enumerate()
            .collect();
        rows.sort_by(|(_, a), (_, b)| (b.on_cpu_ns(), &a.label).cmp(&(a.on_cpu_ns(), &b.label)));
        let (order, containers) = rows.into_iter().unzip();
        let summary = Self {
            schema_version: SCHEMA_VERSION,
            ctprof_version: profile.ctprof_version.clone(),
            kernel: profile.kernel.clone(),
            start_unix_ns: profile.start_unix_ns,
            window_ns: profile.window_ns,
            sampling: Sampling {
                event: profile.event.clone(),
                frequency_hz: profile.frequency_hz,
                cpus: profile.cpus,
            },
            lost: profile.lost.clone(),
            unavailable: profile.unavailable.clone(),
            unnamed: profile.unnamed.clone(),
            containers,
        };
        (summary, order)
    }

    /// Writes the document, indented, with a newline at the end.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
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

fn summarize(container: &Container, label: String) -> ContainerSummary {
    let identity = &container.identity;
    ContainerSummary {
        id: identity.id.clone(),
        name: identity.name.clone(),
        label,
        runtime: identity.runtime.clone(),
        image: identity.image.clone(),
        pod: identity.pod.clone(),
        cgroup: identity.cgroup.clone(),
        cpu_quota_cores: container.cpu_quota_cores.filter(|cores| cores.is_finite()),
        threads: container.threads,
        time_ns: container.time_ns.clone(),
        cfs: container.cfs,
        samples: container.samples,
        stacks: container.quality,
        functions: None,
    }
}

/// A later ctprof may know more states: they are skipped, as any other unknown key.
fn known_states<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<State, u64>, D::Error> {
    let all = BTreeMap::<String, u64>::deserialize(input)?;
    Ok(all
        .into_iter()
        .filter_map(|(name, ns)| Some((State::from_name(&name)?, ns)))
        .collect())
}
