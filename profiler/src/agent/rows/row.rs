//! One row: sums that only grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use ctprof_ebpf::abi::ledger::state;

use super::culprits::Culprits;
use super::figures::Figures;
use super::{RowId, Tells};
use crate::aggregate::{histogram, part, state_of};
use crate::model::{CfsFigures, ContainerIdentity, GroupKey, Ledger, Measured, State};

/// A row.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Row {
    pub(in crate::agent) key: GroupKey,
    /// Its newest member.
    pub(in crate::agent) identity: ContainerIdentity,
    /// What the kernel counts for the cgroups that hold its members.
    pub(in crate::agent) cfs: Option<CfsFigures>,
    /// The same of views that are measured so.
    pub(in crate::agent) measured: Measured,
    pub(super) sums: Figures,
    /// Time on the CPU that is the kernel's for certain, beside that in `sums`.
    pub(super) kernel_threads_ns: u64,
    pub(super) culprits: Culprits<RowId>,
    /// Time on the CPU in `sums` as it was told: user, kernel.
    on_cpu_ns: (u64, u64),
    /// Since when it has no living member; `None` while it has one.
    pub(super) ended: Option<Instant>,
    /// It was in a reading.
    pub(super) shown: bool,
    /// Something was added since the last reading.
    pub(super) is_new: bool,
    /// Of this reading: it has a member, perhaps one that is gone and whose slot is not free yet.
    pub(super) occupied: bool,
    /// Of this reading: it has a living member.
    pub(in crate::agent) alive: bool,
    /// Of this reading: threads alive; `None` where there are none.
    pub(in crate::agent) threads: Option<u64>,
    /// Of this reading: cgroups that hold its living members.
    pub(in crate::agent) holders: BTreeSet<Arc<str>>,
}

impl Row {
    /// A row in which nothing has happened yet.
    pub(super) fn new(key: GroupKey) -> Self {
        Self {
            key,
            is_new: true,
            ..Self::default()
        }
    }

    /// Forgets what was true at the last reading only.
    pub(super) fn begin(&mut self) {
        (self.occupied, self.alive, self.threads) = (false, false, None);
        self.holders.clear();
    }

    pub(super) fn waited_ns(&self) -> u64 {
        self.sums.account.time_ns[state::RUN_QUEUE]
    }

    /// What the scheduler's ticks found its threads doing: in user mode, in the kernel.
    pub(super) const fn ticks(&self) -> (u64, u64) {
        let account = &self.sums.account;
        (account.ticked_user_ns, account.ticked_kernel_ns)
    }

    /// Time by state. `all_ticks` are those of all rows together: they divide the time of a row that has none.
    pub(super) fn time_ns(&mut self, tells: Tells, all_ticks: (u64, u64)) -> BTreeMap<State, u64> {
        let mut time_ns: BTreeMap<State, u64> = tells.states().map(|state| (state, 0)).collect();
        for (number, ns) in self.sums.account.time_ns.iter().enumerate() {
            if let Some(sum) = time_ns.get_mut(&state_of(number, false)) {
                *sum += ns;
            }
        }
        self.divide(all_ticks);
        time_ns.insert(State::OnCpuUser, self.on_cpu_ns.0);
        time_ns.insert(
            State::OnCpuKernel,
            self.on_cpu_ns.1 + self.kernel_threads_ns,
        );
        time_ns
    }

    /// Divides time on the CPU so that neither part shrinks: the ticks that it is divided by are an estimate, which may
    /// change for time that was told already.
    fn divide(&mut self, all_ticks: (u64, u64)) {
        let (user, kernel) = match self.ticks() {
            (0, 0) => all_ticks,
            own => own,
        };
        let all = self.sums.account.time_ns[state::ON_CPU];
        let kernel_ns = part(all, kernel, user + kernel).max(self.on_cpu_ns.1);
        let kernel_ns = kernel_ns.min(all.saturating_sub(self.on_cpu_ns.0));
        self.on_cpu_ns = (all - kernel_ns, kernel_ns);
    }

    /// What else the ledger knows.
    pub(super) fn ledger(&self) -> Ledger {
        let Figures {
            account,
            waits,
            stops,
        } = &self.sums;
        Ledger {
            threads_born: account.came,
            threads_exited: account.left,
            voluntary_switches: account.voluntary,
            involuntary_switches: account.involuntary,
            migrations: account.migrations,
            run_queue_latency: histogram(waits.as_deref(), account.waits),
            throttle_duration: histogram(stops.as_deref(), account.stops),
            ..Ledger::default()
        }
    }

    /// Adds everything of a row that was never told of.
    pub(super) fn absorb(&mut self, other: Self, most_culprits: usize) {
        self.sums.absorb(&other.sums);
        self.kernel_threads_ns += other.kernel_threads_ns;
        self.culprits.absorb(other.culprits, most_culprits);
        self.is_new = true;
    }
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::abi::ledger::state;

    use super::{Row, Tells};
    use crate::model::State;

    #[test]
    fn neither_part_of_the_time_on_the_cpu_shrinks() {
        let mut row = Row::default();
        let mut divide = |on_cpu, user, kernel| {
            let account = &mut row.sums.account;
            account.time_ns[state::ON_CPU] = on_cpu;
            (account.ticked_user_ns, account.ticked_kernel_ns) = (user, kernel);
            let time_ns = row.time_ns(Tells::default(), (1, 1));
            (time_ns[&State::OnCpuUser], time_ns[&State::OnCpuKernel])
        };
        // No tick of its own: as all rows.
        assert_eq!(divide(20, 0, 0), (10, 10));
        assert_eq!(divide(100, 6, 4), (60, 40));
        // 10 more, and the estimate says that most of all was user time.
        assert_eq!(divide(110, 10, 1), (70, 40));
        assert_eq!(divide(120, 0, 12), (70, 50));
        assert_eq!(divide(120, 6, 6), (70, 50));
    }
}
