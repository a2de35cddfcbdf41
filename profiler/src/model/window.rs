//! What was measured between two instants.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::{Container, ContainerIdentity, FrameTable, Losses, Pod, Problem, Runtime, Unavailable};

/// Why some frames have no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// The cause.
    pub cause: Problem,
    /// Processes or files that lack names for this cause, not frames.
    pub count: u64,
}

impl Serialize for Unnamed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Unnamed", 3)?;
        fields.serialize_field("cause", self.cause.id())?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("explanation", self.cause.explain())?;
        fields.end()
    }
}

/// CPU time over the window, summed over CPUs, that no thread of this host had. The ledger counts it as time on the CPU
/// of the thread that it was taken from: the scheduler is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stolen {
    /// Taken by the hypervisor ("steal").
    pub hypervisor_ns: u64,
    /// Spent in interrupts, hard and soft.
    pub interrupts_ns: u64,
}

/// Everything that was measured on one host between two instants. Two windows one after the other
/// [merge](Self::merge) into one; of two that began together the [difference](Self::since) is the window between
/// their ends.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Version of the ctprof that recorded.
    pub ctprof_version: String,
    /// `uname -r` of the recorded host.
    pub kernel: String,
    /// Its beginning, in ns since the Unix epoch.
    pub start_unix_ns: u64,
    /// Its length.
    pub duration_ns: u64,
    /// Samples per second and CPU.
    pub frequency_hz: u64,
    /// Event that triggers samples: `cpu-clock` or `cycles`.
    pub event: String,
    /// CPUs that were sampled.
    pub cpus: u64,
    /// CPU time that was taken from all threads; `None` where the kernel does not say.
    pub stolen: Option<Stolen>,
    /// What was lost.
    pub lost: Losses,
    /// Views that this host could not give.
    pub unavailable: Vec<Unavailable>,
    /// Why some frames have no names; empty if nothing stood in the way.
    pub unnamed: Vec<Unnamed>,
    /// One entry for each container, cgroup, pod or namespace with samples or threads.
    pub rows: Vec<Container>,
    /// Lengths of the pieces that rows are divided into, one after the other from the beginning; empty where nobody took them.
    pub slices_ns: Vec<u64>,
    /// Frames and modules that the rows' stacks refer to.
    pub frames: FrameTable,
}

impl Window {
    /// Whether it has neither length nor content, as [`Window::default`] has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.duration_ns == 0 && self.rows.is_empty()
    }

    /// When it ended, in ns since the Unix epoch.
    #[must_use]
    pub const fn end_unix_ns(&self) -> u64 {
        self.start_unix_ns.saturating_add(self.duration_ns)
    }
}

/// What tells a row from all others of its window, and finds it again in other windows of the same host. Names are no
/// part of it where there is an id or a cgroup, because they may become known late, and are not unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowKey<'a> {
    /// Processes in no container.
    Host,
    /// Kernel threads.
    Kernel,
    /// A container or cgroup.
    Cgroup {
        /// The runtime's id; empty for a plain cgroup.
        id: &'a str,
        /// Path in the hierarchy.
        cgroup: &'a str,
    },
    /// What has neither, such as a pod or a namespace.
    Named {
        /// What kind of row it is.
        runtime: Runtime,
        /// Namespace and name of the pod.
        pod: Option<(&'a str, &'a str)>,
        /// Its name.
        name: &'a str,
    },
}

impl ContainerIdentity {
    /// Whether this row holds the kernel's threads. No container can claim to: the runtime is never a container's to say.
    #[must_use]
    pub const fn is_kernel(&self) -> bool {
        matches!(self.runtime, Runtime::Kernel)
    }

    /// Whether this row holds the processes in no container.
    #[must_use]
    pub const fn is_host(&self) -> bool {
        matches!(self.runtime, Runtime::Host)
    }

    /// What tells the row from all others.
    #[must_use]
    pub fn key(&self) -> RowKey<'_> {
        match self {
            it if it.is_host() => RowKey::Host,
            it if it.is_kernel() => RowKey::Kernel,
            it if it.id.is_empty() && it.cgroup.is_empty() => RowKey::Named {
                runtime: it.runtime,
                pod: it
                    .pod
                    .as_ref()
                    .map(|Pod { namespace, name }| (namespace.as_str(), name.as_str())),
                name: &it.name,
            },
            it => RowKey::Cgroup {
                id: &it.id,
                cgroup: &it.cgroup,
            },
        }
    }
}
