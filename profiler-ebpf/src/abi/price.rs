//! What stacks of waits take of a CPU, and how it is kept below a limit.

/// Value of the `PRICE` map, one for each CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// The tenth of a second, counted from the start of the clock, that the next ones are about, up to `rate`.
    pub tenth: u64,
    /// Time that taking stacks took in it, of waits that were chosen by chance.
    pub spent_ns: u64,
    /// And of others.
    pub in_any_case_ns: u64,
    /// Beyond this time the rate goes down once more.
    pub next_ns: u64,
    /// Stacks are taken of one wait in two to the power of this.
    pub rate: u64,
    /// Waits whose stacks were taken.
    pub taken: u64,
    /// Waits that have the stacks of the same thread's last wait at the same place.
    pub reused: u64,
    /// Of `taken`: waits at a known place, to see whether the stacks are the same.
    pub checked: u64,
    /// Of `checked`: waits whose stacks were others.
    pub differed: u64,
    /// Waits without stacks, because those would have cost too much.
    pub skipped: u64,
    /// Time that taking stacks took.
    pub total_ns: u64,
    /// Tenths of a second in which waits were skipped.
    pub short_of: u64,
    /// The highest rate so far.
    pub highest_rate: u64,
    /// The last of `short_of`.
    pub skipped_in: u64,
}

const _: () = assert!(size_of::<Price>() == 112);
