//! Raw figures of each second as slices of containers.

use std::collections::{BTreeMap, HashMap};

use ctprof_ebpf::abi::ledger::state;
use ctprof_ebpf::histogram::bounds;

use super::Owners;
use super::ledger::state_of;
use crate::collect::{RawPart, RawSlice, RawSlices, SlotSlice};
use crate::host::syscalls::CallNames;
use crate::model::{Bucket, Container, Histogram, Slice, SlicePart};

/// Gives every second's figures to the containers. `places` says which stack each of the raw rows became. Returns how long
/// each slice is, in ns.
pub fn container_slices(
    raw: &RawSlices,
    places: &[Option<(usize, u32)>],
    names: CallNames,
    owners: &Owners,
    containers: &mut [Container],
) -> Vec<u64> {
    let known = calls(raw, names, owners, containers);
    let place_of_call = |row: usize, number, abi| known.get(&(row, number, abi)).copied();
    let slices = raw.slices.iter().enumerate();
    slices
        .map(|(at, slice)| {
            for (row, mut found) in sums(slice, places, place_of_call, owners) {
                if let Some(container) = containers.get_mut(row) {
                    found.at = at as u32;
                    container.slices.push(found);
                }
            }
            u64::try_from(slice.length.as_nanos()).unwrap_or(u64::MAX)
        })
        .collect()
}

/// Names each row's calls. Returns the place of each among them, by row, number and ABI.
fn calls(
    raw: &RawSlices,
    names: CallNames,
    owners: &Owners,
    containers: &mut [Container],
) -> HashMap<(usize, u32, u32), u32> {
    let mut places = HashMap::new();
    for (slot, number, abi) in raw.slices.iter().flat_map(|slice| slice.calls.keys()) {
        let Some(row) = owners.0.get(slot) else {
            continue;
        };
        let Some(container) = containers.get_mut(*row) else {
            continue;
        };
        places.entry((*row, *number, *abi)).or_insert_with(|| {
            let name = ((names.call)(*number, *abi), (names.abi)(*abi).to_owned());
            let calls = &mut container.sliced_calls;
            let known = calls.iter().position(|call| *call == name);
            let place = known.unwrap_or_else(|| {
                calls.push(name);
                calls.len() - 1
            });
            place as u32
        });
    }
    places
}

fn sums(
    raw: &RawSlice,
    places: &[Option<(usize, u32)>],
    place_of_call: impl Fn(usize, u32, u32) -> Option<u32>,
    owners: &Owners,
) -> BTreeMap<usize, Slice> {
    let mut rows: BTreeMap<usize, Slice> = BTreeMap::new();
    let mut figures: BTreeMap<usize, SlotSlice> = BTreeMap::new();
    for (slot, slice) in &raw.slots {
        if let Some(row) = owners.0.get(slot) {
            figures.entry(*row).or_default().add(slice);
        }
    }
    for (row, figures) in figures {
        rows.insert(row, of_ledger(&figures));
    }
    let mut calls: BTreeMap<(usize, u32), RawPart> = BTreeMap::new();
    for ((slot, number, abi), part) in &raw.calls {
        if let Some(row) = owners.0.get(slot)
            && let Some(place) = place_of_call(*row, *number, *abi)
        {
            add(calls.entry((*row, place)).or_default(), *part);
        }
    }
    let mut stacks: BTreeMap<(usize, u32), RawPart> = BTreeMap::new();
    for (key, part) in &raw.counts {
        if let Some(place) = places.get(*key as usize).copied().flatten() {
            add(stacks.entry(place).or_default(), *part);
        }
    }
    for (of, part) in calls {
        rows.entry(of.0)
            .or_default()
            .calls
            .push(slice_part(of.1, part));
    }
    for (of, part) in stacks {
        rows.entry(of.0)
            .or_default()
            .stacks
            .push(slice_part(of.1, part));
    }
    rows
}

const fn add(sum: &mut RawPart, part: RawPart) {
    sum.count = sum.count.saturating_add(part.count);
    sum.ns = sum.ns.saturating_add(part.ns);
}

