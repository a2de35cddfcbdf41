//! A thread's own account of its time.

use std::ops::AddAssign;

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, in ns.
pub(super) fn now_ns() -> u64 {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Where the time of the calling thread went.
#[derive(Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) wall_ns: u64,
    pub(super) cpu_ns: u64,
    /// Time for which it was ready to run and did not.
    pub(super) delay_ns: u64,
}

impl Spent {
    /// What is left.
    pub(super) fn blocked_ns(self) -> u64 {
        self.wall_ns.saturating_sub(self.cpu_ns + self.delay_ns)
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.wall_ns += other.wall_ns;
        self.cpu_ns += other.cpu_ns;
        self.delay_ns += other.delay_ns;
    }
}

/// A point in the calling thread's time.
pub(super) struct Meter {
    wall_ns: u64,
    cpu_ns: u64,
    delay_ns: u64,
}

impl Meter {
    /// Now.
    pub(super) fn begin() -> Self {
        Self {
            delay_ns: delay_ns(),
            cpu_ns: read(ClockId::ThreadCPUTime),
            wall_ns: now_ns(),
        }
    }

    /// What has been spent since.
    pub(super) fn end(&self) -> Spent {
        let wall_ns = now_ns() - self.wall_ns;
        let cpu_ns = read(ClockId::ThreadCPUTime) - self.cpu_ns;
        Spent {
            wall_ns,
            cpu_ns,
            delay_ns: delay_ns() - self.delay_ns,
        }
    }

    /// What `call` spends.
    pub(super) fn around<T>(call: impl FnOnce() -> T) -> Spent {
        let meter = Self::begin();
        call();
        meter.end()
    }
}

/// How long the thread has waited for a CPU since its birth, as the kernel has it; 0 where it does not tell.
pub(super) fn delay_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let second = text.split_whitespace().nth(1);
    second.and_then(|value| value.parse().ok()).unwrap_or(0)
}
