//! Who ran on a CPU lately: the last segments of its time, each with the slot that had it. Pure.
//!
//! Segments follow each other without a gap: one begins where the one before ended. Idle time is a segment, too.

use crate::abi::scope::SLOT_IDLE;

/// Segments that are kept: at 5,000 switches a second, 100 ms.
pub const SEGMENTS: usize = 512;
const MASK: u32 = SEGMENTS as u32 - 1;

/// One stretch of a CPU's time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// When it ended.
    pub end_ns: u64,
    /// Slot that was running.
    pub slot: u32,
    /// Always 0.
    pub padding: u32,
}

/// Delays of one pair that are not in the delay matrix yet: the same few pairs meet again and again, and a sum here
/// costs a tenth of an entry there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Slot of the thread that waited.
    pub victim: u32,
    /// Slot of what ran meanwhile.
    pub culprit: u32,
    /// For how long; 0 for a free entry.
    pub ns: u64,
}

/// Entries of [`Timeline::pending`].
pub const PENDING: usize = 4;

/// The entry that a pair belongs in.
#[inline(always)]
#[must_use]
pub const fn pending_index(victim: u32, culprit: u32) -> usize {
    (victim.wrapping_mul(3) ^ culprit) as usize & (PENDING - 1)
}

/// The recent past of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Delays on this CPU.
    pub pending: [Pending; PENDING],
    /// Number of the newest segment; it is at this number modulo [`SEGMENTS`].
    pub newest: u32,
    /// Who has the CPU now, since the newest segment's end.
    pub running: u32,
    /// The segments.
    pub segments: [Segment; SEGMENTS],
}

const _: () = assert!(size_of::<Timeline>() == 8 + 16 * (SEGMENTS + PENDING));

impl Default for Timeline {
    fn default() -> Self {
        Self {
            pending: [Pending::default(); PENDING],
            newest: 0,
            running: 0,
            segments: [Segment::default(); SEGMENTS],
        }
    }
}

impl Timeline {
    /// Slot and start of the newest segment.
    #[inline(always)]
    #[must_use]
    pub const fn newest(&self) -> (u32, u64) {
        let before = self.newest.wrapping_sub(1);
        (
            self.segments[(self.newest & MASK) as usize].slot,
            self.segments[(before & MASK) as usize].end_ns,
        )
    }

    /// `slot` had the CPU until now, and `next` has it from now on. Neighbouring segments of one slot are one.
    #[inline(always)]
    pub fn switch(&mut self, now_ns: u64, slot: u32, next: u32) {
        self.running = next;
        let newest = &mut self.segments[(self.newest & MASK) as usize];
        if newest.slot == slot {
            newest.end_ns = now_ns;
            return;
        }
        self.newest = self.newest.wrapping_add(1);
        let segment = &mut self.segments[(self.newest & MASK) as usize];
        segment.end_ns = now_ns;
        segment.slot = slot;
    }
}

/// A wait that is to be explained: walks a timeline from its newest segment back.
///
/// A thread that a quota stopped waits on the run queue when it is let go, that is at the end: so the walk covers
/// the end of the wait. What is idle within it cannot have been a wait for the CPU: that is the throttled part.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    from_ns: u64,
    to_ns: u64,
    rest_ns: u64,
    throttled_ns: u64,
}

/// What one step of a walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How long the segment's slot delayed the thread; 0 if it did not.
    pub ns: u64,
    /// Nothing before this segment matters.
    pub done: bool,
}

impl Walk {
    /// A wait from `from_ns` to `to_ns`, of which `throttled_ns` were throttled.
    #[inline(always)]
    #[must_use]
    pub fn over(from_ns: u64, to_ns: u64, throttled_ns: u64) -> Self {
        Self {
            from_ns,
            to_ns,
            rest_ns: to_ns.saturating_sub(from_ns).saturating_sub(throttled_ns),
            throttled_ns,
        }
    }

    /// What is not explained yet, as a walk that is not done: until when, and for how long of it the thread was throttled.
    #[inline(always)]
    #[must_use]
    pub const fn rest(&self) -> (u64, u64) {
        (self.to_ns, self.throttled_ns)
    }