const fn slice_part(of: u32, part: RawPart) -> SlicePart {
    SlicePart {
        of,
        count: part.count,
        ns: part.ns,
    }
}

fn of_ledger(figures: &SlotSlice) -> Slice {
    let states = figures.time_ns.iter().enumerate();
    let off_cpu = states.filter(|(number, ns)| *number != state::ON_CPU && **ns > 0);
    let buckets = figures.wait_buckets.iter().map(|(bucket, count)| {
        let (from_ns, to_ns) = bounds(*bucket);
        Bucket {
            from_ns,
            to_ns,
            count: *count,
        }
    });
    Slice {
        on_cpu_ns: figures.time_ns[state::ON_CPU],
        off_cpu_ns: off_cpu
            .map(|(number, ns)| (state_of(number, false), *ns))
            .collect(),
        voluntary_switches: figures.voluntary,
        involuntary_switches: figures.involuntary,
        migrations: figures.migrations,
        run_queue_latency: Histogram {
            count: figures.waits.count,
            sum_ns: figures.waits.ns,
            max_ns: 0,
            buckets: buckets.collect(),
        },
        stops: figures.stops,
        ..Slice::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use ctprof_ebpf::abi::ledger::state;

    use super::container_slices;
    use crate::aggregate::Owners;
    use crate::collect::{RawPart, RawSlice, RawSlices, SlotSlice};
    use crate::host::syscalls::CallNames;
    use crate::model::{Container, SlicePart, State};

    #[test]
    fn slots_of_a_container_are_one_slice() {
        let slot = |on_cpu, locked| {
            let mut slice = SlotSlice {
                stops: 1,
                waits: RawPart { count: 2, ns: 30 },
                wait_buckets: BTreeMap::from([(4, 2)]),
                ..SlotSlice::default()
            };
            slice.time_ns[state::ON_CPU] = on_cpu;
            slice.time_ns[state::BLOCKED + ctprof_ebpf::abi::ledger::reason::LOCK as usize] =
                locked;
            slice
        };
        let part = |count, ns| RawPart { count, ns };
        let raw = RawSlices {
            slices: vec![
                RawSlice::default(),
                RawSlice {
                    length: Duration::from_secs(1),
                    slots: [(3, slot(5, 0)), (4, slot(6, 7)), (9, slot(1, 1))].into(),
                    calls: [((3, 1, 0), part(2, 20)), ((4, 1, 0), part(3, 30))].into(),
                    // Two rows that became one stack, and one of nobody.
                    counts: [(0, part(1, 0)), (1, part(4, 0)), (2, part(9, 9))].into(),
                },
            ],
            keys: Vec::new(),
        };
        let names = CallNames {
            call: |number, _| format!("call{number}"),
            abi: |_| "",
            error: |_| String::new(),
        };
        let mut containers = [Container::default()];
        let owners = Owners([(3, 0), (4, 0)].into());
        let places = [Some((0, 8)), Some((0, 8)), None];

        let lengths = container_slices(&raw, &places, names, &owners, &mut containers);

        assert_eq!(lengths, [0, 1_000_000_000]);
        let [slice] = containers[0].slices.as_slice() else {
            panic!("{:?}", containers[0].slices);
        };
        assert_eq!((slice.at, slice.on_cpu_ns, slice.stops), (1, 11, 2));
        assert_eq!(slice.off_cpu_ns, [(State::BlockedLock, 7)]);
        let latency = &slice.run_queue_latency;
        assert_eq!((latency.count, latency.sum_ns), (4, 60));
        assert_eq!(latency.buckets[0].count, 4);
        let (of, count, ns) = (0, 5, 50);
        assert_eq!(slice.calls, [SlicePart { of, count, ns }]);
        let named = [("call1".to_owned(), String::new())];
        assert_eq!(containers[0].sliced_calls, named);
        let (of, count, ns) = (8, 5, 0);
        assert_eq!(slice.stacks, [SlicePart { of, count, ns }]);
    }
}
