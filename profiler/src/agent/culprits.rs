//! Which culprits of a group are told by name: a few, and what each of them is said to have done only grows.

use std::collections::BTreeMap;

/// The name that stands for all others.
pub(super) const OTHER: &str = "other";

/// The culprits of one group that are told by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Culprits {
    /// What each had done before it was told by name: that stays with the others.
    named: BTreeMap<String, u64>,
    /// What was told last.
    told: BTreeMap<String, u64>,
}

impl Culprits {
    /// What to tell, the worst first, `other` last. `delays` are sums since the beginning; `waited_ns` is all the time
    /// that the group waited, explained or not. `exists` says whether a culprit may come back.
    pub(super) fn tell(
        &mut self,
        delays: &BTreeMap<String, u64>,
        waited_ns: u64,
        most: usize,
        exists: impl Fn(&str) -> bool,
    ) -> Vec<(String, u64)> {
        let is_first = self.told.is_empty();
        self.named
            .retain(|name, _| delays.contains_key(name) || exists(name));
        let mut worst: Vec<(&String, u64)> = delays
            .iter()
            .filter(|(name, ns)| **ns > 0 && !self.named.contains_key(*name))
            .map(|(name, ns)| (name, *ns))
            .collect();
        worst.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        for (name, ns) in worst
            .into_iter()
            .take(most.saturating_sub(self.named.len()))
        {
            self.named
                .insert(name.clone(), if is_first { 0 } else { ns });
        }
        let mut told: BTreeMap<String, u64> = self
            .named
            .iter()
            .map(|(name, before)| {
                let ns = delays
                    .get(name)
                    .copied()
                    .unwrap_or(0)
                    .saturating_sub(*before);
                (name.clone(), ns.max(self.last(name)))
            })
            .collect();
        let named: u64 = told.values().sum();
        let rest = waited_ns.saturating_sub(named).max(self.last(OTHER));
        told.insert(OTHER.to_owned(), rest);
        self.told.clone_from(&told);
        let mut told: Vec<(String, u64)> = told.into_iter().collect();
        told.sort_by_key(|(name, ns)| (name == OTHER, std::cmp::Reverse(*ns)));
        told
    }

    fn last(&self, name: &str) -> u64 {
        self.told.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Culprits;

    fn tell(culprits: &mut Culprits, delays: &[(&str, u64)], waited: u64) -> Vec<(String, u64)> {
        let delays: BTreeMap<String, u64> = delays
            .iter()
            .map(|(name, ns)| ((*name).to_owned(), *ns))
            .collect();
        culprits.tell(&delays, waited, 2, |name| delays.contains_key(name))
    }

    fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter()
            .map(|(name, ns)| ((*name).to_owned(), *ns))
            .collect()
    }

    #[test]
    fn the_worst_are_named_and_all_adds_up() {
        let mut culprits = Culprits::default();
        let told = tell(&mut culprits, &[("a", 10), ("b", 30), ("c", 20)], 70);
        assert_eq!(told, rows(&[("b", 30), ("c", 20), ("other", 20)]));
    }

    #[test]
    fn nothing_shrinks_when_another_becomes_worse() {
        let mut culprits = Culprits::default();
        tell(&mut culprits, &[("a", 10), ("b", 30), ("c", 20)], 70);
        // `a` is the worst now, but two are named already.
        let told = tell(&mut culprits, &[("a", 100), ("b", 31), ("c", 20)], 160);
        assert_eq!(told, rows(&[("b", 31), ("c", 20), ("other", 109)]));
        // `c` is gone: what it did goes to the others, and `a` counts by name from now on.
        let told = tell(&mut culprits, &[("a", 100), ("b", 31)], 165);
        assert_eq!(told, rows(&[("b", 31), ("a", 0), ("other", 134)]));
        let told = tell(&mut culprits, &[("a", 105), ("b", 31)], 170);
        assert_eq!(told, rows(&[("b", 31), ("a", 5), ("other", 134)]));
    }

    #[test]
    fn a_reading_that_missed_something_takes_nothing_back() {
        let mut culprits = Culprits::default();
        tell(&mut culprits, &[("a", 10)], 30);
        let told = tell(&mut culprits, &[("a", 7)], 30);
        assert_eq!(told, rows(&[("a", 10), ("other", 20)]));
    }
}
