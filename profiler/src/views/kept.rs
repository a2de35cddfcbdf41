//! What the kernel half counted, kept for rows that outlive the slots that it counts by.

use std::collections::HashMap;
use std::fmt::Debug;

use crate::collect::RawViews;
use crate::model::Container;

/// Who owns what is new of a slot; `None` if nobody knows yet.
pub type RowOf<'a> = &'a dyn Fn(u32) -> Option<u64>;

/// Sums of one view by row, which only grow. Whoever keeps the rows numbers them.
pub trait Kept: Debug + Send {
    /// Adds what is new since the last reading. Without an owner, it is new at the next reading as well.
    fn add(&mut self, now: &RawViews, row_of: RowOf<'_>);

    /// Adds what is new of slots that are others' from now on, and forgets their last reading.
    fn add_last(&mut self, taken: &RawViews, row_of: RowOf<'_>);

    /// One row's sums are another's as well.
    fn merge(&mut self, from: u64, into: u64);

    /// A row is there no more.
    fn remove(&mut self, row: u64);

    /// Gives rows their figures; `places` says where each is.
    fn fold(&self, places: &HashMap<u64, usize>, rows: &mut [Container]);

    /// How much is remembered, in entries.
    #[cfg(test)]
    fn entries(&self) -> usize;
}
