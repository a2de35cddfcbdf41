//! Figures that add up: what merging and subtracting windows do to each.

mod figures;

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What to do with two figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The second is of the window that follows.
    Add,
    /// The second is a part of the first.
    Subtract,
}

impl Op {
    /// Two sums.
    pub fn on(self, a: &mut u64, b: u64) {
        *a = match self {
            Self::Add => a.saturating_add(b),
            Self::Subtract => a.saturating_sub(b),
        };
    }

    /// Two sums that not every host has.
    pub fn on_optional(self, a: &mut Option<u64>, b: Option<u64>) {
        match (a, b) {
            (Some(a), Some(b)) => self.on(a, b),
            (a @ None, b) if self == Self::Add => *a = b,
            _ => {}
        }
    }

    /// Figures of one part each. A part that only the second has is added.
    pub fn on_parts<K: Ord + Clone>(self, a: &mut BTreeMap<K, u64>, b: &BTreeMap<K, u64>) {
        for (key, b) in b {
            match a.get_mut(key) {
                Some(a) => self.on(a, *b),
                None if self == Self::Add => {
                    a.insert(key.clone(), *b);
                }
                None => {}
            }
        }
    }

    /// The largest of a series whose values lie in buckets up to `end_ns`. One that the part may have had is not known
    /// to be in the rest: then the end of the highest bucket that has a value stands for it.
    pub fn on_max(self, a: &mut u64, b: u64, end_ns: Option<u64>) {
        match self {
            Self::Add => *a = (*a).max(b),
            Self::Subtract if *a > b => {}
            Self::Subtract => *a = end_ns.map_or(0, |end| end.saturating_sub(1).min(*a)),
        }
    }
}

/// Figures that a window has as sums.
pub trait Sums: Clone {
    /// Adds the figures of the window that follows, or takes away those of a part.
    fn combine(&mut self, other: &Self, op: Op);

    /// Whether there is nothing left, so that an entry of a list can go.
    fn is_nothing(&self) -> bool {
        false
    }
}

impl<T: Sums> Sums for Option<T> {
    fn combine(&mut self, other: &Self, op: Op) {
        match (self, other) {
            (Some(own), Some(other)) => own.combine(other, op),
            (own @ None, other) if op == Op::Add => own.clone_from(other),
            _ => {}
        }
    }
}

/// Combines lists in which each entry is the only one of its place in `order`, which the result is in.
pub fn combine_lists<T: Sums>(
    own: &mut Vec<T>,
    other: &[T],
    op: Op,
    order: impl Fn(&T, &T) -> Ordering,
) {
    own.sort_by(&order);
    let known = own.len();
    for entry in other {
        match own[..known].binary_search_by(|own| order(own, entry)) {
            Ok(position) => own[position].combine(entry, op),
            Err(_) if op == Op::Add => own.push(entry.clone()),
            Err(_) => {}
        }
    }
    match op {
        Op::Add => own.sort_by(&order),
        Op::Subtract => own.retain(|entry| !entry.is_nothing()),
    }
}

/// What is new of a counter, which is remembered. One that is smaller than it was has nothing new, and counts as it was.
pub const fn new_of(seen: &mut u64, now: u64) -> u64 {
    let new = now.saturating_sub(*seen);
    *seen += new;
    new
}
