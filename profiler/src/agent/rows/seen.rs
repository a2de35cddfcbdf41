//! What was read last of everything that the kernel half counts, so that only what is new is given to rows.

use std::collections::{HashMap, HashSet};

use ctprof_ebpf::abi::ledger::DelayKey;

use super::figures::Figures;
use crate::bpf::SlotFigures;
use crate::model::sums::new_of;

/// The last reading. It has an entry for what the kernel half's maps have, and none for what was taken out of them.
#[derive(Debug, Default)]
pub(super) struct Seen {
    slots: HashMap<u32, Figures>,
    /// Sorted by key.
    delays: Vec<(u64, u64)>,
}

impl Seen {
    /// Adds what is new of a slot to the sums of its row.
    pub(super) fn figures(&mut self, slot: u32, now: &SlotFigures, sum: &mut Figures) {
        self.slots.entry(slot).or_default().advance(now, sum);
    }

    /// Hands over what is new of the delay matrix, in which a key may be there several times. What `give` does not want
    /// is new at the next reading as well.
    pub(super) fn delays(
        &mut self,
        now: &[(DelayKey, u64)],
        mut give: impl FnMut(DelayKey, u64) -> bool,
    ) {
        let mut sorted: Vec<(u64, u64)> = now.iter().map(|(key, ns)| (packed(*key), *ns)).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            is_same
        });
        // Both are sorted. A key that is missing now, between a CPU's cache and the matrix, is kept for the next reading.
        let before = std::mem::take(&mut self.delays);
        self.delays.reserve_exact(before.len().max(sorted.len()));
        let (mut before, mut sorted) =
            (before.into_iter().peekable(), sorted.into_iter().peekable());
        loop {
            let (key, seen, now) = match (before.peek().copied(), sorted.peek().copied()) {
                (Some((key, seen)), Some((other, now))) if key == other => (key, seen, now),
                (Some((key, seen)), Some((other, _))) if key < other => (key, seen, seen),
                (Some((key, seen)), None) => (key, seen, seen),
                (_, Some((key, now))) => (key, 0, now),
                (None, None) => break,
            };
            before.next_if(|it| it.0 == key);
            sorted.next_if(|it| it.0 == key);
            let mut after = seen;
            let new = new_of(&mut after, now);
            let is_taken = new == 0 || give(unpacked(key), new);
            let seen = if is_taken { after } else { seen };
            if seen > 0 {
                self.delays.push((key, seen));
            }
        }
    }

    /// The last figures of a slot that is another cgroup's from now on: what is new of them.
    pub(super) fn last_figures(&mut self, slot: u32, now: &SlotFigures, sum: &mut Figures) {
        self.slots
            .remove(&slot)
            .unwrap_or_default()
            .advance(now, sum);
    }

    /// The last delays in which one of these slots has a part: what is new of them.
    pub(super) fn last_delays(
        &mut self,
        slots: &HashSet<u32>,
        now: &[(DelayKey, u64)],
        mut give: impl FnMut(DelayKey, u64),
    ) {
        for (key, ns) in now {
            let place = self.delays.binary_search_by_key(&packed(*key), |it| it.0);
            let seen = place.map_or(0, |place| self.delays[place].1);
            if *ns > seen {
                give(*key, *ns - seen);
            }
        }
        self.delays.retain(|(key, _)| {
            let DelayKey { victim, culprit } = unpacked(*key);
            !slots.contains(&victim) && !slots.contains(&culprit)
        });
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.delays.len()
    }
}

fn packed(key: DelayKey) -> u64 {
    u64::from(key.victim) << 32 | u64::from(key.culprit)
}

const fn unpacked(key: u64) -> DelayKey {
    DelayKey {
        victim: (key >> 32) as u32,
        culprit: key as u32,
    }
}
