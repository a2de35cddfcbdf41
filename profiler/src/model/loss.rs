//! What can be lost or go wrong while measuring, one cause each.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// How often each cause occurred. Every cause that the window could tell is there, 0 included.
pub type Losses = BTreeMap<Loss, u64>;

/// A cause. Causes are in the order of their [names](Self::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// A slot of the ledger has no account: its time is missing.
    AccountMissing,
    /// The map of system calls was full: calls are missing.
    CallMapFull,
    /// The map of counts was full: a sample or interval has no stack.
    CountMapFull,
    /// The map of delays was full: time counts as delayed by unknown.
    DelayMapFull,
    /// What a slow call's file descriptor is was not found out in time: the line has its number alone.
    DescriptorLate,
    /// The ring buffer was full: a container's name or a process' binaries may be missing.
    EventDropped,
    /// The ring of samples for what isolation costs was full: its time is missing there.
    IsolationDropped,
    /// A kernel stack could not be read.
    KernelStackUnreadable,
    /// A row's states do not add up to its thread time.
    LedgerResidual,
    /// A BPF map was read again because a CPU was writing to it: nothing is missing.
    MapReadAgain,
    /// A record of a mapping was dropped: frames may have no names.
    MappingDropped,
    /// An event came while its CPU ran the same BPF program: it is not counted.
    ProgramMissed,
    /// No slot was left for a cgroup: it counts as the one above it.
    ScopeFull,
    /// The ring buffer was full: a slow call is not shown.
    SlowCallDropped,
    /// Two stacks have one hash: a sample carries the other's frames.
    StackCollision,
    /// A slow call's process or its files could not be read in time: functions of its stack have no names.
    StackLate,
    /// The map of stacks was full: a sample has no stack.
    StackMapFull,
    /// A container, unit or user had used up its share of slots: a cgroup counts as the one above it.
    SubtreeFull,
    /// A switch was not seen: repaired with the next one.
    SwitchMissed,
    /// A thread had not ended when the figures were read: its lifetime is what its states say.
    ThreadEndMissed,
    /// There was no memory for a thread's clock: its time is missing.
    ThreadUntracked,
    /// The map of throttled queues was full: throttled time counts as run-queue time.
    ThrottleMapFull,
    /// The kernel half sent a notice that this version does not know.
    UnknownEvent,
    /// A sample's slot belongs to no row.
    UnknownSlot,
    /// A user stack could not be read.
    UserStackUnreadable,
    /// A wakeup was not seen: that wait for a CPU counts as blocked.
    WakeupMissed,
}

impl Loss {
    /// Every cause, in the order of their names.
    pub const ALL: [Self; 26] = [
        Self::AccountMissing,
        Self::CallMapFull,
        Self::CountMapFull,
        Self::DelayMapFull,
        Self::DescriptorLate,
        Self::EventDropped,
        Self::IsolationDropped,
        Self::KernelStackUnreadable,
        Self::LedgerResidual,
        Self::MapReadAgain,
        Self::MappingDropped,
        Self::ProgramMissed,
        Self::ScopeFull,
        Self::SlowCallDropped,
        Self::StackCollision,
        Self::StackLate,
        Self::StackMapFull,
        Self::SubtreeFull,
        Self::SwitchMissed,
        Self::ThreadEndMissed,
        Self::ThreadUntracked,
        Self::ThrottleMapFull,
        Self::UnknownEvent,
        Self::UnknownSlot,
        Self::UserStackUnreadable,
        Self::WakeupMissed,
    ];

    /// The key in documents and the label in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountMissing => "account_missing",
            Self::CallMapFull => "call_map_full",
            Self::CountMapFull => "count_map_full",
            Self::DelayMapFull => "delay_map_full",
            Self::DescriptorLate => "descriptor_late",
            Self::EventDropped => "event_dropped",
            Self::IsolationDropped => "isolation_dropped",
            Self::KernelStackUnreadable => "kernel_stack_unreadable",
            Self::LedgerResidual => "ledger_residual",
            Self::MapReadAgain => "map_read_again",
            Self::MappingDropped => "mapping_dropped",
            Self::ProgramMissed => "program_missed",
            Self::ScopeFull => "scope_full",
            Self::SlowCallDropped => "slow_call_dropped",
            Self::StackCollision => "stack_collision",
            Self::StackLate => "stack_late",
            Self::StackMapFull => "stack_map_full",
            Self::SubtreeFull => "subtree_full",
            Self::SwitchMissed => "switch_missed",
            Self::ThreadEndMissed => "thread_end_missed",
            Self::ThreadUntracked => "thread_untracked",
            Self::ThrottleMapFull => "throttle_map_full",
            Self::UnknownEvent => "unknown_event",
            Self::UnknownSlot => "unknown_slot",
            Self::UserStackUnreadable => "user_stack_unreadable",
            Self::WakeupMissed => "wakeup_missed",
        }
    }

    /// The cause with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|loss| loss.name() == name)
    }
}

impl Ord for Loss {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Loss {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Loss {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Loss;

    #[test]
    fn every_cause_is_in_the_table_once() {
        assert!(Loss::ALL.is_sorted_by(|a, b| a < b));
        for loss in Loss::ALL {
            assert_eq!(Loss::from_name(loss.name()), Some(loss));
        }
    }
}
