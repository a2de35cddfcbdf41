//! The kernel's clocks.

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, by which the kernel half tells time.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
