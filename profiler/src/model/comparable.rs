//! Figures that two windows are compared by, and by what part each differs between runs of one program.

use super::{Container, Slice};

/// By what part the time of a program's own functions differs between runs. Standard deviation of the logarithm, as below.
pub const OWN_TIME: f64 = 0.003;
/// The same of calls and sleeps.
pub const WAITING: f64 = 0.05;

/// What a sum is of, and so what it is divided by where no unit of work is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Time, by the wall clock's: how many CPUs or threads.
    Time,
    /// Time, by the threads'.
    State,
    /// A number, by the wall clock's time.
    Number,
}

/// A sum over slices: of the row with this slice.
pub type OfSlice = fn(&Container, &Slice) -> f64;

/// How a figure is read.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// Off slices, as a sum.
    Sum(Dimension, OfSlice),
    /// One sum by another.
    Mean(OfSlice, OfSlice),
    /// Off the whole recording, where seconds are not known; `None` where the row has none.
    Whole(Dimension, fn(&Container) -> Option<u64>),
}

/// A figure of a view.
#[derive(Clone, Copy, Debug)]
pub struct Comparable {
    /// What it is called in JSON and in rules. It begins with the view's id and a dot.
    pub id: &'static str,
    /// What it is, for people.
    pub meaning: &'static str,
    /// By what part it differs between runs of one program.
    pub between_runs: f64,
    /// How it is read.
    pub read: Read,
}
