//! What is kept of a group beside the kernel's maps: the figures of its cgroups that are gone, and what was told of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use ctprof_ebpf::abi::syscall::{CallKey, CallRow};

use super::culprits::Culprits;
use super::followed::Followed;
use crate::bpf::SlotFigures;
use crate::collect::add_row;
use crate::model::{ContainerIdentity, State};

/// One group.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Its newest member.
    pub(super) identity: ContainerIdentity,
    /// Its members that are gone: their figures.
    pub(super) figures: Option<SlotFigures>,
    /// The same: who delayed them, by name.
    pub(super) delays: BTreeMap<String, u64>,
    /// The same: their system calls.
    pub(super) calls: HashMap<CallKey, CallRow>,
    /// The culprits that are told by name.
    pub(super) culprits: Culprits,
    /// What the kernel counts for its cgroups.
    pub(super) followed: Followed,
    /// Time on the CPU as it was told: user, kernel.
    on_cpu_ns: (u64, u64),
    /// Since when it has no member; `None` while it has one.
    pub(super) ended: Option<Instant>,
    /// Readings in which it appeared since it ended.
    pub(super) shown: bool,
}

impl Kept {
    /// A member is gone.
    pub(super) fn keep(&mut self, figures: &SlotFigures) {
        match &mut self.figures {
            Some(sum) => sum.add(figures),
            None => self.figures = Some(figures.clone()),
        }
    }

    /// Takes over what was kept of a group that has another name now.
    pub(super) fn absorb(&mut self, other: Self) {
        if let Some(figures) = &other.figures {
            self.keep(figures);
        }
        for (culprit, ns) in other.delays {
            *self.delays.entry(culprit).or_default() += ns;
        }
        for (key, more) in other.calls {
            add_row(self.calls.entry(key).or_default(), more);
        }
        self.followed.absorb(other.followed);
        if self.on_cpu_ns == (0, 0) {
            self.on_cpu_ns = other.on_cpu_ns;
            self.culprits = other.culprits;
        }
    }

    /// Divides time on the CPU so that neither part shrinks: the ticks that it is divided by are an estimate, which may
    /// change for time that was told already.
    pub(super) fn divide(&mut self, time_ns: &mut BTreeMap<State, u64>) {
        let of = |state| time_ns.get(&state).copied().unwrap_or(0);
        let (user, kernel) = (of(State::OnCpuUser), of(State::OnCpuKernel));
        let all = (user + kernel).max(self.on_cpu_ns.0 + self.on_cpu_ns.1);
        let kernel = kernel.clamp(self.on_cpu_ns.1, all - self.on_cpu_ns.0);
        self.on_cpu_ns = (all - kernel, kernel);
        time_ns.insert(State::OnCpuUser, all - kernel);
        time_ns.insert(State::OnCpuKernel, kernel);
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;
    use crate::model::State;

    #[test]
    fn neither_part_of_the_time_on_the_cpu_shrinks() {
        let mut kept = Kept::default();
        let mut divide = |user, kernel| {
            let mut time = [(State::OnCpuUser, user), (State::OnCpuKernel, kernel)].into();
            kept.divide(&mut time);
            (time[&State::OnCpuUser], time[&State::OnCpuKernel])
        };
        assert_eq!(divide(60, 40), (60, 40));
        // 10 more, and the estimate says that most of all was user time.
        assert_eq!(divide(100, 10), (70, 40));
        assert_eq!(divide(0, 120), (70, 50));
        assert_eq!(divide(60, 60), (70, 50));
    }
}
