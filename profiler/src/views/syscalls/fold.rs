//! Rows by slot as the system calls of containers.

use std::collections::HashMap;

use ctprof_ebpf::histogram::{BUCKETS, bounds};
use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow, kind};

use super::{Syscall, Syscalls, add_row};
use crate::aggregate::Owners;
use crate::host::syscalls::CallNames;
use crate::model::{Container, Latency, LatencyBucket};

/// Gives every row to its container. `timed` says whether times were taken.
pub fn fold<'a>(
    rows: impl IntoIterator<Item = (&'a CallKey, &'a CallRow)>,
    timed: bool,
    names: CallNames,
    owners: &Owners,
    containers: &mut [Container],
) {
    for container in &mut *containers {
        container.measured.insert(Syscalls::default());
    }
    // One call after the other: sums of all calls at once would take gigabytes on large hosts.
    let mut owned: Vec<(usize, u32, u32, &CallKey, &CallRow)> = rows
        .into_iter()
        .filter_map(|(key, row)| {
            let owner = *owners.0.get(&key.slot())?;
            Some((owner, key.abi(), key.number(), key, row))
        })
        .collect();
    owned.sort_unstable_by_key(|(owner, abi, number, _, _)| (*owner, *abi, *number));
    for rows in owned.chunk_by(|a, b| (a.0, a.1, a.2) == (b.0, b.1, b.2)) {
        let Some((owner, abi, number, _, _)) = rows.first() else {
            continue;
        };
        let mut sum = Sum::new();
        for (_, _, _, key, row) in rows {
            sum.add(**key, **row);
        }
        if let Some(calls) = containers
            .get_mut(*owner)
            .and_then(|container| container.measured.get_mut::<Syscalls>())
        {
            calls.0.push(sum.call(*number, *abi, timed, names));
        }
    }
}

/// Rows of one call, added up.
struct Sum {
    by_kind: [CallRow; 8],
    errors: HashMap<u32, u64>,
    /// Calls and their time by bucket.
    buckets: Box<[(u64, u64); BUCKETS]>,
}

impl Sum {
    fn new() -> Self {
        Self {
            by_kind: [CallRow::default(); 8],
            errors: HashMap::new(),
            buckets: Box::new([(0, 0); BUCKETS]),
        }
    }

    fn add(&mut self, key: CallKey, row: CallRow) {
        add_row(&mut self.by_kind[key.kind() as usize & 7], row);
        if key.error() != 0 {
            *self.errors.entry(key.error()).or_default() += row.count;
        }
        if key.kind() == kind::RETURNED {
            let bucket = &mut self.buckets[key.bucket()];
            bucket.0 += row.count;
            bucket.1 = bucket.1.saturating_add(row.sum_ns);
        }
    }

    fn call(self, number: u32, abi: u32, timed: bool, names: CallNames) -> Syscall {
        let of = |kind: u32| self.by_kind[kind as usize];
        let name = (names.call)(number, abi);
        // What these "return" is the register that the interrupted code had, not a result.
        let has_result = !name.ends_with("sigreturn");
        let mut errors: Vec<(String, u64)> = self
            .errors
            .into_iter()
            .filter(|_| has_result)
            .map(|(error, count)| ((names.error)(error), count))
            .collect();
        errors.sort_unstable();
        let returned = of(kind::RETURNED);
        let latency = if timed {
            Latency {
                count: returned.count,
                sum_ns: returned.sum_ns,
                buckets: buckets(&self.buckets),
            }
        } else {
            Latency::default()
        };
        let sum = |part: fn(&CallRow) -> u64| self.by_kind.iter().map(part).sum::<u64>();
        let total_ns = sum(|row| row.sum_ns);
        let longest_ns = self.by_kind.iter().map(|row| row.max_ns).max();
        Syscall {
            name,
            abi: (names.abi)(abi).to_owned(),
            count: [kind::RETURNED, kind::NEVER, kind::BEFORE, kind::REFUSED]
                .into_iter()
                .map(|kind| of(kind).count)
                .sum(),
            errors,
            total_ns: timed.then_some(total_ns),
            // A clock read a moment later than another may be behind it.
            off_cpu_ns: sum(|row| row.off_cpu_ns).min(total_ns),
            max_ns: longest_ns.unwrap_or(0),
            latency,
            began_before: of(kind::BEFORE).count,
            never_returned: of(kind::NEVER).count,
            refused: of(kind::REFUSED).count,
            in_progress: of(kind::OPEN).count + of(kind::THROUGHOUT).count,
        }
    }
}

