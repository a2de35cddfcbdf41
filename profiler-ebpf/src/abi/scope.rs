//! Which cgroups are watched, and under which number.
//!
//! The `SCOPE` map takes a cgroup id (the kernfs id, that is the inode number of the cgroup's folder) to
//! a *slot*. Every watched cgroup has a slot of its own; user space folds slots into containers by the
//! cgroup's path, so the kernel half needs to know nothing about runtimes.

/// Slot of processes that are in no watched cgroup.
pub const SLOT_HOST: u32 = 0;
/// Slot of kernel threads.
pub const SLOT_KERNEL: u32 = 1;
/// First slot that user space gives to a cgroup it found.
pub const SLOT_FIRST: u32 = 2;
/// First slot that the kernel half gives to a cgroup born while recording. The two ranges are apart so
/// that neither side has to ask the other.
pub const SLOT_FIRST_BORN: u32 = 8_192;
/// Slots that exist, and entries of `SCOPE`: room for 4,096 containers with a pod or inner cgroup each.
pub const SLOTS: u32 = 16_384;
