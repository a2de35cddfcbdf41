//! Everything that can be lost, one counter a cause.

/// Index into the per-CPU array `LOSSES`, and the table that names each cause.
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
    /// A new row found `CALLS` full: these calls are missing.
    CallMapFull = 12,
    /// A slow call found the ring buffer full, or too many came in one second: it is not shown.
    SlowCallDropped = 13,
    /// A thread that slept got a CPU without a wakeup that was seen: its wait for the CPU counts as part of its sleep.
    WakeupMissed = 14,
    /// A cgroup found the share of slots of its container, unit or user used up: what it does counts as its parent's.
    SubtreeFull = 15,
    /// A sample for what isolation costs found the ring `ISOLATION` full: its time is missing there.
    IsolationDropped = 16,
}

impl Loss {
    /// How many causes there are.
    pub const COUNT: u32 = 17;

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
        (Self::CallMapFull, "call_map_full"),
        (Self::SlowCallDropped, "slow_call_dropped"),
        (Self::WakeupMissed, "wakeup_missed"),
        (Self::SubtreeFull, "subtree_full"),
        (Self::IsolationDropped, "isolation_dropped"),
    ];
}

#[cfg(test)]
mod tests {
    use super::Loss;

    #[test]
    fn the_table_is_in_index_order() {
        for (index, (cause, _)) in Loss::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index);
        }
    }
}
