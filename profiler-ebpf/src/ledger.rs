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
    /// Parts of this wait that are closed already (the thread was moved to another queue): on the run queue.
    pub waited_ns: u64,
    /// Start of the open interval. Between the two that a wait begins with at 0: side by side, LLVM would have them
    /// cleared by a loop over 16 bytes.
    pub since_ns: u64,
    /// As `waited_ns`: throttled.
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

impl Charge {
    /// When the interval began that ended now, however long of it was throttled.
    #[inline(always)]
    #[must_use]
    pub const fn began_ns(&self, now_ns: u64) -> u64 {
        now_ns - self.ns - self.throttled_ns
    }
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
    ///
    /// Here and below, one that is out of the ledger stays out: the visit that ends a recording may have taken it out
    /// while a hook was at work on it.
    #[inline(always)]
    pub fn switch_in(&mut self, now_ns: u64, throttled_ns: u64) -> Charge {
        if !self.is_in() {
            return Charge::default();
        }
        let charge = self.close(now_ns, throttled_ns);
        self.phase = phase::ON_CPU;
        charge
    }

    /// The thread lost its CPU although it could run on.
    #[inline(always)]
    pub fn preempt(&mut self, now_ns: u64) -> Charge {
        if !self.is_in() {
            return Charge::default();
        }
        let charge = self.close(now_ns, 0);
        self.wait();
        charge
    }

    /// The thread gave its CPU away to sleep.
    #[inline(always)]
    pub fn block(&mut self, now_ns: u64, reason: u32) -> Charge {
        if !self.is_in() {
            return Charge::default();
        }
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

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::vec::Vec;

    use super::{Charge, Clock, phase};
    use crate::abi::ledger::{reason, state};

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Wake,
        SwitchIn { throttled_ns: u64 },
        Preempt,
        Block { reason: u32 },
        Requeue { throttled_ns: u64 },
        Move,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Wake),
            (0_u64..3_000).prop_map(|throttled_ns| Event::SwitchIn { throttled_ns }),
            Just(Event::Preempt),
            (0_u32..12).prop_map(|reason| Event::Block { reason }),
            (0_u64..3_000).prop_map(|throttled_ns| Event::Requeue { throttled_ns }),
            Just(Event::Move),
        ]
    }

    fn apply(clock: &mut Clock, now_ns: u64, event: Event) -> Option<Charge> {
        match event {
            Event::Wake => clock.wake(now_ns),
            Event::SwitchIn { throttled_ns } => Some(clock.switch_in(now_ns, throttled_ns)),
            Event::Preempt => Some(clock.preempt(now_ns)),
            Event::Block { reason } => Some(clock.block(now_ns, reason)),
            Event::Requeue { throttled_ns } => Some(clock.close(now_ns, throttled_ns)),
            Event::Move => Some(clock.close(now_ns, 0)),
        }
    }

    proptest! {
        /// Whatever comes in whatever order, with a clock that may go back: the charges add up to the time between
        /// the beginning and the latest moment that was seen.
        #[test]
        fn no_time_is_lost_and_none_counted_twice(
            events in proptest::collection::vec((event(), 0_u64..100_000), 0..200),
            start in 0_u64..50_000,
            first in phase::ON_CPU..=phase::BLOCKED,
            after in proptest::collection::vec((event(), 0_u64..900_000), 0..9),
        ) {
            let mut clock = Clock::starting(start, first, reason::OTHER);
            let mut charged = 0;
            let mut latest = start;
            let mut add = |charge: Charge| {
                assert!(charge.state < state::COUNT);
                assert!(charge.throttled_ns == 0 || charge.state == state::RUN_QUEUE);
                charged += charge.ns + charge.throttled_ns;
            };
            for (event, now) in events {
                if let Some(charge) = apply(&mut clock, now, event) {
                    latest = latest.max(now);
                    add(charge);
                }
            }
            latest = latest.max(120_000);
            add(clock.leave(120_000, 0));
            prop_assert_eq!(charged, latest - start);
            prop_assert!(!clock.is_in());
            prop_assert_eq!(clock.leave(500_000, 9), Charge::default(), "nothing is charged outside");
            // Whatever a hook was about to do with it when it was taken out.
            for (event, now) in after {
                let charge = apply(&mut clock, now, event).unwrap_or_default();
                prop_assert_eq!(charge, Charge::default());
                prop_assert_eq!(charge.began_ns(now), now);
                prop_assert!(!clock.is_in());
            }
        }

        /// Lives as the scheduler makes them, against a table of what each part of them was.
        #[test]
        fn every_part_of_a_life_is_charged_to_its_state(
            parts in proptest::collection::vec((0_u8..3, 0_u64..1_000, 0_u64..1_000, 0_u64..1_000, 0..reason::COUNT), 1..60),
        ) {
            let mut expected = [0_u64; state::COUNT];
            let mut found = [0_u64; state::COUNT];
            let mut now = 1_000_000;
            let mut clock = Clock::starting(now, phase::ON_CPU, 0);
            let mut take = |charge: Charge| {
                found[charge.state] += charge.ns;
                found[state::THROTTLED] += charge.throttled_ns;
            };
            for (kind, run, wait, throttled, why) in parts {
                now += run;
                expected[state::ON_CPU] += run;
                if kind == 0 {
                    take(clock.block(now, why));
                    now += wait;
                    expected[state::BLOCKED + why as usize] += wait;
                    // A second wakeup of a thread that is awake changes nothing.
                    take(clock.wake(now).expect("it sleeps"));
                    prop_assert_eq!(clock.wake(now + 7), None);
                } else {
                    take(clock.preempt(now));
                }
                if kind == 2 {
                    // On to another queue halfway, after half of the stop.
                    now += wait + throttled / 2;
                    take(clock.close(now, throttled / 2));
                    now += throttled - throttled / 2;
                    take(clock.switch_in(now, throttled - throttled / 2));
                } else {
                    now += wait + throttled;
                    take(clock.switch_in(now, throttled));
                }
                expected[state::RUN_QUEUE] += wait;
                expected[state::THROTTLED] += throttled;
                prop_assert_eq!((clock.waited_ns, clock.stopped_ns), (wait, throttled));
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_wait_is_never_throttled_for_longer_than_it_took() {
        let mut clock = Clock::starting(100, phase::RUNNABLE, 0);
        let charge = clock.switch_in(150, 1_000);
        assert_eq!((charge.ns, charge.throttled_ns), (0, 50));
        // A thread that runs is not throttled.
        assert_eq!(clock.preempt(170).throttled_ns, 0);
    }

    #[test]
    fn an_unknown_reason_is_other() {
        let mut clock = Clock::starting(0, phase::BLOCKED, 77);
        let charges: Vec<Charge> = clock.wake(5).into_iter().collect();
        assert_eq!(charges[0].state, state::BLOCKED + reason::OTHER as usize);
    }
}
