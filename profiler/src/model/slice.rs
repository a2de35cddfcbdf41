//! What a row did in each of the short pieces that a window is made of: what its figures vary by, which is how a
//! difference of two windows is told from noise.

use super::{Container, Histogram, Stack, State, ViewId};

/// One piece of a row. Positions are those of the row's own lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Which piece of the window: a position in [`Window::slices_ns`](super::Window::slices_ns).
    pub at: u32,
    /// Time on the CPU, exact. Its parts in user space and in the kernel are as its samples are.
    pub on_cpu_ns: u64,
    /// Time in each other state; none is 0.
    pub off_cpu_ns: Vec<(State, u64)>,
    /// Context switches away from a thread that blocked.
    pub voluntary_switches: u64,
    /// Context switches away from a thread that could have gone on.
    pub involuntary_switches: u64,
    /// Moves of waiting threads to another CPU.
    pub migrations: u64,
    /// Waits for a CPU that ended in it. The longest is not known: 0.
    pub run_queue_latency: Histogram,
    /// Times that a quota stopped a thread.
    pub stops: u64,
    /// What views count one by one: position in [`Container::items`], how many ended, time in ns.
    pub items: Vec<SlicePart>,
    /// Stacks: position in [`Container::stacks`], samples or intervals, ns of intervals. Time on the CPU is 0: the
    /// samples say it.
    pub stacks: Vec<SlicePart>,
}

/// One of the things that a view counts one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The view.
    pub view: ViewId,
    /// Its name.
    pub name: String,
    /// What tells it from others of the view with this name; empty for most.
    pub variant: String,
}

/// What one of a row's stacks or items had of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlicePart {
    /// Position in the row's list.
    pub of: u32,
    /// How often.
    pub count: u64,
    /// How long.
    pub ns: u64,
}

impl Slice {
    /// What it has of the items of a view.
    pub fn items_of<'a>(
        &'a self,
        row: &'a Container,
        view: &'a ViewId,
    ) -> impl Iterator<Item = (&'a Item, &'a SlicePart)> {
        let items = self.items.iter().filter_map(|part| {
            let item = row.items.get(part.of as usize)?;
            Some((item, part))
        });
        items.filter(move |(item, _)| item.view == *view)
    }
}

/// What the slices of a row refer to, by what it is and not by its place: combining rows puts their lists in another order.
#[derive(Debug, Default)]
pub(super) struct Referred {
    stacks: Vec<Stack>,
    items: Vec<Item>,
}

impl Referred {
    /// Nothing where the row has no slices: they are few, and a row's stacks many.
    pub(super) fn of(row: &Container) -> Self {
        if row.slices.is_empty() {
            return Self::default();
        }
        Self {
            stacks: row.stacks.clone(),
            items: row.items.clone(),
        }
    }

    /// Has these slices refer to the lists of `row`, which are in order. What it does not have any more is dropped.
    pub(super) fn rewrite(&self, slices: &mut [Slice], row: &Container) {
        if slices.is_empty() {
            return;
        }
        let stacks = self.stacks.iter().map(|stack| {
            let found = row.stacks.binary_search_by(|own| own.order(stack));
            found.ok().map(|place| place as u32)
        });
        let stacks: Vec<Option<u32>> = stacks.collect();
        let items = self.items.iter().map(|item| {
            let found = row.items.iter().position(|own| own == item);
            found.map(|place| place as u32)
        });
        let items: Vec<Option<u32>> = items.collect();
        for slice in slices {
            for (parts, places) in [(&mut slice.stacks, &stacks), (&mut slice.items, &items)] {
                parts.retain_mut(|part| {
                    let place = places.get(part.of as usize).copied().flatten();
                    part.of = place.unwrap_or_default();
                    place.is_some()
                });
                parts.sort_unstable_by_key(|part| part.of);
            }
        }
    }
}
