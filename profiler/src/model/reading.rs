//! What an agent knows of its host at one moment: sums since it began, which only grow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Container, Delayer, GroupKey, Losses, Runtime, State, Stolen, Unavailable};

/// The figures of everything that is watched, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Time since the agent began to count.
    pub uptime: Duration,
    /// One row a group of the chosen kind (container, cgroup, pod or namespace), `host` and `kernel` among them.
    /// No two have the same [`Group::key`]. Figures are sums since the row began, and only grow while it is there.
    pub groups: Vec<Group>,
    /// Time of all threads of the host by state: the sum of all rows and of those that are gone.
    pub total_ns: BTreeMap<State, u64>,
    /// Groups that ended since the agent began.
    pub groups_ended: u64,
    /// Groups that found the limit reached: they count in the row named `other`.
    pub groups_refused: u64,
    /// CPU time that the hypervisor and interrupts took from all threads since the agent began; `None` where the
    /// kernel does not say.
    pub stolen: Option<Stolen>,
    /// What was lost since the agent began.
    pub lost: Losses,
    /// What this kernel cannot give.
    pub unavailable: Vec<Unavailable>,
    /// BPF programs; what they cost is only known where BPF statistics are on.
    pub programs: Vec<ProgramCost>,
}

/// One row of a reading.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// What distinguishes it, in the order of the labels.
    pub key: GroupKey,
    /// It still exists. If not, this is one of its last appearances.
    pub alive: bool,
    /// Its figures. `identity` is that of its newest member, `threads` those alive now, `ledger.thread_time_ns` is
    /// not kept, `ledger.delayed_by` is replaced by [`delayed_by`](Self::delayed_by), `measured` and `cfs` are sums
    /// over all cgroups that hold its members or did, and absent where those are many.
    pub figures: Container,
    /// Who ran while its threads waited for a CPU: a few by name, no label twice. Sums to its run-queue time; each only
    /// grows for as long as it is there.
    pub delayed_by: Vec<(Delayer, u64)>,
    /// What was wrong with its members at the last look at them: rules, each once, and how bad it is.
    pub findings: Vec<(&'static str, &'static str)>,
}

/// What one BPF program has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramCost {
    /// Its name in the kernel.
    pub name: String,
    /// Instructions that the verifier walked through; `None` where the kernel does not say.
    pub verified_instructions: Option<u32>,
    /// Times it ran, and time it took; `None` where BPF statistics are off.
    pub runs: Option<(u64, Duration)>,
}

/// By what rows are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// Containers, services, and plain cgroups that hold threads.
    #[default]
    Container,
    /// Every cgroup by itself.
    Cgroup,
    /// Kubernetes pods; what is in none, as by container.
    Pod,
    /// Network namespaces.
    NetworkNamespace,
    /// PID namespaces.
    PidNamespace,
    /// Mount namespaces.
    MountNamespace,
    /// User namespaces.
    UserNamespace,
}

impl Grouping {
    /// Every grouping with its name on the command line.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Container, "container"),
        (Self::Cgroup, "cgroup"),
        (Self::Pod, "pod"),
        (Self::NetworkNamespace, "netns"),
        (Self::PidNamespace, "pidns"),
        (Self::MountNamespace, "mntns"),
        (Self::UserNamespace, "userns"),
    ];

    /// What rows of kernel namespaces say of who runs them; `None` for other groupings.
    #[must_use]
    pub const fn namespace(self) -> Option<Runtime> {
        match self {
            Self::Container | Self::Cgroup | Self::Pod => None,
            Self::NetworkNamespace => Some(Runtime::NetworkNamespace),
            Self::PidNamespace => Some(Runtime::PidNamespace),
            Self::MountNamespace => Some(Runtime::MountNamespace),
            Self::UserNamespace => Some(Runtime::UserNamespace),
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(grouping, _)| *grouping == self);
        found.map_or("", |(_, name)| name)
    }

    /// The grouping with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, other)| *other == name);
        found.map(|(grouping, _)| *grouping)
    }
}
