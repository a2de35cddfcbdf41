//! A limit on the CPU time that the tables of one file may cost: they can refer to each other, or repeat
//! themselves, such that a small file takes hours to read.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Steps between two looks at the clock, which takes a system call. A step is some tens of nanoseconds.
const STEPS_PER_LOOK: usize = 4096;

/// CPU time, of this thread, that is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: Duration,
    since: Duration,
    steps: usize,
    /// When whoever waits for the answer stops waiting.
    deadline: Option<Instant>,
}

/// The time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            left: limit,
            since: now(),
            steps: 0,
            deadline: None,
        }
    }

    /// From now on the budget is used up at this moment, too.
    pub(super) const fn end_at(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Time spent before now, on other things, does not count.
    pub(super) fn resume(&mut self) {
        self.since = now();
    }

    /// Time between `resume` and now counts.
    pub(super) fn pause(&mut self) {
        let now = now();
        self.left = self.left.saturating_sub(now.saturating_sub(self.since));
        self.since = now;
        if self.deadline.is_some_and(|at| Instant::now() >= at) {
            self.left = Duration::ZERO;
        }
    }

    /// Call this in every loop whose length a file decides.
    pub(super) fn step(&mut self) -> Result<(), Exhausted> {
        self.steps(1)
    }

    /// Call this for work that a file makes as long as `count` steps.
    pub(super) fn steps(&mut self, count: usize) -> Result<(), Exhausted> {
        self.steps = self.steps.saturating_add(count);
        if self.steps >= STEPS_PER_LOOK {
            self.steps = 0;
            self.pause();
        }
        if self.left.is_zero() {
            Err(Exhausted)
        } else {
            Ok(())
        }
    }

    /// Bytes that were looked through for the end of a string, or decoded as a table.
    pub(super) fn bytes(&mut self, count: usize) -> Result<(), Exhausted> {
        self.steps(count / 16)
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
