//! Raw figures by slot as the ledgers of containers.

use std::collections::BTreeMap;

use ctprof_ebpf::abi::ledger::{Account, Series, reason, state};
use ctprof_ebpf::abi::scope::SLOT_KERNEL;
use ctprof_ebpf::histogram::{BUCKETS, bounds};

use super::Owners;
use super::balance::part;
use super::delays::delays;
use crate::collect::RawLedger;
use crate::model::{Bucket, Container, Culprit, Histogram, Ledger, State};

/// The state with this number at the border.
pub(crate) const fn state_of(number: usize, in_kernel: bool) -> State {
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

/// Gives every slot's figures to its container. Time on the CPU is divided as the scheduler's ticks found its threads;
/// where there are samples, [`super::balance`] divides it again.
///
/// `elsewhere` names the owner of a slot that has no row. Returns how many threads had not ended when the figures were read:
/// their lifetimes are not known, and count as what their slot's states say.
pub fn container_ledgers(
    raw: &RawLedger,
    owners: &Owners,
    elsewhere: impl Fn(u32) -> Option<String>,
    containers: &mut [Container],
) -> u64 {
    for container in &mut *containers {
        container.ledger = Some(Ledger::default());
        container.time_ns = measured(raw).map(|state| (state, 0)).collect();
    }
    let mut ticked = vec![(0, 0); containers.len()];
    let mut unended = 0;
    for (slot, figures) in &raw.slots {
        let Some((row, container)) = owners
            .0
            .get(slot)
            .and_then(|row| Some((*row, containers.get_mut(*row)?)))
        else {
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
        let ticks = &mut ticked[row];
        ticks.0 += account.ticked_user_ns;
        ticks.1 += account.ticked_kernel_ns;
        for (number, ns) in account.time_ns.iter().enumerate() {
            if let Some(sum) = time_ns.get_mut(&state_of(number, *slot == SLOT_KERNEL)) {
                *sum += ns;
            }
        }
        let (lifetime_ns, without_end) = lifetime(account);
        ledger.thread_time_ns += lifetime_ns;
        unended += without_end;
        ledger.threads_born += account.came;
        ledger.threads_exited += account.left;
        ledger.voluntary_switches += account.voluntary;
        ledger.involuntary_switches += account.involuntary;
        ledger.migrations += account.migrations;
        ledger.limited_ns += account.limited_ns;
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
    divide_on_cpu(&ticked, containers);
    delays(raw, owners, elsewhere, containers);
    unended
}

/// The lifetimes of a slot's threads, and how many of them have no end. A beginning without its end is a whole uptime of the
/// host less: then the states are what is known.
fn lifetime(account: &Account) -> (u64, u64) {
    let without_end = account.present.cast_signed().unsigned_abs();
    match u64::try_from(account.lifetime_ns.cast_signed()) {
        Ok(lifetime_ns) if without_end == 0 => (lifetime_ns, 0),
        _ => (account.time_ns.iter().sum(), without_end.max(1)),
    }
}

/// Divides what is user time so far by ticks; that of a container without any as that of all.
fn divide_on_cpu(ticked: &[(u64, u64)], containers: &mut [Container]) {
    let all = ticked
        .iter()
        .fold((0, 0), |sum, ticks| (sum.0 + ticks.0, sum.1 + ticks.1));
    for (container, ticks) in containers.iter_mut().zip(ticked) {
        let (user, kernel) = if *ticks == (0, 0) { all } else { *ticks };
        let undivided = container
            .time_ns
            .get(&State::OnCpuUser)
            .copied()
            .unwrap_or(0);
        let kernel_ns = part(undivided, kernel, user + kernel);
        if kernel_ns > 0 {
            *container.time_ns.entry(State::OnCpuKernel).or_default() += kernel_ns;
            container
                .time_ns
                .insert(State::OnCpuUser, undivided - kernel_ns);
        }
    }
}

/// Keeps the rows that `keep` wants; a culprit whose row goes is named instead.
pub fn retain_rows(containers: &mut Vec<Container>, keep: impl Fn(&Container) -> bool) {
    let mut kept = 0;
    let moved: Vec<Result<usize, String>> = containers
        .iter()
        .map(|container| {
            if keep(container) {
                kept += 1;
                Ok(kept - 1)
            } else {
                Err(container.identity.name.clone())
            }
        })
        .collect();
    let mut row = 0;
    containers.retain(|_| {
        row += 1;
        moved[row - 1].is_ok()
    });
    let ledgers = containers.iter_mut().filter_map(|it| it.ledger.as_mut());
    for delay in ledgers.flat_map(|ledger| &mut ledger.delayed_by) {
        if let Culprit::Row(row) = delay.culprit
            && let Some(moved) = moved.get(row)
        {
            delay.culprit = match moved {
                Ok(row) => Culprit::Row(*row),
                Err(name) => Culprit::Elsewhere(name.clone()),
            };
        }
    }
}

/// The states that this recording can tell.
fn measured(raw: &RawLedger) -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|state| match state {
        State::Throttled => raw.tells_throttled,
        State::OnCpuUser | State::OnCpuKernel | State::RunQueue | State::BlockedOther => true,
        _ => raw.tells_reasons,
    })
}

/// The histogram of these buckets; `None` where nothing was counted. `sums` are over all of its values.
pub(crate) fn histogram(buckets: Option<&[u64; BUCKETS]>, sums: Series) -> Histogram {
    let used = buckets.into_iter().flatten().enumerate();
    Histogram {
        count: sums.count,
        sum_ns: sums.sum_ns,
        max_ns: sums.max_ns,
        buckets: used
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| {
                let (from_ns, to_ns) = bounds(index);
                Bucket {
                    from_ns,
                    to_ns,
                    count: *count,
                }
            })
            .collect(),
    }
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

#[cfg(test)]
mod tests {
    use ctprof_ebpf::abi::ledger::{Account, DelayKey, Series, state};
    use ctprof_ebpf::abi::scope::{SLOT_HOST, SLOT_IDLE, SLOT_KERNEL};
    use ctprof_ebpf::histogram::{BUCKETS, bucket};

    use super::{container_ledgers, lifetime, retain_rows};
    use crate::aggregate::Owners;
    use crate::bpf::SlotFigures;
    use crate::collect::RawLedger;
    use crate::model::{Container, Culprit, Delay, State};

    fn figures(run_queue: u64, waits: &[u64]) -> SlotFigures {
        let mut account = Account {
            came: 1,
            left: 1,
            lifetime_ns: 1_000,
            ticked_user_ns: 30,
            ticked_kernel_ns: 10,
            waits: Series {
                count: waits.len() as u64,
                sum_ns: waits.iter().sum(),
                max_ns: waits.iter().copied().max().unwrap_or(0),
            },
            ..Account::default()
        };
        account.time_ns[state::ON_CPU] = 1_000 - run_queue;
        account.time_ns[state::RUN_QUEUE] = run_queue;
        let mut buckets = [0; BUCKETS];
        for wait in waits {
            buckets[bucket(*wait)] += 1;
        }
        SlotFigures {
            account,
            waits: buckets,
            stops: [0; BUCKETS],
        }
    }

    #[test]
    fn a_lifetime_without_its_end_is_what_the_states_say_and_is_counted() {
        let whole = figures(300, &[]).account;
        assert_eq!(lifetime(&whole), (1_000, 0));
        // One thread began an hour after boot, and its end has not come.
        let hour_ns = 3_600_000_000_000_u64;
        let open = Account {
            lifetime_ns: 1_000_u64.wrapping_sub(hour_ns),
            present: 1,
            ..whole
        };
        assert_eq!(lifetime(&open), (1_000, 1));
        let lost_beginning = Account {
            lifetime_ns: 1_000_u64.wrapping_add(hour_ns),
            present: 1_u64.wrapping_neg(),
            ..whole
        };
        assert_eq!(lifetime(&lost_beginning), (1_000, 1));
        let negative = Account {
            lifetime_ns: 5_u64.wrapping_neg(),
            ..whole
        };
        assert_eq!(lifetime(&negative), (1_000, 1));
    }

    fn delay(victim: u32, culprit: u32, ns: u64) -> (DelayKey, u64) {
        (DelayKey { victim, culprit }, ns)
    }

    fn raw() -> RawLedger {
        RawLedger {
            // 3 and 4 are two cgroups of one container, 5 is another, 9 is not recorded.
            slots: [
                (3, figures(300, &[100, 200])),
                (4, figures(500, &[500])),
                (5, figures(0, &[])),
                (9, figures(7, &[7])),
            ]
            .into(),
            delays: vec![
                delay(3, 4, 100),
                delay(3, 5, 90),
                delay(4, 9, 80),
                delay(4, SLOT_KERNEL, 70),
                delay(4, SLOT_HOST, 60),
                delay(4, SLOT_IDLE, 50),
                delay(9, 3, 7),
            ],
            tells_throttled: true,
            tells_reasons: true,
        }
    }

    fn folded() -> Vec<Container> {
        let mut containers = vec![Container::default(), Container::default()];
        containers[1].identity.name = "other".to_owned();
        let owners = Owners([(3, 0), (4, 0), (5, 1)].into());
        let name = |slot| (slot == 9).then(|| "far".to_owned());
        container_ledgers(&raw(), &owners, name, &mut containers);
        containers
    }

    #[test]
    fn slots_of_one_container_are_one_ledger() {
        let container = folded().remove(0);
        assert_eq!(container.time_ns[&State::OnCpuUser], 900);
        assert_eq!(container.time_ns[&State::OnCpuKernel], 300);
        assert_eq!(container.time_ns[&State::RunQueue], 800);
        assert_eq!(container.time_ns[&State::Throttled], 0);
        let ledger = container.ledger.unwrap();
        assert_eq!(ledger.thread_time_ns, 2_000);
        let latency = &ledger.run_queue_latency;
        assert_eq!(
            (latency.count, latency.sum_ns, latency.max_ns),
            (3, 800, 500)
        );
        assert_eq!(latency.buckets.iter().map(|it| it.count).sum::<u64>(), 3);
    }

    #[test]
    fn the_row_of_delays_sums_to_the_run_queue_time() {
        let mut containers = folded();
        let row = |culprit, ns| Delay { culprit, ns };
        let expected = |other| {
            vec![
                row(Culprit::Unknown, 350),
                row(Culprit::Siblings, 100),
                row(other, 90),
                row(Culprit::Elsewhere("far".to_owned()), 80),
                row(Culprit::Kernel, 70),
                row(Culprit::Host, 60),
                row(Culprit::Idle, 50),
            ]
        };
        let found = |containers: &[Container]| containers[0].ledger.clone().unwrap().delayed_by;
        assert_eq!(found(&containers), expected(Culprit::Row(1)));
        assert_eq!(found(&containers).iter().map(|it| it.ns).sum::<u64>(), 800);
        // A row that is not shown still has a name.
        retain_rows(&mut containers, |it| it.identity.name.is_empty());
        assert_eq!(
            found(&containers),
            expected(Culprit::Elsewhere("other".to_owned()))
        );
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_absent() {
        let mut containers = vec![Container::default()];
        let raw = RawLedger {
            tells_throttled: false,
            tells_reasons: false,
            ..raw()
        };
        container_ledgers(&raw, &Owners([(3, 0)].into()), |_| None, &mut containers);
        let states: Vec<State> = containers[0].time_ns.keys().copied().collect();
        assert_eq!(
            states,
            [
                State::OnCpuUser,
                State::OnCpuKernel,
                State::RunQueue,
                State::BlockedOther
            ]
        );
    }
}
