//! The view of system calls: its start, its end, its rows.

use std::collections::{HashMap, HashSet};

use ctprof_ebpf::abi::syscall::{CallKey, CallRow, view};

use crate::Result;
use crate::bpf::probes::{self, Probe};
use crate::bpf::{CallLinks, CallMaps, CallPlan, Kernel, ProbeState};
use crate::model::{Unavailable, ViewId};

/// Every row of system calls, by its key.
#[derive(Clone, Debug, Default)]
pub struct RawCalls {
    /// Since the recording began.
    pub rows: HashMap<CallKey, CallRow>,
    /// Whether times were taken.
    pub timed: bool,
}

/// Adds one row of system calls to another.
pub fn add_row(row: &mut CallRow, more: CallRow) {
    row.count += more.count;
    row.sum_ns = row.sum_ns.saturating_add(more.sum_ns);
    row.off_cpu_ns = row.off_cpu_ns.saturating_add(more.off_cpu_ns);
    row.max_ns = row.max_ns.max(more.max_ns);
}

impl RawCalls {
    fn add(&mut self, key: CallKey, more: CallRow) {
        add_row(self.rows.entry(key).or_default(), more);
    }

    /// Raises every figure to that of an earlier reading: one that was on its way then may be missed now.
    fn at_least(&mut self, before: &Self) {
        for (key, then) in &before.rows {
            let now = self.rows.entry(*key).or_default();
            if now.count < then.count {
                *now = *then;
            }
        }
    }
}

/// The hooks that the plan asks for.
pub(super) fn call_probes(plan: &CallPlan) -> Vec<&'static Probe> {
    let [begins, never, returns] = &probes::SYSCALLS;
    match plan.view {
        view::OFF => Vec::new(),
        view::TIMES => vec![begins, never, returns],
        _ => vec![returns],
    }
}

/// A running view.
#[derive(Debug)]
pub(super) struct CallRun {
    maps: CallMaps,
    probes: Vec<&'static Probe>,
    links: Option<CallLinks>,
    last: RawCalls,
}

impl CallRun {
    /// Loads the hooks, if the plan asks for any. `None` where it does not, or the kernel refuses: why is then in
    /// `unavailable`.
    pub(super) fn load(
        kernel: &mut Kernel,
        plan: &CallPlan,
        unavailable: &mut Vec<Unavailable>,
    ) -> Result<Option<Self>> {
        if plan.view == view::OFF {
            return Ok(None);
        }
        let timed = plan.view == view::TIMES;
        let probes = call_probes(plan);
        let maps = CallMaps::of(kernel)?;
        for probe in &probes {
            if let ProbeState::Skipped(cause) | ProbeState::Failed(cause) = kernel.load_probe(probe)
            {
                unavailable.push(no_calls(&format!("cannot load {}: {cause}", probe.id)));
                return Ok(None);
            }
        }
        Ok(Some(Self {
            maps,
            probes,
            links: None,
            last: RawCalls {
                timed,
                ..RawCalls::default()
            },
        }))
    }

    /// Has these calls sent one by one.
    pub(super) fn judge(&mut self, denied: impl IntoIterator<Item = CallKey>) -> Result<()> {
        self.maps.judge(denied)
    }

    /// Attaches the hooks.
    pub(super) fn attach(
        mut self,
        kernel: &mut Kernel,
        unavailable: &mut Vec<Unavailable>,
    ) -> Option<Self> {
        match CallLinks::attach(kernel, self.probes.iter().copied()) {
            Ok(links) => {
                self.links = Some(links);
                Some(self)
            }
            Err(cause) => {
                unavailable.push(no_calls(&cause));
                None
            }
        }
    }

    /// No call is seen after this.
    pub(super) fn detach(&mut self) {
        if let Some(links) = self.links.take() {
            links.detach();
        }
    }

    /// Everything counted since the start.
    pub(super) fn read(&mut self) -> Result<&RawCalls> {
        let mut now = RawCalls {
            timed: self.last.timed,
            ..RawCalls::default()
        };
        self.maps.read(|key, row| now.add(key, row))?;
        now.at_least(&self.last);
        self.last = now;
        Ok(&self.last)
    }

    /// Takes the rows of these slots out, for good. A slot that a CPU still has rows of is taken from `slots` instead:
    /// its time has not come.
    pub(super) fn take(&mut self, slots: &mut HashSet<u32>) -> Result<Vec<(CallKey, CallRow)>> {
        for slot in self.maps.cached_slots()? {
            slots.remove(&slot);
        }
        self.read()?;
        let taken: Vec<_> = self
            .last
            .rows
            .extract_if(|key, _| slots.contains(&key.slot()))
            .collect();
        for (key, _) in &taken {
            self.maps.remove(*key);
        }
        Ok(taken)
    }

    /// The same, after the hooks were detached and the ledger was closed at this moment of `CLOCK_MONOTONIC`, with the calls
    /// that had not returned by then.
    pub(super) fn finish(mut self, ended_ns: u64) -> Result<RawCalls> {
        self.detach();
        self.read()?;
        let last = &mut self.last;
        if last.timed {
            self.maps
                .read_running(ended_ns, |key, row| last.add(key, row))?;
        }
        Ok(self.last)
    }
}

fn no_calls(cause: &str) -> Unavailable {
    Unavailable {
        view: ViewId::SYSCALLS,
        cause: cause.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::abi::syscall::{CallKey, CallRow};

    use super::RawCalls;

    fn row(count: u64, sum_ns: u64) -> CallRow {
        CallRow {
            count,
            sum_ns,
            off_cpu_ns: 0,
            max_ns: sum_ns,
        }
    }

    #[test]
    fn what_was_seen_once_is_not_taken_back() {
        let (kept, moving) = (CallKey::of(3, 0, 0, false), CallKey::of(3, 1, 0, false));
        let mut before = RawCalls::default();
        before.add(kept, row(5, 50));
        before.add(moving, row(7, 70));
        let mut now = RawCalls::default();
        now.add(kept, row(6, 60));
        now.add(kept, row(1, 5));
        now.at_least(&before);
        assert_eq!(
            now.rows[&kept],
            CallRow {
                count: 7,
                sum_ns: 65,
                off_cpu_ns: 0,
                max_ns: 60
            }
        );
        assert_eq!(now.rows[&moving], row(7, 70));
    }
}
