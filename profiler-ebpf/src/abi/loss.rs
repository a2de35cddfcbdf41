//! Everything that can be lost, one counter a cause.

use crate::views::{LOSSES, View};

/// What is lost whatever views there are: an index into the per-CPU array `LOSSES`, and the table that names each cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Loss {
    /// A new stack found `STACKS` full: the sample is counted without it.
    StackMapFull = 0,
    /// Two different stacks hashed to one key: the sample carries the first one's frames.
    StackCollision = 1,
    /// A new row found `COUNTS` full: the sample or interval has no stack.
    CountMapFull = 2,
    /// The user stack could not be read: the sample is counted without it.
    UserStackUnreadable = 3,
    /// The kernel stack could not be read: the sample is counted without it.
    KernelStackUnreadable = 4,
    /// A cgroup found no slot left: what it does counts as its parent's.
    ScopeFull = 5,
    /// A notice found the ring buffer full: a container's name or a process' binaries may be missing.
    EventDropped = 6,
    /// A thread found no memory for its clock: its time is missing.
    ThreadUntracked = 7,
    /// A new pair found `DELAYS` full: that time counts as delayed by unknown.
    DelayMapFull = 8,
    /// A queue found `THROTTLES` full: its throttled time counts as run-queue time.
    ThrottleMapFull = 9,
    /// A slot without an account: its time is missing.
    AccountMissing = 10,
    /// A thread got a CPU without a switch that was seen: it is taken to have done so at the CPU's last switch.
    SwitchMissed = 11,
    /// A thread that slept got a CPU without a wakeup that was seen: its wait for the CPU counts as part of its sleep.
    WakeupMissed = 12,
    /// A cgroup found the share of slots of its container, unit or user used up: what it does counts as its parent's.
    SubtreeFull = 13,
}

impl Loss {
    /// How many causes there are.
    pub const COUNT: u32 = 14;

    /// Each cause with the name it has in `summary.json` and in the report.
    pub const ALL: [(Self, &'static str); Self::COUNT as usize] = [
        (Self::StackMapFull, "stack_map_full"),
        (Self::StackCollision, "stack_collision"),
        (Self::CountMapFull, "count_map_full"),
        (Self::UserStackUnreadable, "user_stack_unreadable"),
        (Self::KernelStackUnreadable, "kernel_stack_unreadable"),
        (Self::ScopeFull, "scope_full"),
        (Self::EventDropped, "event_dropped"),
        (Self::ThreadUntracked, "thread_untracked"),
        (Self::DelayMapFull, "delay_map_full"),
        (Self::ThrottleMapFull, "throttle_map_full"),
        (Self::AccountMissing, "account_missing"),
        (Self::SwitchMissed, "switch_missed"),
        (Self::WakeupMissed, "wakeup_missed"),
        (Self::SubtreeFull, "subtree_full"),
    ];
}

/// Index into the per-CPU array `LOSSES`: a [`Loss`], or, behind all of these, what a view can lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause(pub u32);

impl From<Loss> for Cause {
    #[inline(always)]
    fn from(loss: Loss) -> Self {
        Self(loss as u32)
    }
}

impl Cause {
    /// How many there are.
    pub const COUNT: u32 = Self::first_of(LOSSES.len());

    /// The cause with this number among those of a view.
    #[inline(always)]
    #[must_use]
    pub const fn of_view(view: View, number: u32) -> Self {
        Self(Self::first_of(view as usize) + number)
    }

    const fn first_of(view: usize) -> u32 {
        let mut first = Loss::COUNT;
        let mut before = 0;
        while before < view {
            first += LOSSES[before].len() as u32;
            before += 1;
        }
        first
    }

    /// Each cause with the name it has in `summary.json` and in the report.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        let own = Loss::ALL.iter().map(|(_, name)| *name);
        let of_views = LOSSES.iter().flat_map(|names| names.iter().copied());
        (0..).map(Self).zip(own.chain(of_views))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, LOSSES, Loss, View};

    #[test]
    fn the_table_is_in_index_order() {
        for (index, (cause, _)) in Loss::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
    }

    #[test]
    fn causes_of_views_follow_and_no_two_are_one() {
        assert_eq!(Cause::all().count(), Cause::COUNT as usize);
        let first = Cause::of_view(View::ALL[0], 0);
        assert_eq!(first, Cause(Loss::COUNT));
        let named = Cause::all().find(|(cause, _)| *cause == first);
        assert_eq!(named, Some((first, LOSSES[0][0])));
    }
}
