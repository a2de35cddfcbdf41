//! Time by layer of rows that outlive their slots.

use std::collections::{BTreeMap, HashMap};

use super::Sampled;
use super::run::RawTimes;
use crate::analysis::isolation::Layer;
use crate::collect::RawViews;
use crate::model::Container;
use crate::model::sums::new_of;
use crate::views::kept::{Kept, RowOf};

/// Sums by row.
#[derive(Debug, Default)]
pub(super) struct KeptSamples {
    /// The last reading.
    seen: HashMap<(u32, Layer), u64>,
    rows: HashMap<u64, BTreeMap<Layer, u64>>,
}

impl KeptSamples {
    fn give(&mut self, row: u64, layer: Layer, ns: u64) {
        let sum = self.rows.entry(row).or_default().entry(layer).or_default();
        *sum = sum.saturating_add(ns);
    }
}

impl Kept for KeptSamples {
    fn add(&mut self, now: &RawViews, row_of: RowOf<'_>) {
        let Some(now) = now.get::<RawTimes>() else {
            return;
        };
        for (key, now) in &now.0 {
            let (slot, layer) = *key;
            let mut seen = self.seen.get(key).copied().unwrap_or_default();
            let new = new_of(&mut seen, *now);
            if new > 0 {
                let Some(row) = row_of(slot) else {
                    continue;
                };
                self.give(row, layer, new);
            }
            self.seen.insert(*key, seen);
        }
    }

    fn add_last(&mut self, taken: &RawViews, row_of: RowOf<'_>) {
        let Some(taken) = taken.get::<RawTimes>() else {
            return;
        };
        for (key, last) in &taken.0 {
            let (slot, layer) = *key;
            let new = new_of(&mut self.seen.remove(key).unwrap_or_default(), *last);
            if let Some(row) = row_of(slot)
                && new > 0
            {
                self.give(row, layer, new);
            }
        }
    }

    fn merge(&mut self, from: u64, into: u64) {
        for (layer, ns) in self.rows.remove(&from).into_iter().flatten() {
            self.give(into, layer, ns);
        }
    }

    fn remove(&mut self, row: u64) {
        self.rows.remove(&row);
    }

    fn fold(&self, places: &HashMap<u64, usize>, rows: &mut [Container]) {
        for (row, layers) in &self.rows {
            if let Some(row) = places.get(row).and_then(|place| rows.get_mut(*place)) {
                row.measured.insert(Sampled(layers.clone()));
            }
        }
    }

    #[cfg(test)]
    fn entries(&self) -> usize {
        let of_rows = self.rows.values().map(BTreeMap::len).sum::<usize>();
        self.seen.len() + self.rows.len() + of_rows
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::{Kept as _, KeptSamples, Layer, RawTimes, Sampled};
    use crate::collect::{Raw, RawViews};
    use crate::model::Container;

    fn reading(times: &[((u32, Layer), u64)]) -> RawViews {
        let raw: Arc<dyn Raw> = Arc::new(RawTimes(times.iter().copied().collect()));
        std::iter::once(raw).collect()
    }

    #[test]
    fn what_is_new_is_added_once() {
        let mut kept = KeptSamples::default();
        let row_of = |slot| (slot < 9).then_some(u64::from(slot));
        let memory = |slot, ns| ((slot, Layer::Memory), ns);
        kept.add(
            &reading(&[memory(1, 10), memory(2, 5), memory(9, 7)]),
            &row_of,
        );
        kept.add(
            &reading(&[memory(1, 30), memory(2, 5), memory(9, 7)]),
            &row_of,
        );
        // The slot is another's from now on, and begins anew; one that nobody knew is new in whole.
        kept.add_last(&reading(&[memory(1, 35)]), &row_of);
        kept.add(&reading(&[memory(1, 1), memory(9, 8)]), &|_| Some(2));
        kept.merge(1, 3);
        let mut rows = vec![Container::default(); 2];
        kept.fold(&HashMap::from([(2, 0), (3, 1)]), &mut rows);
        let ns = |row: usize| rows[row].measured.get::<Sampled>().unwrap().0[&Layer::Memory];
        assert_eq!((ns(0), ns(1)), (5 + 1 + 8, 35));
        kept.remove(2);
        kept.remove(3);
        assert!(kept.rows.is_empty());
    }
}
