//! Slices of a row: as records, and back.

use super::decode::{Decoded, Known, broken, histogram};
use super::layout::{PartRecord, SliceRecord};
use super::limits;
use super::write::{histogram_record, state_number};
use crate::model::{Container, Slice, SlicePart, Window};

/// The record of a slice. `places` has where in the file each of the row's stacks is.
pub(super) fn record(slice: &Slice, places: &[u32]) -> SliceRecord {
    let mut stacks = slice.stacks.clone();
    for part in &mut stacks {
        part.of = places.get(part.of as usize).copied().unwrap_or(u32::MAX);
    }
    stacks.sort_unstable_by_key(|part| part.of);
    SliceRecord {
        at: slice.at,
        on_cpu_ns: slice.on_cpu_ns,
        off_cpu_ns: slice
            .off_cpu_ns
            .iter()
            .map(|(state, ns)| (state_number(*state), *ns))
            .collect(),
        voluntary_switches: slice.voluntary_switches,
        involuntary_switches: slice.involuntary_switches,
        migrations: slice.migrations,
        run_queue_latency: histogram_record(&slice.run_queue_latency),
        stops: slice.stops,
        items: part_records(&slice.items),
        stacks: part_records(&stacks),
    }
}

fn part_records(parts: &[SlicePart]) -> Vec<PartRecord> {
    let mut before = 0;
    let records = parts.iter().map(|part| {
        let distance = part.of.wrapping_sub(before);
        before = part.of;
        (distance, part.count, part.ns)
    });
    records.collect()
}

/// Whether there may be as many slices, and as long ones, as the file says.
pub(super) fn check(lengths_ns: &[u64], known: &mut Known) -> Decoded<()> {
    if lengths_ns.len() > limits::SLICES {
        return Err(broken());
    }
    lengths_ns.iter().try_for_each(|ns| known.add_time(*ns))
}

/// Adds the slice in a record to its row, whose stacks and items are there.
pub(super) fn push(record: &SliceRecord, row: &mut Container, known: &mut Known) -> Decoded<()> {
    let slice = slice(record, row, known)?;
    if row
        .slices
        .last()
        .is_some_and(|before| before.at >= slice.at)
    {
        return Err(broken());
    }
    row.slices.push(slice);
    Ok(())
}

/// How many stacks and items all slices of a window have.
pub(super) fn count_parts(window: &Window) -> usize {
    let slices = window.rows.iter().flat_map(|row| &row.slices);
    slices.map(|it| it.stacks.len() + it.items.len()).sum()
}

fn slice(record: &SliceRecord, row: &Container, known: &mut Known) -> Decoded<Slice> {
    if record.at as usize >= known.slices {
        return Err(broken());
    }
    let left = known.slice_parts.checked_sub(record.items.len());
    let left = left.and_then(|left| left.checked_sub(record.stacks.len()));
    known.slice_parts = left.ok_or_else(broken)?;
    known.add_time(record.on_cpu_ns)?;
    let mut off_cpu_ns = Vec::with_capacity(record.off_cpu_ns.len());
    for (state, ns) in &record.off_cpu_ns {
        known.add_time(*ns)?;
        off_cpu_ns.push((known.state(*state)?, *ns));
    }
    Ok(Slice {
        at: record.at,
        on_cpu_ns: record.on_cpu_ns,
        off_cpu_ns,
        voluntary_switches: record.voluntary_switches,
        involuntary_switches: record.involuntary_switches,
        migrations: record.migrations,
        run_queue_latency: histogram(&record.run_queue_latency)?,
        stops: record.stops,
        items: parts(&record.items, row.items.len())?,
        stacks: parts(&record.stacks, row.stacks.len())?,
    })
}

fn parts(records: &[PartRecord], length: usize) -> Decoded<Vec<SlicePart>> {
    let mut before = 0_u32;
    let parts = records.iter().map(|(distance, count, ns)| {
        let of = before.wrapping_add(*distance);
        before = of;
        if of as usize >= length {
            return Err(broken());
        }
        Ok(SlicePart {
            of,
            count: *count,
            ns: *ns,
        })
    });
    parts.collect()
}
