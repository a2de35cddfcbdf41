//! The ledger's rules: what a thread's next event says about the time since its last one. Pure, so that the host
//! can try them with any sequence of events.
//!
//! A thread is in one phase from one event to the next. Every event closes the interval that was open, whatever
//! the phase and whatever the event, and opens the next at the same instant: so no time is lost and none counted
//! twice, even if events are missed. A clock that goes back opens no interval in the past.

use crate::abi::ledger::{reason, state};

/// Values of [`Clock::phase`].
pub mod phase {
    /// Not in the ledger: nothing is charged.
    pub const OUT: u32 = 0;
    /// Running.
    pub const ON_CPU: u32 = 1;
    /// Runnable: on a run queue, or stopped by a quota.
    pub const RUNNABLE: u32 = 2;
    /// Asleep for `reason`.
    pub const BLOCKED: u32 = 3;
}

/// What a thread does, and since when.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Start of the open interval.
    pub since_ns: u64,
    /// Parts of this wait that are closed already (the thread was moved to another queue): on the run queue.
    pub waited_ns: u64,
    /// The same: throttled.
    pub stopped_ns: u64,
    /// One of [`phase`].
    pub phase: u32,
    /// One of [`reason`], while blocked.
    pub reason: u32,
}

const _: () = assert!(size_of::<Clock>() == 32);

/// An interval that was closed: what to add to which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// One of [`state`].
    pub state: usize,
    /// Time in that state.
    pub ns: u64,
    /// Time that was throttled, beside it; only for [`state::RUN_QUEUE`].
    pub throttled_ns: u64,
}

impl Clock {
    /// The clock of a thread that enters the ledger now.
    #[inline(always)]
    #[must_use]
    pub const fn starting(now_ns: u64, phase: u32, reason: u32) -> Self {
        Self {
            since_ns: now_ns,
            waited_ns: 0,
            stopped_ns: 0,
            phase,
            reason,
        }
    }

    /// Whether the thread is in the ledger.
    #[inline(always)]
    #[must_use]
    pub const fn is_in(&self) -> bool {
        self.phase != phase::OUT
    }

    /// Whether the thread waits: then the caller should say how long it was throttled.
    #[inline(always)]
    #[must_use]
    pub const fn is_runnable(&self) -> bool {
        self.phase == phase::RUNNABLE
    }

    /// Closes the open interval and opens the next in the same phase. `throttled_ns` counts while runnable only,
    /// and never for more than the interval.
    #[inline(always)]
    pub fn close(&mut self, now_ns: u64, throttled_ns: u64) -> Charge {
        let ns = now_ns.saturating_sub(self.since_ns);
        self.since_ns += ns;
        match self.phase {
            phase::ON_CPU => Charge {
                state: state::ON_CPU,
                ns,
                throttled_ns: 0,
            },
            phase::RUNNABLE => {
                let throttled_ns = if throttled_ns < ns { throttled_ns } else { ns };
                self.waited_ns += ns - throttled_ns;
                self.stopped_ns += throttled_ns;
                Charge {
                    state: state::RUN_QUEUE,
                    ns: ns - throttled_ns,
                    throttled_ns,
                }
            }
            phase::BLOCKED => Charge {
                state: state::BLOCKED
                    + if self.reason < reason::COUNT {
                        self.reason as usize
                    } else {
                        0
                    },
                ns,
                throttled_ns: 0,
            },
            _ => Charge::default(),
        }
    }

    /// The thread was woken: the sleep ends, a wait begins. `None` if it did not sleep: then nothing changes, as
    /// for the kernel, which reports wakeups of threads that are not yet asleep, too.
    #[inline(always)]
    pub fn wake(&mut self, now_ns: u64) -> Option<Charge> {
        if self.phase != phase::BLOCKED {
            return None;
        }
        let charge = self.close(now_ns, 0);
        self.wait();
        Some(charge)
    }

    /// The thread got a CPU.
    #[inline(always)]
    pub fn switch_in(&mut self, now_ns: u64, throttled_ns: u64) -> Charge {
        let charge = self.close(now_ns, throttled_ns);
        self.phase = phase::ON_CPU;
        charge
    }

    /// The thread lost its CPU although it could run on.
    #[inline(always)]
    pub fn preempt(&mut self, now_ns: u64) -> Charge {
        let charge = self.close(now_ns, 0);
        self.wait();
        charge
    }

    /// The thread gave its CPU away to sleep.
    #[inline(always)]
    pub fn block(&mut self, now_ns: u64, reason: u32) -> Charge {
        let charge = self.close(now_ns, 0);
        self.phase = phase::BLOCKED;
        self.reason = reason;
        charge
    }

    /// The thread leaves the ledger: it ended, or the recording does.
    #[inline(always)]
    pub fn leave(&mut self, now_ns: u64, throttled_ns: u64) -> Charge {
        let charge = self.close(now_ns, throttled_ns);
        self.phase = phase::OUT;
        charge
    }

    #[inline(always)]
    fn wait(&mut self) {
        self.phase = phase::RUNNABLE;
        self.waited_ns = 0;
        self.stopped_ns = 0;
    }
}
