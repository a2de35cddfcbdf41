//! What the kernel half counts by slot, given to rows: what is new of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use ctprof_ebpf::abi::ledger::{DelayKey, state};
use ctprof_ebpf::abi::scope::{SLOT_IDLE, SLOT_KERNEL};

use super::culprits::Who;
use super::row::Row;
use super::{RowId, Rows, Tells};
use crate::bpf::SlotFigures;
use crate::collect::{RawViews, Retirement};
use crate::grouping::Named;
use crate::model::{Fixed, GroupKey};

impl Rows {
    /// A reading begins.
    pub(in crate::agent) fn begin(&mut self, tells: Tells) {
        self.tells = tells;
        self.slots.clear();
        for row in self.rows.values_mut() {
            row.begin();
        }
    }

    /// Of this reading: who a slot is, whether its cgroup is there, and how many threads are in it.
    pub(in crate::agent) fn bind(
        &mut self,
        slot: u32,
        named: &Named,
        alive: bool,
        threads: Option<u64>,
    ) {
        let id = self.admit(&named.key);
        self.slots.insert(slot, id);
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        row.occupied = true;
        row.alive |= alive;
        row.identify(named, alive);
        if let Some(holder) = named.holder.as_ref().filter(|_| alive) {
            row.holders.insert(Arc::clone(holder));
        }
        if let Some(threads) = threads {
            *row.threads.get_or_insert_default() += threads;
        }
    }

    /// Of this reading: the figures of a slot that has a row.
    pub(in crate::agent) fn figures(&mut self, slot: u32, now: &SlotFigures) {
        if let Some(row) = self.slots.get(&slot).and_then(|id| self.rows.get_mut(id)) {
            let on_cpu_ns = row.sums.account.time_ns[state::ON_CPU];
            self.seen.figures(slot, now, &mut row.sums);
            row.is_kernel_time(slot, on_cpu_ns);
        }
    }

    /// Of this reading: the delay matrix. What has a part in it that nobody knows yet waits for the next reading.
    pub(in crate::agent) fn delays(&mut self, now: &[(DelayKey, u64)]) {
        let (rows, slots, most) = (&mut self.rows, &self.slots, self.limits.culprits);
        self.seen.delays(now, |key, ns| {
            let Some(victim) = slots.get(&key.victim) else {
                return false;
            };
            let culprit = slots.get(&key.culprit).copied();
            if culprit.is_none() && key.culprit != SLOT_IDLE {
                return false;
            }
            let who = who(rows, key.culprit, *victim, culprit);
            if let Some(row) = rows.get_mut(victim) {
                row.culprits.add(who, ns, most);
            }
            true
        });
    }

    /// Of this reading: what was counted for views.
    pub(in crate::agent) fn counted(&mut self, now: &RawViews) {
        let (rows, slots) = (&self.rows, &self.slots);
        let row_of = |slot| {
            let id = slots.get(&slot)?;
            rows.contains_key(id).then_some(id.0)
        };
        for view in &mut self.views {
            view.add(now, &row_of);
        }
    }

    /// Takes over what the kernel half has of cgroups that are gone. `named` says who a slot is: of those
    /// that are gone, or of those that had a part in their delays.
    pub(in crate::agent) fn retire(
        &mut self,
        retirement: &Retirement,
        mut named: impl FnMut(u32) -> Option<Arc<Named>>,
    ) {
        let mut ids: HashMap<u32, RowId> = HashMap::new();
        for cgroup in &retirement.cgroups {
            let (Some(figures), Some(named)) = (&cgroup.figures, named(cgroup.slot)) else {
                continue;
            };
            let id = self.admit(&named.key);
            ids.insert(cgroup.slot, id);
            if let Some(row) = self.rows.get_mut(&id) {
                row.identify(&named, false);
                let on_cpu_ns = row.sums.account.time_ns[state::ON_CPU];
                self.seen.last_figures(cgroup.slot, figures, &mut row.sums);
                row.is_kernel_time(cgroup.slot, on_cpu_ns);
                row.is_new = true;
            }
        }
        let slots: HashSet<u32> = retirement.cgroups.iter().map(|it| it.slot).collect();
        let mut new = Vec::new();
        self.seen
            .last_delays(&slots, &retirement.delays, |key, ns| new.push((key, ns)));
        let mut row_of = |rows: &mut Self, slot: u32| {
            let known = ids.get(&slot).copied();
            let id = known.or_else(|| Some(rows.admit(&named(slot)?.key)))?;
            ids.insert(slot, id);
            Some(id)
        };
        for (DelayKey { victim, culprit }, ns) in new {
            let Some(victim) = row_of(self, victim) else {
                continue;
            };
            let id = match culprit {
                SLOT_IDLE => None,
                slot => row_of(self, slot),
            };
            let who = who(&self.rows, culprit, victim, id);
            if let Some(row) = self.rows.get_mut(&victim) {
                row.culprits.add(who, ns, self.limits.culprits);
            }
        }
        let row_of = |slot| ids.get(&slot).map(|id| id.0);
        for view in &mut self.views {
            view.add_last(&retirement.raw, &row_of);
        }
    }
}

impl Row {
    /// A living member is newer than one that is gone.
    fn identify(&mut self, named: &Named, alive: bool) {
        if (alive || self.identity.name.is_empty()) && self.identity != named.identity {
            self.identity = named.identity.clone();
        }
    }

    /// What was added to the time on the CPU is the kernel's for certain, if it is of the slot of kernel threads.
    fn is_kernel_time(&mut self, slot: u32, before_ns: u64) {
        if slot == SLOT_KERNEL {
            let on_cpu_ns = &mut self.sums.account.time_ns[state::ON_CPU];
            self.kernel_threads_ns += *on_cpu_ns - before_ns;
            *on_cpu_ns = before_ns;
        }
    }
}

/// Who had the CPU, for a victim's row. Rows of ours are fixed names: they take no place.
fn who(
    rows: &BTreeMap<RowId, Row>,
    slot: u32,
    victim: RowId,
    culprit: Option<RowId>,
) -> Who<RowId> {
    let Some(id) = culprit else {
        return if slot == SLOT_IDLE {
            Who::Idle
        } else {
            Who::Other
        };
    };
    if id == victim {
        return Who::Siblings;
    }
    let Some(key) = rows.get(&id).map(|row| &row.key) else {
        return Who::Other;
    };
    match key.fixed {
        Some(Fixed::Host) if key.cgroup.is_empty() => Who::Host,
        Some(Fixed::Kernel) => Who::Kernel,
        Some(Fixed::Other) => Who::Other,
        // Of a namespace that is not known yet.
        _ if *key == GroupKey::default() => Who::Other,
        _ => Who::Row(id),
    }
}
