//! Two windows of one host as one, and the window between the ends of two that began together.
//!
//! Sums add up, and what a window says of its end is what the later one says of it. Not exact are only:
//!
//! - a system call that spans the border is in neither histogram and counts as one that began before, as in each window
//!   alone;
//! - a process or file without names counts once in each window (`unnamed`);
//! - a culprit that had a row in one window and none in the other stays two culprits;
//! - the largest of a series, in a difference, where the earlier window may have had it (`sums`).

use std::collections::HashMap;

use super::slice::Referred;
use super::sums::{Op, Sums, combine_lists};
use super::{Container, Culprit, FrameId, FrameTable, RowKey, Unnamed, Window};

impl Window {
    /// Makes this window one over itself and the one that follows it on the same host. An empty window on either side
    /// changes nothing.
    pub fn merge(&mut self, later: Self) {
        if later.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = later;
            return;
        }
        self.duration_ns = self.duration_ns.saturating_add(later.duration_ns);
        self.ctprof_version = later.ctprof_version;
        self.kernel = later.kernel;
        self.frequency_hz = later.frequency_hz;
        self.event = later.event;
        self.cpus = later.cpus;
        self.stolen.combine(&later.stolen, Op::Add);
        Op::Add.on_parts(&mut self.lost, &later.lost);
        for one in later.unavailable {
            if !self.unavailable.contains(&one) {
                self.unavailable.push(one);
            }
        }
        combine_lists(&mut self.unnamed, &later.unnamed, Op::Add, by_cause);

        // A row that the later window does not have has no thread, and nothing in progress, at its end.
        for row in &mut self.rows {
            row.threads = row.threads.map(|_| 0);
            row.measured.row_ended();
        }
        let first = self.slices_ns.len() as u32;
        self.slices_ns.extend(&later.slices_ns);
        let frames = self.frames.join(&later.frames);
        let mut added = self.rows.len();
        let places: Vec<usize> = places(&later.rows, &self.rows)
            .into_iter()
            .map(|place| {
                place.unwrap_or_else(|| {
                    added += 1;
                    added - 1
                })
            })
            .collect();
        for (mut row, place) in later.rows.into_iter().zip(&places) {
            translate(&mut row, &frames, |position| places.get(position).copied());
            for slice in &mut row.slices {
                slice.at += first;
            }
            match self.rows.get_mut(*place) {
                Some(own) => {
                    let (before, added) = (Referred::of(own), Referred::of(&row));
                    own.combine(&row, Op::Add);
                    for item in std::mem::take(&mut row.items) {
                        if !own.items.contains(&item) {
                            own.items.push(item);
                        }
                    }
                    let mut slices = std::mem::take(&mut own.slices);
                    before.rewrite(&mut slices, own);
                    added.rewrite(&mut row.slices, own);
                    slices.append(&mut row.slices);
                    own.slices = slices;
                    own.identity = row.identity;
                    own.cpu_quota_cores = row.cpu_quota_cores;
                    own.threads = row.threads;
                }
                None => self.rows.push(row),
            }
        }
    }

    /// What was measured since the end of `earlier`, which began when this window did. Rows without anything since are
    /// kept: positions of culprits stay what they are.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        if earlier.is_empty() {
            return self;
        }
        self.start_unix_ns = earlier.end_unix_ns();
        self.duration_ns = self.duration_ns.saturating_sub(earlier.duration_ns);
        self.stolen.combine(&earlier.stolen, Op::Subtract);
        Op::Subtract.on_parts(&mut self.lost, &earlier.lost);
        combine_lists(&mut self.unnamed, &earlier.unnamed, Op::Subtract, by_cause);
        let gone = earlier.slices_ns.len().min(self.slices_ns.len());
        self.slices_ns.drain(..gone);
        for row in &mut self.rows {
            row.slices.retain_mut(|slice| {
                let is_later = slice.at as usize >= gone;
                slice.at = slice.at.saturating_sub(gone as u32);
                is_later
            });
        }
        let frames = self.frames.join(&earlier.frames);
        let places = places(&earlier.rows, &self.rows);
        for (row, place) in earlier.rows.iter().zip(&places) {
            if let Some(own) = place.and_then(|place| self.rows.get_mut(place)) {
                let mut row = row.clone();
                translate(&mut row, &frames, |position| *places.get(position)?);
                let before = Referred::of(own);
                own.combine(&row, Op::Subtract);
                let mut slices = std::mem::take(&mut own.slices);
                before.rewrite(&mut slices, own);
                own.slices = slices;
            }
        }
        self
    }
}

fn by_cause(a: &Unnamed, b: &Unnamed) -> std::cmp::Ordering {
    a.cause.cmp(&b.cause)
}

/// For each of the `rows` the position of the same row in `among`. Of several with one key, which no recording has, the
/// first is the first.
fn places(rows: &[Container], among: &[Container]) -> Vec<Option<usize>> {
    let mut known: HashMap<RowKey<'_>, Vec<usize>> = HashMap::new();
    for (position, row) in among.iter().enumerate().rev() {
        known.entry(row.identity.key()).or_default().push(position);
    }
    rows.iter()
        .map(|row| known.get_mut(&row.identity.key())?.pop())
        .collect()
}

/// Puts a row of another window in the terms of this one. A culprit without a row here is unknown.
fn translate(row: &mut Container, frames: &[FrameId], place: impl Fn(usize) -> Option<usize>) {
    for id in row.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
        *id = frames[id.0 as usize];
    }
    for delay in row.ledger.iter_mut().flat_map(|it| &mut it.delayed_by) {
        if let Culprit::Row(position) = delay.culprit {
            delay.culprit = place(position).map_or(Culprit::Unknown, Culprit::Row);
        }
    }
}

impl FrameTable {
    /// Adds the frames and modules of another table. Returns what each of its frames is called here, in their order.
    pub fn join(&mut self, other: &Self) -> Vec<FrameId> {
        let modules: Vec<_> = other
            .modules()
            .iter()
            .map(|module| self.intern_module(module.clone()))
            .collect();
        other
            .frames()
            .iter()
            .map(|frame| {
                let mut frame = frame.clone();
                frame.module = frame.module.map(|id| modules[id.0 as usize]);
                self.intern(frame)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
