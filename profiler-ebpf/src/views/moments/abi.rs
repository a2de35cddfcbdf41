//! Moments of threads as they cross the border: the longest that each ran between two waits, who woke those that waited for a
//! lock, and who was killed because memory was short.

use core::cell::Cell;

use crate::abi::COMM_BYTES;
use crate::abi::count_key::CountKey;
use crate::abi::layout::GlobalName;
use crate::abi::ledger::state;
use crate::abi::loss::Cause;
use crate::views::View;

/// What is kept of a thread.
#[repr(C)]
#[derive(Debug, Default)]
pub struct OfThread {
    /// How long it has run since it last waited or looked for events, but for the stretch on the CPU that it is in.
    pub ran_ns: Cell<u64>,
    /// When it last looked for events.
    pub looked_ns: Cell<u64>,
    /// The longest that it ran in between.
    pub longest_ns: Cell<u64>,
    /// The longest that it waited.
    pub waited_ns: Cell<u64>,
    /// When its last wait for a lock ended.
    pub woken_ns: Cell<u64>,
    /// Who had the lock for most of that wait.
    pub holder: Cell<CountKey>,
}

/// Names of what can be lost, by [`Lost`].
pub const LOSSES: &[&str] = &["longest_run_dropped"];

/// What can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lost {
    /// A thread's longest stretch found `LONGEST` full.
    Longest = 0,
}

impl From<Lost> for Cause {
    #[inline(always)]
    fn from(lost: Lost) -> Self {
        Self::of_view(View::moments, lost as u32)
    }
}

/// Globals that the loader sets.
pub mod global {
    use super::GlobalName;

    /// 1 when these are measured.
    pub const MOMENTS: GlobalName = "MOMENTS";
    /// 1 where the tracepoint `mark_victim` has the thread, and not its number (from Linux 6.8 on).
    pub const VICTIM_IS_TASK: GlobalName = "VICTIM_IS_TASK";
}

/// In [`CountKey::state`]: no state of a thread but a wait for a lock that is over. The stack is that with which the thread that
/// had the lock let go of it, in place of the quota period stands the user stack of the one that waited, and the slot is the
/// latter's.
pub const WOKEN: u32 = state::COUNT as u32;

/// Waits for locks that are shorter are not asked who ended them.
pub const LEAST_NS: u64 = 1_000_000;

/// The longest of a thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// That it ran without a wait, or a look for events.
    pub ran_ns: u64,
    /// That it waited.
    pub waited_ns: u64,
}

/// Whose longest stretch, and longest wait, it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LongestKey {
    /// Slot of the thread.
    pub slot: u32,
    /// Its process.
    pub tgid: u32,
    /// Its name, NUL-padded.
    pub comm: [u8; COMM_BYTES],
}

const _: () = assert!(size_of::<LongestKey>() == 24);
const _: () = assert!(size_of::<OfThread>() == 40 + 64);
