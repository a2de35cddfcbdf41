//! Which cgroups are known, and under which number.
//!
//! The `SCOPE` map takes a cgroup id (the kernfs id, that is the inode number of the cgroup's directory) to a *slot*. Every
//! cgroup has a slot of its own; user space folds slots into containers by the cgroup's path, so the kernel half needs to know
//! nothing about runtimes. Cgroups that are not recorded have slots as well: they may be the reason why others wait.
//!
//! Slots are limited, and whoever has been delegated a cgroup can create any number below it. Each such *subtree*
//! (a container, a unit, a user's service manager) therefore has a share of the slots: when it is used up, further
//! cgroups of the subtree have no entry here and count as the nearest cgroup above them that has one.

/// Slot of processes that are in no known cgroup.
pub const SLOT_HOST: u32 = 0;
/// Slot of kernel threads.
pub const SLOT_KERNEL: u32 = 1;
/// Slot of the time in which a CPU has nothing to do.
pub const SLOT_IDLE: u32 = 2;
/// First slot that user space gives to a cgroup it found. From a number that the loader sets on, the kernel half
/// gives them to cgroups born while recording: the two ranges are apart so that neither side has to ask the other.
pub const SLOT_FIRST: u32 = 3;

/// Stands in `SCOPE` for the id of an autogroup, a session's own part of the root cgroup: it has none, and reading it
/// gives this.
pub const AUTOGROUP: u64 = 0;

/// In a value of `SCOPE`, beside the slot: what happens there is recorded.
pub const RECORDED: u32 = 1 << 31;

/// In a value of `SCOPE`, beside the slot: a directory of the host, such as `/` or a slice. Only the host creates cgroups
/// directly below it, so each of them is a subtree with a share of its own.
pub const SHARED: u32 = 1 << 30;

/// The slot in a value of `SCOPE`.
#[inline(always)]
#[must_use]
pub const fn slot(value: u32) -> u32 {
    value & !(RECORDED | SHARED)
}

/// What threads carry of a value of `SCOPE`: the slot, and whether it is recorded.
#[inline(always)]
#[must_use]
pub const fn of_thread(value: u32) -> u32 {
    value & !SHARED
}

/// Whether cgroups born directly below are subtrees of their own.
#[inline(always)]
#[must_use]
pub const fn is_shared(value: u32) -> bool {
    value & SHARED != 0
}

/// Whether a value of `SCOPE` says that its cgroup is recorded.
#[inline(always)]
#[must_use]
pub const fn is_recorded(value: u32) -> bool {
    value & RECORDED != 0
}
