//! Waits whose stacks were not taken, because they would have cost too much: the stacks of waits like them stand for them, each
//! with the part of their time that it has of the time of those whose stacks were taken. So all times stay exact.

use std::collections::BTreeMap;

use ctprof_ebpf::abi::COMM_BYTES;
use ctprof_ebpf::abi::count_key::{Count, CountKey, flags};
use ctprof_ebpf::abi::ledger::state;
use foldhash::{HashMap, HashMapExt as _};

use super::part;
use crate::collect::{RawSlices, Samples};

/// What waits have in common that stand for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Like {
    slot: u32,
    state: u32,
    syscall: u32,
    comm: [u8; COMM_BYTES],
    /// Process, its image, and the rate at which stacks were taken: chance alone decided whose. `None` where there is nothing so
    /// near.
    near: Option<(u32, u32, u32)>,
}

impl Like {
    const fn near(key: &CountKey) -> Self {
        let near = Some((key.tgid, key.exec_id, key.flags & flags::RATE));
        Self {
            near,
            ..Self::far(key)
        }
    }

    const fn far(key: &CountKey) -> Self {
        Self {
            slot: key.slot,
            state: key.state,
            syscall: key.syscall,
            comm: key.comm,
            near: None,
        }
    }
}

/// Rows of waits that are like each other.
#[derive(Default)]
struct Alike {
    /// Positions of those with stacks.
    with: Vec<usize>,
    /// And of those without.
    without: Vec<usize>,
}

/// Gives the time of waits whose stacks were skipped to those whose stacks were taken. What is like no other keeps its row.
pub fn estimate(samples: &mut Samples, slices: Option<&mut RawSlices>) {
    if !samples.counts().any(|(key, _)| is_skipped(key)) {
        return;
    }
    let before: Vec<(CountKey, Count)> = samples.counts().map(|(key, it)| (*key, it)).collect();
    let mut after: Vec<Count> = before.iter().map(|(_, count)| *count).collect();
    for like in [Like::near, Like::far] {
        let mut groups: BTreeMap<Like, Alike> = BTreeMap::new();
        for (at, (key, _)) in before.iter().enumerate() {
            if is_skipped(key) && after[at].ns > 0 {
                groups.entry(like(key)).or_default().without.push(at);
            }
        }
        for (at, (key, _)) in before.iter().enumerate() {
            if has_stacks(key)
                && let Some(group) = groups.get_mut(&like(key))
            {
                group.with.push(at);
            }
        }
        for group in groups.values() {
            give(group, &mut after);
        }
    }
    if let Some(slices) = slices {
        let rows = before.iter().zip(&after);
        scale(
            slices,
            rows.map(|((key, before), after)| (*key, (*before, *after))),
        );
    }
    let rows = before
        .iter()
        .zip(after)
        .map(|((key, _), count)| (*key, count));
    samples.replace_counts(rows.filter(|(_, count)| count.count > 0 || count.ns > 0));
}

const fn is_skipped(key: &CountKey) -> bool {
    key.flags & flags::SKIPPED != 0
}

const fn has_stacks(key: &CountKey) -> bool {
    key.flags & (flags::SKIPPED | flags::SHORT | flags::BEFORE) == 0
        && key.state as usize != state::ON_CPU
}

/// Divides what the rows without stacks have among those with stacks. To the last ns: each gets what brings the sum so far to
/// its part of the whole.
fn give(group: &Alike, counts: &mut [Count]) {
    let sum = |of: fn(&Count) -> u64, rows: &[usize]| -> u64 {
        rows.iter().map(|at| of(&counts[*at])).sum()
    };
    let all = sum(|it| it.ns, &group.with);
    if all == 0 {
        return;
    }
    let (ns, times) = (
        sum(|it| it.ns, &group.without),
        sum(|it| it.count, &group.without),
    );
    let (mut so_far, mut given_ns, mut given_times) = (0, 0, 0);
    for at in &group.with {
        so_far += counts[*at].ns;
        let (until_ns, until_times) = (part(ns, so_far, all), part(times, so_far, all));
        counts[*at].ns += until_ns - given_ns;
        counts[*at].count += until_times - given_times;
        (given_ns, given_times) = (until_ns, until_times);
    }
    for at in &group.without {
        counts[*at] = Count::default();
    }
}

