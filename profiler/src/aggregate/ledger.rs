//! Raw figures by slot as the ledgers of containers.

use std::collections::BTreeMap;

use ctprof_ebpf::abi::ledger::{reason, state};
use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_IDLE, SLOT_KERNEL};
use ctprof_ebpf::histogram::{BUCKETS, bounds};

use super::Owners;
use crate::collect::RawLedger;
use crate::model::{Bucket, Container, Culprit, Delay, Histogram, Ledger, State};

/// The state with this number at the border.
pub(super) const fn state_of(number: usize, in_kernel: bool) -> State {
    match number {
        state::ON_CPU if in_kernel => State::OnCpuKernel,
        state::ON_CPU => State::OnCpuUser,
        state::RUN_QUEUE => State::RunQueue,
        state::THROTTLED => State::Throttled,
        _ => match (number - state::BLOCKED) as u32 {
            reason::DISK => State::BlockedDisk,
            reason::LOCK => State::BlockedLock,
            reason::NET => State::BlockedNet,
            reason::POLL => State::BlockedPoll,
            reason::SLEEP => State::BlockedSleep,
            reason::PIPE => State::BlockedPipe,
            reason::FAULT => State::BlockedFault,
            reason::CHILD => State::BlockedChild,
            _ => State::BlockedOther,
        },
    }
}

/// Gives every slot's figures to its container. Time on the CPU is user time until [`super::balance`] divides it.
///
/// `elsewhere` names the owner of a slot that has no row.
pub fn container_ledgers(
    raw: &RawLedger,
    owners: &Owners,
    elsewhere: impl Fn(u32) -> Option<String>,
    containers: &mut [Container],
) {
    for container in &mut *containers {
        container.ledger = Some(Ledger::default());
        container.time_ns = measured(raw).map(|state| (state, 0)).collect();
    }
    for (slot, figures) in &raw.slots {
        let Some(container) = owners.0.get(slot).and_then(|row| containers.get_mut(*row)) else {
            continue;
        };
        let Container {
            ledger: Some(ledger),
            time_ns,
            ..
        } = container
        else {
            continue;
        };
        let account = &figures.account;
        for (number, ns) in account.time_ns.iter().enumerate() {
            *time_ns.entry(state_of(number, false)).or_default() += ns;
        }
        // Every thread has left by now. A sum below zero can only be a lost charge: the residual shows it.
        ledger.thread_time_ns += u64::try_from(account.lifetime_ns.cast_signed()).unwrap_or(0);
        ledger.threads_born += account.came;
        ledger.threads_exited += account.left;
        ledger.voluntary_switches += account.voluntary;
        ledger.involuntary_switches += account.involuntary;
        ledger.migrations += account.migrations;
        let waits = (
            account.waits.count,
            account.waits.sum_ns,
            account.waits.max_ns,
        );
        add(&mut ledger.run_queue_latency, &figures.waits, waits);
        let stops = (
            account.stops.count,
            account.stops.sum_ns,
            account.stops.max_ns,
        );
        add(&mut ledger.throttle_duration, &figures.stops, stops);
    }
    if !raw.tells_throttled {
        for container in &mut *containers {
            container.time_ns.remove(&State::Throttled);
        }
    }
    delays(raw, owners, elsewhere, containers);
}

/// The states that this recording can tell.
fn measured(raw: &RawLedger) -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|state| match state {
        State::Throttled => raw.tells_throttled,
        State::OnCpuUser | State::OnCpuKernel | State::RunQueue | State::BlockedOther => true,
        _ => raw.tells_reasons,
    })
}

fn add(to: &mut Histogram, buckets: &[u64; BUCKETS], (count, sum_ns, max_ns): (u64, u64, u64)) {
    to.count += count;
    to.sum_ns += sum_ns;
    to.max_ns = to.max_ns.max(max_ns);
    let mut sum: BTreeMap<u64, Bucket> = to
        .buckets
        .iter()
        .map(|bucket| (bucket.from_ns, *bucket))
        .collect();
    for (index, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from_ns, to_ns) = bounds(index);
        let bucket = sum.entry(from_ns).or_insert(Bucket {
            from_ns,
            to_ns,
            count: 0,
        });
        bucket.count += count;
    }
    to.buckets = sum.into_values().collect();
}

/// Fills in who delayed whom; what the matrix does not explain is unknown, so that rows sum to run-queue time.
fn delays(
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
