//! States as views show them: names, titles, order, and in which of them a thread is stalled.
//!
//! User and kernel time on the CPU are one state here: the leaf of a stack tells them apart.

use crate::model::{State, StateGroup};

/// What time in a state means to whoever asks why something is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// The thread ran.
    Work,
    /// The thread had work and could not do it: no CPU, no quota, a disk or a page that was not there.
    Stalled,
    /// The thread waited for another thread, a peer, a clock or an event. Whether it had work nobody but its
    /// program knows: a pool without work waits on a lock, a server without requests in `poll`.
    Blocked,
}

impl Meaning {
    /// The meaning of a state.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::OnCpuUser | State::OnCpuKernel => Self::Work,
            State::RunQueue | State::Throttled | State::BlockedDisk | State::BlockedFault => {
                Self::Stalled
            }
            State::BlockedLock
            | State::BlockedNet
            | State::BlockedPoll
            | State::BlockedSleep
            | State::BlockedPipe
            | State::BlockedChild
            | State::BlockedOther => Self::Blocked,
        }
    }
}

/// A state of stacks. On-CPU is one; everything else is as in [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewState(State);

impl ViewState {
    /// Every state, in the order of [`State::ALL`].
    pub const ALL: [Self; 12] = [
        Self::ON_CPU,
        Self::RUN_QUEUE,
        Self::THROTTLED,
        Self(State::BlockedDisk),
        Self(State::BlockedLock),
        Self(State::BlockedNet),
        Self(State::BlockedPoll),
        Self(State::BlockedSleep),
        Self(State::BlockedPipe),
        Self(State::BlockedFault),
        Self(State::BlockedChild),
        Self(State::BlockedOther),
    ];

    /// On the CPU, in user space or in the kernel.
    pub const ON_CPU: Self = Self(State::OnCpuUser);
    /// Waiting for a CPU.
    pub const RUN_QUEUE: Self = Self(State::RunQueue);
    /// Stopped by a quota.
    pub const THROTTLED: Self = Self(State::Throttled);

    /// The state that stacks of `state` are shown in.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::OnCpuUser | State::OnCpuKernel => Self::ON_CPU,
            state => Self(state),
        }
    }

    /// The name in folded stacks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.group() {
            StateGroup::OnCpu => StateGroup::OnCpu.name(),
            _ => self.0.name(),
        }
    }

    /// How people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self.0 {
            State::OnCpuUser | State::OnCpuKernel => "on-CPU",
            State::RunQueue => "run queue",
            State::Throttled => "throttled",
            State::BlockedDisk => "disk",
            State::BlockedLock => "lock",
            State::BlockedNet => "net",
            State::BlockedPoll => "poll",
            State::BlockedSleep => "sleep",
            State::BlockedPipe => "pipe",
            State::BlockedFault => "page fault",
            State::BlockedChild => "child",
            State::BlockedOther => "other",
        }
    }

    /// The quarter of the ledger that it belongs to.
    #[must_use]
    pub const fn group(self) -> StateGroup {
        self.0.group()
    }

    /// What time in it means.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        Meaning::of(self.0)
    }

    /// Its position in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        // User and kernel time are one.
        (self.0 as usize).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Meaning, ViewState};
    use crate::model::State;

    #[test]
    fn the_table_holds_every_state_at_its_index() {
        for (index, state) in ViewState::ALL.into_iter().enumerate() {
            assert_eq!(state.index(), index, "{state:?}");
        }
        for state in State::ALL {
            assert!(
                ViewState::ALL.contains(&ViewState::of(state)),
                "{state:?} has no place"
            );
            assert_eq!(ViewState::of(state).group(), state.group());
            assert_eq!(ViewState::of(state).meaning(), Meaning::of(state));
        }
    }

    #[test]
    fn folded_names_are_those_of_time_ns_but_on_cpu_is_one() {
        let names = ViewState::ALL.map(ViewState::name);
        assert_eq!(
            names,
            [
                "on_cpu",
                "run_queue",
                "throttled",
                "blocked_disk",
                "blocked_lock",
                "blocked_net",
                "blocked_poll",
                "blocked_sleep",
                "blocked_pipe",
                "blocked_fault",
                "blocked_child",
                "blocked_other",
            ]
        );
    }
}
