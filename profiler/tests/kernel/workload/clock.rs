//! A thread's own account of its time.

use std::ops::AddAssign;

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, in ns.
pub(super) fn now_ns() -> u64 {
    read(ClockId::Monotonic)
}

pub(super) fn read(clock: ClockId) -> u64 {
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
///
/// The three clocks cannot be read at once. A thread that waits for its CPU between two of them, which is most likely on a
/// busy machine, would have a wait that its wall clock knows nothing of, and what is left would come out too small: so
/// they are read again until no wait lies between the first and the last.
pub(super) struct Meter {
    wall_ns: u64,
    cpu_ns: u64,
    delay_ns: u64,
}

/// Readings after which the last one has to do: each takes microseconds, or a millisecond under emulation, and a wait in
/// every one of them is not to be expected.
const MOST_READINGS: u32 = 200;

impl Meter {
    /// Now.
    pub(super) fn begin() -> Self {
        let mut delay_ns = delay_ns();
        let mut meter = Self {
            wall_ns: 0,
            cpu_ns: 0,
            delay_ns,
        };
        for _ in 0..MOST_READINGS {
            // In this order at both ends: what it takes to read one after the other is the same, and goes out.
            meter.cpu_ns = read(ClockId::ThreadCPUTime);
            meter.wall_ns = now_ns();
            meter.delay_ns = delay_ns;
            delay_ns = self::delay_ns();
            if delay_ns == meter.delay_ns {
                break;
            }
        }
        meter
    }

    /// What has been spent since.
    pub(super) fn end(&self) -> Spent {
        let now = Self::begin();
        Spent {
            wall_ns: now.wall_ns - self.wall_ns,
            cpu_ns: now.cpu_ns - self.cpu_ns,
            delay_ns: now.delay_ns - self.delay_ns,
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
