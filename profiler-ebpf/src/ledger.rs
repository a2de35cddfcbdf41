//! The ledger's rules: what a thread's next event says about the time since its last one. Pure, so that the host
//! can try them with any sequence of events.
//!
//! A thread is in one phase from one event to the next. Every event closes the interval that was open, whatever
//! the phase and whatever the event, and opens the next at the same instant: so no time is lost and none counted
//! twice, even if events are missed. A clock that goes back opens no interval in the past.

use core::cell::Cell;

use crate::{
    abi::ledger::{reason, state},
    shared::Shared,
};

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

/// What a thread does, and since when. Events of a thread come one after the other, but for visits: what those look at
/// first, to leave a thread alone that is busy, is [`Shared`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct Clock {
    /// Parts of this wait that are closed already (the thread was moved to another queue): on the run queue.
    pub waited_ns: Cell<u64>,
    /// Start of the open interval. Between the two that a wait begins with at 0: side by side, LLVM would have them
    /// cleared by a loop over 16 bytes.
    pub since_ns: Shared<u64>,
    /// As `waited_ns`: throttled.
    pub stopped_ns: Cell<u64>,
    /// One of [`phase`].
    pub phase: Shared<u32>,
    /// One of [`reason`], while blocked.
    pub reason: Cell<u32>,
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
            since_ns: Shared::new(now_ns),
            waited_ns: Cell::new(0),
            stopped_ns: Cell::new(0),
            phase: Shared::new(phase),
            reason: Cell::new(reason),
        }
    }

    /// Becomes this one. Until the last of it is written, the thread is out of the ledger if it was before.
    #[inline(always)]
    pub fn start(&self, from: &Self) {
        self.waited_ns.set(from.waited_ns.get());
        self.stopped_ns.set(from.stopped_ns.get());
        self.reason.set(from.reason.get());
        self.since_ns.set(from.since_ns.get());
        self.phase.set(from.phase.get());
    }

    /// Whether the thread is in the ledger.
    #[inline(always)]
    #[must_use]
    pub fn is_in(&self) -> bool {
        self.phase.get() != phase::OUT
    }

    /// Whether the thread waits: then the caller should say how long it was throttled.
    #[inline(always)]
    #[must_use]
    pub fn is_runnable(&self) -> bool {
        self.phase.get() == phase::RUNNABLE
    }

    /// Closes the open interval and opens the next in the same phase. `throttled_ns` counts while runnable only,
    /// and never for more than the interval.
    #[inline(always)]
    pub fn close(&self, now_ns: u64, throttled_ns: u64) -> Charge {
        self.close_in(self.phase.get(), now_ns, throttled_ns)
    }

    #[inline(always)]
    fn close_in(&self, phase: u32, now_ns: u64, throttled_ns: u64) -> Charge {
        let since_ns = self.since_ns.get();
        let ns = now_ns.saturating_sub(since_ns);
        self.since_ns.set(since_ns + ns);
        match phase {
            phase::ON_CPU => Charge {
                state: state::ON_CPU,
                ns,
                throttled_ns: 0,
            },
            phase::RUNNABLE => {
                let throttled_ns = if throttled_ns < ns { throttled_ns } else { ns };
                self.waited_ns
                    .set(self.waited_ns.get() + (ns - throttled_ns));
                self.stopped_ns.set(self.stopped_ns.get() + throttled_ns);
                Charge {
                    state: state::RUN_QUEUE,
                    ns: ns - throttled_ns,
                    throttled_ns,
                }
            }
            phase::BLOCKED => {
                let reason = self.reason.get();
                Charge {
                    state: state::BLOCKED
                        + if reason < reason::COUNT {
                            reason as usize
                        } else {
                            0
                        },
                    ns,
                    throttled_ns: 0,
                }
            }
            _ => Charge::default(),
        }
    }

    /// The thread was woken: the sleep ends, a wait begins. `None` if it did not sleep: then nothing changes, as
    /// for the kernel, which reports wakeups of threads that are not yet asleep, too.
    #[inline(always)]
    pub fn wake(&self, now_ns: u64) -> Option<Charge> {
        if self.phase.get() != phase::BLOCKED {
            return None;
        }
        let charge = self.close_in(phase::BLOCKED, now_ns, 0);
        self.wait();
        Some(charge)
    }

    /// The thread got a CPU.
    ///
    /// Here and below, one that is out of the ledger stays out: the visit that ends a recording may have taken it out
    /// while a hook was at work on it.
    #[inline(always)]
    pub fn switch_in(&self, now_ns: u64, throttled_ns: u64) -> Charge {
        let phase = self.phase.get();
        if phase == phase::OUT {
            return Charge::default();
        }
        let charge = self.close_in(phase, now_ns, throttled_ns);
        self.phase.set(phase::ON_CPU);
        charge
    }

    /// The thread lost its CPU although it could run on.
    #[inline(always)]
    pub fn preempt(&self, now_ns: u64) -> Charge {
        let phase = self.phase.get();
        if phase == phase::OUT {
            return Charge::default();
        }
        let charge = self.close_in(phase, now_ns, 0);
        self.wait();
        charge
    }

    /// The thread gave its CPU away to sleep.
    #[inline(always)]
    pub fn block(&self, now_ns: u64, reason: u32) -> Charge {
        let phase = self.phase.get();
        if phase == phase::OUT {
            return Charge::default();
        }
        let charge = self.close_in(phase, now_ns, 0);
        self.phase.set(phase::BLOCKED);
        self.reason.set(reason);
        charge
    }

    /// The thread leaves the ledger: it ended, or the recording does.
    #[inline(always)]
    pub fn leave(&self, now_ns: u64, throttled_ns: u64) -> Charge {
        let charge = self.close(now_ns, throttled_ns);
        self.phase.set(phase::OUT);
        charge
    }

    #[inline(always)]
    fn wait(&self) {
        self.phase.set(phase::RUNNABLE);
        self.waited_ns.set(0);
        self.stopped_ns.set(0);
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

    fn apply(clock: &Clock, now_ns: u64, event: Event) -> Option<Charge> {
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
            let clock = Clock::starting(start, first, reason::OTHER);
            let mut charged = 0;
            let mut latest = start;
            let mut add = |charge: Charge| {
                assert!(charge.state < state::COUNT);
                assert!(charge.throttled_ns == 0 || charge.state == state::RUN_QUEUE);
                charged += charge.ns + charge.throttled_ns;
            };
            for (event, now) in events {
                if let Some(charge) = apply(&clock, now, event) {
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
                let charge = apply(&clock, now, event).unwrap_or_default();
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
            let clock = Clock::starting(now, phase::ON_CPU, 0);
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
                prop_assert_eq!((clock.waited_ns.get(), clock.stopped_ns.get()), (wait, throttled));
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_wait_is_never_throttled_for_longer_than_it_took() {
        let clock = Clock::starting(100, phase::RUNNABLE, 0);
        let charge = clock.switch_in(150, 1_000);
        assert_eq!((charge.ns, charge.throttled_ns), (0, 50));
        // A thread that runs is not throttled.
        assert_eq!(clock.preempt(170).throttled_ns, 0);
    }

    #[test]
    fn an_unknown_reason_is_other() {
        let clock = Clock::starting(0, phase::BLOCKED, 77);
        let charges: Vec<Charge> = clock.wake(5).into_iter().collect();
        assert_eq!(charges[0].state, state::BLOCKED + reason::OTHER as usize);
    }
}
