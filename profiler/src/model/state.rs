//! The states of a thread that ctprof tells apart.

use serde::{Deserialize, Serialize};

/// What a thread was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Running its own code.
    OnCpuUser,
    /// Running in the kernel on its own behalf.
    OnCpuKernel,
}

impl State {
    /// Every state, in the order in which views show them.
    pub const ALL: [Self; 2] = [Self::OnCpuUser, Self::OnCpuKernel];

    /// The name in JSON and in pprof's label `state`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnCpuUser => "on_cpu_user",
            Self::OnCpuKernel => "on_cpu_kernel",
        }
    }

    /// The state with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// What folded stacks and flame graphs show it as.
    #[must_use]
    pub const fn group(self) -> StateGroup {
        match self {
            Self::OnCpuUser | Self::OnCpuKernel => StateGroup::OnCpu,
        }
    }
}

/// States that folded stacks and flame graphs show as one frame.
///
/// User and kernel time on the CPU share one: a stack's leaf tells them apart, and two frames would tear
/// every function that makes system calls in half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateGroup {
    /// Running, in user space or in the kernel.
    OnCpu,
}

impl StateGroup {
    /// Every group, in the order in which views show them.
    pub const ALL: [Self; 1] = [Self::OnCpu];

    /// The name in folded stacks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnCpu => "on_cpu",
        }
    }

    /// How people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OnCpu => "on-CPU",
        }
    }
}