    /// Takes in the segment that had the CPU from `begin_ns` until the last one taken in, or the wait's end.
    #[inline(always)]
    pub fn step(&mut self, slot: u32, begin_ns: u64) -> Step {
        let begin_ns = if begin_ns > self.from_ns {
            begin_ns
        } else {
            self.from_ns
        };
        let mut ns = self.to_ns.saturating_sub(begin_ns);
        if ns > 0 {
            self.to_ns = begin_ns;
        }
        if slot == SLOT_IDLE {
            let throttled = if ns < self.throttled_ns {
                ns
            } else {
                self.throttled_ns
            };
            self.throttled_ns -= throttled;
            ns -= throttled;
        }
        if ns > self.rest_ns {
            ns = self.rest_ns;
        }
        self.rest_ns -= ns;
        Step {
            ns,
            done: self.rest_ns == 0 || self.to_ns <= self.from_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::{MASK, SEGMENTS, Timeline, Walk};
    use crate::abi::scope::SLOT_IDLE;

    type Found = BTreeMap<u32, u64>;

    /// Everything that a wait finds, by slot.
    fn explain(timeline: &Timeline, walk: Walk) -> Found {
        let mut found = Found::new();
        go_back(timeline, walk, timeline.running, 0, &mut found);
        found
    }

    /// The same for a wait that ends with the last switch, as the kernel half has it: the newest segment first, and a
    /// walk through all others only where that does not explain it all.
    fn explain_now(timeline: &Timeline, (from, to, throttled): (u64, u64, u64)) -> Found {
        let mut found = Found::new();
        let mut walk = Walk::over(from, to, throttled);
        let (slot, begin) = timeline.newest();
        let step = walk.step(slot, begin);
        if step.ns > 0 {
            found.insert(slot, step.ns);
        }
        if !step.done {
            let (to, throttled) = walk.rest();
            let before = timeline.segments[(timeline.newest.wrapping_sub(1) & MASK) as usize];
            let walk = Walk::over(from, to, throttled);
            go_back(timeline, walk, before.slot, 2, &mut found);
        }
        found
    }

    /// Walks from the segment of this age on, whose end is where that of `slot` began.
    fn go_back(timeline: &Timeline, mut walk: Walk, mut slot: u32, age: u32, found: &mut Found) {
        for age in age..SEGMENTS as u32 {
            let segment = &timeline.segments[(timeline.newest.wrapping_sub(age) & MASK) as usize];
            let step = walk.step(slot, segment.end_ns);
            if step.ns > 0 {
                *found.entry(slot).or_default() += step.ns;
            }
            if step.done {
                break;
            }
            slot = segment.slot;
        }
    }

    fn of(segments: &[(u32, u64)], running: u32) -> (Timeline, u64) {
        let mut timeline = Timeline::default();
        let mut now = 1_000;
        timeline.switch(now, SLOT_IDLE, segments.first().map_or(running, |it| it.0));
        for (index, (slot, ns)) in segments.iter().enumerate() {
            now += ns;
            let next = segments.get(index + 1).map_or(running, |it| it.0);
            timeline.switch(now, *slot, next);
        }
        (timeline, now)
    }

    #[test]
    fn the_throttled_part_comes_first_and_idle_time_belongs_to_it() {
        // Stopped for 100, of which the CPU was idle for 80; then 7 ran, and 8.
        let (timeline, now) = of(&[(5, 20), (SLOT_IDLE, 80), (7, 30), (8, 10)], 9);
        let found = explain(&timeline, Walk::over(now - 140, now, 100));
        assert_eq!(found, BTreeMap::from([(7, 30), (8, 10)]));
        // Without a quota, idle time within a wait is a wakeup on its way.
        let found = explain(&timeline, Walk::over(now - 90, now, 0));
        assert_eq!(found, BTreeMap::from([(SLOT_IDLE, 50), (7, 30), (8, 10)]));
    }

    #[test]
    fn what_is_no_longer_kept_stays_unexplained() {
        let segments: Vec<(u32, u64)> = (0..2_000).map(|n| (10 + n % 2, 5)).collect();
        let (timeline, now) = of(&segments, 9);
        let found: u64 = explain(&timeline, Walk::over(now - 9_000, now, 0))
            .values()
            .sum();
        assert_eq!(found, 5 * (SEGMENTS as u64 - 1));
    }

    #[test]
    fn on_another_cpu_what_runs_there_now_counts() {
        let (timeline, now) = of(&[(7, 30)], 8);
        let found = explain(&timeline, Walk::over(now - 10, now + 25, 0));
        assert_eq!(found, BTreeMap::from([(7, 10), (8, 25)]));
    }

    proptest! {
        /// Against the plain overlap of every segment with the wait.
        #[test]
        fn segments_are_charged_with_their_overlap(
            segments in proptest::collection::vec((10_u32..14, 0_u64..100), 1..60),
            from in 0_u64..3_000,
            len in 0_u64..3_000,
        ) {
            let (timeline, now) = of(&segments, 9);
            let from = 1_000 + from.min(now - 1_000);
            let to = (from + len).min(now);
            let mut expected = BTreeMap::new();
            let mut begin = 1_000;
            for (slot, ns) in &segments {
                let end = begin + ns;
                let overlap = end.min(to).saturating_sub(begin.max(from));
                if overlap > 0 {
                    *expected.entry(*slot).or_insert(0) += overlap;
                }
                begin = end;
            }
            // As in the kernel, where a wait ends now; what came after is cut off.
            let mut until_then = of(&[], 9).0;
            let mut begin = 1_000;
            for (slot, ns) in &segments {
                let end = (begin + ns).min(to);
                if begin < to {
                    until_then.switch(end, *slot, 9);
                }
                begin += ns;
            }
            let found = explain(&until_then, Walk::over(from, to, 0));
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(timeline.running, 9);

            // Whatever was throttled, no more is charged than was waited for.
            for throttled in [1, len / 2, len * 2] {
                let found = explain(&until_then, Walk::over(from, to, throttled));
                prop_assert!(found.values().sum::<u64>() <= (to - from).saturating_sub(throttled));
            }
            for throttled in [0, (to - from) / 3, to - from] {
                let found = explain(&until_then, Walk::over(from, to, throttled));
                prop_assert_eq!(explain_now(&until_then, (from, to, throttled)), found);
            }
        }
    }
}
