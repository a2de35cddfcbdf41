//! Who ran on a CPU lately: the last segments of its time, each with the slot that had it. Pure.
//!
//! Segments follow each other without a gap: one begins where the one before ended. Idle time is a segment, too.

use crate::abi::scope::SLOT_IDLE;

/// Segments that are kept.
pub const SEGMENTS: usize = 64;
const MASK: u32 = SEGMENTS as u32 - 1;

/// One stretch of a CPU's time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// When it ended.
    pub end_ns: u64,
    /// Whose it was.
    pub slot: u32,
    /// Always 0.
    pub padding: u32,
}

/// The recent past of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Number of the newest segment; it is at this number modulo [`SEGMENTS`].
    pub newest: u32,
    /// Who has the CPU now, since the newest segment's end.
    pub running: u32,
    /// The segments.
    pub segments: [Segment; SEGMENTS],
}

const _: () = assert!(size_of::<Timeline>() == 8 + 16 * SEGMENTS);

impl Default for Timeline {
    fn default() -> Self {
        Self {
            newest: 0,
            running: 0,
            segments: [Segment::default(); SEGMENTS],
        }
    }
}

impl Timeline {
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