/// Does the same to each slice, as far as it can be told: a row's part of a slice grows as the row does.
fn scale(slices: &mut RawSlices, rows: impl Iterator<Item = (CountKey, (Count, Count))>) {
    let mut changed: HashMap<CountKey, (Count, Count)> = HashMap::new();
    changed.extend(rows.filter(|(_, (before, after))| before != after));
    let of_key: Vec<_> = slices.keys.iter().map(|key| changed.get(key)).collect();
    for slice in &mut slices.slices {
        slice.counts.retain(|key, figures| {
            let Some((before, after)) = of_key.get(*key as usize).copied().flatten() else {
                return true;
            };
            figures.ns = part(after.ns, figures.ns, before.ns);
            figures.count = part(after.count, figures.count, before.count);
            figures.ns > 0 || figures.count > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use ctprof_ebpf::abi::count_key::{Count, CountKey, flags};
    use ctprof_ebpf::abi::ledger::state;

    use super::estimate;
    use crate::collect::{RawPart, RawSlice, RawSlices, Samples};

    const RATE_3: u32 = 3 << flags::RATE_SHIFT;

    fn key(user_stack: u64, flags: u32) -> CountKey {
        CountKey {
            user_stack,
            flags,
            slot: 5,
            tgid: 42,
            syscall: 7,
            state: state::BLOCKED as u32,
            ..CountKey::default()
        }
    }

    fn of(count: u64, ns: u64) -> Count {
        Count { count, ns }
    }

    fn estimated(rows: &[(CountKey, Count)]) -> Vec<(CountKey, Count)> {
        let mut samples = Samples::default();
        samples.add_counts(rows.iter().copied());
        estimate(&mut samples, None);
        let mut rows: Vec<_> = samples.counts().map(|(key, count)| (*key, count)).collect();
        rows.sort_by_key(|(key, _)| (key.user_stack, key.flags));
        rows
    }

    #[test]
    fn those_that_were_taken_stand_for_those_of_their_rate() {
        let rows = estimated(&[
            (key(1, RATE_3), of(10, 100)),
            (key(2, RATE_3), of(20, 301)),
            (key(3, 0), of(1, 5_000)),
            (key(0, flags::SKIPPED | RATE_3), of(240, 3_000)),
        ]);
        let parts: Vec<_> = rows
            .iter()
            .map(|(key, it)| (key.user_stack, it.count, it.ns))
            .collect();
        let sum = |of: fn(&Count) -> u64| rows.iter().map(|(_, it)| of(it)).sum::<u64>();
        assert_eq!(
            (sum(|it| it.count), sum(|it| it.ns)),
            (271, 8_401),
            "{parts:?}"
        );
        assert_eq!(parts[2], (3, 1, 5_000), "it was not a matter of chance");
        assert!((846..=850).contains(&parts[0].2), "{parts:?}");
    }

    #[test]
    fn others_stand_for_what_has_none_of_its_rate() {
        let other = CountKey {
            tgid: 43,
            ..key(3, 0)
        };
        let rows = estimated(&[
            (other, of(1, 50)),
            (key(0, flags::SKIPPED | RATE_3), of(9, 950)),
        ]);
        assert_eq!(rows, [(other, of(10, 1_000))]);
    }

    #[test]
    fn what_is_like_no_other_keeps_its_row() {
        let of_other_call = CountKey {
            syscall: 8,
            ..key(3, 0)
        };
        let before = [
            (key(0, flags::SKIPPED | RATE_3), of(9, 950)),
            (of_other_call, of(1, 50)),
            (key(0, flags::SHORT), of(1, 5)),
            (
                CountKey {
                    state: 0,
                    ..key(4, 0)
                },
                of(1, 0),
            ),
        ];
        let rows = estimated(&before);
        assert_eq!(rows.len(), 4);
        for row in before {
            assert!(rows.contains(&row), "{row:?}");
        }
    }

    #[test]
    fn slices_add_up_to_the_whole() {
        let mut samples = Samples::default();
        let keys = [key(1, RATE_3), key(0, flags::SKIPPED | RATE_3)];
        samples.add_counts([(keys[0], of(10, 1_000)), (keys[1], of(70, 7_000))]);
        let part = |count, ns| RawPart { count, ns };
        let slice = |parts: &[(u32, RawPart)]| RawSlice {
            counts: parts.iter().copied().collect(),
            ..RawSlice::default()
        };
        let mut slices = RawSlices {
            slices: vec![
                slice(&[(0, part(4, 400)), (1, part(70, 7_000))]),
                slice(&[(0, part(6, 600))]),
            ],
            keys: keys.to_vec(),
            ..RawSlices::default()
        };
        estimate(&mut samples, Some(&mut slices));
        let counts: Vec<Vec<_>> = slices
            .slices
            .iter()
            .map(|slice| slice.counts.iter().map(|(key, it)| (*key, *it)).collect())
            .collect();
        assert_eq!(counts, [[(0, part(32, 3_200))], [(0, part(48, 4_800))]]);
    }
}
