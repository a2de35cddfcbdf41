//! System calls as they cross the border: rows, the call that a thread is in, slow calls.

use core::cell::Cell;

use crate::abi::COMM_BYTES;
use crate::abi::event;
use crate::abi::layout::GlobalName;
use crate::abi::loss::Cause;
use crate::abi::syscall::{LAST_NUMBER, abi};
use crate::views::View;

/// What is kept of a thread: the call that it is in, while it is not on a CPU.
pub type OfThread = Cell<Call>;

/// A call took longer than the limit: a [`SlowCall`].
pub const SLOW_CALL: u32 = event::of_view(View::syscalls, 0);

/// Names of what can be lost, by [`Lost`].
pub const LOSSES: &[&str] = &["call_map_full", "slow_call_dropped"];

/// What can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lost {
    /// A new row found `CALLS` full: these calls are missing.
    MapFull = 0,
    /// A slow call found the ring buffer full, or too many came in one second: it is not shown.
    SlowCall = 1,
}

impl From<Lost> for Cause {
    #[inline(always)]
    fn from(lost: Lost) -> Self {
        Self::of_view(View::syscalls, lost as u32)
    }
}

/// Globals that the loader sets.
pub mod global {
    use super::GlobalName;

    /// What is wanted: one of [`super::view`].
    pub const CALL_VIEW: GlobalName = "CALL_VIEW";
    /// 1 when calls under a seccomp filter are told from others.
    pub const CALL_CONFINED: GlobalName = "CALL_CONFINED";
    /// Calls that take at least this many ns are sent to user space; 0 for none.
    pub const SLOW_NS: GlobalName = "SLOW_NS";
    /// 1 when calls that a seccomp profile would deny are sent like slow ones, and those that were refused.
    pub const JUDGE: GlobalName = "JUDGE";
    /// 1 when they are sent with their user stacks.
    pub const SLOW_STACKS: GlobalName = "SLOW_STACKS";
}

/// Values of [`global::CALL_VIEW`].
pub mod view {
    /// Nothing: no hook is attached.
    pub const OFF: u32 = 0;
    /// How often, with which result.
    pub const COUNTS: u32 = 1;
    /// And for how long.
    pub const TIMES: u32 = 2;
}

/// What became of a call.
pub mod kind {
    /// It began and returned while recording.
    pub const RETURNED: u32 = 0;
    /// Its thread ended in it: `exit`, `exit_group`.
    pub const NEVER: u32 = 1;
    /// It had begun before the recording did, and returned. Its time is the part inside the recording.
    pub const BEFORE: u32 = 2;
    /// It was not executed: seccomp, or a tracer, gave the result instead.
    pub const REFUSED: u32 = 3;
    /// It has not returned yet. Its time is that so far.
    pub const OPEN: u32 = 4;
    /// It had begun before the recording did, and has not returned. Its time is the whole recording.
    pub const THROUGHOUT: u32 = 5;
}

/// Largest number of an error, as in the kernel's `err.h`.
pub const MAX_ERROR: i64 = 4095;

/// Numbers, of each [`abi`], that a profile can judge: what is beyond is not judged.
pub const JUDGED: u32 = 1_024;

/// Entries of a CPU's cache of rows, as a power of two.
pub const CACHE_BITS: u32 = 9;
/// Entries of a CPU's cache of rows.
pub const CACHE: u32 = 1 << CACHE_BITS;

/// Key of a row: whose, which call, what became of it, and the [`crate::histogram`] bucket of its time. In one
/// word, so that it is compared and hashed as one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey(pub u64);

const ERROR_SHIFT: u32 = 7;
const KIND_SHIFT: u32 = 19;
const CONFINED_SHIFT: u32 = 22;
const ABI_SHIFT: u32 = 23;
const NUMBER_SHIFT: u32 = 25;
const SLOT_SHIFT: u32 = 41;
/// Set in every key, so that none is 0.
const VALID: u64 = 1 << 63;

impl CallKey {
    /// In a thread's state: it is not known what the thread is in.
    pub const UNKNOWN: Self = Self(0);
    /// In a thread's state: it returns from the call that its parent made to create it.
    pub const BORN: Self = Self(1);
    /// In a thread's state: it is in no call.
    pub const NONE: Self = Self(2);

    /// A call that begins. `confined` says whether a seccomp filter is on.
    #[inline(always)]
    #[must_use]
    pub const fn of(slot: u32, number: u32, abi: u32, confined: bool) -> Self {
        let number = if number < LAST_NUMBER {
            number
        } else {
            LAST_NUMBER
        };
        Self(
            VALID
                | (slot as u64 & 0xf_ffff) << SLOT_SHIFT
                | (number as u64) << NUMBER_SHIFT
                | (abi as u64 & 3) << ABI_SHIFT
                | (confined as u64) << CONFINED_SHIFT,
        )
    }

    /// With what became of it.
    #[inline(always)]
    #[must_use]
    pub const fn with_kind(self, kind: u32) -> Self {
        Self(self.0 & !(7 << KIND_SHIFT) | (kind as u64 & 7) << KIND_SHIFT)
    }

    /// With the error that it returned; 0 for none.
    #[inline(always)]
    #[must_use]
    pub const fn with_error(self, error: u32) -> Self {
        Self(self.0 | (error as u64 & 0xfff) << ERROR_SHIFT)
    }

    /// With the bucket of its time.
    #[inline(always)]
    #[must_use]
    pub const fn with_bucket(self, bucket: usize) -> Self {
        Self(self.0 | bucket as u64 & 0x7f)
    }