fn buckets(all: &[(u64, u64); BUCKETS]) -> Vec<LatencyBucket> {
    let used = all.iter().enumerate().filter(|(_, (count, _))| *count > 0);
    used.map(|(index, (count, sum_ns))| {
        let (from_ns, to_ns) = bounds(index);
        LatencyBucket {
            from_ns,
            to_ns,
            count: *count,
            sum_ns: *sum_ns,
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ctprof_ebpf::abi::syscall::abi;
    use ctprof_ebpf::histogram::bucket;
    use ctprof_ebpf::views::syscalls::abi::{CallKey, CallRow, kind};

    use super::fold;
    use crate::aggregate::Owners;
    use crate::host::syscalls::CallNames;
    use crate::model::Container;
    use crate::views::syscalls::{Syscall, Syscalls};

    const NAMES: CallNames = CallNames {
        call: |number, _| match number {
            15 => "rt_sigreturn".to_owned(),
            other => format!("call{other}"),
        },
        abi: |abi| if abi == abi::COMPAT { "i386" } else { "" },
        error: |error| format!("E{error}"),
    };

    fn row(count: u64, ns: u64, off_cpu_ns: u64) -> CallRow {
        CallRow {
            count,
            sum_ns: count * ns,
            off_cpu_ns,
            max_ns: ns,
        }
    }

    fn syscalls(rows: &[(CallKey, CallRow)]) -> Vec<Vec<Syscall>> {
        let rows: HashMap<_, _> = rows.iter().copied().collect();
        let owners = Owners([(3, 0), (4, 0), (5, 1)].into());
        let mut containers = vec![Container::default(), Container::default()];
        fold(&rows, true, NAMES, &owners, &mut containers);
        containers
            .into_iter()
            .map(|container| container.measured.get::<Syscalls>().unwrap().0.clone())
            .collect()
    }

    #[test]
    fn slots_of_one_container_are_added_up_and_others_keep_apart() {
        let key = |slot, error, ns| {
            CallKey::of(slot, 7, abi::NATIVE, false)
                .with_error(error)
                .with_bucket(bucket(ns))
        };
        let all = syscalls(&[
            (key(3, 0, 1_000), row(10, 1_000, 50)),
            (key(4, 2, 1_000), row(5, 1_000, 0)),
            (key(4, 0, 90_000), row(1, 90_000, 80_000)),
            (key(5, 11, 300), row(2, 300, 0)),
            (key(9, 0, 300), row(100, 300, 0)),
        ]);
        let [first, second] = &all[..] else { panic!() };
        let call = &first[0];
        assert_eq!((first.len(), call.count, call.failed()), (1, 16, 5));
        assert_eq!(call.errors, [("E2".to_owned(), 5)]);
        assert_eq!(call.total_ns, Some(105_000));
        assert_eq!(call.on_cpu_ns(), Some(24_950));
        assert_eq!(call.mean_ns(), Some(105_000 / 16));
        assert_eq!((call.latency.count, call.max_ns), (16, 90_000));
        assert_eq!(call.latency.quantile_ns(0.5), Some(1_000));
        assert_eq!(second[0].errors, [("E11".to_owned(), 2)]);
    }

    /// What began or ended outside the window is no latency, but time, and may be the longest.
    #[test]
    fn calls_in_progress_are_no_latencies() {
        let key = CallKey::of(5, 0, abi::NATIVE, false);
        let all = syscalls(&[
            (
                key.with_kind(kind::BEFORE).with_error(4),
                row(1, 5_000, 5_000),
            ),
            (key.with_kind(kind::OPEN), row(2, 7_000, 0)),
            (key.with_kind(kind::THROUGHOUT), row(1, 9_000, 9_000)),
            (key.with_kind(kind::NEVER), row(3, 0, 0)),
            (key.with_kind(kind::REFUSED).with_error(1), row(4, 0, 0)),
        ]);
        let call = &all[1][0];
        assert_eq!(call.count, 1 + 3 + 4);
        assert_eq!(call.total_ns, Some(5_000 + 14_000 + 9_000));
        assert_eq!(call.latency.count, 0);
        assert_eq!(call.mean_ns(), None);
        assert_eq!(call.max_ns, 9_000);
        assert_eq!(
            (
                call.began_before,
                call.never_returned,
                call.refused,
                call.in_progress
            ),
            (1, 3, 4, 3)
        );
        assert_eq!(call.failed(), 5);
    }

    #[test]
    fn numbers_of_other_machines_keep_apart_and_sigreturn_has_no_result() {
        let native = CallKey::of(3, 15, abi::NATIVE, false).with_error(4);
        let compat = CallKey::of(3, 15, abi::COMPAT, false);
        let all = syscalls(&[(native, row(3, 200, 0)), (compat, row(1, 200, 0))]);
        let calls = &all[0];
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[0].abi.as_str(), calls[0].failed()), ("", 0));
        assert_eq!(calls[1].abi, "i386");
    }
}
