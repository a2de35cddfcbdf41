//! Rows of system calls as the kernel half counts them, by slot.

use std::collections::HashMap;

use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow, kind};

use super::Syscalls;
use super::compared::item;
use crate::collect::{Raw, RawPart};
use crate::model::{Figures as _, ViewId};

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

impl Raw for RawCalls {
    fn view(&self) -> ViewId {
        Syscalls::VIEW
    }

    /// By number and by whose numbers, whatever became of them. The time has that of calls that have not ended.
    fn items(&self) -> HashMap<(u32, u64), RawPart> {
        let mut sums: HashMap<(u32, u64), RawPart> = HashMap::new();
        for (key, row) in &self.rows {
            let has_ended = !matches!(key.kind(), kind::OPEN | kind::THROUGHOUT);
            let call = (key.slot(), item(key.number(), key.abi()));
            sums.entry(call).or_default().add(RawPart {
                count: if has_ended { row.count } else { 0 },
                ns: row.sum_ns,
            });
        }
        sums
    }
}

impl RawCalls {
    pub(super) fn add(&mut self, key: CallKey, more: CallRow) {
        add_row(self.rows.entry(key).or_default(), more);
    }

    /// Raises every figure to that of an earlier reading: one that was on its way then may be missed now.
    pub(super) fn at_least(&mut self, before: &Self) {
        for (key, then) in &before.rows {
            let now = self.rows.entry(*key).or_default();
            if now.count < then.count {
                *now = *then;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow};

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
