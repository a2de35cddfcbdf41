//! Raw figures of each second as slices of containers.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use ctprof_ebpf::abi::ledger::state;
use ctprof_ebpf::histogram::bounds;

use super::Owners;
use super::ledger::state_of;
use crate::collect::{RawPart, RawSlice, RawSlices, SlotSlice};
use crate::model::{Bucket, Container, Histogram, Item, Slice, SlicePart, ViewId};

/// What an item of a view is called, and its variant, by the view's number for it; `None` for what has no name.
pub type ItemName = fn(&ViewId, u64) -> Option<(String, String)>;

/// Gives every second's figures to the containers. `places` says which stack each of the raw rows became. Returns how long
/// each slice is, in ns.
pub fn container_slices(
    raw: &RawSlices,
    places: &[Option<(usize, u32)>],
    name: ItemName,
    owners: &Owners,
    containers: &mut [Container],
) -> Vec<u64> {
    let known = items(raw, name, owners, containers);
    let slices = raw.slices.iter().enumerate();
    slices
        .map(|(at, slice)| {
            for (row, mut found) in sums(slice, places, &known, owners) {
                if let Some(container) = containers.get_mut(row) {
                    found.at = at as u32;
                    container.slices.push(found);
                }
            }
            u64::try_from(slice.length.as_nanos()).unwrap_or(u64::MAX)
        })
        .collect()
}

/// Where each item is among those of its row: by row, view and number.
type Places = HashMap<(usize, u32, u64), u32>;

/// Names each row's items.
fn items(raw: &RawSlices, name: ItemName, owners: &Owners, containers: &mut [Container]) -> Places {
    let mut places = Places::new();
    for item in raw.slices.iter().flat_map(|slice| slice.items.keys()) {
        let (Some(row), Some(view)) = (owners.0.get(&item.slot), raw.views.get(item.view as usize))
        else {
            continue;
        };
        let Some(container) = containers.get_mut(*row) else {
            continue;
        };
        let Entry::Vacant(place) = places.entry((*row, item.view, item.number)) else {
            continue;
        };
        let Some((name, variant)) = name(view, item.number) else {
            continue;
        };
        let view = view.clone();
        let item = Item {
            view,
            name,
            variant,
        };
        let known = container.items.iter().position(|it| *it == item);
        let known = known.unwrap_or_else(|| {
            container.items.push(item);
            container.items.len() - 1
        });
        place.insert(known as u32);
    }
    places
}

fn sums(
    raw: &RawSlice,
    places: &[Option<(usize, u32)>],
    known: &Places,
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
    let mut items: BTreeMap<(usize, u32), RawPart> = BTreeMap::new();
    for (item, part) in &raw.items {
        if let Some(row) = owners.0.get(&item.slot)
            && let Some(place) = known.get(&(*row, item.view, item.number))
        {
            items.entry((*row, *place)).or_default().add(*part);
        }
    }
    let mut stacks: BTreeMap<(usize, u32), RawPart> = BTreeMap::new();
    for (key, part) in &raw.counts {
        if let Some(place) = places.get(*key as usize).copied().flatten() {
            stacks.entry(place).or_default().add(*part);
        }
    }
    for (of, part) in items {
        rows.entry(of.0)
            .or_default()
            .items
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

    use super::{ItemName, container_slices};
    use crate::aggregate::Owners;
    use crate::collect::{ItemOf, RawPart, RawSlice, RawSlices, SlotSlice};
    use crate::model::{Container, SlicePart, State, ViewId};

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
        let item = |view, slot, number| ItemOf { view, slot, number };
        let raw = RawSlices {
            slices: vec![
                RawSlice::default(),
                RawSlice {
                    length: Duration::from_secs(1),
                    slots: [(3, slot(5, 0)), (4, slot(6, 7)), (9, slot(1, 1))].into(),
                    items: [
                        (item(0, 3, 1), part(2, 20)),
                        (item(0, 4, 1), part(3, 30)),
                        (item(0, 3, 99), part(1, 1)),
                        (item(1, 3, 1), part(7, 70)),
                    ]
                    .into(),
                    // Two rows that became one stack, and one of nobody.
                    counts: [(0, part(1, 0)), (1, part(4, 0)), (2, part(9, 9))].into(),
                },
            ],
            keys: Vec::new(),
            views: vec![ViewId::new("one"), ViewId::new("other")],
        };
        let name: ItemName = |view, number| {
            let name = (format!("{view}{number}"), String::new());
            (number != 99).then_some(name)
        };
        let mut containers = [Container::default()];
        let owners = Owners([(3, 0), (4, 0)].into());
        let places = [Some((0, 8)), Some((0, 8)), None];

        let lengths = container_slices(&raw, &places, name, &owners, &mut containers);

        assert_eq!(lengths, [0, 1_000_000_000]);
        let [slice] = containers[0].slices.as_slice() else {
            panic!("{:?}", containers[0].slices);
        };
        assert_eq!((slice.at, slice.on_cpu_ns, slice.stops), (1, 11, 2));
        assert_eq!(slice.off_cpu_ns, [(State::BlockedLock, 7)]);
        let latency = &slice.run_queue_latency;
        assert_eq!((latency.count, latency.sum_ns), (4, 60));
        assert_eq!(latency.buckets[0].count, 4);
        let of = |of, count, ns| SlicePart { of, count, ns };
        // The item without a name is nowhere.
        assert_eq!(slice.items, [of(0, 5, 50), of(1, 7, 70)]);
        let items = containers[0].items.iter();
        let names: Vec<&str> = items.map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["one1", "other1"]);
        assert_eq!(slice.stacks, [of(8, 5, 0)]);
    }
}
