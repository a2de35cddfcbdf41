//! Who delayed whom.

use std::collections::BTreeMap;

use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_IDLE, SLOT_KERNEL};

use super::Owners;
use crate::collect::RawLedger;
use crate::model::{Container, Culprit, Delay, State};

/// Fills in who delayed whom; what the matrix does not explain is unknown, so that rows sum to run-queue time.
pub(super) fn delays(
    raw: &RawLedger,
    owners: &Owners,
    elsewhere: impl Fn(u32) -> Option<String>,
    containers: &mut [Container],
) {
    let mut rows: Vec<BTreeMap<Culprit, u64>> = vec![BTreeMap::new(); containers.len()];
    for (key, ns) in &raw.delays {
        let Some(victim) = owners.0.get(&key.victim) else {
            continue;
        };
        let culprit = match (key.culprit, owners.0.get(&key.culprit)) {
            (SLOT_IDLE, _) => Culprit::Idle,
            (_, Some(row)) if row == victim => Culprit::Siblings,
            (_, Some(row)) => Culprit::Row(*row),
            (SLOT_HOST, None) => Culprit::Host,
            (SLOT_KERNEL, None) => Culprit::Kernel,
            (slot, None) => elsewhere(slot).map_or(Culprit::Host, Culprit::Elsewhere),
        };
        if let Some(row) = rows.get_mut(*victim) {
            *row.entry(culprit).or_default() += ns;
        }
    }
    for (container, row) in containers.iter_mut().zip(rows) {
        let Some(ledger) = &mut container.ledger else {
            continue;
        };
        let waited = container
            .time_ns
            .get(&State::RunQueue)
            .copied()
            .unwrap_or(0);
        let known: u64 = row.values().sum();
        ledger.delayed_by = row
            .into_iter()
            .chain([(Culprit::Unknown, waited.saturating_sub(known))])
            .filter(|(_, ns)| *ns > 0)
            .map(|(culprit, ns)| Delay { culprit, ns })
            .collect();
        ledger
            .delayed_by
            .sort_by_key(|delay| std::cmp::Reverse(delay.ns));
    }
}
