//! Whose stacks are wanted, in a ledger that goes on while this changes.

use super::ledger::state;

/// Value of the `WANTED` map, by slot. User space writes it; a newborn cgroup inherits that of the one above.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Since when, by `CLOCK_MONOTONIC`: intervals that began before do not count.
    pub since_ns: u64,
    /// Bits of states, see [`bit`]; 0 for no stacks.
    pub states: u32,
    /// Always 0.
    pub padding: u32,
}

/// The bit of a state: one for each up to [`state::BLOCKED`], which stands for all reasons to be blocked.
#[inline(always)]
#[must_use]
pub const fn bit(state: usize) -> u32 {
    if state > state::BLOCKED {
        1 << state::BLOCKED
    } else {
        1 << state
    }
}

const _: () = assert!(size_of::<Wanted>() == 16);
