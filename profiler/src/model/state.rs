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

    /// The name in JSON, pprof labels and folded stacks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnCpuUser => "on_cpu_user",
            Self::OnCpuKernel => "on_cpu_kernel",
        }
    }
}