    /// Whether it is a call, and not one of the states of a thread.
    #[inline(always)]
    #[must_use]
    pub const fn is_call(self) -> bool {
        self.0 & VALID != 0
    }

    /// Slot of the cgroup that the thread was in when the call began.
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 >> SLOT_SHIFT) as u32 & 0xf_ffff
    }

    /// The same of another slot.
    #[must_use]
    pub const fn with_slot(self, slot: u32) -> Self {
        Self(self.0 & !(0xf_ffff << SLOT_SHIFT) | (slot as u64 & 0xf_ffff) << SLOT_SHIFT)
    }

    /// Its place in the table of judged calls, if it has one.
    #[inline(always)]
    #[must_use]
    pub const fn judged(self) -> Option<u32> {
        if self.number() < JUDGED && self.abi() <= abi::X32 {
            Some(self.abi() * JUDGED + self.number())
        } else {
            None
        }
    }

    /// Number of the call.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u32 {
        (self.0 >> NUMBER_SHIFT) as u32 & 0xffff
    }

    /// One of [`abi`].
    #[inline(always)]
    #[must_use]
    pub const fn abi(self) -> u32 {
        (self.0 >> ABI_SHIFT) as u32 & 3
    }

    /// Whether a seccomp filter was on.
    #[must_use]
    pub const fn is_confined(self) -> bool {
        self.0 >> CONFINED_SHIFT & 1 == 1
    }

    /// One of [`kind`].
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> u32 {
        (self.0 >> KIND_SHIFT) as u32 & 7
    }

    /// Number of the error; 0 for none.
    #[must_use]
    pub const fn error(self) -> u32 {
        (self.0 >> ERROR_SHIFT) as u32 & 0xfff
    }

    /// Bucket of its time.
    #[must_use]
    pub const fn bucket(self) -> usize {
        self.0 as usize & 0x7f
    }

    /// Its place in a CPU's cache (Fibonacci hashing: the top bits of a product with 2^64 / phi).
    #[inline(always)]
    #[must_use]
    pub const fn place(self) -> u32 {
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - CACHE_BITS)) as u32
    }
}

/// The error that a result means; 0 for none.
#[inline(always)]
#[must_use]
pub const fn error_of(result: i64) -> u32 {
    if result < 0 && result >= -MAX_ERROR {
        -result as u32
    } else {
        0
    }
}

/// Value of a row. Times in ns.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallRow {
    /// Calls.
    pub count: u64,
    /// Their time.
    pub sum_ns: u64,
    /// The part of it in which the thread was not on a CPU.
    pub off_cpu_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// A row in a CPU's cache.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CachedRow {
    /// Its key; 0 if the place is free.
    pub key: CallKey,
    /// What this CPU has counted since the row came into the cache.
    pub row: CallRow,
}

/// The call that a thread is in.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Which; or one of the states of a thread.
    pub key: CallKey,
    /// When it began.
    pub start_ns: u64,
    /// Time in it that the thread was not on a CPU.
    pub off_cpu_ns: u64,
    /// When the thread last left the CPU in it.
    pub left_ns: u64,
    /// Where the thread's registers are: the address tells threads apart at no cost. 0 if it is not known.
    pub registers: u64,
}

/// The thread that a CPU runs, as far as its calls go.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// The call that it is in.
    pub call: Call,
    /// Identity of the cgroup that its slot was found for; 0 if nothing is known about the thread.
    pub group: u64,
    /// Slot, with its flags; see [`crate::abi::scope`].
    pub slot: u32,
    /// How many threads had been moved to another cgroup when its slot was found.
    pub moves: u32,
    /// Thread id: a switch may go unseen.
    pub tid: u32,
    /// Always 0.
    pub padding: u32,
}

/// Slow calls of a slot that a CPU sends in a second; more are counted as dropped.
pub const SLOW_A_SECOND: u64 = 500;

/// Limits that there are for that: slots share one if they leave the same rest. A busy neighbour mostly uses up only its own.
pub const SLOW_RATES: u32 = 256;

/// Slow calls of a slot that a CPU has sent in a second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowRate {
    /// Which second of the monotonic clock.
    pub second: u64,
    /// Calls that qualified, including those beyond the limit.
    pub sent: u64,
}

/// A call that took longer than the limit, sent to user space.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SlowCall {
    /// [`SLOW_CALL`].
    pub kind: u32,
    /// Which image of the process; see [`crate::abi::count_key::CountKey::exec_id`].
    pub exec_id: u32,
    /// Which, with the error, if it returned one.
    pub key: CallKey,
    /// When it returned, on the kernel's monotonic clock.
    pub at_ns: u64,
    /// How long it took.
    pub ns: u64,
    /// The part of it in which the thread was not on a CPU.
    pub off_cpu_ns: u64,
    /// What it returned.
    pub result: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// Key of the user stack in `STACKS`; 0 for none.
    pub user_stack: u64,
    /// Process, in the initial PID namespace.
    pub tgid: u32,
    /// Thread, in the initial PID namespace.
    pub tid: u32,
    /// Name of the thread, NUL-padded.
    pub comm: [u8; COMM_BYTES],
}

const _: () = assert!(size_of::<CallRow>() == 32);
const _: () = assert!(size_of::<CachedRow>() == 40);
const _: () = assert!(size_of::<Call>() == 40);
const _: () = assert!(size_of::<Running>() == 64);
const _: () = assert!(size_of::<SlowCall>() == 128);

#[cfg(test)]
mod tests;
