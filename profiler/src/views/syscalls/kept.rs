//! System calls of rows that outlive their slots.

use std::collections::HashMap;

use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow};

use super::{RawCalls, add_row, fold};
use crate::aggregate::Owners;
use crate::collect::RawViews;
use crate::host::syscalls::CALL_NAMES;
use crate::model::Container;
use crate::model::sums::new_of;
use crate::views::kept::{Kept, RowOf};

/// Calls by row.
#[derive(Debug, Default)]
pub(super) struct KeptCalls {
    /// The last reading. It has an entry for what the kernel half's maps have, and none for what was taken out of them.
    seen: HashMap<CallKey, CallRow>,
    /// By keys of slot 0.
    rows: HashMap<u64, HashMap<CallKey, CallRow>>,
    /// Whether times are taken; `None` as long as nothing was read.
    timed: Option<bool>,
}

impl KeptCalls {
    fn give(&mut self, row: u64, key: CallKey, new: CallRow) {
        let calls = self.rows.entry(row).or_default();
        add_row(calls.entry(key.with_slot(0)).or_default(), new);
    }
}

impl Kept for KeptCalls {
    fn add(&mut self, now: &RawViews, row_of: RowOf<'_>) {
        let Some(now) = now.get::<RawCalls>() else {
            return;
        };
        self.timed = Some(now.timed);
        for (key, now) in &now.rows {
            let mut seen = self.seen.get(key).copied().unwrap_or_default();
            let new = new_call(&mut seen, *now);
            if new.count > 0 || new.sum_ns > 0 {
                let Some(row) = row_of(key.slot()) else {
                    continue;
                };
                self.give(row, *key, new);
            }
            self.seen.insert(*key, seen);
        }
    }

    fn add_last(&mut self, taken: &RawViews, row_of: RowOf<'_>) {
        let Some(taken) = taken.get::<RawCalls>() else {
            return;
        };
        for (key, last) in &taken.rows {
            let new = new_call(&mut self.seen.remove(key).unwrap_or_default(), *last);
            if let Some(row) = row_of(key.slot()) {
                self.give(row, *key, new);
            }
        }
    }

    fn merge(&mut self, from: u64, into: u64) {
        for (key, row) in self.rows.remove(&from).into_iter().flatten() {
            self.give(into, key, row);
        }
    }

    fn remove(&mut self, row: u64) {
        self.rows.remove(&row);
    }

    fn fold(&self, places: &HashMap<u64, usize>, rows: &mut [Container]) {
        let Some(timed) = self.timed else {
            return;
        };
        // By the place of the row, in place of a slot.
        let calls: Vec<(CallKey, &CallRow)> = self
            .rows
            .iter()
            .filter_map(|(row, calls)| Some((u32::try_from(*places.get(row)?).ok()?, calls)))
            .flat_map(|(place, calls)| {
                let calls = calls.iter();
                calls.map(move |(key, row)| (key.with_slot(place), row))
            })
            .collect();
        let owners = Owners((0..).zip(0..rows.len()).collect());
        let calls = calls.iter().map(|(key, row)| (key, *row));
        fold(calls, timed, CALL_NAMES, &owners, rows);
    }

    #[cfg(test)]
    fn entries(&self) -> usize {
        let of_rows = self.rows.values().map(HashMap::len).sum::<usize>();
        self.seen.len() + self.rows.len() + of_rows
    }
}

fn new_call(seen: &mut CallRow, now: CallRow) -> CallRow {
    CallRow {
        count: new_of(&mut seen.count, now.count),
        sum_ns: new_of(&mut seen.sum_ns, now.sum_ns),
        off_cpu_ns: new_of(&mut seen.off_cpu_ns, now.off_cpu_ns),
        max_ns: now.max_ns,
    }
}
