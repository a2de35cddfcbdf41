//! Ledgers, histograms and delays for profiles that are made up.

use ctprof::model::{Bucket, Culprit, Delay, Histogram, Ledger, State};

use super::Maker;

/// A millisecond in ns.
pub(super) const MS: u64 = 1_000_000;

/// 100,000 ns and then doubling: `counts[i]` values of 100,000 << i, the last of them the largest.
pub(super) fn histogram(counts: &[u64], sum_ns: u64) -> Histogram {
    let from = |i: usize| 100_000_u64 << i;
    Histogram {
        count: counts.iter().sum(),
        sum_ns,
        max_ns: from(counts.len() - 1) + 50_000,
        buckets: counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(i, count)| Bucket {
                from_ns: from(i),
                to_ns: from(i) + from(i) / 4,
                count: *count,
            })
            .collect(),
    }
}

pub(super) fn delays(of: &[(Culprit, u64)]) -> Vec<Delay> {
    of.iter()
        .map(|(culprit, ms)| Delay {
            culprit: culprit.clone(),
            ns: ms * MS,
        })
        .collect()
}

impl Maker {
    /// Completes the container added last: every state is measured, and `thread_ms` is its threads' time.
    pub(super) fn ledger(&mut self, threads: u64, thread_ms: u64, ledger: Ledger) {
        let container = self.window.rows.last_mut().unwrap();
        for state in State::ALL {
            container.time_ns.entry(state).or_default();
        }
        container.threads = Some(threads);
        container.ledger = Some(Ledger {
            thread_time_ns: thread_ms * MS,
            ..ledger
        });
    }

    /// Sets a time to its exact value, which samples only come near to.
    pub(super) fn exactly(&mut self, state: State, ms: u64) {
        let container = self.window.rows.last_mut().unwrap();
        container.time_ns.insert(state, ms * MS);
    }
}
