//! The states of a thread that ctprof tells apart.

use serde::Serialize;

/// What a thread was doing. At every instant it is in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Running its own code.
    OnCpuUser,
    /// Running in the kernel on its own behalf.
    OnCpuKernel,
    /// Runnable, waiting for a CPU.
    RunQueue,
    /// Runnable, stopped by a CPU quota of its cgroup or of one above, or by a limit on real-time threads.
    Throttled,
    /// Asleep until a disk or a file system answers.
    BlockedDisk,
    /// Asleep until another thread releases a lock, or wakes it through a futex.
    BlockedLock,
    /// Asleep in a system call on a socket.
    BlockedNet,
    /// Asleep until one of several files is ready (`poll`, `select`, `epoll_wait`).
    BlockedPoll,
    /// Asleep on purpose: a timer, or until a signal comes.
    BlockedSleep,
    /// Asleep on a pipe, a FIFO or a message queue.
    BlockedPipe,
    /// Asleep in a page fault.
    BlockedFault,
    /// Asleep until a child exits, or execs after `vfork`.
    BlockedChild,
    /// Asleep for another reason; stopped and frozen threads as well.
    BlockedOther,
}

impl State {
    /// Every state, in the order in which views show them.
    pub const ALL: [Self; 13] = [
        Self::OnCpuUser,
        Self::OnCpuKernel,
        Self::RunQueue,
        Self::Throttled,
        Self::BlockedDisk,
        Self::BlockedLock,
        Self::BlockedNet,
        Self::BlockedPoll,
        Self::BlockedSleep,
        Self::BlockedPipe,
        Self::BlockedFault,
        Self::BlockedChild,
        Self::BlockedOther,
    ];

    /// The name in JSON and in pprof's label `state`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnCpuUser => "on_cpu_user",
            Self::OnCpuKernel => "on_cpu_kernel",
            Self::RunQueue => "run_queue",
            Self::Throttled => "throttled",
            Self::BlockedDisk => "blocked_disk",
            Self::BlockedLock => "blocked_lock",
            Self::BlockedNet => "blocked_net",
            Self::BlockedPoll => "blocked_poll",
            Self::BlockedSleep => "blocked_sleep",
            Self::BlockedPipe => "blocked_pipe",
            Self::BlockedFault => "blocked_fault",
            Self::BlockedChild => "blocked_child",
            Self::BlockedOther => "blocked_other",
        }
    }

    /// The state with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The quarter of the ledger that it belongs to.
    #[must_use]
    pub const fn group(self) -> StateGroup {
        match self {
            Self::OnCpuUser | Self::OnCpuKernel => StateGroup::OnCpu,
            Self::RunQueue => StateGroup::RunQueue,
            Self::Throttled => StateGroup::Throttled,
            Self::BlockedDisk
            | Self::BlockedLock
            | Self::BlockedNet
            | Self::BlockedPoll
            | Self::BlockedSleep
            | Self::BlockedPipe
            | Self::BlockedFault
            | Self::BlockedChild
            | Self::BlockedOther => StateGroup::Blocked,
        }
    }
}

/// The four quarters of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateGroup {
    /// Running, in user space or in the kernel.
    OnCpu,
    /// Runnable, waiting for a CPU.
    RunQueue,
    /// Runnable, stopped by a quota.
    Throttled,
    /// Asleep.
    Blocked,
}

impl StateGroup {
    /// Every group, in the order in which views show them.
    pub const ALL: [Self; 4] = [Self::OnCpu, Self::RunQueue, Self::Throttled, Self::Blocked];

    /// The name in folded stacks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnCpu => "on_cpu",
            Self::RunQueue => "run_queue",
            Self::Throttled => "throttled",
            Self::Blocked => "blocked",
        }
    }

    /// How people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OnCpu => "on-CPU",
            Self::RunQueue => "run queue",
            Self::Throttled => "throttled",
            Self::Blocked => "off-CPU",
        }
    }
}
